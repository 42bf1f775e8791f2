"""Tag and probe against the numbers of the older tool and of a separate selection, quartet by quartet."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import hist
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import uhi.io
import uhi.io.zip

from femtobarn import api
from femtobarn.errors import ConfigError, FemtobarnError, LossError, UsageError

CASES = (
    "readme", "ele_nano_sceta", "ele_nano_defaults", "ele_nano_zmask", "ele_nano_golden", "pho_nano_diphoton",
    "pho_nano_egamma", "ele_mini", "ele_mini_defaults", "ele_mini_pileup3", "pho_nanont",
    "pho_nanont_golden_expr",
    "sas_default", "sas_23_12", "trigger_leg2_number", "trigger_leg2_name", "ele_mc_ul17", "ele_mc_no_z",
    "ele_mc_no_z_no_truth", "mu_mc_ul17", "mu_mc_nano_dy", "mu_mc_2016", "pairs_2311", "pairs_2515",
)  # fmt: skip


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """One cache for all cases: what a file holds is looked up once."""
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def _shared_cache(cache, monkeypatch, _own_cache):
    monkeypatch.setenv("FEMTOBARN_CACHE", cache)


@pytest.fixture
def quartet(shared, tmp_path):
    """Writes the four files of a case; returns the case and the request."""

    def write(name, *, folder="run", change=None, **more):
        cases = json.loads(shared("oracles/tagprobe/cases.json").read_text())["cases"]
        case = next(item for item in cases if item["id"] == name)
        text = json.dumps(case).replace("{DATA}", str(shared("data").absolute()))
        case = json.loads(text.replace("{ORACLES}", str(shared("oracles/tagprobe").absolute())))
        if change is not None:
            change(case)
        paths = {}
        for kind in ("runner", "fileset", "settings", "binning"):
            if case.get(kind) is not None:
                paths[kind] = str(tmp_path / f"{kind}.json")
                Path(paths[kind]).write_text(json.dumps(case[kind]))
        runner = paths.pop("runner")
        more = {"executor": "serial"} | more
        return case, api.TnpRequest(config=runner, output=str(tmp_path / folder), **paths, **more)

    return write


def read_hist(archive, name):
    return hist.Hist(uhi.io.from_sparse(uhi.io.zip.read(archive, name)))


def column(table, name):
    found = table[name]
    if pa.types.is_large_list(found.type):
        found = pc.list_flatten(found)
    return pc.sum(found).as_py() or 0.0


def check_tables(run, expected):
    for pattern, wanted in expected.items():
        tables = [pq.read_table(path) for path in sorted(run.glob(pattern))]
        assert sum(table.num_rows for table in tables) == wanted["rows"]
        for name, total in wanted["sums"].items():
            tolerance = 1e-5 if name.startswith("weight") else 1e-6
            assert sum(column(t, name) for t in tables) == pytest.approx(total, rel=tolerance), (
                pattern,
                name,
            )


def check_hists(run, expected):
    with zipfile.ZipFile(run / "hists.zip") as archive:
        for name, wanted in expected.items():
            found = read_hist(archive, name)
            assert found.sum(flow=True).value == pytest.approx(wanted["sum_flow"], rel=1e-6)
            for axis, values in wanted.get("proj_flow", {}).items():
                np.testing.assert_allclose(
                    found.project(axis).values(flow=True), values, rtol=1e-6, err_msg=name
                )
            if "values_flow" in wanted:
                np.testing.assert_allclose(
                    found.values(flow=True), wanted["values_flow"], rtol=1e-6, err_msg=name
                )
            if "values" in wanted:
                np.testing.assert_allclose(found.values(), wanted["values"], rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("name", CASES)
def test_every_quartet_gives_its_numbers(name, quartet):
    case, request = quartet(name)
    finished, _ = api.tnp(request, pages=False)
    run, expect = finished.path, case["expect"]
    yields = json.loads((run / "yields.json").read_text())
    for region, values in expect.get("yields", {}).items():
        for dataset, value in values.items():
            assert yields[region][dataset]["value"] == pytest.approx(value, rel=1e-6, abs=1e-9), region
    check_tables(run, expect.get("tables", {}))
    check_hists(run, expect.get("hists", {}))
    for wanted in expect.get("efficiency", ()):
        rows = json.loads((run / "tables/efficiency.json").read_text())["rows"]
        [row] = [
            r
            for r in rows
            if r["bin"] is None and (r["filter"], r["method"]) == (wanted["filter"], wanted["method"])
        ]
        for key in ("efficiency", "low", "high"):
            assert row[key] == pytest.approx(wanted[key], abs=1e-6)
    for text in expect.get("says", ()):
        assert any(text in warning for warning in finished.warnings)


def content(run):
    """What must not depend on how the work was divided."""
    tables = {}
    for path in sorted((run / "tables").rglob("*.parquet")):
        tables.setdefault(path.name.partition("-part")[0] + str(path.parent.name), []).append(
            pq.read_table(path)
        )
    joined = {name: pa.concat_tables(parts).replace_schema_metadata(None) for name, parts in tables.items()}
    efficiency = json.loads((run / "tables/efficiency.json").read_text())
    return joined, efficiency, json.loads((run / "yields.json").read_text())


def test_any_cutting_and_executor_give_the_same_tables(quartet):
    whole = content(api.tnp(quartet("ele_nano_sceta", folder="whole")[1], pages=False)[0].path)
    small = content(
        api.tnp(quartet("ele_nano_sceta", folder="small", part_events=170)[1], pages=False)[0].path
    )
    many = content(
        api.tnp(
            quartet(
                "ele_nano_sceta", folder="many", part_events=170, executor="processes", workers=2, fresh=True
            )[1],
            pages=False,
        )[0].path
    )
    for other in (small, many):
        assert other[1:] == whole[1:]
        assert set(other[0]) == set(whole[0])
        for name, table in whole[0].items():
            assert other[0][name].equals(table), name


def test_steps_of_a_fileset_can_be_joined(quartet):
    def steps(case):
        url = next(iter(case["fileset"]["sample"]["files"]))
        case["fileset"]["sample"]["files"] = {
            url: {"object_path": "Events", "steps": [[i, i + 20] for i in range(0, 200, 20)]}
        }

    _, apart = quartet("ele_nano_defaults", change=steps)
    _, joined = quartet("ele_nano_defaults", change=steps, repartition=5)
    assert len(api.tnp_plan(apart).plan.parts) == 10
    assert [(p.start, p.stop) for p in api.tnp_plan(joined).plan.parts] == [(0, 100), (100, 200)]


def broken(path, value):
    """A change of one key of a case."""

    def change(case):
        place = case
        for key in path[:-1]:
            place = place[key]
        if value is None:
            del place[path[-1]]
        else:
            place[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (broken(("runner", "workflow"), "ElectronTagNProbeFromNanoAOB"), "ElectronTagNProbeFromNanoAOD"),
        (broken(("runner", "workflow_args", "tag_pt_cut"), 30), "tags_pt_cut"),
        (broken(("runner", "methods", 0, "name"), "get_tnp_array"), "get_tnp_arrays"),
        (broken(("runner", "methods", 0, "args", "varz"), []), "vars"),
        (broken(("runner", "methods", 0, "args", "compute"), True), "one pass"),
        (broken(("runner", "methods", 2, "args", "vars"), ["el_pt", "el_r9"]), "el_r9_bins"),
        (broken(("runner", "methods", 2, "args", "filter"), ["HLT_Ele30"]), "HLT_Ele32_WPTight_Gsf"),
        (broken(("binning",), {"el_pt_bins": [10, 5]}), "rise"),
        (broken(("runner", "methods", 0, "args", "mass_range"), [100, 80]), "rising"),
        (broken(("runner", "methods", 0, "args", "mass_range"), -3), "positive"),
        (broken(("runner", "workflow_args", "extra_zcands_mask"), "open(1) > 0"), "extra_zcands_mask"),
    ],
)  # fmt: skip
def test_a_wrong_configuration_is_one_sentence(quartet, change, says):
    _, request = quartet("ele_nano_defaults", change=change)
    with pytest.raises((ConfigError, UsageError)) as caught:
        api.tnp(request, pages=False)
    assert says in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (broken(("runner", "workflow_args", "filterbit", "HLT_Ele32_WPTight_Gsf"), "2el"), "2e"),
        (
            broken(("runner", "workflow_args", "tag_trigger"), {"path": "HLT_Ele30_WPTight_Gsg"}),
            "HLT_Ele30_WPTight_Gsf",
        ),
        (broken(("runner", "methods", 0, "args", "vars"), ["el_pt", "el_r99"]), "Electron_r9"),
        (broken(("runner", "methods", 0, "args", "vars"), ["el_pt", "Jet_pt"]), "one row a pair"),
        (broken(("runner", "workflow_args", "extra_zcands_mask"), "zcands.probe.rr9 > 0.9"), "Electron_r9"),
    ],
)
def test_what_a_file_lacks_is_named_and_fails(quartet, change, says):
    _, request = quartet("ele_nano_defaults", change=change)
    with pytest.raises(LossError) as caught:
        api.tnp(request, pages=False)
    assert says in str(caught.value)


def test_a_failing_file_needs_leave(quartet, tmp_path):
    (tmp_path / "broken.root").write_bytes(b"root" + bytes(200))

    def second(case):
        case["fileset"]["sample"]["files"][str(tmp_path / "broken.root")] = "Events"

    _, request = quartet("ele_nano_defaults", change=second)
    with pytest.raises(LossError, match=r"broken\.root"):
        api.tnp(request, pages=False)
    _, request = quartet("ele_nano_defaults", change=second, allow_missing=True)
    assert any("is lost" in warning for warning in api.tnp(request, pages=False)[0].warnings)


def test_the_settings_win_and_nothing_else_is_overwritten(quartet):
    def settings(case):
        case["settings"] = {"tags_pt_cut": 40, "start_from_diphotons": False}

    _, request = quartet("ele_nano_sceta", change=settings)
    found = {name: (value, origin) for name, value, origin in api.tnp_values(request)}
    assert found["tags_pt_cut"][0] == 40
    assert "settings.json" in found["tags_pt_cut"][1]
    assert found["probes_pt_cut"][0] == 27
    assert "runner.json" in found["probes_pt_cut"][1]
    assert found["charge"] == ("opposite", "default")
    assert any("start_from_diphotons" in note for note in api.tnp_plan(request).notes)


def test_what_is_left_of_a_run_can_be_written(quartet, tmp_path):
    _, request = quartet("ele_nano_defaults", max_events=300, part_events=100)
    run = api.tnp(request, pages=False)[0].path
    left, events = api.unprocessed(request.fileset, str(run), tmp_path / "rest.json")
    assert (left, events) == (1, 700)
    [(name, entry)] = json.loads((tmp_path / "rest.json").read_text()).items()
    assert name == "sample"
    assert next(iter(entry["files"].values()))["steps"] == [[300, 1000]]


def test_ntuples_are_joined_and_filled(quartet, tmp_path):
    _, request = quartet("readme", part_events=400)
    run = api.tnp(request, pages=False)[0].path
    folder = run / "tables/sample_1/get_passing_and_failing_probes_1"
    merged = api.merge_parquet(str(folder / "passing_*"), tmp_path / "all.parquet")
    assert (merged.files, merged.rows) == (3, 827)
    with pytest.raises(FemtobarnError, match="other columns"):
        api.merge_parquet(str(run / "tables/sample_1"), tmp_path / "mixed.parquet")
    assert not (tmp_path / "mixed.parquet").exists()
    assert api.prepare_histograms(str(folder), tmp_path / "h.zip", axes=["el_pt", "el_eta"]) == 2
    with zipfile.ZipFile(tmp_path / "h.zip") as archive:
        found = read_hist(archive, "HLT_Ele30_WPTight_Gsf/failing")
    assert found.sum(flow=True).value == 144
    assert [axis.name for axis in found.axes] == ["el_pt", "el_eta", "mll"]
    assert api.prepare_histograms(str(folder), tmp_path / "h.root", axes=["el_pt"]) == 42


def test_old_pickles_are_read_only_when_trusted(tmp_path):
    import pickle

    old = tmp_path / "old.pkl"
    made = hist.Hist(hist.axis.Regular(4, 0, 4, name="pt"), storage=hist.storage.Weight()).fill([1.5, 2.5])
    old.write_bytes(pickle.dumps({"/sample/x": {"passing": made}}))
    with pytest.raises(UsageError, match="any program"):
        api.migrate_pickle(str(old), trust=False)
    path, number = api.migrate_pickle(str(old), trust=True)
    assert number == 1
    with zipfile.ZipFile(path) as archive:
        assert read_hist(archive, "sample_x/passing").sum().value == 2
    assert os.fspath(path).endswith("old.zip")

"""ttbar from files to numbers, against an independent event-by-event program."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow.parquet
import pytest
import uproot

from femtobarn import api
from femtobarn.analyses.ttbar import analysis as ttbar
from femtobarn.analyses.ttbar import model
from femtobarn.errors import ConfigError, LossError
from femtobarn.export.root import read_root
from femtobarn.hists import read_hists
from femtobarn.run.directory import RunDirectory
from femtobarn.stats.histfactory.build import build_workspace

Shared = Callable[[str], Path]
NANO = "NanoAODv5_sample.root"
#: Holds W+jets, whatever its name says.
WJETS = "nanoAOD_2015_CMS_Open_Data_ttbar.root"


def run(out: Path, *files: str, settings: tuple[str, ...] = (), **options: Any) -> api.Finished:
    options.setdefault("executor", "serial")
    full = options.pop("full", False)
    request = api.Request(what="ttbar", files=files, settings=settings, out=str(out), **options)
    return api.run(request, process_only=not full)


def cuts(finished: api.Finished) -> list[int]:
    (rows,) = finished.result.outcome.cutflows.values()
    return [row.events for row in rows.values()]


def oracle(shared: Shared, process: str, name: str, task: str) -> dict[str, Any]:
    content = json.loads(shared("oracles/ttbar/events_dev.json").read_text())
    found: dict[str, Any] = content["files"][f"{process}:{name}"]
    return found | found["tasks"][task]


@pytest.mark.parametrize(("process", "name"), [("ttbar", NANO), ("wjets", WJETS)])
@pytest.mark.parametrize("task", ["v2/compat", "v2/corrected", "v1.4/compat", "v1.4/corrected"])
def test_every_bin_of_every_variation(
    tmp_path: Path, shared: Shared, process: str, name: str, task: str
) -> None:
    expected = oracle(shared, process, name, task)
    version, mode = task.split("/")
    finished = run(
        tmp_path / "r", f"{process}__nominal={shared(f'data/C/{name}')}",
        settings=(f"task={version}", f"mode={mode}", "save_events=true"),
    )  # fmt: skip
    rtol = 1e-9 if mode == "compat" else 1e-6
    cutflow = json.loads((finished.path / "cutflow.json").read_text())[f"{process}__nominal"]
    for got, want in zip(cutflow, expected["cutflow"], strict=True):
        assert (got["cut"], got["events"]) == (want["cut"], want["events"])
        assert got["sumw"] == pytest.approx(want["sumw"], rel=rtol, abs=1e-9)
    histograms = read_hists(finished.path / "hists.zip")
    kept = {
        f"{key[0]}_{key[2]}": (histograms[key[0]], key) for item in histograms.values() for key in item.blocks
    }
    assert len(kept) == 2 * (13 if process == "wjets" else 11)
    empty = {"contents": np.zeros(27), "sumw2": np.zeros(27)}
    # The reference leaves empty histograms out; here they are zeros.
    assert set(expected["histograms_raw"]) <= set(kept)
    for label, (histogram, key) in kept.items():
        content = expected["histograms_raw"].get(label, empty)
        np.testing.assert_allclose(
            histogram.values(key, flow=True), content["contents"], rtol=rtol, atol=1e-12
        )
        np.testing.assert_allclose(
            histogram.variances(key, flow=True), content["sumw2"], rtol=rtol, atol=1e-12
        )
    yields = ttbar.yields(RunDirectory(finished.path).stored(ttbar))
    for region, variations in expected["yields"].items():
        row = yields[region][process]
        for variation, (_, value) in variations.items():
            got = row["value"] if variation == "nominal" else row["variations"][variation]
            assert got == pytest.approx(value, rel=rtol, abs=1e-9)
    rows = pyarrow.parquet.read_table(finished.path / "tables" / "events.parquet").to_pydict()
    names = ("run", "luminosityBlock", "event", "variation", "region", "njet", "nbtag", "observable")
    got = sorted(zip(*(rows[name] for name in names), strict=True))
    order = [0, 1, 2, 3, 4, 6, 7, 5]
    want = sorted(tuple(row[i] for i in order) for row in expected["selected"])
    assert [row[:-1] for row in got] == [row[:-1] for row in want]
    np.testing.assert_allclose([row[-1] for row in got], [row[-1] for row in want], rtol=1e-8)


def test_published_numbers(tmp_path: Path, shared: Shared) -> None:
    finished = run(
        tmp_path / "r", f"wjets__nominal={shared(f'data/C/{WJETS}')}", settings=("task=v1.4", "mode=compat")
    )
    assert cuts(finished) == [200, 59, 6, 4, 0]
    row = ttbar.yields(RunDirectory(finished.path).stored(ttbar))["4j1b"]["wjets"]
    assert row["value"] == pytest.approx(1_046_312.79984, rel=1e-9)
    assert row["variations"]["scale_var_up"] == pytest.approx(1_072_470.61984, rel=1e-9)


def test_mislabelled_sample(tmp_path: Path, shared: Shared) -> None:
    option = f"ttbar__nominal={shared(f'data/C/{WJETS}')}"
    with pytest.raises(
        LossError, match=r"mislabelled.*0/200 events with a top quark, 198/200 with a W: looks like wjets"
    ):
        run(tmp_path / "error", option)
    run(tmp_path / "warn", option, settings=("sanity=warn",))
    manifest = json.loads((tmp_path / "warn" / "manifest.json").read_text())
    assert any("looks like wjets" in warning for warning in manifest["warnings"])


def test_another_tree(tmp_path: Path, shared: Shared) -> None:
    with pytest.raises(LossError, match=r"(?s)HEPTutorial_qcd.root.*trees in this file: events"):
        run(tmp_path / "r", f"ttbar={shared('data/C/HEPTutorial_qcd.root')}")


def test_missing_tag_column_names_those_there_are(tmp_path: Path, shared: Shared) -> None:
    file = shared(f"data/C/{NANO}")
    with uproot.open(file) as opened:
        there = sorted(name for name in opened["Events"].keys() if name.startswith("Jet_btag"))  # noqa: SIM118
    assert len(there) > 1
    with pytest.raises(LossError, match=", ".join(there)):
        run(tmp_path / "r", f"ttbar={file}", settings=("btag=btagXYZ",))


def contents(finished: api.Finished) -> dict[Any, Any]:
    histograms = read_hists(finished.path / "hists.zip")
    return {key: item.values(key, flow=True).tolist() for item in histograms.values() for key in item.blocks}


def copies(path: Path, folder: Path) -> list[Path]:
    """The same columns as an RNTuple and as Parquet."""
    names = [
        "run", "luminosityBlock", "event", "genWeight", "Jet_pt", "Jet_eta", "Jet_phi", "Jet_mass",
        "Jet_btagCSVV2", "Jet_jetId", "Electron_pt", "Electron_eta", "Electron_cutBased", "Electron_sip3d",
        "Muon_pt", "Muon_eta", "Muon_tightId", "Muon_sip3d", "Muon_pfRelIso04_all", "GenPart_pdgId",
    ]  # fmt: skip
    with uproot.open(path) as file:
        arrays = file["Events"].arrays(names)
    with uproot.recreate(folder / "copy.root") as file:
        file.mkrntuple("Events", {name: arrays[name] for name in names})
    ak.to_parquet(ak.zip({name: arrays[name] for name in names}, depth_limit=1), str(folder / "copy.parquet"))
    return [folder / "copy.root", folder / "copy.parquet"]


def test_same_answer_on_any_road(tmp_path: Path, shared: Shared) -> None:
    path = shared(f"data/C/{NANO}")
    everything = contents(run(tmp_path / "all", f"ttbar={path}"))
    root, parquet = copies(path, tmp_path)
    assert contents(run(tmp_path / "rntuple", f"ttbar={root}")) == everything
    assert contents(run(tmp_path / "parquet", f"ttbar={parquet}")) == everything
    by100 = contents(run(tmp_path / "by100", f"ttbar={parquet}", part_events=100))
    close(by100, everything)
    assert (
        contents(run(tmp_path / "two", f"ttbar={parquet}", part_events=100, executor="processes", workers=2))
        == by100
    )
    some = contents(run(tmp_path / "some", f"ttbar={parquet}", max_events=350))
    close(contents(run(tmp_path / "by7", f"ttbar={parquet}", part_events=7, max_events=350)), some)


def close(got: dict[Any, Any], want: dict[Any, Any]) -> None:
    """Other chunks: the same sums up to rounding."""
    assert got.keys() == want.keys()
    for key, values in want.items():
        np.testing.assert_allclose(got[key], values, rtol=1e-12, atol=0)


def test_model_is_the_published_one(shared: Shared) -> None:
    """From the Grand Challenge's own histograms (five files a sample) comes its own workspace."""
    built = build_workspace(model.build(read_root(shared("data/C/AGC_histograms.root")))).workspace.to_json()
    want = json.loads(shared("oracles/stats/workspace_agcroot5.json").read_text())
    assert [o["name"] for o in built["observations"]] == [o["name"] for o in want["observations"]]
    for got, expected in zip(built["observations"], want["observations"], strict=True):
        assert got["data"] == pytest.approx(expected["data"], rel=1e-9)
    for got, expected in zip(built["channels"], want["channels"], strict=True):
        assert [s["name"] for s in got["samples"]] == [s["name"] for s in expected["samples"]]
        for mine, theirs in zip(got["samples"], expected["samples"], strict=True):
            assert mine["data"] == pytest.approx(theirs["data"], rel=1e-9)
            left = {(m["type"], m["name"]): m["data"] for m in mine["modifiers"] if m["type"] != "staterror"}
            right = {
                (m["type"], m["name"]): m["data"] for m in theirs["modifiers"] if m["type"] != "staterror"
            }
            assert left.keys() == right.keys()
            for key, data in right.items():
                if data is None:
                    assert left[key] is None
                else:
                    for side in data:
                        assert left[key][side] == pytest.approx(data[side], rel=1e-9), key


def test_validate_real_histograms(tmp_path: Path, shared: Shared) -> None:
    real = shared("data/C/AGC_histograms.root")
    found = api.ttbar_validate(real, shared("oracles/ttbar/reference_1.json"), dump_to=tmp_path / "own.json")
    assert not found.passed
    for mode in ("rule", "strict"):
        again = api.ttbar_validate(real, tmp_path / "own.json", mode=mode)
        assert again.passed
        assert again.compared == 124


def test_fileset_table(shared: Shared) -> None:
    for row in json.loads(shared("oracles/ttbar/fileset.json").read_text())["table"]:
        made = api.ttbar_fileset(row["n_files_max_per_sample"])
        assert (made.files, made.events) == (row["files"], row["events"])
        assert {d.name: d.metadata["nevts"] for d in made.datasets} == row["nevts"]


def test_every_address(shared: Shared) -> None:
    content = json.loads(shared("oracles/ttbar/fileset.json").read_text())
    for dataset in api.ttbar_fileset().datasets:
        want = content["datasets"][dataset.name]
        assert dataset.metadata["xsec"] == pytest.approx(want["xsec_pb"])
        urls = [f"{content['base']}{want['folders'][f]}/{name}" for f, name, _ in want["files"]]
        assert [ref.url for ref in dataset.files] == urls
        assert [ref.entries for ref in dataset.files] == [events for _, _, events in want["files"]]


def test_sources_contradict() -> None:
    with pytest.raises(ConfigError, match="contradict"):
        api.ttbar_fileset(1, source="ssl-dev", settings=["xcache_prefix=root://cache//"])
    (first, *_) = api.ttbar_fileset(1, source="xcache", settings=["xcache_prefix=root://cache//"]).datasets
    assert first.files[0].url.startswith(
        "root://cache//root://red-xcache1.unl.edu//store/user/AGC/nanoAOD/TT_"
    )

"""h4l from files to results, against numbers made without any of our code (see the fixture ``shared``)."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from femtobarn import api
from femtobarn.errors import ConfigError, DataError, LossError

Shared = Callable[[str], Path]


def run(out: Path, release: str, *files: str, settings: tuple[str, ...] = (), **more: Any) -> api.Finished:
    request = api.Request(
        what="h4l", release=release, files=files, settings=settings, out=str(out), executor="serial", **more
    )
    return api.run(request, process_only=True)


def cuts(finished: api.Finished) -> list[int]:
    """Events after each cut, summed over datasets."""
    flows = [list(rows.values()) for rows in finished.result.outcome.cutflows.values()]
    return [sum(row.events for row in rows) for rows in zip(*flows, strict=True)]


def candidates(finished: api.Finished) -> list[dict[str, str]]:
    with (finished.path / "tables" / "candidates.csv").open() as file:
        return list(csv.DictReader(file))


def in_window(rows: list[dict[str, str]], low: float, high: float) -> int:
    return sum(low <= float(row["m4l"]) < high for row in rows)


@pytest.fixture(scope="session")
def atlas_2020(shared: Shared) -> str:
    folder = shared("data/A/data_A.4lep.root").parent
    return f"data={folder}/data_*.4lep.root"


def oracle(shared: Shared, name: str) -> Any:
    return json.loads(shared(f"oracles/higgs/{name}").read_text())


def test_atlas_2020_loose(tmp_path: Path, atlas_2020: str) -> None:
    finished = run(tmp_path / "r", "atlas-2020", atlas_2020, settings=("selection=loose",))
    assert cuts(finished) == [595, 591, 455, 360]
    rows = candidates(finished)
    assert Counter(row["channel"] for row in rows) == {"4e": 82, "4mu": 73, "2e2mu": 205}
    assert (in_window(rows, 80, 100), in_window(rows, 115, 130)) == (53, 33)


def test_atlas_2020_full_and_every_mass(tmp_path: Path, atlas_2020: str, shared: Shared) -> None:
    finished = run(tmp_path / "r", "atlas-2020", atlas_2020)
    assert cuts(finished) == [595, 595, 292, 261, 248, 228]
    rows = candidates(finished)
    assert Counter(row["channel"] for row in rows) == {"4e": 57, "4mu": 49, "2e2mu": 122}
    assert (in_window(rows, 80, 100), in_window(rows, 115, 130)) == (26, 18)
    expected = {}
    for name, content in oracle(shared, "atlas2020.json").items():
        if name.endswith(".root"):
            for channel, number, event, m4l, m12, m34, *_ in content["candidates"]["full"]:
                expected[number, event] = (channel, m4l, m12, m34)
    assert len(expected) == len(rows) == 228
    for row in rows:
        channel, *masses = expected[int(row["run"]), int(row["event"])]
        assert row["channel"] == channel
        assert [float(row[name]) for name in ("m4l", "m12", "m34")] == pytest.approx(masses, abs=0.01)


@pytest.mark.parametrize(("setting", "left"), [("z_windows=true", 186), ("pt_order=unsorted", 201)])
def test_atlas_2020_options(tmp_path: Path, atlas_2020: str, setting: str, left: int) -> None:
    assert cuts(run(tmp_path / "r", "atlas-2020", atlas_2020, settings=(setting,)))[-1] == left


def test_atlas_2025(tmp_path: Path, shared: Shared) -> None:
    file = shared("data/A/ODEO_FEB2025_v0_exactly4lep_data15_periodD.exactly4lep.root")
    finished = run(tmp_path / "full", "2025e-13tev-beta", f"data={file}")
    assert cuts(finished) == [3424, 458, 395, 277, 2, 2, 2, 2]
    found = {row["channel"]: float(row["m4l"]) for row in candidates(finished)}
    assert found == pytest.approx({"2e2mu": 472.0165, "4e": 263.9121}, abs=1e-3)
    loose = run(tmp_path / "loose", "atlas-2025", f"data={file}", settings=("selection=loose",))
    assert cuts(loose) == [3424, 3424, 1681, 861]


def fileset(path: Path, file: Path, name: str = "ZZ", **metadata: Any) -> str:
    content = {name: {"files": {str(file): "mini"}, "metadata": {"kind": "mc", "xsec": 1.0, **metadata}}}
    path.write_text(json.dumps(content))
    return str(path)


def test_atlas_2016_simulation(tmp_path: Path, shared: Shared) -> None:
    source = fileset(tmp_path / "f.json", shared("data/A/ATLAS8TeV_mc_105986.ZZ.root"))
    finished = run(tmp_path / "r", "atlas-2016", fileset=source)
    assert cuts(finished) == [12500, 12500, 194, 189, 185]
    (count,) = finished.result.outcome.cutflow("ZZ")[-1:]
    assert count.sumw == pytest.approx(167.4165, abs=1e-3)


def test_a_cancelling_sample_is_flagged_not_scaled(tmp_path: Path) -> None:
    from femtobarn.analysis import Stored, find_analysis
    from femtobarn.catalog import RELEASES
    from femtobarn.normalise import simulation_factors
    from femtobarn.outcome import Outcome
    from femtobarn.records import Dataset

    weights = np.tile([1.0, -1.0], 7500)
    outcome = Outcome.empty("tchan")
    outcome.add_sum("sumw", weights)
    outcome.add_sum("sumw_abs", np.abs(weights))
    dataset = Dataset("tchan", (), {"kind": "mc", "xsec": 25.0})
    stored = Stored("h4l", (dataset,), find_analysis("h4l").parameters(), outcome, {"tchan": (15000, 15000)})
    factor = simulation_factors(stored, release=RELEASES["atlas-2016"])["tchan"]
    assert not factor.usable
    assert factor.factor == 0
    assert "cannot be normalised" in factor.note


@pytest.fixture(scope="session")
def published(shared: Shared) -> str:
    return f"x={shared('data/B/HiggsExample_HZZ12.root').parent}/HiggsExample_*12.root"


def test_cms_published_histograms(tmp_path: Path, published: str, shared: Shared) -> None:
    out = tmp_path / "r"
    finished = api.run(api.Request(what="h4l", release="cms-run1", files=(published,), out=str(out)))
    expected = oracle(shared, "cms_histograms.json")["2012"]
    yields = json.loads((out / "yields.json").read_text())
    for process, total in expected["total"].items():
        assert yields["4l"][process]["value"] == pytest.approx(total, abs=1e-3)
        for channel, value in expected["by_channel"][process].items():
            assert yields[channel][process]["value"] == pytest.approx(value, abs=1e-3)
    drawn = json.loads((out / "plots" / "m4l.json").read_text())
    assert drawn["data"]["values"] == expected["bins"]["data"]
    for process in ("ZZ", "DY", "H", "ttbar"):
        assert drawn["processes"][process]["values"] == pytest.approx(expected["bins"][process], rel=1e-6)
        assert drawn["processes"][process]["variances"] == pytest.approx(
            expected["bins_variance"][process], rel=1e-6
        )
    fit = json.loads((out / "fit.json").read_text())
    window = fit["results"]["counting"]["121-130"]
    assert [window[key] for key in ("n", "b", "s", "Z")] == pytest.approx(
        [11, 3.562857, 6.763618, 3.042692], abs=1e-3
    )
    assert window["p0"] == pytest.approx(expected["counting"]["121-130"]["p_poisson"], rel=1e-6)
    shape, free, constrained = (
        fit["results"][name] for name in ("shape", "shape_free_background", "shape_zz_constrained")
    )
    assert shape["mu"]["value"] == pytest.approx(1.000, abs=0.01)
    assert shape["mu"]["error_up"] == pytest.approx(0.486, abs=0.01)
    assert shape["mu"]["error_down"] == pytest.approx(0.396, abs=0.01)
    assert shape["Z0"] == pytest.approx(3.330, abs=0.01)
    assert [free["mu"]["value"], free["bkg_norm"]["value"], free["Z0"]] == pytest.approx(
        [0.957, 1.080, 3.021], abs=0.01
    )
    assert [constrained["mu"]["value"], constrained["Z0"]] == pytest.approx([0.979, 3.186], abs=0.01)
    assert fit["mle"]["status"] == "ok"
    assert 3.0 < fit["significance"]["z0"] < shape["Z0"]
    assert "3.3 standard deviations" in finished.headline
    unused = finished.path / "manifest.json"
    assert len(json.loads(unused.read_text())["unused"]) == 4
    full = finished.result.outcome.histograms["m4l_full"]
    for channel, count in expected["data_full_0_900"].items():
        data = sum(full.values((channel, name, "nominal")).sum() for name in ("DoubleMu12", "DoubleE12"))
        assert data == count


def test_cms_candidate_tables(tmp_path: Path, shared: Shared) -> None:
    names = {"4mu_2011": 18, "4e_2011": 7, "2e2mu_2011": 13, "4mu_2012": 95}
    finished = run(tmp_path / "r", "cms-run1", *(f"data={shared(f'data/B/{name}.csv')}" for name in names))
    assert {name: rows["all"].events for name, rows in finished.result.outcome.cutflows.items()} == names
    assert len(candidates(finished)) == sum(names.values())


def test_tables_and_histograms_of_one_year_are_refused(
    tmp_path: Path, published: str, shared: Shared
) -> None:
    with pytest.raises(ConfigError, match="count twice"):
        run(tmp_path / "r", "cms-run1", published, f"data={shared('data/B/4mu_2012.csv')}")


def test_cms_aod_read_directly(tmp_path: Path, shared: Shared) -> None:
    file = shared("data/B/sample_cms_opendata_1507_0025907B4F20.root")
    finished = run(tmp_path / "r", "cms-run1", f"data={file}")
    sums = finished.result.outcome.sums["data"]
    assert (float(sums["muon_good"]), float(sums["electron_good"])) == (13, 5)
    assert cuts(finished)[0] == 10
    assert cuts(finished)[-1] == 0


def test_nanoaod_without_candidates_is_a_result(tmp_path: Path, shared: Shared) -> None:
    out = tmp_path / "r"
    file = shared("data/B/Run2012B_SingleMu_1000.root")
    finished = api.run(api.Request(what="h4l", release="cms-nanoaod", files=(f"data={file}",), out=str(out)))
    assert finished.headline.startswith("No four-lepton candidates")
    with (out / "tables" / "objects.csv").open() as table:
        objects = {row["object"]: int(row["good"]) for row in csv.DictReader(table)}
    assert objects == {"muon": 676, "electron": 55}
    assert (out / "report.html").stat().st_size > 0


def test_nanoaod_kinematic_selection_is_asked_for(tmp_path: Path, shared: Shared) -> None:
    file = shared("data/B/open-data-example.root")
    with pytest.raises(LossError, match="Muon_pfRelIso04_all"):
        run(tmp_path / "full", "cms-nanoaod", f"data={file}")
    finished = run(tmp_path / "kin", "cms-nanoaod", f"data={file}", settings=("selection=kinematic",))
    assert cuts(finished) == [100000, 5484, 1994, 1994, 617, 186, 173]
    expected = [m for m in oracle(shared, "cms_nanoaod.json")["open-data-example.root"]["m4l"] if m > 70]
    assert sorted(float(row["m4l"]) for row in candidates(finished)) == pytest.approx(expected, abs=2e-3)


def test_unknown_dataset_names_its_neighbours(tmp_path: Path, atlas_2020: str) -> None:
    with pytest.raises(ConfigError, match="did you mean 'data'"):
        run(tmp_path / "r", "atlas-2020", atlas_2020.replace("data=", "dtaa="))


def test_wrong_release_is_seen_before_anything_is_processed(tmp_path: Path, atlas_2020: str) -> None:
    with pytest.raises((LossError, DataError), match="looks like atlas-2020"):
        run(tmp_path / "r", "atlas-2025", atlas_2020)
    assert not (tmp_path / "r" / "hists.zip").exists()


@pytest.mark.parametrize(
    ("name", "rows", "median", "window", "inside"),
    [("Zmumu_Run2011A", 10583, 90.2799, (80, 100), 8720), ("peakdata3", 19519, 9.42654, (9, 9.7), 19519)],
)
def test_standard_candles(
    tmp_path: Path,
    shared: Shared,
    name: str,
    rows: int,
    median: float,
    window: tuple[float, float],
    inside: int,
) -> None:
    finished = run(tmp_path / "r", "cms-run1", f"data={shared(f'data/B/{name}.csv')}")
    with (finished.path / "tables" / "pairs.csv").open() as file:
        masses = np.array([float(row["mass"]) for row in csv.DictReader(file)])
    assert len(masses) == rows
    assert np.median(masses) == pytest.approx(median, abs=2e-3)
    assert ((masses >= window[0]) & (masses <= window[1])).sum() == pytest.approx(inside, abs=2)


def toy_nanoaod(tmp_path: Path) -> Path:
    from femtobarn import samples

    return samples.make("h4l", tmp_path / "toy", release="cms-nanoaod", simulate=False).parent / "data.root"


def test_lumi_mask_removes_candidates_not_only_cutflow_rows(tmp_path: Path) -> None:
    file = toy_nanoaod(tmp_path)
    every = candidates(run(tmp_path / "all", "cms-nanoaod", f"data={file}"))
    chosen = {int(row["run"]) for row in every[:1]}
    mask = tmp_path / "golden.json"
    mask.write_text(json.dumps({str(number): [[1, 100000]] for number in chosen}))
    masked = run(tmp_path / "masked", "cms-nanoaod", f"data={file}", settings=(f"lumi_mask={mask}",))
    kept = [row for row in every if int(row["run"]) in chosen]
    assert 0 < len(kept) < len(every)
    assert candidates(masked) == kept
    assert cuts(masked)[-1] == len(kept)
    assert masked.result.outcome.histograms["m4l_full"].values(
        ("4l", "data", "nominal"), flow=True
    ).sum() == len(kept)


def test_overlapping_inputs_are_noticed(tmp_path: Path) -> None:
    """The same events in two files that are not copies of each other, as two data streams have them."""
    import uproot

    file = toy_nanoaod(tmp_path)
    with uproot.open(file) as source, uproot.recreate(tmp_path / "again.root") as target:
        arrays = {
            name: branch.array() for name, branch in source["Events"].items() if not name.startswith("n")
        }
        target.mktree("Events", {name: array.type for name, array in arrays.items()})
        target["Events"].extend(arrays)
    out = tmp_path / "r"
    files = (f"data={file}", f"data={tmp_path / 'again.root'}")
    api.run(api.Request(what="h4l", release="cms-nanoaod", files=files, out=str(out), executor="serial"))
    warnings = json.loads((out / "manifest.json").read_text())["warnings"]
    assert any("listed more than once" in warning for warning in warnings)


def test_mass_scale_moves_the_peak(tmp_path: Path) -> None:
    from femtobarn import samples

    made = samples.make("h4l", tmp_path / "toy", release="atlas-2025", scale=0.1)
    request = api.Request(
        what="h4l",
        release="atlas-2025",
        fileset=str(made),
        settings=("m4l_scale=0.01",),
        out=str(tmp_path / "r"),
        executor="serial",
    )
    histogram = api.run(request, process_only=True).result.outcome.histograms["m4l_full"]
    centres = np.arange(1.5, 900, 3)
    means = {
        label: float(np.average(centres, weights=histogram.values(("4l", "ggH", label))))
        for label in ("nominal", "m4l_scale_up", "m4l_scale_down")
    }
    assert means["m4l_scale_up"] / means["nominal"] == pytest.approx(1.01, abs=2e-3)
    assert means["m4l_scale_down"] / means["nominal"] == pytest.approx(0.99, abs=2e-3)
    assert not any(key[1] == "data" and key[2] != "nominal" for key in histogram.blocks)


def test_factors_of_the_cross_section_come_from_one_source() -> None:
    """A fileset's effective cross-section is not multiplied by efficiencies that the events state."""
    from femtobarn.analysis import Stored, find_analysis
    from femtobarn.catalog import RELEASES
    from femtobarn.normalise import simulation_factors
    from femtobarn.outcome import Outcome
    from femtobarn.records import Dataset

    parameters = find_analysis("h4l").parameters()
    outcome = Outcome.empty("x")
    for name, value in (("xsec", 4.0), ("kfactor", 1.5), ("filteff", 0.5), ("sumw", 1000.0)):
        outcome.add_fact(name, np.array([value]))

    def factor(**metadata: float) -> float:
        dataset = Dataset("x", (), {"kind": "mc", **metadata})
        stored = Stored("h4l", (dataset,), parameters, outcome, {"x": (10, 10)})
        return simulation_factors(stored, release=RELEASES["atlas-2025"], lumi=1.0)["x"].factor

    assert factor() == pytest.approx(1000 * 4.0 * 1.5 * 0.5 / 1000)
    assert factor(xsec=2.0) == pytest.approx(1000 * 2.0 / 1000)
    assert factor(xsec=2.0, kfactor=1.1, sumw=500.0) == pytest.approx(1000 * 2.0 * 1.1 / 500)

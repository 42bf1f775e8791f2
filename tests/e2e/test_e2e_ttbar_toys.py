"""ttbar on built-in samples: closure of the fit, POET ntuples against plain loops, impossible momenta."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot

from femtobarn import api
from femtobarn.errors import ConfigError, LossError, UsageError
from femtobarn.export.root import read_root
from femtobarn.hists import read_hists
from femtobarn.samples.ttbar import make_ttbar
from femtobarn.stats.histfactory.full_fit import FitOptions, load_model
from femtobarn.stats.histfactory.toy_study import toys


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine datasets and pseudo-data, half the usual size: with less, a toy in thirty does not converge."""
    return make_ttbar(tmp_path_factory.mktemp("toy"), seed=3, scale=0.5)


def test_closure(tmp_path: Path, sample: Path) -> None:
    request = api.Request(what="ttbar", fileset=str(sample), out=str(tmp_path / "r"), executor="serial")
    finished = api.run(request)
    fitted = json.loads((finished.path / "fit.json").read_text())
    found = fitted["mle"]["parameters"]["ttbar_norm"]
    truth = json.loads(sample.with_name("truth.json").read_text())["mu"]
    assert abs(found["value"] - truth) < 2 * found["hesse"]
    manifest = json.loads((finished.path / "manifest.json").read_text())
    assert manifest["origin"] == "toy"
    assert not any("mislabelled" in warning for warning in manifest["warnings"])
    yields = json.loads((finished.path / "yields.json").read_text())
    for region in ("4j1b", "4j2b"):
        assert {"data", "ttbar", "wjets", "pseudodata"} <= set(yields[region])
        expected = sum(yields[region][p]["value"] for p in yields[region] if p not in ("data", "pseudodata"))
        stat = np.sqrt(sum(yields[region][p]["stat"] ** 2 for p in yields[region] if p != "pseudodata"))
        assert abs(yields[region]["data"]["value"] - expected) < 4 * stat
    api.export(finished.path, "root", out=tmp_path / "h.root")
    assert len([name for name in read_root(tmp_path / "h.root") if not name.endswith("_data")]) == 124
    assert api.ttbar_validate(finished.path, dump_to=tmp_path / "d.json").compared == 126
    assert api.ttbar_validate(tmp_path / "h.root", tmp_path / "d.json", mode="strict").passed
    study = toys(load_model(finished.path / "workspace.json", FitOptions()).model, 30, seed=5)
    at = study.names.index("ttbar_norm")
    pull = (study.values[:, at] - study.truth[at]) / study.errors[:, at]
    assert study.failed == 0
    assert abs(np.mean(pull)) < 0.6
    assert 0.6 < np.std(pull, ddof=1) < 1.4


def loops(path: Path) -> dict[str, list[float]]:
    """Version 0 as published, event by event: SR mass from unvaried jets."""
    with uproot.open(path) as file:
        events = file["events"].arrays(
            ["jet_pt", "jet_eta", "jet_phi", "jet_e", "jet_btag", "electron_pt", "muon_pt"], library="np"
        )
    out: dict[str, list[float]] = {"4j1b": [], "4j2b": [], "4j2b_scaled": []}
    for i in range(len(events["jet_pt"])):
        if sum(events["electron_pt"][i] > 25) + sum(events["muon_pt"][i] > 25) != 1:
            continue
        pt, eta, phi, e, tag = (
            events[f"jet_{n}"][i].astype(np.float64) for n in ("pt", "eta", "phi", "e", "btag")
        )
        for factor in (1.0, 1.03):
            kept = np.flatnonzero(pt * factor > 25)
            if len(kept) < 4:
                continue
            if sum(tag[kept] >= 0.5) == 1 and factor == 1.0:
                out["4j1b"].append(pt[kept].sum())
            if sum(tag[kept] > 0.5) < 2:
                continue
            best, mass = -1.0, 0.0
            for three in itertools.combinations(kept, 3):
                j = list(three)
                if not max(tag[j]) > 0.5:
                    continue
                px, py = sum(pt[j] * np.cos(phi[j])), sum(pt[j] * np.sin(phi[j]))
                pz, energy = sum(pt[j] * np.sinh(eta[j])), sum(e[j])
                if np.hypot(px, py) > best:
                    best, mass = np.hypot(px, py), np.sqrt(energy**2 - px**2 - py**2 - pz**2)
            out["4j2b" if factor == 1.0 else "4j2b_scaled"].append(mass)
    return out


def test_poet_ntuples(tmp_path: Path) -> None:
    fileset = make_ttbar(tmp_path / "toy", seed=4, scale=0.02, form="poet")
    file = fileset.with_name("ttbar__nominal.root")
    request = api.Request(
        what="ttbar", files=(f"ttbar={file}",), settings=("task=v0", "mode=compat"),
        out=str(tmp_path / "r"), executor="serial",
    )  # fmt: skip
    histograms = read_hists(api.run(request, process_only=True).path / "hists.zip")
    expected = loops(file)
    edges = [-np.inf, *np.linspace(50, 550, 26), np.inf]
    for name, values in expected.items():
        assert len(values) > 20
        key = (name[:4], "ttbar", "pt_scale_up" if name.endswith("scaled") else "nominal")
        np.testing.assert_array_equal(
            histograms[name[:4]].values(key, flow=True), np.histogram(values, edges)[0]
        )


def test_impossible_momenta(tmp_path: Path) -> None:
    fileset = make_ttbar(tmp_path / "toy", seed=4, scale=0.005, form="parquet")
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = fileset.with_name("ttbar__nominal.parquet")
    table = pq.read_table(file)
    pt: list[Any] = table["Jet_pt"].to_pylist()
    pt[0][0], pt[5][0], pt[7][0] = -1.0, float("nan"), 14_000.0
    column = pa.array(pt, type=table["Jet_pt"].type)
    pq.write_table(table.set_column(table.column_names.index("Jet_pt"), "Jet_pt", column), file)
    finished = api.run(
        api.Request(what="ttbar", files=(f"ttbar={file}",), out=str(tmp_path / "r"), executor="serial"),
        process_only=True,
    )
    warnings = json.loads((finished.path / "manifest.json").read_text())["warnings"]
    assert any("jet pT" in warning and "(3x)" in warning for warning in warnings)
    with pytest.raises(LossError, match="3 events with a jet pT"):
        api.run(
            api.Request(
                what="ttbar", files=(f"ttbar={file}",), settings=("mode=compat",), out=str(tmp_path / "c"),
                executor="serial",
            ),
            process_only=True,
        )  # fmt: skip


def test_bench(tmp_path: Path) -> None:
    fileset = make_ttbar(tmp_path / "toy", seed=4, scale=0.002, form="poet")
    file = f"ttbar={fileset.with_name('ttbar__nominal.root')}"
    made = api.ttbar_bench([file], out=tmp_path / "r", settings=["task=v0"], executor="serial")
    assert made.metrics["entries"] == 120
    assert made.metrics["bytesread"] > 0
    with pytest.raises(UsageError, match="no level of 7"):
        api.ttbar_bench([file], out=tmp_path / "x", io_percent="7", io_scheme="poet", read_only=True)
    read = api.ttbar_bench(
        [file], out=tmp_path / "x", settings=["task=v0"], io_percent="4", io_scheme="poet", read_only=True
    )
    with uproot.open(file.partition("=")[2]) as opened:
        branches = [opened["events"][name] for name in read.metrics["columns"]]
        assert read.metrics["bytesread"] == sum(int(branch.compressed_bytes) for branch in branches)


def test_survey_of_branches(tmp_path: Path) -> None:
    fileset = make_ttbar(tmp_path / "toy", seed=4, scale=0.002)
    path = fileset.with_name("ttbar__nominal.root")
    found = api.ttbar_survey([f"ttbar={path}"], out=tmp_path / "s")
    with uproot.open(path) as opened:
        sizes = {name: int(branch.compressed_bytes) for name, branch in opened["Events"].items()}
    total = sum(sizes.values())
    ratios = json.loads(found.path.read_text())["ratios"]
    assert ratios == pytest.approx({name: size / total for name, size in sizes.items()})
    lowest, *others = found.levels
    assert (lowest, others) == ("4.1", ["15", "25", "50"])
    needed = found.levels[lowest][1]
    for level in others:
        reached, names = found.levels[level]
        assert reached == pytest.approx(100 * sum(sizes[name] for name in names) / total)
        assert names[: len(needed)] == needed
        # Nothing that was left out would have fitted; the needed columns alone may be more than asked for.
        assert reached <= max(float(level), found.levels[lowest][0]) + 1e-9
        smallest = min((sizes[name] for name in sizes if name not in names), default=total)
        assert reached + 100 * smallest / total > float(level)
    read = api.ttbar_bench(
        [f"ttbar={path}"], out=tmp_path / "b", io_percent="50", io_lists=str(found.path), read_only=True
    )
    assert read.metrics["columns"] == list(found.levels["50"][1])
    with pytest.raises(ConfigError, match="holds no lists of branches"):
        api.ttbar_bench(
            [f"ttbar={path}"], out=tmp_path / "b", io_lists=str(read.path), io_percent="50", read_only=True
        )


def test_a_variation_that_leaves_no_rate_is_no_uncertainty(tmp_path: Path) -> None:
    """One simulated event that a variation moves to another bin: its bounded rate is nothing."""
    fileset = make_ttbar(tmp_path / "toy", seed=1, scale=0.1)
    run = api.run(
        api.Request(what="ttbar", fileset=str(fileset), out=str(tmp_path / "r"), executor="serial"),
        pages=False,
    )
    assert "ttbar_norm" in run.headline
    assert any("no uncertainty for 'Jet energy scale' of single top" in one for one in run.warnings)

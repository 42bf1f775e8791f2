"""The toy Z bosons: what goes in as an efficiency comes out of a tag-and-probe run."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from femtobarn import api
from femtobarn.samples.tagprobe import FORMATS, TAGPROBE_FILTER, make_tagprobe, true_efficiency


def run(folder, out, **changes):
    runner = json.loads((folder / "runner.json").read_text())
    names = list(runner["workflow_args"]["filters"])
    runner["methods"] = [
        {
            "name": "get_passing_and_failing_probes",
            "args": {"filter": names, "cut_and_count": False, "vars": "all"},
        }
    ]
    (folder / "own.json").write_text(json.dumps(runner))
    request = api.TnpRequest(
        config=str(folder / "own.json"), fileset=str(folder / "fileset.json"), output=str(out),
        executor="serial", **changes,
    )  # fmt: skip
    return api.tnp(request, pages=False)[0].path, names


def read(path, verdict, prefix):
    found = [pq.read_table(one) for one in path.glob(f"{verdict}_*.parquet")]
    return {name: np.concatenate([np.asarray(t[prefix + name]) for t in found]) for name in ("pt", "eta")}


def test_the_known_turn_on_comes_back(tmp_path):
    make_tagprobe(tmp_path / "toy", events=30_000, seed=11)
    path, (trigger, tight) = run(tmp_path / "toy", tmp_path / "run")
    assert trigger == TAGPROBE_FILTER
    edges = np.array([15, 25, 28, 29, 30, 31, 32, 34, 38, 42, 46, 50, 60, 200.0])
    pulls = []
    for kind in ("data", "mc"):
        for name, what in ((trigger, "trigger"), (tight, "identification")):
            folder = path / "tables" / kind / "get_passing_and_failing_probes_1"
            safe = name.replace(" >= ", "_gte_")
            sides = {}
            for verdict in ("passing", "failing"):
                tables = [
                    pq.read_table(one) for one in folder.glob(f"{verdict}_{safe}_NTuples-part*.parquet")
                ]
                sides[verdict] = [
                    np.concatenate([np.asarray(t[c]) for t in tables]) for c in ("el_pt", "el_eta")
                ]
            for central in (True, False):
                chosen = {v: (np.abs(eta) < 1.4442) == central for v, (_, eta) in sides.items()}
                expected = variance = 0.0
                for verdict, (pt, eta) in sides.items():
                    p = true_efficiency(kind, what, pt[chosen[verdict]], eta[chosen[verdict]])
                    where = np.histogram(pt[chosen[verdict]], edges, weights=p)[0]
                    expected = expected + where
                    variance = variance + np.histogram(pt[chosen[verdict]], edges, weights=p * (1 - p))[0]
                passed = np.histogram(sides["passing"][0][chosen["passing"]], edges)[0]
                known = variance > 5
                pulls += list(((passed - expected) / np.sqrt(np.where(known, variance, 1.0)))[known])
    assert len(pulls) > 60
    assert np.abs(pulls).max() < 4.5
    assert abs(np.mean(pulls)) < 0.4
    assert 0.8 < np.std(pulls) < 1.2


@pytest.mark.parametrize("release", FORMATS[1:])
def test_all_formats_hold_the_same_pairs(tmp_path, release):
    counts = {}
    for form in ("cms-nanoaod", release):
        make_tagprobe(tmp_path / form, events=2000, seed=3, release=form)
        path, names = run(tmp_path / form, tmp_path / f"run-{form}")
        yields = json.loads((path / "yields.json").read_text())
        folder = path / "tables" / "data" / "get_passing_and_failing_probes_1"
        rows = {verdict: sum(pq.read_metadata(one).num_rows for one in folder.glob(f"{verdict}_*.parquet"))
                for verdict in ("passing", "failing")}  # fmt: skip
        counts[form] = (
            [yields[f"get_passing_and_failing_probes_1/{name}/passing"]["data"]["value"] for name in names],
            rows,
        )
    assert counts[release] == counts["cms-nanoaod"]


def test_equal_arguments_give_equal_files(tmp_path):
    for name in ("a", "b"):
        make_tagprobe(tmp_path / name, events=500, seed=5, release="pairs-csv", background=0.2)
    assert (tmp_path / "a/data.csv").read_bytes() == (tmp_path / "b/data.csv").read_bytes()
    assert (tmp_path / "a/truth.json").read_bytes() == (tmp_path / "b/truth.json").read_bytes()


def test_background_under_the_peak_is_taken_off(tmp_path):
    make_tagprobe(tmp_path / "toy", events=25_000, seed=8, release="pairs-parquet", background=0.3)
    request = api.TnpRequest(
        config=str(tmp_path / "toy/runner.json"), fileset=str(tmp_path / "toy/fileset.json"),
        binning=str(tmp_path / "toy/binning.json"), output=str(tmp_path / "run"), executor="serial",
        values=["sidebands={peak: [81, 101], low: [61, 71], high: [111, 121]}"],
    )  # fmt: skip
    path = api.tnp(request, pages=False)[0].path
    rows = json.loads((path / "tables/efficiency_sideband.json").read_text())["rows"]
    plain = json.loads((path / "tables/efficiency.json").read_text())["rows"]

    def central(table):
        """Of data, in the bins of the barrel."""
        chosen = [
            row for row in table
            if row["dataset"] == "data" and row["filter"] == "passing_tight" and row["hist"] == "eta/entire"
            and row["bin"] and max(map(abs, row["bin"]["eta"])) <= 1.4442
        ]  # fmt: skip
        total = sum(row["passing"] + row["failing"] for row in chosen)
        return sum(row["passing"] for row in chosen) / total

    assert central(rows) == pytest.approx(0.84, abs=0.025)
    assert central(plain) < 0.82


def test_a_run_file_has_the_same_keys(tmp_path):
    make_tagprobe(tmp_path / "toy", events=1500, seed=4, release="pairs-csv")
    runner = json.loads((tmp_path / "toy/runner.json").read_text())
    binning = json.loads((tmp_path / "toy/binning.json").read_text())
    parameters = {"workflow": runner["workflow"], **runner["workflow_args"], "methods": runner["methods"],
                  "binning": binning}  # fmt: skip
    run_file = {"analysis": "tagprobe", "fileset": "toy/fileset.json", "parameters": parameters}
    (tmp_path / "tagprobe.yaml").write_text(json.dumps(run_file))
    native = api.run(
        api.Request(what=str(tmp_path / "tagprobe.yaml"), out=str(tmp_path / "native")), pages=False
    )
    request = api.TnpRequest(
        config=str(tmp_path / "toy/runner.json"), fileset=str(tmp_path / "toy/fileset.json"),
        binning=str(tmp_path / "toy/binning.json"), output=str(tmp_path / "older"),
    )  # fmt: skip
    older = api.tnp(request, pages=False)[0]
    for name in ("yields.json", "hists.zip", "tables/efficiency.json", "cutflow.json"):
        assert (native.path / name).read_bytes() == (older.path / name).read_bytes(), name

"""The same answer on any road: executors, workers, slices, resumes, chunk sizes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from femtobarn import api
from femtobarn.hists import read_hists
from femtobarn.samples import make


@pytest.fixture
def reference(toy, tmp_path, tools):
    toy.run(tmp_path / "reference", fresh=True)
    return tools.results(tmp_path / "reference")


@pytest.mark.parametrize("workers", [1, 2])
def test_processes(toy, tmp_path, tools, reference, workers):
    done = toy.run(tmp_path / "run", executor="processes", workers=workers, fresh=True)
    assert done.result.summary.done == 9 + 5 + 3
    assert tools.results(tmp_path / "run") == reference


@pytest.mark.parametrize("count", [1, 3, 20])
def test_slices_in_any_order(toy, tmp_path, tools, reference, count):
    run = tmp_path / "run"
    for index in reversed(range(1, count + 1)):
        toy.run(run, part=(index, count))
    merged = api.merge([run])
    assert merged.complete
    assert tools.results(run) == reference
    api.merge([run])
    assert tools.results(run) == reference


def test_slices_in_directories_of_their_own(toy, tmp_path, tools, reference):
    folders = [tmp_path / f"slice{index}" for index in (1, 2)]
    for index, folder in enumerate(folders, 1):
        toy.run(folder, part=(index, 2))
    api.merge(folders, out=tmp_path / "merged")
    assert tools.results(tmp_path / "merged") == reference


def test_resume_and_cache(toy, tmp_path, tools, reference):
    first = toy.run(tmp_path / "a")
    assert (first.result.summary.done, first.result.summary.cached) == (17, 0)
    other = toy.run(tmp_path / "b")
    assert (other.result.summary.done, other.result.summary.cached) == (0, 17)
    again = api.resume(tmp_path / "a")
    assert (again.result.summary.done, again.result.summary.cached) == (17, 0)
    fresh = toy.run(tmp_path / "b", fresh=True)
    assert fresh.result.summary.done == 17
    assert api.resume(tmp_path / "b").result.summary.done == 17
    assert tools.results(tmp_path / "a") == tools.results(tmp_path / "b") == reference


def test_resume_uses_what_slices_have_made(toy, tmp_path, tools, reference):
    toy.run(tmp_path / "run", part=(1, 2))
    done = api.resume(tmp_path / "run").result.summary
    # What a slice failed and the run has done since is done.
    ledger = tmp_path / "run" / "slices" / "1-of-2" / "ledger.jsonl"
    ledger.write_text(ledger.read_text().replace('"state": "done"', '"state": "failed"'))
    assert api.status(tmp_path / "run")["parts"]["failed"] == 0
    assert done.cached > 0
    assert done.done > 0
    assert tools.results(tmp_path / "run") == reference


def compare(one: Path, other: Path) -> None:
    """Counts alike, sums of weights to 1e-12."""
    first, second = (json.loads((run / "cutflow.json").read_text()) for run in (one, other))
    assert first.keys() == second.keys()
    for name in first.keys() - {"schema_version"}:
        assert [row["events"] for row in first[name]] == [row["events"] for row in second[name]]
        for a, b in zip(first[name], second[name], strict=True):
            assert a["sumw"] == pytest.approx(b["sumw"], rel=1e-12, abs=0)
            assert a["sumw2"] == pytest.approx(b["sumw2"], rel=1e-12, abs=0)
    hists = [read_hists(run / "hists.zip") for run in (one, other)]
    assert hists[0].keys() == hists[1].keys()
    for name, histogram in hists[0].items():
        for key in histogram.blocks:
            for which in ("values", "variances"):
                a, b = (getattr(item[name], which)(key, flow=True) for item in hists)
                np.testing.assert_allclose(a, b, rtol=1e-12, atol=0)
    tables = [sorted(path.name for path in (run / "tables").glob("*.csv")) for run in (one, other)]
    assert tables[0] == tables[1]
    for name in tables[0]:
        assert (one / "tables" / name).read_bytes() == (other / "tables" / name).read_bytes()


@pytest.mark.parametrize("size", [7, 100])
def test_other_chunks(toy, tmp_path, size):
    toy.run(tmp_path / "whole", part_events=10**9)
    toy.run(tmp_path / "cut", part_events=size)
    compare(tmp_path / "whole", tmp_path / "cut")


def test_other_chunks_of_simulation(tmp_path):
    fileset = make("h4l", tmp_path / "samples", release="atlas-2020", scale=0.02)
    for size in (100, 10**9):
        request = api.Request(what="h4l", fileset=str(fileset), out=str(tmp_path / str(size)),
                              executor="serial", part_events=size)  # fmt: skip
        assert api.run(request, process_only=True).complete
    compare(tmp_path / "100", tmp_path / str(10**9))


def test_other_chunks_of_collision_data(shared, tmp_path):
    folder = shared("data/A")
    for size in (7, 100, 10**9):
        request = api.Request(what="h4l", release="atlas-2020", files=[f"data={folder}/data_*.4lep.root"],
                              out=str(tmp_path / str(size)), executor="serial", part_events=size)  # fmt: skip
        done = api.run(request, process_only=True)
        assert done.result.summary.events_processed == 595
    compare(tmp_path / "7", tmp_path / str(10**9))
    compare(tmp_path / "100", tmp_path / str(10**9))


def test_collision_data_on_two_workers(shared, tmp_path):
    folder = shared("data/A")
    found = []
    for name, changes in (("one", {"executor": "serial"}), ("two", {"executor": "processes", "workers": 2})):
        request = api.Request(what="h4l", release="atlas-2020", files=[f"data={folder}/data_*.4lep.root"],
                              out=str(tmp_path / name), part_events=100, fresh=True, **changes)  # fmt: skip
        api.run(request, process_only=True)
        found.append([(tmp_path / name / item).read_bytes() for item in ("hists.zip", "cutflow.json")])
    assert found[0] == found[1]

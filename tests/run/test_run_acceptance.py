"""All roads give the same bytes: collision data of ATLAS, and weighted simulation."""

from __future__ import annotations

import pytest

from femtobarn import api
from femtobarn.run.resources import Resources
from femtobarn.samples import make

#: Every executor on this machine; Slurm is below.
ROADS = {
    "serial": {"executor": "serial"},
    "two threads": {"executor": "threads", "workers": 2},
    "one process": {"executor": "processes", "workers": 1},
    "two processes": {"executor": "processes", "workers": 2},
    "dask": {"executor": "dask", "workers": 2, "resources": Resources(dashboard_address="127.0.0.1:0")},
}


def same_on_every_road(tmp_path, roads, **inputs):
    found = {}
    for name, how in roads.items():
        run = tmp_path / name.replace(" ", "-")
        request = api.Request(what="h4l", release="atlas-2020", out=str(run), part_events=100, fresh=True,
                              **inputs, **how)  # fmt: skip
        assert api.run(request, process_only=True).complete
        found[name] = [(run / item).read_bytes() for item in ("hists.zip", "cutflow.json")]
    first = next(iter(found.values()))
    assert [name for name, answer in found.items() if answer != first] == []


def roads_with_slurm(request, tmp_path, monkeypatch):
    """The roads, and Slurm's where it can be started."""
    pytest.importorskip("dask_jobqueue", reason="needs the extra dask")
    monkeypatch.setenv("SLURM_CONF", str(request.getfixturevalue("slurm")))
    monkeypatch.setenv("DASK_JOBQUEUE__SLURM__INTERFACE", "lo")
    wanted = Resources(scaleout=1, memory="1GiB", log_directory=str(tmp_path / "logs"))
    return {"serial": ROADS["serial"], "slurm": {"executor": "slurm", "resources": wanted}}


def collision_data(shared):
    return [f"data={shared('data/A')}/data_*.4lep.root"]


def test_collision_data(shared, tmp_path):
    pytest.importorskip("distributed", reason="needs the extra dask")
    same_on_every_road(tmp_path, ROADS, files=collision_data(shared))


def test_weighted_simulation(tmp_path):
    pytest.importorskip("distributed", reason="needs the extra dask")
    fileset = make("h4l", tmp_path / "samples", release="atlas-2020", scale=0.05)
    same_on_every_road(tmp_path, ROADS, fileset=str(fileset))


def test_collision_data_on_slurm(request, shared, tmp_path, monkeypatch):
    files = collision_data(shared)
    same_on_every_road(tmp_path, roads_with_slurm(request, tmp_path, monkeypatch), files=files)


def test_weighted_simulation_on_slurm(request, tmp_path, monkeypatch):
    fileset = make("h4l", tmp_path / "samples", release="atlas-2020", scale=0.02)
    same_on_every_road(tmp_path, roads_with_slurm(request, tmp_path, monkeypatch), fileset=str(fileset))

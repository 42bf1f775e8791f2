"""Runs on Dask: the same bytes, deaths survived, losses told."""

from __future__ import annotations

import contextlib
import subprocess
import sys

import pytest

from femtobarn import api
from femtobarn.errors import FemtobarnError, LossError, UsageError
from femtobarn.run import on_dask
from femtobarn.run.resources import Resources

distributed = pytest.importorskip("distributed", reason="needs the extra dask")


@pytest.fixture
def reference(toy, tmp_path, tools):
    toy.run(tmp_path / "reference", fresh=True)
    return tools.results(tmp_path / "reference")


@pytest.fixture
def running(tmp_path):
    """A scheduler and a worker as others start them; the address, and the processes."""
    with contextlib.ExitStack() as stack:

        def start(*arguments):
            process = subprocess.Popen(
                [sys.executable, "-m", "distributed.cli.dask_" + arguments[0], *arguments[1:]],
                stderr=subprocess.PIPE, text=True, cwd=tmp_path,
            )  # fmt: skip
            stack.callback(process.communicate)
            stack.callback(process.kill)
            return process

        scheduler = start(
            "scheduler", "--port", "0", "--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0"
        )
        address = ""
        for line in scheduler.stderr:
            if "Scheduler at:" in line:
                address = line.split("tcp://")[1].strip()
                break
        worker = start("worker", address, "--nthreads", "1", "--no-dashboard")
        yield address, scheduler, worker


def test_on_this_machine(toy, tmp_path, tools, reference, caplog):
    caplog.set_level("INFO", logger="femtobarn.run")
    resources = Resources(dashboard_address="127.0.0.1:0", scaleout=2)
    done = toy.run(tmp_path / "run", executor="dask", resources=resources, fresh=True)
    assert "ssh -L" in caplog.text
    assert done.result.summary.done == 17
    assert tools.results(tmp_path / "run") == reference


def test_on_a_running_cluster(toy, tmp_path, tools, reference, running):
    address, *_ = running
    done = toy.run(tmp_path / "run", executor=f"dask://{address}", fresh=True)
    assert done.result.summary.done == 17
    assert tools.results(tmp_path / "run") == reference


def test_a_killed_worker_and_a_deadly_part(toy, tmp_path, tools):
    with pytest.raises(LossError, match=r"entries 150-200: ended 3 workers"):
        toy.run(tmp_path / "run", executor="dask", workers=1, settings=["deadly=620"])
    assert api.status(tmp_path / "run")["parts"]["done"] == 16


def test_a_lost_scheduler(toy, tmp_path, tools, reference, running):
    address, scheduler, _ = running
    run = tmp_path / "run"

    def progress(_plan):
        return lambda entry: scheduler.kill() if entry.part == 5 else None

    request = toy.request(run, executor=f"dask://{address}", settings=["delay=0.1"])
    with pytest.raises(FemtobarnError, match=r"the Dask scheduler is lost\n.*femtobarn resume"):
        api.run(request, process_only=True, progress=progress)
    assert 0 < api.status(run)["parts"]["done"] < 17
    assert api.resume(run, executor="serial").complete
    toy.run(tmp_path / "reference", settings=["delay=0.1"], fresh=True)
    assert tools.results(run) == tools.results(tmp_path / "reference")


def test_a_connection_that_breaks_before_the_client_notices():
    class Broken:
        status = "running"

        def nthreads(self):
            raise ConnectionResetError("reset by peer")

        def cancel(self, futures, **_):
            raise ConnectionResetError("reset by peer")

    held = on_dask._Held(Broken(), None, None)
    with pytest.raises(FemtobarnError, match="the Dask scheduler is lost"):
        held.fill(iter(()))
    held._out["part"] = None, None
    held.cancel()  # says nothing on top of that


def test_nobody_at_the_address(toy, tmp_path, monkeypatch):
    monkeypatch.setattr("femtobarn.run.on_dask._CONNECT_SECONDS", 2)
    with pytest.raises(FemtobarnError, match="no Dask scheduler answers"):
        toy.run(tmp_path / "run", executor="dask://127.0.0.1:9")


def test_a_worker_with_other_code(toy, tmp_path, running, monkeypatch):
    address, *_ = running
    monkeypatch.setattr("femtobarn.__version__", "0.0.9")
    with pytest.raises(
        FemtobarnError, match=r"the worker has another femtobarn \(.*\) than the run \(0.0.9\)"
    ):
        toy.run(tmp_path / "run", executor=f"dask://{address}")


def test_an_unknown_site(toy, tmp_path):
    with pytest.raises(UsageError, match=r"unknown site 'slrum' \(did you mean 'slurm'"):
        toy.run(tmp_path / "run", executor="dask", site="slrum")

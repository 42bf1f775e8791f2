"""Runs on a Dask cluster that a batch system provides: on a real Slurm where one can be started."""

from __future__ import annotations

import json
import signal
import subprocess

import pytest

from femtobarn import api
from femtobarn.errors import FemtobarnError
from femtobarn.run.resources import Resources

pytest.importorskip("dask_jobqueue", reason="needs the extra dask")


def queue():
    return subprocess.run(["squeue", "--noheader"], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def on_slurm(slurm, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", str(slurm))
    # The node calls its own scheduler by this address; a name may not resolve where tests run.
    monkeypatch.setenv("DASK_JOBQUEUE__SLURM__INTERFACE", "lo")
    return slurm


def resources(tmp_path, **more):
    return Resources(memory="1GiB", scaleout=1, log_directory=str(tmp_path / "logs"), **more)


def test_the_same_bytes_as_here(toy, tmp_path, tools, on_slurm):
    toy.run(tmp_path / "reference", fresh=True)
    run = tmp_path / "run"
    done = toy.run(run, executor="slurm", resources=resources(tmp_path), fresh=True)
    assert done.result.summary.done == 17
    assert tools.results(run) == tools.results(tmp_path / "reference")
    assert not (run / "cluster.json").exists()
    tools.wait_for(lambda: not queue(), seconds=90)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_jobs_do_not_outlive_their_run_unseen(toy, tmp_path, tools, femtobarn, on_slurm, number, code):
    """Ctrl-C cancels the jobs; after a crash they are listed with the command that cancels them."""
    run = tmp_path / "run"
    flags = ["--executor", "slurm", "--memory", "1GiB", "--scaleout", "1", "--set", "delay=1",
             "--log-directory", str(tmp_path / "logs")]  # fmt: skip
    process = femtobarn.start(*toy.command(run, *flags))
    tools.wait_for(lambda: tools.lines(run / "ledger.jsonl") >= 2 or process.poll() is not None, seconds=300)
    process.send_signal(number)
    _, err = process.communicate(timeout=200)
    assert process.returncode == code, err
    assert "ssh -L" in err
    if number == signal.SIGINT:
        assert f"femtobarn resume {run}" in err
        assert not (run / "cluster.json").exists()
    else:
        jobs = json.loads((run / "cluster.json").read_text())["jobs"]
        about = api.status(run, ask_queue=True)
        assert about["jobs"] == jobs
        assert about["cancel"] == [f"scancel {' '.join(jobs)}"]
        subprocess.run(["scancel", *jobs], check=True)
    tools.wait_for(lambda: not queue(), seconds=120)


def test_a_queue_that_does_not_exist(toy, tmp_path, on_slurm):
    with pytest.raises(FemtobarnError, match=r"the batch system refuses the jobs: .*[Ii]nvalid partition"):
        toy.run(tmp_path / "run", executor="slurm", resources=resources(tmp_path, queue="nosuch"))
    assert not queue()


def test_a_batch_system_that_does_not_answer(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FemtobarnError, match="there is no sinfo here"):
        toy.run(tmp_path / "run", executor="slurm", resources=resources(tmp_path))


def test_no_worker_comes(toy, tmp_path, on_slurm, monkeypatch):
    (tmp_path / "site.yaml").write_text("kind: slurm\nwait: 4\ndirectives: [--begin=now+1hour]")
    with pytest.raises(FemtobarnError, match=r"no worker has come within 4 s") as caught:
        toy.run(tmp_path / "run", site=str(tmp_path / "site.yaml"), executor="dask",
                resources=resources(tmp_path))  # fmt: skip
    assert "the queue says: " in str(caught.value)
    assert "BeginTime" in str(caught.value)
    assert str(tmp_path / "logs") in str(caught.value)

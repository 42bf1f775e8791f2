"""Whatever stops a run, resuming it ends in the same bytes, and nothing is left behind."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
import warnings
from pathlib import Path

import pytest

from femtobarn import api

CHOICES = random.Random(20)  # noqa: S311 - moments, not secrets


@pytest.fixture
def reference(toy, tmp_path, tools):
    toy.run(tmp_path / "reference", fresh=True, settings=["delay=0.05"])
    return tools.results(tmp_path / "reference")


def children(pid: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = status.read_text()
        except OSError:
            continue
        if int(text.rsplit(")", 1)[1].split()[1]) == pid:
            found.append(int(status.parent.name))
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def forked(call) -> int:
    """A call in a child of this process, which need not load everything again; its number."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # of forks beside threads; the child is short-lived
        pid = os.fork()
    if pid == 0:
        try:
            call()
        finally:
            os._exit(0)
    return pid


def test_killed_twenty_times_over(toy, tmp_path, tools, reference, monkeypatch):
    """Twenty runs of one directory, each killed at a random moment: planning, processing, storing, ending."""
    monkeypatch.setenv("FEMTOBARN_CACHE", str(tmp_path / "cache"))
    run = tmp_path / "run"

    def work():
        if (run / "manifest.json").exists():
            api.resume(run, executor="serial")
        else:
            toy.run(run, settings=["delay=0.05"])

    finished = 0
    for _ in range(20):
        pid = forked(work)
        time.sleep(CHOICES.uniform(0.01, 0.5))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        if (run / "manifest.json").exists() and api.status(run)["finished"]:
            finished += 1
            shutil.rmtree(run)  # begin anew, so that there is something left to kill
            shutil.rmtree(tmp_path / "cache" / "parts", ignore_errors=True)
    assert finished < 20
    if (run / "manifest.json").exists():
        done = api.resume(run, executor="serial").result
    else:
        done = toy.run(run, settings=["delay=0.05"]).result
    assert (done.summary.total, done.summary.failed, done.summary.missing) == (17, 0, 0)
    assert done.summary.events_processed == 800
    assert tools.results(run) == reference


@pytest.mark.parametrize("attempt", range(2))
def test_what_was_done_is_not_done_again(toy, tmp_path, tools, femtobarn, reference, attempt, monkeypatch):
    monkeypatch.setenv("FEMTOBARN_CACHE", str(tmp_path / "cache"))
    run = tmp_path / "run"
    workers = ("--executor", "processes", "--workers", "2") if attempt == 0 else ("--executor", "serial")
    process = femtobarn.start(*toy.command(run, *workers, "--set", "delay=0.05"))
    goal = CHOICES.randrange(1, 17)
    tools.wait_for(lambda: tools.lines(run / "ledger.jsonl") >= goal or process.poll() is not None)
    time.sleep(CHOICES.uniform(0, 0.05))
    process.kill()
    process.communicate()
    assert tools.lines(run / "ledger.jsonl") >= goal
    done = api.resume(run, executor="serial").result.summary
    assert (done.total, done.failed, done.missing) == (17, 0, 0)
    # The line of the plan, and one line a part.
    assert tools.lines(run / "ledger.jsonl") == 18
    assert tools.results(run) == reference


def test_killed_before_the_first_part(toy, tmp_path, tools, femtobarn, reference):
    run = tmp_path / "run"
    process = femtobarn.start(*toy.command(run, "--set", "delay=0.05"))
    tools.wait_for((run / "manifest.json").exists)
    process.kill()
    process.communicate()
    api.resume(run)
    assert tools.results(run) == reference


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_by_a_signal(toy, tmp_path, tools, femtobarn, reference, number, code):
    run = tmp_path / "run"
    process = femtobarn.start(
        *toy.command(run, "--executor", "processes", "--workers", "2", "--set", "delay=0.05")
    )
    tools.wait_for(lambda: tools.lines(run / "ledger.jsonl") >= 3)
    workers = children(process.pid)
    assert len(workers) >= 2
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == code
    assert f"femtobarn resume {run}" in err
    assert "Traceback" not in err
    # Children that only watch (the resource tracker) notice the end a moment later.
    tools.wait_for(lambda: not any(map(alive, workers)))
    assert not (run / "run.lock").exists()
    status = api.status(run)
    assert status["finished"] is None
    assert status["parts"]["missing"] == 17 - status["parts"]["done"] > 0
    api.resume(run, executor="serial")
    assert tools.results(run) == reference


def test_workers_do_not_outlive_a_killed_main_process(toy, tmp_path, tools, femtobarn):
    run = tmp_path / "run"
    process = femtobarn.start(
        *toy.command(run, "--executor", "processes", "--workers", "1", "--set", "delay=30")
    )
    tools.wait_for(lambda: len(children(process.pid)) >= 2)
    workers = children(process.pid)
    time.sleep(1)
    process.kill()
    process.communicate()
    tools.wait_for(lambda: not any(map(alive, workers)), seconds=60)


def test_a_killed_worker_is_replaced(toy, tmp_path, tools):
    toy.run(tmp_path / "reference", fresh=True)
    settings = ["deadly=620", f"mercy={tmp_path / 'died'}"]
    done = toy.run(tmp_path / "run", executor="processes", workers=1, settings=settings).result
    assert (tmp_path / "died").exists()
    assert done.summary.complete
    assert tools.results(tmp_path / "run") == tools.results(tmp_path / "reference")


def test_a_part_that_kills_three_workers_is_given_up(toy, tmp_path, femtobarn):
    run = tmp_path / "run"
    command = toy.command(run, "--executor", "processes", "--workers", "2", "--set", "deadly=620")
    failed = femtobarn(*command, code=1)
    assert "signal_b.root: entries 150-200: ended 3 workers (SIGKILL, perhaps out of memory)" in failed.stderr
    assert api.status(run)["parts"] == {"total": 17, "done": 16, "cached": 0, "failed": 1, "missing": 0}
    accepted = femtobarn(*command, "--allow-missing")
    assert "1 LOST (6.25% of the input)" in accepted.stderr
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["ledger"]["lost_fraction"] == pytest.approx(50 / 800)
    assert any("6.25% of the input is lost" in warning for warning in manifest["warnings"])


def test_workers_that_cannot_start(toy, tmp_path, femtobarn):
    stand_in = tmp_path / "script.py"
    stand_in.write_text(
        "from femtobarn import api\n"
        f"api.run(api.Request(what={str(toy.analysis)!r}, files={toy.files!r}, "
        f"out={str(tmp_path / 'run')!r}, executor='processes', workers=1), process_only=True)\n"
    )
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, stand_in], capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 1
    assert "worker processes end before they start" in done.stderr
    assert "if __name__ == '__main__'" in done.stderr

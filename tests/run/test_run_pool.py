"""Work in a pool: order, errors, and a stop that reaches everybody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from femtobarn.run.pool import in_pool

STOPPED = """
import signal, sys, time
from pathlib import Path
from femtobarn.run.pool import in_pool

class Stopped(BaseException): pass

def stop(number, frame): raise Stopped

def work(item):
    Path(sys.argv[1]).touch()
    time.sleep(0.5)
    return len(item)

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    try:
        in_pool(work, [b"x" * 1_000_000] * 200, workers=2)
    except Stopped:
        sys.exit(143)
"""


def test_results_are_in_the_order_of_the_items():
    assert in_pool(abs, list(range(-9, 9)), workers=2) == [abs(item) for item in range(-9, 9)]


def test_an_error_of_the_work_comes_back():
    with pytest.raises(TypeError):
        in_pool(abs, ["not a number"], workers=2)


def test_a_stop_of_the_whole_group_does_not_hang(tmp_path: Path):
    (tmp_path / "stopped.py").write_text(STOPPED)
    begun = tmp_path / "begun"
    process = subprocess.Popen([sys.executable, tmp_path / "stopped.py", begun], start_new_session=True)
    try:
        for _ in range(1200):
            if begun.exists():
                break
            time.sleep(0.05)
        assert begun.exists()
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(60) == 143
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)

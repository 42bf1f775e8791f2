"""What starting costs: ``femtobarn --help`` and ``import femtobarn``, in CPU seconds.

    python bench/start_up.py [--repeat 9]

There is no peer; the goals are 0.3 s and 0.15 s.  An interpreter that does nothing is measured beside them.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

from rows import RESULTS, keep

WORK = {
    "femtobarn --help": [sys.executable, "-m", "femtobarn", "--help"],
    "import femtobarn": [sys.executable, "-c", "import femtobarn"],
    "python -c pass, for comparison": [sys.executable, "-c", "pass"],
}


def once(command: list[str]) -> tuple[float, float]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    wall = time.perf_counter()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, time.perf_counter() - wall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--results", type=Path, default=RESULTS)
    asked = parser.parse_args()
    taken: dict[str, list[tuple[float, float]]] = {work: [] for work in WORK}
    for command in WORK.values():
        once(command)  # writes the bytecode; not counted
    for _ in range(asked.repeat):
        for work, command in WORK.items():
            taken[work].append(once(command))
    rows = [
        {
            "work": work,
            "peer": "none",
            "versions": {"femtobarn": version("femtobarn"), "python": sys.version.split()[0]},
            "events": None,
            "repetitions": asked.repeat,
            "cpu_s": {"femtobarn": statistics.median(cpu for cpu, _ in times)},
            "wall_s": {"femtobarn": statistics.median(wall for _, wall in times)},
            "peak_rss_mb": None,
            "ratio": None,
            "identical": None,
        }
        for work, times in taken.items()
    ]
    for row in rows:
        print(f"{row['work']}: {row['cpu_s']['femtobarn']:.3f} CPU-s")
    keep(rows, asked.results)


if __name__ == "__main__":
    main()

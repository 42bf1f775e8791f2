"""Mass survey of PHYSLITE-like events, all combinations: speed, how it grows, and memory.

    python bench/survey.py [--repeat 3] [--events 200000]

Puts its row into ``bench/results.json``.  Each run is a process of its own, from the command line, on
a sample made here from a fixed seed.  The predecessor is not run: its 252 s for 200 000 events are quoted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from rows import keep, ratios

#: What the predecessor took for 200 000 such events, as its users report.
QUOTED_S, QUOTED_EVENTS = 252.0, 200_000

CONFIG = """
run_metadata: {run_name: bench}
tasks: {do_parsing: true, do_mass_calculating: true, do_post_processing: true, do_histogram_creation: true}
parsing_task_config:
  kinematic_cuts:
    electrons: {pt_min: 25.0, eta_max: 2.47}
    muons: {pt_min: 25.0, eta_max: 2.5}
    jets: {pt_min: 30.0, eta_max: 4.5}
    photons: {pt_min: 25.0, eta_max: 2.37}
    taus: {pt_min: 20.0, eta_max: 2.5}
  particle_counts: {electrons: {max: 4}, muons: {max: 4}, jets: {max: 4}, photons: {max: 4}, taus: {max: 4}}
mass_calculation_task_config:
  objects_to_calculate: [Electrons, Muons, Jets, Photons, Taus]
  min_particles_in_combination: 1
  max_particles_in_combination: 4
  min_count_particle_in_combination: 1
  max_count_particle_in_combination: 4
  max_total_particles_in_combination: 4
post_processing_task_config: {peak_detection_bin_width_gev: 10.0}
histogram_creation_task_config: {bin_width_gev: 10.0}
"""


def command(*arguments: str, folder: Path) -> tuple[float, float]:
    """Run femtobarn; (CPU seconds, peak memory in MB)."""
    code = (
        "import resource, sys, json\n"
        "from femtobarn.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=folder, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "FEMTOBARN_CACHE": str(folder / "cache")},
    )  # fmt: skip
    if done.returncode:
        sys.exit(done.stderr)
    cpu, rss = json.loads(done.stderr.strip().splitlines()[-1])
    return cpu, rss


def survey(folder: Path, events: int, number: int) -> dict[str, float]:
    """One survey of this many events: CPU of the whole command and of the pass over the events."""
    run = folder / f"run{events}-{number}"
    cpu, rss = command(
        "survey", "--config", str(folder / "config.yaml"), "--fileset",
        str(folder / f"toy{events}" / "fileset.json"),
        "--run-dir", str(run), "--executor", "serial", "--fresh", folder=folder,
    )  # fmt: skip
    ledger = json.loads((run / "manifest.json").read_text())["ledger"]
    return {"cpu_s": cpu, "peak_rss_mb": rss, "pass_cpu_s": ledger["cpu_s"], "wall_s": ledger["wall_s"]}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--events", type=int, default=200_000)
    asked = parser.parse_args()
    sizes = (asked.events, 2 * asked.events, 6 * asked.events)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "config.yaml").write_text(CONFIG)
        for events in sizes:
            command(
                "data", "make", "survey", "--out", f"toy{events}", "--set", f"events={events}",
                "--set", f"signal={events // 200}", folder=folder,
            )  # fmt: skip
        survey(folder, sizes[0], -1)  # compiles the kernels
        found = {n: [survey(folder, n, i) for i in range(asked.repeat)] for n in sizes[:2]}
        found[sizes[2]] = [survey(folder, sizes[2], 0)]
    middle = {
        n: {key: statistics.median(one[key] for one in rows) for key in rows[0]} for n, rows in found.items()
    }
    few, many = middle[sizes[0]], middle[sizes[2]]
    # One more event costs this; imports, tables, plots and the report do not count.
    marginal = [
        (b["pass_cpu_s"] - a["pass_cpu_s"]) / asked.events
        for a, b in zip(found[sizes[0]], found[sizes[1]], strict=True)
    ]
    whole = [
        (b["cpu_s"] - a["cpu_s"]) / asked.events
        for a, b in zip(found[sizes[0]], found[sizes[1]], strict=True)
    ]
    quoted = QUOTED_S * asked.events / QUOTED_EVENTS
    row = {
        "work": f"mass survey, {asked.events} PHYSLITE-like events, all combinations (marginal)",
        "peer": f"the predecessor, {QUOTED_S:g} s for {QUOTED_EVENTS} events",
        "quoted": True,
        "versions": {name: version(name) for name in ("femtobarn", "numpy", "numba", "uproot")}
        | {"python": platform.python_version()},
        "events": asked.events,
        "repetitions": asked.repeat,
        "events_per_marginal_cpu_s": round(1 / statistics.median(marginal)),
        # With merging, and writing the spectra that more events fill.
        "events_per_marginal_cpu_s_of_the_command": round(1 / statistics.median(whole)),
        "cpu_s": {"femtobarn": round(statistics.median(marginal) * asked.events, 3), "peer": quoted},
        "wall_s": {"femtobarn": round(few["wall_s"], 2), "peer": quoted},
        "pass_cpu_s": round(few["pass_cpu_s"], 3),
        "whole_command_cpu_s": round(few["cpu_s"], 2),
        "peak_rss_mb": round(few["peak_rss_mb"]),
        "peak_rss_ratio_at_6x": round(many["peak_rss_mb"] / few["peak_rss_mb"], 3),
        "ratio": ratios([one * asked.events for one in marginal], [quoted] * asked.repeat),
        "identical": "no: the predecessor's spectra are wrong; one repetition",
    }
    keep([row])
    print(json.dumps(row, indent=1))


if __name__ == "__main__":
    main()

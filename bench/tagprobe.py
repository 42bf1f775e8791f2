"""Tag and probe: CPU and memory of the README example of egamma-tnp, and of a file in 50 chunks.

    python bench/tagprobe.py [--shared ../shared] [--peer /path/to/venv/bin/run-analysis]

Without a peer the older tool's numbers are those its users measured (marked quoted).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

QUOTED = {"readme": (40.0, 770.0), "chunks": (44.0, None)}
GOALS = {"readme": 10.0, "chunks": 20.0}


def measure(command, cwd, env):
    """CPU seconds, wall seconds and peak memory (MB) of a command."""
    started = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(done.stderr)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, time.perf_counter() - started, after.ru_maxrss / 1024


def chunks(folder, shared):
    """A fileset of 50 steps of 20 events, and a runner with one histogram method."""
    url = str((shared / "data/D/DYto2E.root").resolve())
    steps = [[i, i + 20] for i in range(0, 1000, 20)]
    fileset = {"sample": {"files": {url: {"object_path": "Events", "steps": steps}}}}
    name = "HLT_Ele32_WPTight_Gsf"
    arguments = {"filters": {name: name}, "filterbit": {name: 1}, "trigger_pt": {name: 32}}
    method = {"name": "get_nd_tnp_histograms", "args": {"filter": [name], "vars": ["el_pt", "el_eta"]}}
    runner = {"workflow": "ElectronTagNProbeFromNanoAOD", "workflow_args": arguments, "methods": [method]}
    (folder / "fileset.json").write_text(json.dumps(fileset))
    (folder / "runner.json").write_text(json.dumps(runner))
    return ["--config", str(folder / "runner.json"), "--fileset", str(folder / "fileset.json")]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--shared", default=os.environ.get("FEMTOBARN_SHARED", "../shared"))
    parser.add_argument("--peer", help="the older tool's run-analysis")
    options = parser.parse_args()
    shared = Path(options.shared).resolve()
    inputs = shared / "oracles/tagprobe/inputs"
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        readme = [
            item
            for flag in ("config", "fileset", "settings", "binning")
            for item in (f"--{flag}", str(inputs / f"example_{'runner' if flag == 'config' else flag}.json"))
        ]
        for name, arguments in (("readme", readme), ("chunks", chunks(folder, shared))):
            env = {**os.environ, "OMP_NUM_THREADS": "1", "FEMTOBARN_CACHE": str(folder / f"cache-{name}")}
            env.pop("PYTHONDONTWRITEBYTECODE", None)
            # The fileset of the example names its file relative to a checkout beside the material.
            home = shared
            ours = [
                sys.executable,
                "-m",
                "femtobarn",
                "tnp",
                *arguments,
                "--executor",
                "sync",
                "--skip-report",
            ]
            measure([*ours, "--output", str(folder / f"warm-{name}")], home, env)  # compiles the kernels once
            env["FEMTOBARN_CACHE"] = str(folder / f"cold-{name}")
            cpu, wall, memory = measure([*ours, "--output", str(folder / name)], home, env)
            theirs, peak = QUOTED[name]
            source = "quoted"
            if options.peer:
                old = [
                    options.peer,
                    *arguments,
                    "--executor",
                    "sync",
                    "--output",
                    str(folder / f"old-{name}"),
                ]
                theirs, _, peak = measure(old, home, env)
                source = "measured"
            rows.append(
                {
                    "job": "tagprobe",
                    "case": name,
                    "cpu_s": cpu,
                    "wall_s": wall,
                    "max_rss_mb": memory,
                    "peer": "egamma-tnp",
                    "peer_cpu_s": theirs,
                    "peer_max_rss_mb": peak,
                    "peer_numbers": source,
                    "ratio_cpu": theirs / cpu,
                    "goal": GOALS[name],
                }
            )
            print(json.dumps(rows[-1]))
    out = Path(__file__).parent / "results" / "tagprobe.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps({"schema_version": 1, "rows": rows}, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()

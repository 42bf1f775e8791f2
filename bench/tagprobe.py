"""Tag and probe: CPU and memory of egamma-tnp's README example, and of 50 000 events in 50 chunks.

    python bench/tagprobe.py --peer PEERS/bin/run-analysis [--shared ../shared] [--repetitions 5]

Both run the same JSON files on the same file in turn, in one process each, without pages of figures.  The
50 chunks are 50 copies of the example's file, each with an identity of its own.  Our kernels are compiled
before, as they are after a first run; nothing else is kept from one repetition to the next.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from rows import keep, ratios

#: What the peer's histograms hold; its pickles are read by its own interpreter.
PEER_SUMS = r"""
import json, pickle, sys
with open(sys.argv[1], "rb") as file:
    found = pickle.load(file)
print(json.dumps({verdict: float(hist.sum(flow=True).value) for verdict, hist in found.items()}))
"""
CHUNKS = 50
FILTER = "HLT_Ele32_WPTight_Gsf"


def measure(command, cwd, cache):
    """CPU seconds, wall seconds and peak memory (MB) of a command."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "FEMTOBARN_CACHE": str(cache)}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    started = time.perf_counter()
    child = subprocess.Popen(command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said = child.stdout.read()
    _, status, used = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(said.decode())
    return used.ru_utime + used.ru_stime, time.perf_counter() - started, used.ru_maxrss / 1024


def chunks(folder, source):
    """Fifty files of a thousand events each, a fileset of them, and a runner with one histogram method."""
    content = source.read_bytes()
    identity = content[47:63]  # of the file, behind the version of TUUID in ROOT's header
    files = {}
    for number in range(CHUNKS):
        path = folder / f"part{number:02}.root"
        path.write_bytes(content.replace(identity, identity[:-1] + bytes([(identity[-1] + number) % 256])))
        files[str(path)] = {"object_path": "Events", "steps": [[0, 1000]]}
    arguments = {"filters": {FILTER: FILTER}, "filterbit": {FILTER: 1}, "trigger_pt": {FILTER: 32}}
    method = {"name": "get_nd_tnp_histograms", "args": {"filter": [FILTER], "vars": ["el_pt", "el_eta"]}}
    runner = {"workflow": "ElectronTagNProbeFromNanoAOD", "workflow_args": arguments, "methods": [method]}
    (folder / "fileset.json").write_text(json.dumps({"sample": {"files": files}}))
    (folder / "runner.json").write_text(json.dumps(runner))
    return ["--config", str(folder / "runner.json"), "--fileset", str(folder / "fileset.json")]


def same_rows(ours, theirs):
    """How far the columns of the first task are apart that both wrote."""
    import numpy as np
    import pyarrow.parquet as pq

    worst, compared = 0.0, 0
    for dataset in ("sample_1", "sample_2"):
        task = f"{dataset}/get_tnp_arrays_1/NTuples-part0.parquet"
        mine, other = pq.read_table(ours / "tables" / task), pq.read_table(theirs / task)
        if mine.num_rows != other.num_rows:
            return f"{mine.num_rows} rows against {other.num_rows}"
        for name in set(mine.column_names) & set(other.column_names):
            one, two = (np.array(table[name].to_pylist()) for table in (mine, other))
            if one.dtype.kind in "biuf" and two.dtype.kind in "biuf":
                compared += 1
                scale = np.maximum(np.abs(two.astype(float)), 1e-9)
                worst = max(worst, float(np.max(np.abs(one.astype(float) - two) / scale, initial=0.0)))
    return f"{compared} columns: largest relative difference {worst:.1g}"


def same_sums(ours, theirs, python):
    """Whether both histogrammed the same number of passing and failing probes."""
    [path] = theirs.rglob("*_histos.pkl")
    done = subprocess.run([python, "-c", PEER_SUMS, str(path)], check=True, capture_output=True, text=True)
    peer = json.loads(done.stdout)
    found = json.loads((ours / "yields.json").read_text())
    mine = {
        side: found[f"get_nd_tnp_histograms_1/{FILTER}/{side}"]["sample"]["value"]
        for side in ("passing", "failing")
    }
    return mine == peer or f"{mine} against {peer}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--shared", default=os.environ.get("FEMTOBARN_SHARED", "../shared"))
    parser.add_argument("--peer", required=True, help="the older tool's run-analysis")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--case", choices=("readme", "chunks"), help="only this one")
    options = parser.parse_args()
    shared = Path(options.shared).resolve()
    python = Path(options.peer).with_name("python")
    inputs = shared / "oracles/tagprobe/inputs"
    about = subprocess.run(
        [python, "-m", "pip", "list", "--format", "json"], check=True, capture_output=True, text=True
    )
    versions = {one["name"]: one["version"] for one in json.loads(about.stdout)}
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        readme = [
            item
            for flag, name in (("config", "runner"), *((x, x) for x in ("fileset", "settings", "binning")))
            for item in (f"--{flag}", str(inputs / f"example_{name}.json"))
        ]
        fifty = chunks(folder, shared / "data/D/DYto2E.root")
        for case, work, events, goal, arguments in (
            ("readme", "tag and probe: README example, 2 x 1 000 events, 5 tasks", 2000, 10.0, readme),
            ("chunks", f"tag and probe: 50 000 events in {CHUNKS} chunks", 50_000, 20.0, fifty),
        ):
            if options.case not in (None, case):
                continue
            house = [sys.executable, "-m", "femtobarn", "tnp", *arguments, "--executor", "sync",
                     "--skip-report", "--output"]  # fmt: skip
            older = [options.peer, *arguments, "--executor", "sync", "--output"]
            measure([*house, str(folder / f"warm-{case}")], shared, folder / f"cache-warm-{case}")
            mine, theirs = [], []
            for turn in range(options.repetitions):
                ours, old = folder / f"{case}-{turn}", folder / f"old-{case}-{turn}"
                mine.append(measure([*house, str(ours)], shared, folder / f"cache-{case}-{turn}"))
                theirs.append(measure([*older, str(old)], shared, folder / "none"))
            same = same_rows(ours, old) if case == "readme" else same_sums(ours, old, str(python))
            columns = [[list(one) for one in zip(*side, strict=True)] for side in (mine, theirs)]
            of = {
                name: {
                    "femtobarn": statistics.median(columns[0][i]), "peer": statistics.median(columns[1][i]),
                }
                for i, name in enumerate(("cpu_s", "wall_s", "peak_rss_mb"))
            }  # fmt: skip
            rows.append({
                "work": work, "peer": "egamma-tnp", "goal": goal, "events": events, "identical": same, **of,
                "ratio": ratios(columns[0][0], columns[1][0]),
                "versions": {
                    **{name: versions[name] for name in ("egamma-tnp", "coffea", "dask-awkward", "uproot")},
                    "femtobarn": version("femtobarn"), "python": sys.version.split()[0],
                },
            })  # fmt: skip
            print(json.dumps(rows[-1], indent=1, sort_keys=True), flush=True)
            keep(rows)


if __name__ == "__main__":
    main()

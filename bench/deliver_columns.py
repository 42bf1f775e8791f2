"""Six columns of a NanoAOD file: ``deliver`` beside func-adl-uproot and beside uproot by hand.

    python bench/deliver_columns.py FILE [--peer-python PYTHON] [--repeat 7]

PYTHON has func-adl-uproot (bench/peers.txt).  All three answer the same query in a process that has
imported what it needs and done it once; counts and sums of every column must agree.  Ours also writes
Parquet, hashes it and keeps its ledger; by hand also writes Parquet; the peer leaves its arrays in memory.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from rows import RESULTS, keep, ratios

COLUMNS = ("run", "event", "nMuon", "Muon_pt", "Muon_eta", "Jet_pt")
QUERY = "FromTree('Events').Select(lambda e: {" + ", ".join(f"'{name}': e.{name}" for name in COLUMNS) + "})"

PEER = """
import json, sys, time
import awkward as ak, numpy as np
import func_adl_uproot.translation as t
file, repeat, qastle = sys.argv[1], int(sys.argv[2]), sys.argv[3]
taken = []
for _ in range(repeat + 1):
    wall, cpu = time.perf_counter(), time.process_time()
    found = t.generate_function(qastle)(file)
    taken.append((time.process_time() - cpu, time.perf_counter() - wall))
flat = {n: np.asarray(ak.flatten(found[n], axis=None), dtype=float) for n in found.fields}
sums = {n: [len(each), float(each.sum())] for n, each in flat.items()}
print(json.dumps({"taken": taken[1:], "sums": sums}))
"""


def sums_of(array) -> dict[str, list[float]]:
    import awkward as ak
    import numpy as np

    flat = {name: ak.flatten(array[name], axis=None) for name in array.fields}
    return {name: [len(each), float(np.asarray(each, dtype=float).sum())] for name, each in flat.items()}


def ours(file: str, repeat: int) -> dict:
    import awkward as ak

    from femtobarn.deliver import deliver

    spec = {
        "General": {"OutputFormat": "parquet"},
        "Sample": [{"Name": "nano", "Dataset": [file], "Query": QUERY, "Codegen": "uproot"}],
    }
    taken = []
    for _ in range(repeat + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        (path,) = deliver(spec, ignore_local_cache=True)["nano"]
        taken.append((time.process_time() - cpu, time.perf_counter() - wall))
    wall, cpu = time.perf_counter(), time.process_time()
    deliver(spec)
    cached = (time.process_time() - cpu, time.perf_counter() - wall)
    return {"taken": taken[1:], "cached": cached, "sums": sums_of(ak.from_parquet(path))}


def by_hand(file: str, repeat: int) -> dict:
    import awkward as ak
    import uproot

    taken = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(repeat + 1):
            wall, cpu = time.perf_counter(), time.process_time()
            with uproot.open(file) as opened:
                array = opened["Events"].arrays(list(COLUMNS))
            ak.to_parquet(array, f"{folder}/out.parquet")
            taken.append((time.process_time() - cpu, time.perf_counter() - wall))
    return {"taken": taken[1:], "sums": sums_of(array)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--peer-python", default=None)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--results", type=Path, default=RESULTS)
    asked = parser.parse_args()
    file = str(Path(asked.file).resolve())
    with tempfile.TemporaryDirectory() as cache:
        os.environ["FEMTOBARN_CACHE"] = cache
        mine = ours(file, asked.repeat)
    import uproot

    branches = len(uproot.open(file)["Events"].keys())
    work = f"deliver {len(COLUMNS)} columns of NanoAOD ({branches} branches)"
    others = {"uproot by hand": by_hand(file, asked.repeat)}
    if asked.peer_python:
        from femtobarn.deliver.queries import query_from_tag

        selection = query_from_tag("!FuncADL_Uproot", QUERY, where=None).selection
        command = [asked.peer_python, "-c", PEER, file, str(asked.repeat), selection]
        ended = subprocess.run(command, check=True, capture_output=True, text=True)
        others["func-adl-uproot"] = json.loads(ended.stdout.splitlines()[-1])
    rows = []
    for peer, theirs in others.items():
        cpu = {"femtobarn": [c for c, _ in mine["taken"]], "peer": [c for c, _ in theirs["taken"]]}
        wall = {"femtobarn": [w for _, w in mine["taken"]], "peer": [w for _, w in theirs["taken"]]}
        same = mine["sums"] == theirs["sums"]
        rows.append({
            "work": work, "peer": peer, "repetitions": asked.repeat, "events": mine["sums"]["run"][0],
            "versions": {"femtobarn": version("femtobarn"), "python": sys.version.split()[0],
                         "uproot": version("uproot")},
            "cpu_s": {name: sorted(each)[len(each) // 2] for name, each in cpu.items()},
            "wall_s": {name: sorted(each)[len(each) // 2] for name, each in wall.items()},
            "peak_rss_mb": None, "ratio": ratios(cpu["femtobarn"], cpu["peer"]), "identical": same,
        })  # fmt: skip
        said = f"{rows[-1]['cpu_s']} CPU-s, ratio {rows[-1]['ratio']['median']:.2f}, same answer: {same}"
        print(f"{work}: {peer}: {said}")
    print(f"from the cache: {mine['cached'][0]:.3f} CPU-s, {mine['cached'][1]:.3f} s")
    keep(rows, asked.results)
    if not all(row["identical"] for row in rows):
        sys.exit("the answers differ")


if __name__ == "__main__":
    main()

"""Ten minutes of random kills: 2 000 parts, workers and the main process shot at again and again.

    python bench/engine/soak.py [--parts 2000] [--minutes 10] [--every 2] [--seed 1]

A victim (a worker four times out of five, else the main process) gets SIGKILL every few seconds; a killed
main process is resumed, and four times out of five left alone until it is at work.  In the end every part
must be done, none twice, and ``hists.zip`` and ``cutflow.json`` must be the bytes of a run in peace.
Writes ``bench/results/engine_soak.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from overhead import make

RESULTS = Path(__file__).parents[1] / "results" / "engine_soak.json"
SLOW = """
_inner = process


def process(events, ctx):
    import os
    import time

    time.sleep(float(os.environ.get("SOAK_SECONDS", "0")))
    return _inner(events, ctx)
"""


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


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def start(run: Path, folder: Path, parts: int, environment: dict[str, str]) -> subprocess.Popen:
    files = ["--files", f"data={folder}/*.root", "--part-events", "1", "--max-events", str(parts)]
    command = ["resume", str(run)]
    if not (run / "manifest.json").exists():
        command = ["run", str(folder / "bench_analysis.py"), *files, "--out", str(run), "--process-only",
                   "--executor", "processes", "--workers", "2"]  # fmt: skip
    return subprocess.Popen([sys.executable, "-m", "femtobarn", *command], env=environment,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)  # fmt: skip


def soak(options: argparse.Namespace, folder: Path) -> dict:
    choose = random.Random(options.seed)
    environment = os.environ | {
        "FEMTOBARN_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1",
        "SOAK_SECONDS": str(60 * options.minutes / options.parts),
    }  # fmt: skip
    run, end = folder / "run", time.monotonic() + 60 * options.minutes
    seen = {"starts": 0, "workers_killed": 0, "main_killed": 0, "ended_by_itself": 0, "tracebacks": 0}
    while True:
        process = start(run, folder, options.parts, environment)
        seen["starts"] += 1
        before = size(run / "ledger.jsonl")
        patient = choose.random() < 0.8
        while process.poll() is None:
            time.sleep(choose.expovariate(1.0 / options.every))
            if time.monotonic() > end or process.poll() is not None:
                continue  # in peace to the end
            if patient and size(run / "ledger.jsonl") == before:
                continue
            victims = children(process.pid)
            main = choose.random() < 0.2 or not victims
            try:
                os.kill(process.pid if main else choose.choice(victims), signal.SIGKILL)
                seen["main_killed" if main else "workers_killed"] += 1
            except ProcessLookupError:
                continue
        said = process.communicate()[1]
        seen["tracebacks"] += "Traceback" in said
        if process.returncode == 0:
            break
        if process.returncode != -signal.SIGKILL:
            seen["ended_by_itself"] += 1
            if "ended 3 workers" not in said and "end before they start" not in said:
                print(said, file=sys.stderr)
    ledger = [
        json.loads(line) for line in (run / "ledger.jsonl").read_text().splitlines() if line.startswith("{")
    ]
    done = [entry["part"] for entry in ledger if entry.get("state") == "done"]
    # Stored by a worker whose main process was killed before it could say so.
    found = {entry["part"] for entry in ledger if entry.get("state") == "cached"} - set(done)
    peace = folder / "peace"
    fresh = environment | {"FEMTOBARN_CACHE": str(folder / "other"), "SOAK_SECONDS": "0"}
    assert start(peace, folder, options.parts, fresh).wait() == 0
    same = {
        name: (run / name).read_bytes() == (peace / name).read_bytes()
        for name in ("hists.zip", "cutflow.json")
    }
    return {
        "parts": options.parts, "seed": options.seed, **seen,
        "parts_done": len(set(done)), "parts_found_stored": len(found),
        "parts_done_twice": len(done) - len(set(done)), "same_bytes": same,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--parts", type=int, default=2000)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--every", type=float, default=2.0, help="seconds between two shots")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    try:
        make(folder, options.parts // 10)
        analysis = folder / "bench_analysis.py"
        text = analysis.read_text()
        analysis.write_text(text.replace("\n\nanalysis = ", f"\n{SLOW}\n\nanalysis = "))
        started = time.monotonic()
        found = soak(options, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    found["minutes"] = round((time.monotonic() - started) / 60, 1)
    document = {"schema_version": 1, "rows": [found]}
    RESULTS.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

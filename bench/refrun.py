"""What the reference-run job costs, and what its model gains over the newest choice.

    python bench/refrun.py --pairs pairs.csv --runs runs.csv [--repeat 5] [--margins]

CPU seconds of ``refrun evaluate`` with the model (goal: 60 s) and of a warm ``refrun suggest`` (goal: 1 s),
wall seconds of the page (goal: 1 s).  ``--margins`` writes ``bench/results/refrun_margins.json`` instead:
paired differences with block-bootstrap intervals by period, by how much may be learned from, and ceilings.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from rows import RESULTS, ROOT, keep

MARGINS = ROOT / "bench" / "results" / "refrun_margins.json"
PAGE = """
import sys, time
from fastapi.testclient import TestClient
from femtobarn.api import RecordSources
from femtobarn.web.app import create_app
client = TestClient(create_app(RecordSources(pairs=sys.argv[1], runs=sys.argv[2])))
for _ in range(int(sys.argv[4]) + 1):
    begun = time.perf_counter()
    assert client.get(f"/refrun?run={sys.argv[3]}&reco=prompt&class=collisions").status_code == 200
    print(time.perf_counter() - begun)
"""


def once(command: list[str]) -> tuple[float, float]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    wall = time.perf_counter()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, time.perf_counter() - wall


def row(work: str, cpu: float | None, wall: float, repeat: int) -> dict[str, object]:
    return {
        "work": work,
        "peer": "none",
        "versions": {"femtobarn": version("femtobarn"), "python": sys.version.split()[0]},
        "events": None,
        "repetitions": repeat,
        "cpu_s": None if cpu is None else {"femtobarn": cpu},
        "wall_s": {"femtobarn": wall},
        "peak_rss_mb": None,
        "ratio": None,
        "identical": None,
    }


def costs(asked: argparse.Namespace) -> list[dict[str, object]]:
    base = [sys.executable, "-m", "femtobarn", "refrun"]
    files = ["--pairs", asked.pairs, "--runs", asked.runs]
    run = str(asked.test_to - 1)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        suggest = [*base, "suggest", run, "--reco", "prompt", "--class", "collisions", *files, "--out",
                   f"{folder}/s", "--fresh"]  # fmt: skip
        replay = [*base, "evaluate", *files, "--test-from", str(asked.test_from), "--test-to",
                  str(asked.test_to), "--allow-worse", "--out", f"{folder}/e", "--fresh"]  # fmt: skip
        for work, command, repeat in (
            ("refrun suggest, warm", suggest, asked.repeat),
            ("refrun suggest --history model, warm", [*suggest, "--history", "model"], asked.repeat),
            ("refrun evaluate, all rankers and the model", replay, 1),
        ):
            if repeat > 1:
                once(command)  # bytecode and the trained model; not counted
            times = [once(command) for _ in range(repeat)]
            cpu, wall = (statistics.median(column) for column in zip(*times, strict=True))
            rows.append(row(work, cpu, wall, repeat))
        page = subprocess.run([sys.executable, "-c", PAGE, asked.pairs, asked.runs, run, str(asked.repeat)],
                              check=True, capture_output=True, text=True)  # fmt: skip
        walls = [float(line) for line in page.stdout.splitlines()[1:]]
        rows.append(row("refrun page, warm", None, statistics.median(walls), asked.repeat))
    return rows


def margins(asked: argparse.Namespace) -> dict[str, object]:
    """Gains of the model by protocol and period, and by the number of certifications it may learn from."""
    from femtobarn.catalog.certhelper import read_pairs
    from femtobarn.rank import learned
    from femtobarn.rank.evaluate import evaluate
    from femtobarn.rank.history import Events, Protocol

    events = Events.from_pairs(read_pairs(asked.pairs).pairs)
    middle = 363_000
    periods = [(316_000, asked.test_from), (asked.test_from, middle), (middle, asked.test_to),
               (asked.test_from, asked.test_to)]  # fmt: skip
    names = ("latest", "latest_any", "model")
    rows = []
    for protocol in (Protocol("run-ordered"), Protocol("embargo", 100)):
        rival = "latest_any" if protocol.gap else "latest"
        for low, high in periods:
            groups = evaluate(events, protocol, test_from=low, test_to=high, rankers=names).to_json()[
                "groups"
            ]
            for name in ("all", "collisions"):
                group = groups[name]
                scores = group["rankers"]
                rows.append({
                    "protocol": protocol.name, "embargo": protocol.gap, "test_from": low, "test_to": high,
                    "group": name, "n": group["n"], "learned_from": None, "rival": rival,
                    "ceiling": group["ceiling"],
                    **{key: {n: scores[n][key] for n in names} for key in ("top1", "top3", "mrr")},
                    "delta_top1": scores["model"][f"delta_top1_vs_{rival}"],
                    "delta_mrr": scores["model"][f"delta_mrr_vs_{rival}"],
                })  # fmt: skip
    window = learned.TRAIN_WINDOW
    for size in (100, 300, 1000):
        learned.TRAIN_WINDOW = size  # type: ignore[misc]
        scores = evaluate(events, Protocol("run-ordered"), test_from=asked.test_from, test_to=asked.test_to,
                          rankers=names).to_json()["groups"]["all"]["rankers"]["model"]  # fmt: skip
        rows.append({"protocol": "run-ordered", "embargo": 0, "test_from": asked.test_from,
                     "test_to": asked.test_to, "learned_from": size, "rival": "latest",
                     "delta_top1": scores["delta_top1_vs_latest"],
                     "delta_mrr": scores["delta_mrr_vs_latest"]})  # fmt: skip
    learned.TRAIN_WINDOW = window  # type: ignore[misc]
    return {"schema_version": 1, "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", required=True)
    parser.add_argument("--runs", required=True)
    parser.add_argument("--test-from", type=int, default=346_000)
    parser.add_argument("--test-to", type=int, default=375_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--margins", action="store_true")
    parser.add_argument("--results", type=Path, default=RESULTS)
    asked = parser.parse_args()
    if asked.margins:
        MARGINS.write_text(json.dumps(margins(asked), indent=1, sort_keys=True, allow_nan=False) + "\n")
        return
    rows = costs(asked)
    for one in rows:
        print(one["work"], one["cpu_s"], one["wall_s"])
    keep(rows, asked.results)


if __name__ == "__main__":
    main()

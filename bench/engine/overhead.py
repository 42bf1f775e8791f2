"""What the engine costs: time a part beside reading and processing, and memory by number of parts.

    python bench/engine/overhead.py [--parts 10000] [--workers 1]

Writes ``bench/results/engine_overhead.json``.  Acceptance: below 2 ms a part on one worker; peak memory at
10 000 parts within 10 % of that at 1 000.
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

RESULTS = Path(__file__).parents[1] / "results" / "engine_overhead.json"

ANALYSIS = """
from femtobarn.analysis import Analysis
from femtobarn.hists import HistSpec, regular


def process(events, ctx):
    out = ctx.outcome()
    chosen = ctx.select(events, events["w"])
    chosen.require("positive", events["x"] > 0)
    out.add_cutflow(chosen)
    out.add_sum("sumw", events["w"])
    out.fill("x", events["x"][chosen.mask], weight=events["w"][chosen.mask])
    out.add_table("rows", {"event": events["event"][:1]}, part=ctx.part.number)
    return out


analysis = Analysis(name="bench", process=process, columns=("x", "w", "event"),
                    histograms=(HistSpec("x", (regular(60, -3, 3, "x"),)),))
"""


def make(folder: Path, files: int) -> None:
    import numpy as np
    import uproot

    rng = np.random.default_rng(1)
    for i in range(files):
        columns = {"x": rng.normal(size=10), "w": rng.normal(1, 0.3, 10), "event": np.arange(10) + 10 * i}
        with uproot.recreate(folder / f"{i:04d}.root") as file:
            file.mktree("t", {name: column.dtype for name, column in columns.items()}).extend(columns)
    (folder / "bench_analysis.py").write_text(ANALYSIS)


def timed(module, name: str, spent: dict[str, float]) -> None:
    """Count the time inside of a function as not the engine's."""
    inner = getattr(module, name)

    def outer(*arguments, **more):
        started, cpu = time.perf_counter(), time.process_time()
        try:
            return inner(*arguments, **more)
        finally:
            spent["wall"] += time.perf_counter() - started
            spent["cpu"] += time.process_time() - cpu

    setattr(module, name, outer)


def measure(folder: Path, parts: int, workers: int) -> dict[str, float]:
    """One run in this process: serial if ``workers`` is 0."""
    from femtobarn import api
    from femtobarn.api import runs
    from femtobarn.run import worker

    spent = {"wall": 0.0, "cpu": 0.0}
    if not workers:
        timed(worker, "read_events", spent)
        timed(worker, "open_source", spent)
        inner = worker.find_analysis

        def find(name):
            import dataclasses

            found = inner(name)
            holder = argparse.Namespace(process=found.process)
            timed(holder, "process", spent)
            return dataclasses.replace(found, process=holder.process)

        worker.find_analysis = find
    request = api.Request(
        what=str(folder / "bench_analysis.py"), files=[f"data={folder}/*.root"], out=str(folder / "run"),
        part_events=1, max_events=parts, workers=workers or None,
        executor="processes" if workers else "serial",
        fresh=True,
    )  # fmt: skip
    execute = {"wall": 0.0, "cpu": 0.0}
    timed(runs, "execute", execute)
    result = api.run(request, process_only=True).result
    assert result.summary.done == parts
    if workers:
        spent = {"wall": sum(entry.seconds for entry in result.entries.values()), "cpu": 0.0}
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "parts": parts,
        "workers": workers,
        "wall_s": execute["wall"],
        # On a busy machine the wall time counts other people's work, too; with a worker, the processor
        # time is that of the main process.
        "overhead_wall_ms_a_part": 1e3 * (execute["wall"] - spent["wall"]) / parts,
        "overhead_cpu_ms_a_part": 1e3 * (execute["cpu"] - spent["cpu"]) / parts,
        "peak_rss_mb": usage.ru_maxrss / 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--parts", type=int, default=10_000)
    parser.add_argument("--child", nargs=3, metavar=("FOLDER", "PARTS", "WORKERS"))
    options = parser.parse_args()
    if options.child:
        folder, parts, workers = options.child
        print(json.dumps(measure(Path(folder), int(parts), int(workers))))
        return
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), options.parts // 10)
        found = []
        for workers in (0, 1):
            for parts in (max(options.parts // 10, 1), options.parts):
                command = [sys.executable, __file__, "--child", folder, str(parts), str(workers)]
                environment = os.environ | {"FEMTOBARN_CACHE": f"{folder}/cache", "OMP_NUM_THREADS": "1"}
                done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
                found.append(json.loads(done.stdout))
                print(found[-1])
    for first, second in ((found[0], found[1]), (found[2], found[3])):
        second["rss_growth"] = second["peak_rss_mb"] / first["peak_rss_mb"] - 1
    document = {"schema_version": 1, "rows": found}
    RESULTS.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()

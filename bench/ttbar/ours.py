"""The same work with femtobarn, through its public road: plan, read, process, store, merge.

python ours.py WORKERS outcomes|columns SMALL.root FILE...      prints JSON

With ``columns`` the files are gone through twice and the second pass is measured.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time


def main() -> None:
    workers, kept, small, files = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FEMTOBARN_CACHE"] = os.environ.get("BENCH_CACHE", f"{folder}/cache")
        import femtobarn
        from femtobarn.api import Request, run

        def loop(paths: list[str]) -> object:
            request = Request(
                what="ttbar", files=[f"ttbar__nominal={path}" for path in paths], out=f"{folder}/run",
                settings=["mode=compat", "sanity=warn"], fresh=True, cache=kept,
                executor="serial" if workers == 1 else "auto", workers=workers,
            )  # fmt: skip
            return run(request, process_only=True)

        loop([small])
        if kept == "columns":
            loop(files)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        wall, cpu = time.perf_counter(), time.process_time()
        finished = loop(files)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu += after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        outcome = finished.result.outcome
        found = {
            f"{region}:{key[2]}": outcome.histograms[region].values(key, flow=True).tolist()
            for region in ("4j1b", "4j2b")
            for key in outcome.histograms[region].blocks
            if key[0] == region
        }
        peak = max(
            resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        )
        print(json.dumps({"cpu_s": cpu, "wall_s": wall, "peak_rss_mb": peak / 1024,
                          "version": femtobarn.__version__, "histograms": found}))  # fmt: skip


if __name__ == "__main__":
    main()

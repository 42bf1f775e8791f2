"""200 toys a job: pulls of the signal strength and of the mass must be unit Gaussians.

Writes its result to bench/results/closure_higgs.json.  Takes about ten minutes on one core.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from femtobarn.api.closure import closure, pull

TOYS = 200
CASES = (
    ("h4l", "atlas-2020", ("shape", "mu"), 1.0),
    ("h4l", "atlas-2025", ("shape", "mu"), 1.0),
    ("h4l", "cms-nanoaod", ("shape", "mu"), 1.0),
    ("hyy", "atlas-2020", ("binned", "mu"), 1.0),
    ("hyy", "atlas-2020", ("binned", "m_h"), 125.0),
)


def main() -> None:
    rows, done = [], {}
    for job, release, path, truth in CASES:
        if (job, release) not in done:
            done[job, release] = closure(job, release=release, seeds=range(TOYS))
        toys = done[job, release]
        pulls = []
        for toy in toys:
            found = toy.fit["results"]
            for key in path:
                found = found[key]
            pulls.append(pull(found, truth))
        failed = sum(p is None for p in pulls)
        values = np.array([p for p in pulls if p is not None])
        row = {
            "job": job,
            "release": release,
            "parameter": path[-1],
            "truth": truth,
            "toys": len(toys),
            "failed": failed,
            "pull_mean": round(float(values.mean()), 4),
            "pull_width": round(float(values.std(ddof=1)), 4),
        }
        rows.append(row)
        print(row, flush=True)
    out = Path(__file__).parent / "results" / "closure_higgs.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps({"schema_version": 1, "rows": rows}, indent=1, sort_keys=True) + "\n")
    sys.exit(any(abs(r["pull_mean"]) > 0.15 or abs(r["pull_width"] - 1) > 0.12 for r in rows))


if __name__ == "__main__":
    main()

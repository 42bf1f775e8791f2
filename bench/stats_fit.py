"""34-parameter template fit with uncertainties, and its ranking, against pyhf (numpy + Minuit).

    python bench/stats_fit.py --peer-python PEERS/bin/python [--workspace W.json] [--repeat 5]

Prints one JSON row per kind of work and puts it into ``bench/results.json`` in place of an earlier one.  Both
sides take turns, each repetition of the peer in a process of its own.  The workspace is the Grand Challenge's
where it is at hand, else one of the same size made here from a fixed seed.
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

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("FEMTOBARN_SHARED", ROOT / ".." / "shared"))

PEER = r"""
import json, resource, sys, time
import iminuit, numpy, pyhf
pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer(verbose=0))
with open(sys.argv[1]) as stream:
    spec = json.load(stream)
ranked = json.loads(sys.argv[2])
workspace = pyhf.Workspace(spec)
model = workspace.model()
data = workspace.data(model)
labels = model.config.par_names
poi = model.config.poi_index


def fit(fixed=None):
    init, held = model.config.suggested_init(), model.config.suggested_fixed()
    for i, value in (fixed or {}).items():
        init[i], held[i] = value, True
    best, value = pyhf.infer.mle.fit(
        data, model, init_pars=init, fixed_params=held, return_uncertainties=True, return_fitted_val=True
    )
    return numpy.asarray(best), float(value)


fit()  # as for us, the first one is not counted
wall, cpu = time.perf_counter(), time.process_time()
best, value = fit()
out = {
    "cpu_s": time.process_time() - cpu,
    "wall_s": time.perf_counter() - wall,
    "poi": float(best[poi][0]),
    "error": float(best[poi][1]),
    "twice_nll": value,
    "versions": {"pyhf": pyhf.__version__, "iminuit": iminuit.__version__, "numpy": numpy.__version__},
}
if ranked:
    cpu, wall = time.process_time(), time.perf_counter()
    for name in ranked:
        i = labels.index(name)
        for step in (1.0, -1.0, best[i][1], -best[i][1]):
            fit({i: best[i][0] + step})
    out["ranking_cpu_s"], out["ranking_wall_s"] = time.process_time() - cpu, time.perf_counter() - wall
out["peak_rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps(out))
"""


def made_workspace(path: Path) -> Path:
    """A model of the Grand Challenge's size: 2 channels, 11 bins, 5 samples, 11 systematics."""
    import numpy as np

    from femtobarn.stats.build import ChannelSpec, SampleSpec, SystematicSpec, WorkspaceSpec, build_workspace
    from femtobarn.stats.workspace import write_workspace

    generator = np.random.Generator(np.random.Philox(key=34))
    channels = []
    for c in range(2):
        samples, total = [], np.zeros(11)
        for s, scale in enumerate((2000.0, 300.0, 5.0, 60.0, 150.0)):
            nominal = scale * np.exp(-0.5 * ((np.arange(11) - 3.0 - c) / 3.0) ** 2)
            total += nominal
            systematics = [SystematicSpec("lumi", 0.03, -0.03)]
            for k in range(10):
                slope = (0.02 + 0.01 * k) * (np.arange(11) - 5.0) / 5.0 + 0.03 * generator.normal()
                systematics.append(
                    SystematicSpec(f"syst{k}", tuple(nominal * (1 + slope)), tuple(nominal * (1 - slope)))
                )
            factors = ("mu",) if s == 0 else ()
            samples.append(
                SampleSpec(f"s{s}", tuple(nominal), tuple(0.5 * nominal), tuple(systematics), factors)
            )
        data = tuple(float(n) for n in generator.poisson(total))
        channels.append(ChannelSpec(f"c{c}", data, tuple(samples)))
    built = build_workspace(WorkspaceSpec(tuple(channels), measurement="bench", poi="mu"))
    write_workspace(built.workspace, path)
    return path


def ours(path: Path, *, rank: bool) -> dict:
    from femtobarn import stats

    model = stats.read_workspace(path)
    scalars = [
        item.name
        for item in model.sets
        if item.constraint != "none" and item.scalar and item.name != model.poi
    ]
    wall, cpu = time.perf_counter(), time.process_time()
    result = stats.fit(model)
    out = {
        "cpu_s": time.process_time() - cpu,
        "wall_s": time.perf_counter() - wall,
        "poi": result.value(model.poi),
        "error": result.error(model.poi),
        "twice_nll": result.twice_nll,
        "scalars": scalars,
    }
    if rank:
        wall, cpu = time.perf_counter(), time.process_time()
        stats.ranking(model, result=result, parameters=scalars)
        out["ranking_cpu_s"] = time.process_time() - cpu
        out["ranking_wall_s"] = time.perf_counter() - wall
    out["peak_rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return out


def theirs(python: str, path: Path, ranked: list[str]) -> dict:
    done = subprocess.run(
        [python, "-c", PEER, str(path), json.dumps(ranked)], check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout)


def row(work: str, mine: list[dict], peer: list[dict], key: str) -> dict:
    ratios = sorted(b[f"{key}cpu_s"] / a[f"{key}cpu_s"] for a, b in zip(mine, peer, strict=True))
    difference = abs(mine[0]["twice_nll"] - peer[0]["twice_nll"])
    shift = abs(mine[0]["poi"] - peer[0]["poi"]) / mine[0]["error"]
    error = abs(peer[0]["error"] / mine[0]["error"] - 1.0)
    return {
        "work": work,
        "peer": "pyhf (numpy + Minuit)",
        "versions": {
            **peer[0]["versions"],
            "femtobarn": version("femtobarn"),
            "python": sys.version.split()[0],
        },
        "events": None,
        "repetitions": len(mine),
        "cpu_s": {
            "femtobarn": statistics.median(a[f"{key}cpu_s"] for a in mine),
            "peer": statistics.median(b[f"{key}cpu_s"] for b in peer),
        },
        "wall_s": {
            "femtobarn": statistics.median(a[f"{key}wall_s"] for a in mine),
            "peer": statistics.median(b[f"{key}wall_s"] for b in peer),
        },
        "peak_rss_mb": {"femtobarn": mine[-1]["peak_rss_mb"], "peer": peer[-1]["peak_rss_mb"]},
        "ratio": {"median": statistics.median(ratios), "min": ratios[0], "max": ratios[-1]},
        "identical": f"-2 log L differs by {difference:.1e}, the best fit by {shift:.1e} of its error; "
        f"Minuit's error differs by {100 * error:.1f} % from that of the exact Hessian",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", required=True)
    parser.add_argument("--workspace", type=Path)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument(
        "--no-ranking", action="store_true", help="the peer's ranking takes half a minute a time"
    )
    parser.add_argument("--results", type=Path, default=ROOT / "bench" / "results.json")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = asked.workspace or SHARED / "oracles" / "stats" / "workspace_1.json"
        if not path.exists():
            path = made_workspace(Path(folder) / "workspace.json")
        ours(path, rank=False)  # the first call pays for imports and is not counted
        mine, peer = [], []
        rank = not asked.no_ranking
        for _ in range(asked.repeat):
            mine.append(ours(path, rank=rank))
            peer.append(theirs(asked.peer_python, path, mine[-1]["scalars"] if rank else []))
    rows = [row("34-parameter fit with uncertainties", mine, peer, "")]
    if rank:
        rows.append(row("ranking of the 11 systematics of that model", mine, peer, "ranking_"))
    for one in rows:
        print(json.dumps(one))
    keep(rows, asked.results)


def keep(rows: list[dict], path: Path) -> None:
    """Put rows into the results, in place of earlier ones of the same work and peer."""
    known = json.loads(path.read_text())["rows"] if path.exists() else []
    new = {(one["work"], one["peer"]) for one in rows}
    known = [one for one in known if (one["work"], one["peer"]) not in new]
    document = {"schema_version": 1, "rows": [*known, *rows]}
    path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()

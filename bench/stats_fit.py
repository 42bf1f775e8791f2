"""34-parameter template fit with uncertainties against pyhf (numpy + Minuit), its ranking against cabinetry.

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

from rows import RESULTS, keep, ratios

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
rank = sys.argv[2] == "rank"
workspace = pyhf.Workspace(spec)
model = workspace.model()
data = workspace.data(model)
poi = model.config.poi_index


def fit():
    best, value = pyhf.infer.mle.fit(data, model, return_uncertainties=True, return_fitted_val=True)
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
if rank:
    import logging

    import cabinetry

    logging.disable()
    cpu, wall = time.process_time(), time.perf_counter()
    found = cabinetry.fit.ranking(model, data)
    out["ranking_cpu_s"] = time.process_time() - cpu
    out["ranking_wall_s"] = time.perf_counter() - wall
    out["impacts"] = {
        name: [float(up), float(down)]
        for name, up, down in zip(found.labels, found.postfit_up, found.postfit_down, strict=True)
    }
    out["versions"]["cabinetry"] = cabinetry.__version__
out["peak_rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps(out))
"""


def made_workspace(path: Path) -> Path:
    """A model of the Grand Challenge's size: 2 channels, 11 bins, 5 samples, 11 systematics."""
    import numpy as np

    from femtobarn.stats.histfactory.build import (
        ChannelSpec,
        SampleSpec,
        SystematicSpec,
        WorkspaceSpec,
        build_workspace,
    )
    from femtobarn.stats.histfactory.workspace import write_workspace

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
    wall, cpu = time.perf_counter(), time.process_time()
    result = stats.fit(model)
    out = {
        "cpu_s": time.process_time() - cpu,
        "wall_s": time.perf_counter() - wall,
        "poi": result.value(model.poi),
        "error": result.error(model.poi),
        "twice_nll": result.twice_nll,
    }
    if rank:
        wall, cpu = time.perf_counter(), time.process_time()
        found = stats.ranking(model)  # the peer's call includes the fit it starts from
        out["ranking_cpu_s"] = time.process_time() - cpu
        out["ranking_wall_s"] = time.perf_counter() - wall
        out["impacts"] = {one.parameter: [one.impact_up_postfit, one.impact_down_postfit] for one in found}
    out["peak_rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return out


def theirs(python: str, path: Path, *, rank: bool) -> dict:
    done = subprocess.run(
        [python, "-c", PEER, str(path), "rank" if rank else "fit"],
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def same_fit(mine: dict, peer: dict) -> str:
    difference = abs(mine["twice_nll"] - peer["twice_nll"])
    shift = abs(mine["poi"] - peer["poi"]) / mine["error"]
    error = abs(peer["error"] / mine["error"] - 1.0)
    return (
        f"-2 log L differs by {difference:.1e}, the best fit by {shift:.1e} of its error; "
        f"Minuit's error differs by {100 * error:.1f} % from that of the exact Hessian"
    )


def same_ranking(mine: dict, peer: dict) -> str:
    """Largest difference of a post-fit impact, in units of the parameter of interest's error."""
    names = sorted(set(mine["impacts"]) & set(peer["impacts"]))
    if not names:
        raise SystemExit("the two rankings have no parameter in common")
    steps = [
        max(abs(a - b) for a, b in zip(mine["impacts"][name], peer["impacts"][name], strict=True))
        for name in names
    ]
    worst = max(range(len(names)), key=steps.__getitem__)
    return (
        f"post-fit impacts of {len(names)} parameters agree within {steps[worst] / mine['error']:.1e} of the "
        f"total error (largest: {names[worst]}); the steps are each program's own errors"
    )


def row(work: str, peer_name: str, mine: list[dict], peer: list[dict], key: str, same: str) -> dict:
    return {
        "work": work,
        "peer": peer_name,
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
        "ratio": ratios([a[f"{key}cpu_s"] for a in mine], [b[f"{key}cpu_s"] for b in peer]),
        "identical": same,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", required=True)
    parser.add_argument("--workspace", type=Path)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--no-ranking", action="store_true", help="the peer's ranking takes a minute a time")
    parser.add_argument("--results", type=Path, default=RESULTS)
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
            peer.append(theirs(asked.peer_python, path, rank=rank))
    rows = [
        row(
            "34-parameter fit with uncertainties",
            "pyhf (numpy + Minuit)",
            mine,
            peer,
            "",
            same_fit(mine[0], peer[0]),
        )
    ]
    if rank:
        same = same_ranking(mine[0], peer[0])
        rows.append(
            row("ranking of that model's nuisance parameters", "cabinetry", mine, peer, "ranking_", same)
        )
    for one in rows:
        print(json.dumps(one))
    keep(rows, asked.results)


if __name__ == "__main__":
    main()

"""100 pass/fail fits (double-sided Crystal Ball on an exponential) against iminuit + numba-stats.

    python bench/tagprobe_fits.py --peer-python PEERS/bin/python [--fits 100]

Both fit the same toys in the same bins: minimum, Hessian, and the profile interval of the efficiency.
The peer is given sensible starts and limits, compiled shapes and its own gradient-free Migrad; its tails
are limited, ours weakly constrained.  Writes its row into ``bench/results.json``.
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
from importlib.metadata import version
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

PEER = r"""
import json, resource, sys, time
import numpy as np, iminuit, numba_stats
from iminuit import Minuit
from iminuit.cost import ExtendedBinnedNLL
from numba_stats import crystalball_ex as cb, truncexpon

edges, toys = json.load(open(sys.argv[1]))
edges = np.array(edges)
lo, hi = edges[0], edges[-1]


def shape(x, mass, sigma, al, nl, ah, nh):
    c = cb.cdf(x, al, nl, sigma, ah, nh, sigma, mass)
    return (c - c[0]) / (c[-1] - c[0])


def fit(counts):
    p, f = (np.array(c) for c in counts)

    def passing(x, eff, n, bp, m, s, al, nl, ah, nh, sl):
        return eff * n * shape(x, m, s, al, nl, ah, nh) + bp * truncexpon.cdf(x, lo, hi, lo, 1 / sl)

    def failing(x, eff, n, bf, mf, r, s, alf, nlf, ahf, nhf, slf):
        signal = (1 - eff) * n * shape(x, mf, r * s, alf, nlf, ahf, nhf)
        return signal + bf * truncexpon.cdf(x, lo, hi, lo, 1 / slf)

    cost = ExtendedBinnedNLL(p, edges, passing) + ExtendedBinnedNLL(f, edges, failing)
    start = dict(eff=0.8, n=19000, bp=1200, bf=3300, m=91, mf=91, s=2.2, r=1.1,
                 al=1.5, nl=2.5, ah=1.5, nh=2.5, alf=1.5, nlf=2.5, ahf=1.5, nhf=2.5, sl=0.03, slf=0.03)
    m = Minuit(cost, **start)
    m.limits["eff"] = (0, 1)
    for k in ("n", "bp", "bf"):
        m.limits[k] = (0, None)
    for k in ("m", "mf"):
        m.limits[k] = (85, 96)
    m.limits["s"], m.limits["r"] = (0.5, 7), (0.8, 3)
    for k in ("al", "ah", "alf", "ahf"):
        m.limits[k] = (0.3, 6)
    for k in ("nl", "nh", "nlf", "nhf"):
        m.limits[k] = (1.01, 50)
    for k in ("sl", "slf"):
        m.limits[k] = (1e-3, 0.5)
    m.migrad()
    m.hesse()
    try:
        m.minos("eff")
    except RuntimeError:
        pass
    return m.values["eff"], bool(m.valid)


fit(toys[0])
cpu, wall = time.process_time(), time.perf_counter()
found = [fit(t) for t in toys]
print(json.dumps({
    "cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall,
    "efficiencies": [e for e, _ in found], "valid": sum(v for _, v in found),
    "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "versions": {"iminuit": iminuit.__version__, "numba-stats": numba_stats.__version__},
}))
"""


def main() -> None:
    import numpy as np
    from rows import keep

    from femtobarn.stats.passfail.fit import fit_pass_fail
    from femtobarn.stats.passfail.likelihood import Spectra
    from femtobarn.stats.passfail.toys import truth

    parser = argparse.ArgumentParser()
    parser.add_argument("--peer-python", required=True)
    parser.add_argument("--fits", type=int, default=100)
    parser.add_argument("--dry", action="store_true", help="print only")
    given = parser.parse_args()
    true = truth("dcb_exp", 0.85)
    edges = true.model.spectra.edges
    toys = [true.draw(np.random.default_rng([1, k])) for k in range(given.fits)]
    fit_pass_fail(Spectra(edges, toys[0], toys[0]), true.options)
    cpu, wall = time.process_time(), time.perf_counter()
    found = [fit_pass_fail(Spectra(edges, one, one), true.options) for one in toys]
    ours = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "toys.json"
        path.write_text(json.dumps([edges.tolist(), [one.tolist() for one in toys]]))
        done = subprocess.run(
            [given.peer_python, "-c", PEER, str(path)], check=True, capture_output=True, text=True
        )
    peer = json.loads(done.stdout)
    mine = np.array([one.efficiency for one in found])
    theirs = np.array(peer["efficiencies"])
    ratio = peer["cpu_s"] / ours["cpu_s"]
    row = {
        "work": f"{given.fits} pass/fail mass fits",
        "peer": "iminuit + numba-stats",
        "goal": 2.0,
        "identical": None,
        "cpu_s": {"femtobarn": ours["cpu_s"], "peer": peer["cpu_s"]},
        "wall_s": {"femtobarn": ours["wall_s"], "peer": peer["wall_s"]},
        "ratio": {"median": ratio, "min": ratio, "max": ratio},
        "peak_rss_mb": {
            "femtobarn": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        },
        "spread_from_truth": {"femtobarn": float(np.std(mine - 0.85)), "peer": float(np.std(theirs - 0.85))},
        "not_good": {
            "femtobarn": sum(one.status != "good" for one in found),
            "peer": given.fits - peer["valid"],
        },
        "versions": {**peer["versions"], "numpy": version("numpy"), "python": sys.version.split()[0]},
    }
    print(json.dumps(row, indent=1, sort_keys=True))
    if not given.dry:
        keep([row])


if __name__ == "__main__":
    main()

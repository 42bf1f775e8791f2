"""Pass/fail fits (double-sided Crystal Ball on an exponential) against iminuit + numba-stats and egamma-tnp.

    python bench/tagprobe_fits.py --numba-stats PEERS/bin/python --egamma-tnp OTHERS/bin/python

All fit the same toys in the same bins: minimum, Hessian, and the profile interval of the efficiency.
iminuit is given sensible starts and limits, compiled shapes and its own gradient-free Migrad; its tails are
limited, ours weakly constrained.  egamma-tnp's fit is called as its ``run-fitter`` calls it; it also profiles
all other parameters, which is part of its cost.  Writes rows into ``bench/results.json``.
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

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

NUMBA_STATS = r"""
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

EGAMMA_TNP = r"""
import contextlib, io, json, resource, sys, time, warnings
from importlib.metadata import version
import matplotlib
matplotlib.use("Agg")
import numpy as np
from egamma_tnp.utils.fitter_utils import fit_function

warnings.simplefilter("ignore")
edges, toys = json.load(open(sys.argv[1]))
edges = np.array(edges)
config = {"mass": "Z", "fit": {"bin_ranges": [[20, 30]], "x_min": 60, "x_max": 120, "fit_type": "dcb_exp"}}


def fit(counts):
    spectra = [{"edges": edges, "values": np.array(c), "errors": np.sqrt(np.array(c))} for c in counts]
    with contextlib.redirect_stdout(io.StringIO()):
        found = fit_function(config, "dcb_exp", *spectra, 60, 120, args_bin="bin0", args_data="DATA",
                             args_mass="Z", data_name="data", mc_name="mc")
    return found["popt"]["epsilon"], bool(found["success"])


fit(toys[0])
cpu, wall = time.process_time(), time.perf_counter()
found = [fit(t) for t in toys]
print(json.dumps({
    "cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall,
    "efficiencies": [e for e, _ in found], "valid": sum(v for _, v in found),
    "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "versions": {name: version(name) for name in ("egamma-tnp", "iminuit")},
}))
"""


def ours(edges, toys, options):
    """Our fits of some toys, and what they cost."""
    from femtobarn.stats.passfail.fit import fit_pass_fail
    from femtobarn.stats.passfail.likelihood import Spectra

    cpu, wall = time.process_time(), time.perf_counter()
    found = [fit_pass_fail(Spectra(edges, one, one), options) for one in toys]
    return found, time.process_time() - cpu, time.perf_counter() - wall


def theirs(python, code, edges, toys):
    """A peer's fits of the same toys."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "toys.json"
        path.write_text(json.dumps([edges.tolist(), [one.tolist() for one in toys]]))
        command = [python, "-c", code, str(path)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    import numpy as np
    from rows import keep, ratios

    from femtobarn.stats.passfail.toys import truth

    parser = argparse.ArgumentParser()
    parser.add_argument("--numba-stats", help="a Python with iminuit and numba-stats")
    parser.add_argument("--egamma-tnp", help="a Python with egamma-tnp, dask-awkward and iminuit")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--dry", action="store_true", help="print only")
    given = parser.parse_args()
    true = truth("dcb_exp", 0.85)
    edges = true.model.spectra.edges
    rows = []
    for peer, python, code, count, goal in (
        ("iminuit + numba-stats", given.numba_stats, NUMBA_STATS, 100, 2.0),
        ("egamma-tnp's fitter", given.egamma_tnp, EGAMMA_TNP, 10, 20.0),
    ):
        if python is None:
            continue
        toys = [true.draw(np.random.default_rng([1, k])) for k in range(count)]
        ours(edges, toys[:1], true.options)  # compiles
        mine, other = [], []
        for _ in range(given.repetitions):
            mine.append(ours(edges, toys, true.options))
            other.append(theirs(python, code, edges, toys))
        found, last = mine[-1][0], other[-1]
        cpu = [one[1] for one in mine], [one["cpu_s"] for one in other]
        wall = [one[2] for one in mine], [one["wall_s"] for one in other]
        away = np.array([one.efficiency for one in found]) - 0.85, np.array(last["efficiencies"]) - 0.85
        sides = ("femtobarn", "peer")
        rows.append({
            "work": f"{count} pass/fail mass fits", "peer": peer, "goal": goal,
            "identical": "not expected: tails are weakly constrained here, limited or free there",
            "cpu_s": dict(zip(sides, map(statistics.median, cpu), strict=True)),
            "wall_s": dict(zip(sides, map(statistics.median, wall), strict=True)),
            "ratio": ratios(*cpu),
            "spread_from_truth": dict(zip(sides, (float(np.sqrt(np.mean(a**2))) for a in away), strict=True)),
            "not_good": {
                "femtobarn": sum(one.status != "good" for one in found), "peer": count - last["valid"],
            },
            "versions": {**last["versions"], "numpy": version("numpy"), "python": sys.version.split()[0]},
        })  # fmt: skip
        print(json.dumps(rows[-1], indent=1, sort_keys=True))
    if not given.dry:
        keep(rows)


if __name__ == "__main__":
    main()

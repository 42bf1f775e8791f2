# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 7. How efficient is this selection?
#
# A Z boson decays to two electrons. One, the *tag*, is identified beyond doubt; the other, the *probe*, is
# an electron because the pair has the Z's mass, whatever the selection says of it. The fraction of probes
# that pass is the selection's efficiency, measured in data.
#
# The events are synthetic, in the format of CMS NanoAOD, and their efficiencies are known.

# %%
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from femtobarn import api

work = Path("notebook-07")
made = api.data_make("tagprobe", out=work / "toy", release="cms-nanoaod", seed=1, settings=["events=12000"])
truth = json.loads(made.truth.read_text())
print(sorted(truth))

# %% [markdown]
# ## Pairs, passing and failing
#
# The selection under test is `tight`. Probes are counted in bins of transverse momentum, separately for
# data and simulation.

# %%
finished = api.run(
    "tagprobe",
    fileset=made.fileset,
    settings=[
        "filters={tight: cutBased >= 4}",
        "binning.el_pt_bins=15,25,35,45,60,100",
        "methods=[{name: get_1d_pt_eta_phi_tnp_histograms, filter: [tight], cut_and_count: false}]",
    ],
    out=work / "run",
    pages=False,
)
run = api.open(finished.path)
print(run)
print(run.tables)

# %% [markdown]
# ## Efficiency and scale factor
#
# An efficiency lies between 0 and 1, so its interval is Clopper and Pearson's, not a square root. The
# *scale factor*, data over simulation, is what an analysis multiplies its simulation with.

# %%
table = run.tables["efficiency"]
rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
barrel = [row for row in rows if row["hist"] == "pt/barrel"]
bins = {name: [row for row in barrel if row["dataset"] == name] for name in ("data", "mc")}
fig, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
for name, shift in (("data", -0.1), ("mc", 0.1)):
    found = bins[name]
    value = np.array([row["efficiency"] for row in found])
    spread = np.abs(np.array([[row["low"], row["high"]] for row in found]).T - value)
    axes.errorbar(np.arange(len(found)) + shift, value, spread, fmt="o", label=name)
axes.set_xticks(range(len(bins["data"])), [row["bin"] for row in bins["data"]], fontsize="small")
axes.set_ylabel("efficiency of tight, barrel")
axes.legend()
axes.set_title("femtobarn toy simulation", loc="left", fontsize="medium")
fig.savefig(work / "efficiency.png", dpi=120)

# %% [markdown]
# ## Check
#
# The generated efficiencies are in `truth.json`, barrel first. Most bins cover the truth within one error;
# all of them do within four.

# %%
for name, found in bins.items():
    generated = truth["identification"][name][0]
    error = [(row["high"] - row["low"]) / 2 for row in found]
    pulls = np.array([(row["efficiency"] - generated) / one for row, one in zip(found, error, strict=True)])
    print(name, "truth", generated, "pulls", np.round(pulls, 1))
    assert np.all(np.abs(pulls) < 4)
    assert abs(np.mean(pulls)) < 2

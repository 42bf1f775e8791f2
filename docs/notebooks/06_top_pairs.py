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
# # 6. How often are top pairs made?
#
# A pair of top quarks decays to two b quarks and two W bosons. We ask for one lepton and four jets, count
# b tags, and fit two regions at once: with one b tag the sum of jet momenta HT, with two the mass of the
# best three jets. What we are unsure of is varied, and the fit weighs it.
#
# The events are synthetic, in the format of the Analysis Grand Challenge; nothing here is a result.

# %%
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from femtobarn import api

work = Path("notebook-06")
made = api.data_make("ttbar", out=work / "toy", seed=1, settings=["scale=0.2"])
truth = json.loads(made.truth.read_text())
print("mu =", truth["mu"], " luminosity =", truth["lumi_fb"], "fb-1")

# %% [markdown]
# ## One run
#
# Selection, thirteen variations in one pass over the events, the likelihood fit of both regions. (Without
# `pages=False` there would be figures and a report, too.)

# %%
finished = api.run("ttbar", fileset=made.fileset, out=work / "run", executor="serial", pages=False)
run = api.open(finished.path)
run

# %% [markdown]
# ## The region with two b tags
#
# Histograms are raw sums with the axes (observable, region, process, variation). Here top pairs as they
# are, and with the momenta of all jets scaled up by one standard deviation: the peak moves.

# %%
histogram = run.hists["4j2b"]
print(histogram.axes.name, list(histogram.axes["region"]))
fig, axes = plt.subplots(figsize=(5, 3), layout="constrained")
for variation in ("nominal", "pt_scale_up"):
    top = histogram[{"region": 0, "process": "ttbar", "variation": variation}]
    axes.stairs(top.values(), top.axes[0].edges, label=variation)
axes.set_xlabel("mass of the best three jets [GeV]")
axes.set_ylabel("sum of weights")
axes.legend()
axes.set_title("femtobarn toy simulation", loc="left", fontsize="medium")
fig.savefig(work / "best_three_jets.png", dpi=120)

# %% [markdown]
# ## What the fit says
#
# `ttbar_norm` multiplies the expected number of top pairs. The other parameters are constrained by what
# is known of them; a pull says how far the data moved one from there.

# %%
parameters = run.fit["mle"]["parameters"]
norm = parameters["ttbar_norm"]
print(f"ttbar_norm = {norm['value']:.3f} +- {norm['hesse']:.3f}")
pulls = {name: one["pull"] for name, one in parameters.items() if one["pull"] is not None}
largest = sorted(pulls, key=lambda name: -abs(pulls[name]))[:10]
fig, axes = plt.subplots(figsize=(5, 3), layout="constrained")
axes.barh(largest, [pulls[name] for name in largest], color="C0")
axes.axvline(0, color="black", lw=0.8)
axes.set_xlabel("pull")
axes.set_title("femtobarn toy simulation", loc="left", fontsize="medium")
fig.savefig(work / "pulls.png", dpi=120)

# %% [markdown]
# ## Check
#
# The pseudo-data hold as many top pairs as the simulation says: the fit covers one within two errors, and
# no parameter is drawn further from what is known than chance allows.

# %%
assert abs(norm["value"] - 1) < 2 * norm["hesse"]
assert run.ledger["lost_fraction"] == 0
assert np.max(np.abs(list(pulls.values()))) < 4

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
# # 8. Every mass spectrum, no bump missed and none invented
#
# We do not say what we look for. Every event falls into one *final state* (so many electrons, muons, jets),
# and in it the mass of every combination of leading objects is filled. Then each spectrum is asked for a
# bump; and, because we looked at many, how often chance alone would show one as large anywhere.
#
# The events are synthetic, in the format of ATLAS PHYSLITE. A few come from a particle that decays to an
# electron and a muon; `truth.json` knows its mass.

# %%
import json
from pathlib import Path

import numpy as np

from femtobarn import api

work = Path("notebook-08")
settings = ["events=6000", "signal=100"]
made = api.data_make("survey", out=work / "toy", release="physlite", seed=1, settings=settings)
truth = json.loads(made.truth.read_text())
print("signal:", truth["signal"], "events at", truth["mass_gev"], "GeV in", truth["combination"])

# %% [markdown]
# ## Fill every spectrum

# %%
finished = api.run(
    "survey",
    fileset=made.fileset,
    settings=[
        "objects=electrons,muons,jets",
        "combinations.min_types=1",
        "combinations.min_each=1",
        "combinations.max_total=2",
        "resonances=none",
        "min_events=150",
    ],
    out=work / "run",
    pages=False,
)
run = api.open(finished.path)
signatures = run.tables["signatures"]
print(len(signatures["n"]), "spectra in", len(run.tables["final_states"]["events"]), "final states")
print("entries of the fullest:", sorted(signatures["n"])[-5:])

# %% [markdown]
# ## Search all of them
#
# In each spectrum the background is a smooth function fitted beside the largest excess. Toys of that
# background, fitted in the same way, say how often chance does as well in this spectrum. With N spectra
# chance has N tries: the smallest p of N is not surprising unless it is far below 1/N.

# %%
where, fitted = api.search_bumps(finished.path, out=work / "search", toys=50)
found = fitted["search"]
for one in found["best"][:5]:
    print(f"{one['name']:40} {one['mass_gev']:7.0f} GeV   p = {one['p_global']:.2g}")
total = found["global"]
print(total["n_histograms"], "spectra searched; smallest p after all trials:", total["p_global"])
api.open(where).plot("06_best")

# %% [markdown]
# ## Check
#
# The bump is where it was put, and the rest of the spectra look like chance.

# %%
best = found["best"][0]
assert "e0m0" in best["name"]
assert abs(best["mass_gev"] - truth["mass_gev"]) < 15
assert total["p_global"] < 1e-3
others = [one["p_global"] for one in found["best"] if "e0m0" not in one["name"]]
assert np.min(others) > 1e-4

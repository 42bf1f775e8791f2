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
# # 4. A Higgs boson to two photons
#
# Four leptons: few events, little background. Two photons are the opposite: thousands of events, nearly all
# background, and a peak of a few hundred on top, two GeV wide. No simulation is precise enough to subtract
# this background; it is fitted, as a smooth function, together with the peak.
#
# The events are synthetic, in the format of the ATLAS open data of 2020.

# %%
import json
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from femtobarn import api
from femtobarn.stats import MassFitOptions, choose_order, fit_mass

work = Path("notebook-04")
made = api.data_make("hyy", out=work / "toy", release="atlas-2020", seed=4)
truth = json.loads(made.truth.read_text())
print("mu =", truth["mu"], " mass =", truth["mass_gev"], "GeV")

# %% [markdown]
# ## Select
#
# Two tight, isolated photons; each with a good share of the mass as transverse momentum, which a pair from
# a heavy particle has and a random pair often has not.

# %%
request = api.Request(what="hyy", release="atlas-2020", fileset=str(made.fileset), out=str(work / "run"))
run = api.open_run(api.run(request, process_only=True).path)
for row in run.cutflow["data"]:
    print(f"{row['cut']:18} {row['events']:6}")
table = {name: np.array(column) for name, column in run.tables["candidates"].items()}
masses = table["myy"][table["dataset"] == "data"]
print(len(masses), "candidates")

# %% [markdown]
# The mass of two massless particles is $m^2 = 2\,p_{T1}\,p_{T2}\,(\cosh\Delta\eta-\cos\Delta\phi)$. Its
# resolution comes from the calorimeter; the simulated signal shows it:

# %%
signal = table["myy"][table["dataset"] == "ggH"]
width = 0.5 * float(np.diff(np.percentile(signal, [15.87, 84.13]))[0])
print(f"signal: median {np.median(signal):.2f} GeV, half of the central 68 % {width:.2f} GeV")

# %% [markdown]
# ## How smooth is smooth?
#
# A polynomial of which degree? Too low and it bends where it should not, which looks like a signal; too
# high and it swallows the peak. An F-test goes up as long as the next degree is significantly better.

# %%
counts, edges = np.histogram(masses, bins=55, range=(105, 160))
choice = choose_order(counts, edges, "polynomial")
print("F-test: degree", choice.order, [f"{step[0]} -> {step[1]}: p = {step[3]:.3f}" for step in choice.steps])

# %% [markdown]
# ## Fit
#
# Mass, width and number of signal events are free. First with the degree of the public analyses, 4, in bins
# of 1 GeV; then without bins.

# %%
expected = truth["processes"]["ggH"]["expected_yield"] * len(signal) / truth["processes"]["ggH"]["generated"]
options = MassFitOptions(background="polynomial", order=4, width=width, expected=expected)
binned = fit_mass(masses, window=(105, 160), binning=1.0, options=options)
unbinned = fit_mass(masses, window=(105, 160), options=options)
for fit in (binned, unbinned):
    n, m, s = (fit.parameters[name] for name in ("n_sig", "mass", "sigma"))
    print(f"{fit.method:9} N = {n.value:.0f} +- {n.error:.0f}  m = {m.value:.2f} +- {m.error:.2f} GeV")
    print(f"    sigma = {s.value:.2f} +- {s.error:.2f} GeV")
    print(f"    Z = {fit.z0:.1f}  chi2/ndf = {fit.chi2:.0f}/{fit.ndf}")

# %% [markdown]
# With a free mass Z is local: there are many places where a fluctuation could be. Mass and width fixed, the
# answer barely moves here:

# %%
fixed = fit_mass(
    masses, window=(105, 160), binning=1.0,
    options=replace(options, mass=float(np.median(signal)), fix_mass=True, fix_width=True),
)  # fmt: skip
print(f"fixed: N = {fixed.n_sig.value:.0f} +- {fixed.n_sig.error:.0f}, Z = {fixed.z0:.1f}")

# %%
centres = 0.5 * (binned.edges[1:] + binned.edges[:-1])
figure, (top, below) = plt.subplots(2, 1, sharex=True, figsize=(7, 6), height_ratios=(3, 1))
top.errorbar(centres, binned.data, yerr=np.sqrt(binned.data), fmt="ko", ms=3, label="pseudo-data")
top.plot(centres, binned.fitted_total, "r", label="background + peak")
top.plot(centres, binned.fitted_background, "b--", label="background")
top.set(ylabel="Events / GeV", title="femtobarn toy simulation")
top.legend()
below.errorbar(centres, binned.data - binned.fitted_background, yerr=np.sqrt(binned.data), fmt="ko", ms=3)
below.plot(centres, binned.fitted_total - binned.fitted_background, "r")
below.set(xlabel="Diphoton mass [GeV]", ylabel="data - background")
figure.savefig(work / "myy.png")

# %% [markdown]
# ## Check
#
# Strength and mass come back within two and a half standard deviations; with and without bins the answers
# agree.

# %%
assert binned.status == unbinned.status == fixed.status == "ok"
assert binned.mu is not None
assert abs(binned.mu.value - truth["mu"]) < 2.5 * binned.mu.error
mass = binned.parameters["mass"]
assert (
    abs(mass.value - truth["mass_gev"]) < 2.5 * mass.error + 0.1
)  # 0.1 GeV for the energy scale of the toy detector
assert abs(binned.n_sig.value - unbinned.n_sig.value) < 0.5 * binned.n_sig.error

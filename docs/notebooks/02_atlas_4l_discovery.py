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
# # 2. The four-lepton discovery plot
#
# A Higgs boson can decay to two Z bosons and these to four leptons. The events are few and clean. Four
# steps: select, normalise, plot, and ask whether background alone could look like this.
#
# The events are synthetic, in the format of the ATLAS open data of 2020, with a signal strength that we
# know: mu = 1 means as much Higgs as expected. Nothing here is a result about nature.

# %%
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from femtobarn import api
from femtobarn.stats import count, fit_shape, garwood

work = Path("notebook-02")
made = api.data_make("h4l", out=work / "toy", release="atlas-2020", seed=1)
truth = json.loads(made.truth.read_text())
print("mu =", truth["mu"], " luminosity =", truth["lumi_fb"], "fb-1")

# %% [markdown]
# ## Select
#
# `process_only` stops after the raw results; the rest of the road we walk ourselves.

# %%
request = api.Request(what="h4l", release="atlas-2020", fileset=str(made.fileset), out=str(work / "run"))
finished = api.run(request, process_only=True)
run = api.open_run(finished.path)
for name, rows in run.cutflow.items():
    if name != "schema_version":
        print(f"{name:6}", [row["events"] for row in rows])

# %% [markdown]
# ## Normalise
#
# The histograms hold raw sums of weights of simulated events. What is expected in data is
#
# $$N = \sum w \cdot \frac{L\,\sigma}{\sum_{\rm all} w}$$
#
# with luminosity, cross-section and the sum of the weights of *all* generated events, selected or not.

# %%
histogram = run.hists["m4l_fit"]  # 80 to 170 GeV in 2.5 GeV
edges = histogram.axes[0].edges


def values(dataset: str) -> np.ndarray:
    return histogram[:, "4l", dataset, "nominal"].values()


expected = {}
for dataset in made.datasets:
    if dataset.kind == "mc":
        meta = dataset.metadata
        factor = meta["lumi"] * 1000 * meta["xsec"] / meta["sumw"]  # fb-1 -> pb-1
        expected[dataset.name] = values(dataset.name) * factor
        print(f"{dataset.name:6} factor {factor:.3e}  expected events {expected[dataset.name].sum():7.2f}")
data = values("data")
signal = expected["ggH"]
background = sum(expected[name] for name in ("DY", "ttbar", "ZZ"))
print("data", data.sum())

# %% [markdown]
# ## Plot
#
# Data have statistical errors, those of a Poisson count: asymmetric for few events, and not zero for none.

# %%
low, high = garwood(data)
centres = 0.5 * (edges[1:] + edges[:-1])
figure, axes = plt.subplots(figsize=(8, 5))
bottom = np.zeros(len(data))
colours = {"DY": "#3a8f5c", "ttbar": "#9a9a9a", "ZZ": "#4c78c8", "ggH": "#d62728"}
for name, colour in colours.items():
    axes.stairs(bottom + expected[name], edges, baseline=bottom, fill=True, color=colour, label=name)
    bottom = bottom + expected[name]
axes.errorbar(centres, data, yerr=[data - low, high - data], fmt="ko", label="pseudo-data")
axes.set(
    xlabel="Four-lepton mass [GeV]",
    ylabel="Events / 2.5 GeV",
    title="femtobarn toy simulation",
    ylim=(0, None),
)
axes.legend()
figure.savefig(work / "m4l.png")

# %% [markdown]
# ## Could it be background?
#
# First, count in a window around the peak: with b events expected, how probable are n or more?

# %%
inside = (edges[:-1] >= 120) & (edges[1:] <= 130)
window = count(data[inside].sum(), background[inside].sum(), signal[inside].sum())
print(
    f"{window.n:.0f} events, {window.b:.2f} expected without and {window.b + window.s:.2f} with a Higgs boson"
)
print(f"p0 = {window.p0:.2e}, Z = {window.z:.2f} (expected {window.z_expected:.2f})")

# %% [markdown]
# The window throws away what the shape says. Fit mu in all bins: nu = mu * signal + background.

# %%
fit = fit_shape(data, signal, background)
print(f"mu = {fit.mu.value:.2f} +{fit.mu.error_up:.2f} -{fit.mu.error_down:.2f}, Z = {fit.z0:.2f}")

# %% [markdown]
# The curve behind the errors: where $-2\ln L$ has risen by 1 from its minimum.

# %%
strengths = np.linspace(0, 2.5, 51)


def twice_nll(mu: float) -> float:
    nu = mu * signal + background
    return float(2 * np.sum(nu - data * np.log(nu)))


curve = np.array([twice_nll(mu) for mu in strengths]) - twice_nll(fit.mu.value)
figure, axes = plt.subplots(figsize=(5, 4))
axes.plot(strengths, curve)
axes.axhline(1, color="grey")
axes.set(xlabel="signal strength mu", ylabel="-2 ln L, above its minimum", ylim=(0, 10))
figure.savefig(work / "likelihood.png")

# %% [markdown]
# ## The same, as a verb
#
# `femtobarn run` without `--process-only` does all of this and more: every channel, a fit with systematic
# uncertainties, limits, and a report. `femtobarn fit RUN` repeats the inference alone.

# %% [markdown]
# ## Check
#
# The fitted minimum is one, the error is where the curve says, and the truth is within two and a half
# standard deviations.

# %%
assert curve.min() > -1e-6
assert np.isclose(np.interp(fit.mu.value + fit.mu.error_up, strengths, curve), 1, atol=0.05)
assert np.isclose(fit.z0**2, twice_nll(0) - twice_nll(fit.mu.value), rtol=1e-6)
distance = truth["mu"] - fit.mu.value
assert abs(distance) < 2.5 * (fit.mu.error_up if distance > 0 else fit.mu.error_down)
# Expected events: the selected share of what was generated.
generated = truth["processes"]["ggH"]["expected_yield"]
assert 0.3 * generated < signal.sum() < generated

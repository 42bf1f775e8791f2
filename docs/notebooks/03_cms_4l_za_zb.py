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
# # 3. CMS four leptons: two Z candidates, Za and Zb
#
# A Higgs boson of 125 GeV cannot decay to two full-weight Z bosons: one is real (Za, about 91 GeV), the
# other lighter (Zb). Which two leptons belong together? Here we pair them by hand, then compare with `h4l`.
#
# The events are synthetic, in the layout of CMS NanoAOD.

# %%
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from femtobarn import api
from femtobarn.kernels import FourVectors, leading
from femtobarn.physics.leptons import MUON, good_nanoaod
from femtobarn.physics.pairing import pair_four_leptons
from femtobarn.read import open_source, read_events
from femtobarn.records import FileRef
from femtobarn.units import MUON_MASS, Z_MASS

work = Path("notebook-03")
made = api.data_make("h4l", out=work / "toy", release="cms-nanoaod", seed=2, settings=["scale=0.5"])
truth = json.loads(made.truth.read_text())

# %% [markdown]
# ## Four good muons
#
# Columns of muons, jagged: any number an event. `good_nanoaod` is the muon definition of the CMS Run-1
# example (pT > 5 GeV, |eta| < 2.4, isolated, from the collision point). `leading(4, ...)` gives the events
# with at least four of them, and a dense table of their positions: one row an event, four columns. From
# there on no jagged array is needed.

# %%
source = open_source(FileRef(str(work / "toy" / "ggH.root")))
fields = ("pt", "eta", "phi", "charge", "pfRelIso04_all", "dxy", "dz", "dxyErr", "dzErr")
events = read_events(source, [f"muon.{name}" for name in fields], [], 0, source.entries, where="ggH.root")
pt = events.jagged("muon.pt")
good = good_nanoaod(events, MUON)
rows, index = leading(4, pt.offsets, good, pt.values)
print(len(events), "events,", len(rows), "with at least four good muons;", index.shape)


def muon(name: str) -> np.ndarray:
    return events.jagged(f"muon.{name}").values[index]


charge = muon("charge")
vectors = FourVectors.from_mass(muon("pt"), muon("eta"), muon("phi"), MUON_MASS)
neutral = charge.sum(axis=1) == 0

# %% [markdown]
# ## Three ways to pair four leptons
#
# (01)(23), (02)(13), (03)(12). A pair must be neutral. Of all allowed pairs, the one nearest the Z mass is
# Za; the other two leptons are Zb. In a loop, for one event after the other, that reads:

# %%
SPLITS = (((0, 1), (2, 3)), ((0, 2), (1, 3)), ((0, 3), (1, 2)))


def pair_slowly(row: int) -> tuple[float, float]:
    best = (np.inf, np.nan, np.nan)
    for split in SPLITS:
        if any(charge[row, list(pair)].sum() != 0 for pair in split):
            continue
        masses = [float(vectors[row, list(pair)].sum().mass) for pair in split]
        for near, far in (masses, masses[::-1]):
            if abs(near - Z_MASS) < best[0]:
                best = (abs(near - Z_MASS), near, far)
    return best[1:]


slow = np.array([pair_slowly(row) for row in np.flatnonzero(neutral)[:300]])

# %% [markdown]
# `pair_four_leptons` does it for all events at once:

# %%
pairs = pair_four_leptons(
    vectors[neutral], charge[neutral], np.full(charge[neutral].shape, MUON), z_mass=Z_MASS
)
assert np.allclose(slow, np.stack([pairs.m12, pairs.m34], axis=1)[:300])
first = -np.sort(-np.take_along_axis(muon("pt")[neutral], pairs.first, axis=1), axis=1)
mass = vectors[neutral].sum().mass
kept = (
    (first[:, 0] > 20) & (first[:, 1] > 10)
    & (pairs.m12 > 40) & (pairs.m12 < 120) & (pairs.m34 > 12) & (pairs.m34 < 120) & (mass > 70)
)  # fmt: skip
print(f"{kept.sum()} candidates; median masses: Za {np.median(pairs.m12[kept]):.1f}, "
      f"Zb {np.median(pairs.m34[kept]):.1f}, four leptons {np.median(mass[kept]):.1f} GeV")  # fmt: skip

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
left.hist(pairs.m12[kept], bins=40, range=(10, 110), histtype="step", label="Za")
left.hist(pairs.m34[kept], bins=40, range=(10, 110), histtype="step", label="Zb")
left.set(xlabel="pair mass [GeV]", ylabel="simulated events", title="femtobarn toy simulation")
left.legend()
right.scatter(pairs.m12[kept], pairs.m34[kept], s=3)
right.axline((91, 34), slope=-1, color="grey")
right.set(xlabel="Za mass [GeV]", ylabel="Zb mass [GeV]", title="H -> 4 muons: Za + Zb < 125 GeV")
figure.savefig(work / "pairs.png")

# %% [markdown]
# ## All samples, all channels
#
# `h4l` does this for 4mu, 4e and 2e2mu. An event is counted once. With real CMS data, which come as streams
# (double muon, double electron), 2e2mu events are in both streams; they are taken from the muon one only.

# %%
request = api.Request(what="h4l", release="cms-nanoaod", fileset=str(made.fileset), out=str(work / "run"))
run = api.open_run(api.run(request, process_only=True).path)
table = {name: np.array(column) for name, column in run.tables["candidates"].items()}
for dataset in made.datasets:
    mine = table["dataset"] == dataset.name
    channels = {name: int((table["channel"][mine] == name).sum()) for name in ("4mu", "4e", "2e2mu")}
    print(f"{dataset.name:6} {channels}")

# %%
data = table["dataset"] == "data"
figure, axes = plt.subplots(figsize=(6, 4))
axes.hist(table["m4l"][data], bins=37, range=(70, 181), histtype="step")
axes.set(
    xlabel="Four-lepton mass [GeV]", ylabel="Events / 3 GeV", title="femtobarn toy simulation: pseudo-data"
)
figure.savefig(work / "m4l.png")

# %% [markdown]
# ## Check
#
# Our muon channel is that of `h4l`, candidate by candidate; Za sits at the Z mass; the four-lepton mass of
# the signal at the mass that was generated.

# %%
theirs = (table["dataset"] == "ggH") & (table["channel"] == "4mu")
assert theirs.sum() == kept.sum()
assert np.allclose(np.sort(table["m4l"][theirs]), np.sort(mass[kept]), rtol=1e-9)
assert np.allclose(np.sort(table["m12"][theirs]), np.sort(pairs.m12[kept]), rtol=1e-9)
assert abs(np.median(pairs.m12[kept]) - Z_MASS) < 3
assert abs(np.median(mass[kept]) - truth["mass_gev"]) < 1

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
# # 5. Which reference run?
#
# A shifter certifies a run by comparing its histograms with those of a reference run. Which one?
# Colleagues have a habit, and conditions are more or less alike. We ask for both, see why a run is out,
# and check how often the answers would have been right.
#
# The records are synthetic: a shift leader promotes a long recent run now and then, and shifters follow,
# with a little noise. The policy is known, so that the answers can be checked.

# %%
import json
from pathlib import Path

import matplotlib.pyplot as plt

from femtobarn import api
from femtobarn.catalog.certhelper import read_pairs
from femtobarn.rank.evaluate import evaluate
from femtobarn.rank.history import Events, Protocol

work = Path("notebook-05")
made = api.data_make("refrun", out=work / "toy", seed=1)
truth = json.loads(made.truth.read_text())
files = {name: str(work / "toy" / f"{name}.{kind}")
         for name, kind in (("pairs", "json"), ("runs", "csv"), ("lumisections", "csv"))}  # fmt: skip
certified = read_pairs(files["pairs"]).pairs
print(len(certified), "certifications,", len(truth["promotions"]), "promotions")

# %% [markdown]
# ## Ask for one run
#
# The newest collision run. *History* is what colleagues did, *physics* the mean of |ln(reference / run)|
# over the conditions. They stand side by side and are never mixed.

# %%
run = max(pair.key.run for pair in certified if pair.run_class == "collisions")
request = api.SuggestRequest(reco="prompt", top=4, min_ls=600, why_not=(run,))
answer = api.refrun_suggest([run], request, api.RecordSources(**files), out=work / "suggestion").content
for item in answer["candidates"]:
    print(item["rank"], item["reference"], item["physics"]["distance"], "; ".join(item["history"]["reasons"]))
for item in answer["excluded"][:3]:
    print(item["reference"], "is out:", item["reasons"][0]["code"], item["reasons"][0]["detail"])

# %% [markdown]
# ## Look at it
#
# The luminosity of the run and of its first reference, lumisection by lumisection. Gaps stay gaps.

# %%
overlay = api.open(work / "suggestion").plot(f"luminosity_{run}")
print("drawn:", sorted(overlay.numbers))
overlay

# %% [markdown]
# ## Would it have been right?
#
# Every certification is ranked with what was known before it. `latest` repeats the newest choice,
# `nearest` takes the reference nearest in run number, `model` has learned from earlier rows only.

# %%
events = Events.from_pairs(certified)
replay = evaluate(events, Protocol("run-ordered"), test_from=900_500).to_json()
scores = replay["groups"]["all"]["rankers"]
names = ("latest", "mode20", "nearest", "model")
fig, axes = plt.subplots(figsize=(6, 2.5), layout="constrained")
for place, name in enumerate(names):
    low, high = scores[name]["top1_ci95"]
    axes.plot([low, high], [place, place], color="C0")
    axes.plot(scores[name]["top1"], place, "o", color="C0")
axes.set_yticks(range(len(names)), names)
axes.set_xlabel("chosen reference ranked first (bars: 95 %)")
axes.set_title("femtobarn toy simulation", loc="left", fontsize="medium")
fig.savefig(work / "rankers.png", dpi=120)

# %% [markdown]
# ## Check
#
# The first choice is a reference that the shift leader had in use at the end. The newest choice is worth
# more than the most frequent of the last twenty, and the model more than either: it has seen that express
# follows prompt.

# %%
in_use = [item["reference"] for item in truth["promotions"] if item["class"] == "collisions"]
print("in use:", in_use[-2:], " first choice:", answer["candidates"][0]["reference"])
assert answer["candidates"][0]["reference"] in in_use
assert answer["why_not"][0]["reasons"][0]["code"] == "SELF"
assert scores["model"]["top1"] > scores["latest"]["top1"] > scores["mode20"]["top1"]

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
# # 1. Columns, cuts, laziness
#
# A file of collision events is a table: one row an event, one column a quantity. Most columns are *jagged*:
# an event has any number of leptons, so a row of `lep_pt` is a list. Files are large and columns many, so
# the first rule is to be lazy: open the file, look at what it says about itself, and read only the columns
# that you need.
#
# This notebook makes one synthetic file, looks at it, reads some columns, and cuts. It needs no network and
# takes some seconds.

# %%
from pathlib import Path

import awkward as ak
import numpy as np
import uproot

from femtobarn import api

work = Path("notebook-01")
made = api.data_make("h4l", out=work / "toy", release="atlas-2020", seed=3, settings=["scale=0.5"])
made.datasets[0].name, [dataset.name for dataset in made.datasets]

# %% [markdown]
# ## Opening is not reading
#
# `uproot.open` reads a few kilobytes: names, types, and where each column lies in the file.

# %%
file = work / "toy" / "ggH.root"
tree = uproot.open(file)["mini"]
print(tree.num_entries, "events,", len(tree.keys()), "columns,", file.stat().st_size // 1000, "kB on disk")
for name in ("runNumber", "trigE", "mcWeight", "lep_pt", "lep_type"):
    print(f"{name:10} {tree[name].typename:24} {tree[name].compressed_bytes / 1000:7.1f} kB")

# %% [markdown]
# femtobarn does the same for whole sets of files: `api.data_probe` (or `femtobarn data probe FILE`) reads
# metadata only and says which release a file belongs to.

# %%
(probed,) = api.data_probe([str(file)])
print(probed.schema, probed.tree, probed.entries)

# %% [markdown]
# ## Reading columns
#
# Now two columns of all events. `lep_pt` is jagged; momenta in this release are stored in MeV.

# %%
events = tree.arrays(["lep_pt", "lep_type", "lep_charge"])
pt = events.lep_pt / 1000  # GeV
print(pt[:3])
print("leptons in the first events:", ak.num(pt)[:10].to_list())

# %% [markdown]
# ## A jagged array is two flat ones
#
# There is no list of lists in memory: one array holds all values, another one where each event begins.
# femtobarn's own columns are just that, in GeV, under names that are the same for every release
# (`lepton.pt`).

# %%
from femtobarn.read import open_source, read_events
from femtobarn.records import FileRef

source = open_source(FileRef(str(file)))
ours = read_events(
    source, ["lepton.pt", "lepton.type", "lepton.charge"], [], 0, source.entries, where=str(file)
)
column = ours.jagged("lepton.pt")
print("values ", column.values[:6].round(2))
print("offsets", column.offsets[:6])
assert np.allclose(column.values, ak.to_numpy(ak.flatten(pt)))

# %% [markdown]
# Asking for a column that was not read is an error with the nearest name, not a column of zeros:

# %%
from femtobarn.errors import DataError

try:
    ours["lepton.pts"]
except DataError as error:
    print(error)

# %% [markdown]
# ## Cuts are masks, and masks have the length of the events
#
# A cut is an array of booleans, one for each event. It is tempting to cut, then compute the next mask on
# what is left. Then masks have different lengths, and applying one to the wrong array moves every weight
# behind it to another event, silently. So: **all masks are over all events**, and are combined with `&`.

# %%
four = ak.num(events.lep_pt) == 4
charge = ak.sum(events.lep_charge, axis=1) == 0
total_type = ak.sum(events.lep_type, axis=1)  # electron 11, muon 13
flavour = (total_type == 44) | (total_type == 48) | (total_type == 52)

cutflow = {"all": len(events)}
passed = np.ones(len(events), dtype=bool)
for name, mask in (("four_leptons", four), ("charge", charge), ("flavour", flavour)):
    passed = passed & ak.to_numpy(mask)
    cutflow[name] = int(passed.sum())
cutflow

# %% [markdown]
# femtobarn refuses a mask of another length:

# %%
from femtobarn.analysis import Selection

selection = Selection(len(events))
selection.require("four_leptons", ak.to_numpy(four))
try:
    selection.require("charge", ak.to_numpy(charge[four]))
except ValueError as error:
    print(error)

# %% [markdown]
# ## The same, as a run
#
# The loose selection of `h4l` has these cuts. A run cuts the file into parts, processes them independently
# and adds up; parts of 1000 events give the same counts as one part.

# %%
request = api.Request(
    what="h4l", release="atlas-2020", files=(f"ggH={file}",), settings=("selection=loose",),
    part_events=1000, executor="serial", out=str(work / "run"),
)  # fmt: skip
finished = api.run(request, process_only=True)
rows = api.open_run(finished.path).cutflow["ggH"]
print(finished.result.summary.total, "parts:", {row["cut"]: row["events"] for row in rows})

# %% [markdown]
# ## Check

# %%
assert finished.complete
assert finished.result.summary.total == -(-source.entries // 1000)
assert {row["cut"]: row["events"] for row in rows} == cutflow
assert 0 < cutflow["flavour"] <= cutflow["charge"] <= cutflow["four_leptons"] < cutflow["all"]

"""dimuon: muon pairs of opposite charge and their mass.

Run it:     femtobarn run dimuon.py --files 'dimuon=FILES*.root'
Change it:  name another branch in COLUMNS, add a histogram, cut differently in process().
"""

import awkward as ak
import numpy as np

from femtobarn.analysis import Analysis, Context, Stored
from femtobarn.hists import HistSpec, regular
from femtobarn.outcome import Outcome
from femtobarn.read import Events

# The branches that process() looks at (here those of CMS NanoAOD); nothing else is read.
COLUMNS = ["Muon_pt", "Muon_eta", "Muon_phi", "Muon_charge"]

MASS = HistSpec("mass", (regular(100, 0, 200, "mass", label="Dimuon mass", unit="GeV"),))


def process(events: Events, ctx: Context) -> Outcome:
    """Look at some of the events; the results of all parts are added up afterwards."""
    muons = events.Muon  # muons.pt is Muon_pt, in GeV: one list of muons for each event
    muons = muons[muons.pt > 10]
    one, two = ak.unzip(ak.combinations(muons, 2))
    # The muons' own masses do not matter at these momenta.
    mass = np.sqrt(2 * one.pt * two.pt * (np.cosh(one.eta - two.eta) - np.cos(one.phi - two.phi)))
    mass = mass[one.charge != two.charge]

    selection = ctx.select(events)  # masks below are over all events; each is a row of cutflow.json
    selection.require("two_muons", ak.num(muons) >= 2)
    selection.require("opposite_charge", ak.num(mass) >= 1)

    out = ctx.outcome()
    out.add_cutflow(selection)
    pairs = ak.to_numpy(ak.flatten(mass))
    out.fill("mass", pairs)  # simulated events would be filled with weight=...
    out.add_sum("pairs", len(pairs))
    out.add_sum("peak", np.sum((pairs >= 80) & (pairs < 100)))
    return out


def headline(stored: Stored, _fit: object) -> str:
    """Say what was found in one sentence."""
    pairs, peak = (sum(stored.outcome.sum_of(d.name, n) for d in stored.datasets) for n in ("pairs", "peak"))
    return f"{pairs:.0f} muon pairs of opposite charge, {peak:.0f} of them with a mass of 80 to 100 GeV."


analysis = Analysis(name="dimuon", columns=COLUMNS, histograms=[MASS], process=process, headline=headline)

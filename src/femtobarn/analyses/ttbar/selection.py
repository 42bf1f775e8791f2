"""From events to the two regions, all variations in one pass."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from femtobarn.analyses.ttbar import assignment, sanity
from femtobarn.analyses.ttbar.columns import REGIONS, category, jet_columns
from femtobarn.analyses.ttbar.ntuple import save
from femtobarn.analyses.ttbar.tasks import ISOLATION_MAX, SIP3D_MAX, TASKS, Task
from femtobarn.analyses.ttbar.variations import object_variations, weight_of, weight_variations
from femtobarn.analysis import Context
from femtobarn.errors import DataError
from femtobarn.hists import HistSpec, regular
from femtobarn.kernels.leptons import exactly_one, passing_above, passing_electrons, passing_muons
from femtobarn.kernels.multijet import Rows, narrow, select_jets
from femtobarn.outcome import Outcome
from femtobarn.physics.weights import weigh
from femtobarn.read.columns import Events

__all__ = ["REGIONS", "histograms", "process"]

Array = NDArray[np.float64]

_BINS: Final = (25, 50.0, 550.0)


def histograms(parameters: Any) -> tuple[HistSpec, ...]:
    """The two observables."""
    ht = regular(*_BINS, "observable", label="HT", unit="GeV")
    mass = regular(*_BINS, "observable", label="Mass of the best three jets", unit="GeV")
    specs = (HistSpec("4j1b", (ht,), "HT, one b tag"), HistSpec("4j2b", (mass,), "m(bjj), two b tags"))
    return specs if parameters.ml == "off" else (*specs, *assignment.histograms())


def process(events: Events, ctx: Context) -> Outcome:
    """Select, and fill both regions in all variations."""
    out = ctx.outcome()
    sanity.inspect(ctx, out)
    weight = _weights(events, ctx, out)
    task = TASKS[ctx.parameters.task]
    leptons = one_lepton(events, task)
    chosen = leptons.one & _certified(events, ctx)
    rows, bad = _select(events, ctx, chosen)
    _report_bad(bad, events, ctx, out)
    chosen &= ~bad
    nominal = rows.variation == 0
    in_event = {name: rows.event[nominal & (rows.region == code)] for name, code in REGIONS.items()}
    cuts = ctx.select(events, weight)
    cuts.require("exactly_1l", chosen)
    cuts.require_among("atleast_4j", rows.event[nominal], np.ones(int(nominal.sum()), dtype=np.bool_))
    # The regions exclude each other, so they are no chain.
    cuts.rows += [(name, weight[index]) for name, index in in_event.items()]
    out.add_cutflow(cuts)
    _fill(out, rows, weight, ctx)
    sanity.duplicates(events, rows, out)
    best = None
    if ctx.parameters.ml != "off":
        best = assignment.assign(events, ctx, rows, leptons)
        assignment.fill(out, best, rows, weight, ctx)
    if ctx.parameters.save_events:
        save(out, rows, weight, events, ctx, best)
    return out


class Leptons(NamedTuple):
    """Which events have exactly one lepton, and which electrons and muons pass."""

    one: NDArray[np.bool_]
    electron: NDArray[np.bool_]
    muon: NDArray[np.bool_]


def one_lepton(events: Events, task: Task) -> Leptons:
    """Events in which exactly one electron or muon passes."""

    def column(name: str) -> NDArray[Any]:
        return narrow(events.stored(name).values)

    if task.tight:
        electrons = passing_electrons(
            column("electron.pt"), column("electron.eta"), column("electron.cutBased"),
            column("electron.sip3d"), task.lepton_pt, task.lepton_eta, SIP3D_MAX,
        )  # fmt: skip
        muons = passing_muons(
            column("muon.pt"), column("muon.eta"), column("muon.tightId"), column("muon.sip3d"),
            column("muon.pfRelIso04_all"), task.lepton_pt, task.lepton_eta, SIP3D_MAX, ISOLATION_MAX,
        )  # fmt: skip
    else:
        electrons = passing_above(column("electron.pt"), task.lepton_pt)
        muons = passing_above(column("muon.pt"), task.lepton_pt)
    first, second = (events.stored(f"{kind}.pt").offsets for kind in ("electron", "muon"))
    return Leptons(exactly_one(first, electrons, second, muons), electrons, muons)


def _weights(events: Events, ctx: Context, out: Outcome) -> Array:
    """(n,) event weights and the sums that normalisation needs."""
    out.add_sum("events", float(len(events)))
    if ctx.parameters.mode == "compat" or ctx.is_data:
        out.add_sum("sumw", float(len(events)))
        return np.ones(len(events))
    weight = weigh(events, (), out, is_data=False)
    out.add_sum("negative", float((weight < 0).sum()))
    return weight


def _certified(events: Events, ctx: Context) -> NDArray[np.bool_]:
    mask = ctx.resources.get("lumi_mask")
    if mask is None or not ctx.is_data:
        return np.ones(len(events), dtype=np.bool_)
    return np.asarray(mask(events.flat("run"), events.flat("lumi")))


def _select(events: Events, ctx: Context, chosen: NDArray[np.bool_]) -> tuple[Rows, NDArray[np.bool_]]:
    jets = jet_columns(events, ctx)
    rows, bad = select_jets(chosen, *jets)
    return Rows(*rows), bad


def _report_bad(bad: NDArray[np.bool_], events: Events, ctx: Context, out: Outcome) -> None:
    """Impossible momenta: dropped and told (corrected), refused (compat)."""
    if not bad.any():
        return
    count = int(bad.sum())
    sentence = f"{out.dataset}: event dropped: a jet pT is negative, above 13 TeV or no number"
    if ctx.parameters.mode == "compat":
        first = int(np.flatnonzero(bad)[0])
        values = events.jagged("jet.pt").rows(np.array([first])).values
        what = "a jet pT that is negative, above 13 TeV or no number"
        raise DataError(
            f"{count} events with {what}, first {values.tolist()}",
            action="mode=corrected drops such events and counts them",
        )
    out.warn(sentence, count)


def _fill(out: Outcome, rows: Rows, weight: Array, ctx: Context) -> None:
    """Both regions in all variations; empty ones stay in the file as zeros."""
    objects = object_variations(ctx.parameters.systematics, ctx.dataset)
    weights = weight_variations(ctx.parameters.systematics, ctx.dataset)
    for region, code in REGIONS.items():
        here = rows.region == code
        for number, variation in enumerate(objects):
            at = np.flatnonzero(here & (rows.variation == number))
            own = weight[rows.event[at]]
            labels, columns = [variation.label], [own]
            if number == 0:
                pt = rows.pt[at]
                labels += [v.label for v in weights]
                columns += [own * weight_of(v, pt) for v in weights]
            out.histograms[region].fill_each(
                [category(region, ctx, label) for label in labels],
                rows.observable[at],
                weights=np.stack(columns, axis=1),
            )

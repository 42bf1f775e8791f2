"""From events to the two regions, all variations in one pass."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.analyses.ttbar import sanity
from femtobarn.analyses.ttbar.tasks import ISOLATION_MAX, SIP3D_MAX, TASKS, Task, jet_cuts
from femtobarn.analyses.ttbar.variations import object_variations, weight_of, weight_variations
from femtobarn.analysis import Context
from femtobarn.errors import DataError
from femtobarn.hists import HistSpec, Key, regular
from femtobarn.kernels.leptons import count_above, count_electrons, count_muons, single_lepton
from femtobarn.kernels.multijet import CONTROL, SIGNAL, Rows, narrow, select_jets
from femtobarn.outcome import Outcome
from femtobarn.physics.weights import weigh
from femtobarn.read.columns import Events
from femtobarn.records import NOMINAL

__all__ = ["REGIONS", "histograms", "process"]

Array = NDArray[np.float64]

#: Region -> code of the kernel; the control region first.
REGIONS: Final = {"4j1b": CONTROL, "4j2b": SIGNAL}
_BINS: Final = (25, 50.0, 550.0)
_NO_ID: Final = np.empty(0, dtype=np.int32)


def histograms(parameters: Any) -> tuple[HistSpec, ...]:
    """The two observables."""
    ht = regular(*_BINS, "observable", label="HT", unit="GeV")
    mass = regular(*_BINS, "observable", label="Mass of the best three jets", unit="GeV")
    return HistSpec("4j1b", (ht,), "HT, one b tag"), HistSpec("4j2b", (mass,), "m(bjj), two b tags")


def process(events: Events, ctx: Context) -> Outcome:
    """Select, and fill both regions in all variations."""
    out = ctx.outcome()
    sanity.inspect(ctx, out)
    weight = _weights(events, ctx, out)
    task = TASKS[ctx.parameters.task]
    chosen = one_lepton(events, task)
    chosen &= _certified(events, ctx)
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
    if ctx.parameters.save_events:
        _save(out, rows, weight, events, ctx)
    return out


def one_lepton(events: Events, task: Task) -> NDArray[np.bool_]:
    """(n,) whether exactly one electron or muon passes."""

    def column(name: str) -> NDArray[Any]:
        return narrow(events.jagged(name).values)

    electron, muon = events.jagged("electron.pt"), events.jagged("muon.pt")
    if not task.tight:
        return np.asarray(
            single_lepton(
                count_above(electron.offsets, column("electron.pt"), task.lepton_pt),
                count_above(muon.offsets, column("muon.pt"), task.lepton_pt),
            )
        )
    electrons = count_electrons(
        electron.offsets, column("electron.pt"), column("electron.eta"), column("electron.cutBased"),
        column("electron.sip3d"), task.lepton_pt, task.lepton_eta, SIP3D_MAX,
    )  # fmt: skip
    muons = count_muons(
        muon.offsets, column("muon.pt"), column("muon.eta"), column("muon.tightId"), column("muon.sip3d"),
        column("muon.pfRelIso04_all"), task.lepton_pt, task.lepton_eta, SIP3D_MAX, ISOLATION_MAX,
    )  # fmt: skip
    return np.asarray(single_lepton(electrons, muons))


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


def _numbers(events: Events, ctx: Context) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Run, section and event number; ntuples without them are numbered by file and entry."""
    if "event" in events:
        found = [events.flat(name).astype(np.uint64) for name in ("run", "lumi", "event")]
        return found[0], found[1], found[2]
    part = ctx.part
    start, file = (part.start, part.file) if part is not None else (0, 0)
    n = len(events)
    return (np.zeros(n, np.uint64), np.full(n, file, np.uint64), np.arange(start, start + n, dtype=np.uint64))


def _select(events: Events, ctx: Context, chosen: NDArray[np.bool_]) -> tuple[Rows, NDArray[np.bool_]]:
    cuts = jet_cuts(ctx.parameters)
    jets = {
        name: narrow(events.jagged(f"jet.{name}").values)
        for name in ("pt", "eta", "phi", "energy" if cuts.energy_given else "mass", ctx.parameters.btag)
    }
    identification = (
        events.jagged("jet.jetId").values.astype(np.int32, copy=False) if cuts.id_bits else _NO_ID
    )
    variations = object_variations(ctx.parameters.systematics, ctx.dataset)
    pt, eta, phi, mass, tag = jets.values()
    run, lumi, event = _numbers(events, ctx)
    kinds, sizes = np.array([v.kind for v in variations]), np.array([v.size for v in variations])
    rows, bad = select_jets(
        chosen, events.jagged("jet.pt").offsets, pt, eta, phi, mass, tag, identification,
        run, lumi, event, kinds, sizes, cuts,
    )  # fmt: skip
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


def _key(region: str, ctx: Context, variation: str) -> Key:
    """Category of a histogram: a varied sample is a variation of its process."""
    sample = str(ctx.dataset.metadata.get("variation", NOMINAL.label))
    return region, ctx.dataset.process, sample if variation == NOMINAL.label else variation


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
                labels += [v.label for v in weights]
                columns += [own * weight_of(v, rows.pt[at]) for v in weights]
            out.histograms[region].fill_each(
                [_key(region, ctx, label) for label in labels],
                rows.observable[at],
                weights=np.stack(columns, axis=1),
            )


def _save(out: Outcome, rows: Rows, weight: Array, events: Events, ctx: Context) -> None:
    """One row a selected event and object variation."""
    at = np.flatnonzero(rows.region > 0)
    index = rows.event[at]
    run, lumi, event = _numbers(events, ctx)
    labels = [_key("", ctx, v.label)[2] for v in object_variations(ctx.parameters.systematics, ctx.dataset)]
    names = np.array(["", *REGIONS])
    codes = np.array([0, *REGIONS.values()])
    out.add_table(
        "events.parquet",
        {
            "dataset": np.full(len(at), ctx.dataset.name),
            "run": run[index].astype(np.int64),
            "event": event[index].astype(np.int64),
            "luminosityBlock": lumi[index].astype(np.int64),
            "variation": np.array(labels)[rows.variation[at]],
            "region": names[np.searchsorted(codes, rows.region[at])],
            "observable": rows.observable[at],
            "njet": rows.njet[at].astype(np.int64),
            "nbtag": rows.nbtag[at].astype(np.int64),
            "weight": weight[index],
        },
        part=ctx.part.number if ctx.part is not None else 0,
    )

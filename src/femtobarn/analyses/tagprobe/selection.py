"""From the events of a part to pairs, and which of them pass a filter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from femtobarn.analyses.tagprobe.flat import flat_pairs
from femtobarn.analyses.tagprobe.names import expression, is_trigger, meaning
from femtobarn.analyses.tagprobe.nanoaod import nanoaod_pairs, trigger_mask
from femtobarn.analyses.tagprobe.pairs import Pairs
from femtobarn.analyses.tagprobe.parameters import TagProbeParameters
from femtobarn.analyses.tagprobe.weights import event_weights, is_simulated
from femtobarn.analysis import Context, Selection
from femtobarn.errors import DataError
from femtobarn.kernels.counter_random import normals
from femtobarn.kernels.jagged import Jagged
from femtobarn.kernels.pairs import best_in_event
from femtobarn.outcome import Outcome
from femtobarn.physics.plugin import apply_plugin
from femtobarn.read.columns import Events

__all__ = ["Selected", "event_cuts", "passes", "select"]

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Selected:
    """Pairs of a part, and the mask of each filter."""

    pairs: Pairs
    passing: Mapping[str, Mask]
    simulated: bool


def event_cuts(
    events: Events, ctx: Context, selection: Selection, *, simulated: bool, trigger: NDArray[Any] | None
) -> None:
    """User's filter, certified luminosity sections, trigger: in this order, where asked for."""
    parameters: TagProbeParameters = ctx.parameters
    if parameters.extra_filter:
        function = parameters.extra_filter.rpartition("::")[2]
        kept = apply_plugin(ctx.resources["extra_filter"], function, events, parameters.extra_filter_args)
        selection.require("extra_filter", kept)
    if "golden" in ctx.resources and not simulated:
        layout = parameters.source.layout
        lumi = layout.lumi if layout is not None else parameters.columns.get("lumi", "luminosityBlock")
        if lumi not in events or "run" not in events:
            raise DataError(f"the golden JSON needs the columns 'run' and {lumi!r}, which are not there")
        selection.require("lumi_mask", ctx.resources["golden"](events.flat("run"), events.flat(lumi)))
    if trigger is not None:
        selection.require("tag_trigger", trigger.astype(np.bool_))


def select(events: Events, ctx: Context, out: Outcome) -> Selected:
    """All pairs of a part that pass the selection; keeps the cutflow."""
    parameters: TagProbeParameters = ctx.parameters
    simulated = is_simulated(events, ctx)
    out.add_fact("simulated", np.array([float(simulated)]))
    weights = event_weights(events, ctx, out, simulated=simulated)
    selection = ctx.select(events, weights["weight"])
    nano = parameters.source.source == "nanoaod"
    trigger = events.flat(parameters.tag_trigger.path) if nano else None
    event_cuts(events, ctx, selection, simulated=simulated, trigger=trigger)
    probes = triggers = None
    if nano:
        pairs, probes, triggers = nanoaod_pairs(
            events, ctx, out, selection.mask, weights, simulated=simulated
        )
    else:
        pairs = flat_pairs(events, ctx, selection.mask, weights)
    for text in (parameters.cutbased_id, parameters.extra_zcands_mask):
        if text:
            pairs = pairs.rows(passes(text, pairs, parameters))
    pairs = _arbitrated(pairs, ctx)
    selection.rows.append(("pairs", pairs.weight("weight")))
    windows = [parameters.window(method) for method in parameters.methods] or [parameters.peak.window]
    low, high = min(one[0] for one in windows), max(one[1] for one in windows)
    pairs = pairs.rows((pairs.mass > low) & (pairs.mass < high))
    selection.rows.append(("mass_window", pairs.weight("weight")))
    out.add_cutflow(selection)
    wanted = {name for method in parameters.methods for name in method.filter}
    passing = {}
    for name, text in parameters.filters.items():
        if name not in wanted:
            continue
        if is_trigger(text) and probes is not None and triggers is not None:
            passing[name] = trigger_mask(name, pairs, probes, triggers, parameters)
        else:
            passing[name] = passes(text, pairs, parameters)
    return Selected(pairs, passing, simulated)


def passes(text: str, pairs: Pairs, parameters: TagProbeParameters) -> Mask:
    """(p,) whether pairs fulfil a condition: a column of that name, or a restricted expression."""
    if parameters.source.source != "nanoaod" and text in pairs.events:
        return np.asarray(pairs.events.flat(text)[pairs.event] == 1)
    parsed = expression(text)

    def lookup(name: str) -> Any:
        found = pairs.get(meaning(name, parameters.source, in_filter=True))
        return _awkward(found) if isinstance(found, Jagged) else found

    value = np.asarray(parsed.evaluate(lookup))
    if value.ndim == 0:
        value = np.full(len(pairs), value)
    if value.shape != (len(pairs),):
        raise DataError(f"the condition {text!r} does not give one value a pair")
    return value.astype(np.bool_) if value.dtype == np.bool_ else np.asarray(value == 1)


def _awkward(column: Jagged) -> Any:
    import awkward as ak

    return ak.Array(
        ak.contents.ListOffsetArray(ak.index.Index64(column.offsets), ak.contents.NumpyArray(column.values))
    )


def _arbitrated(pairs: Pairs, ctx: Context) -> Pairs:
    """One pair an event, where asked for."""
    parameters: TagProbeParameters = ctx.parameters
    if parameters.arbitration == "all":
        return pairs
    if parameters.arbitration == "best_mass":
        return pairs.rows(best_in_event(pairs.event, np.abs(pairs.mass - parameters.peak.mass)))
    names = ("run", "lumi" if "lumi" in pairs.events else "luminosityBlock", "event")
    run, lumi, number = (pairs.events.flat(name)[pairs.event].astype(np.int64) for name in names)
    # Position among the pairs of the event, so that each has a number of its own.
    firsts = np.searchsorted(pairs.event, pairs.event, side="left")
    place = np.arange(len(pairs)) - firsts
    draws = np.empty(len(pairs))
    for index in np.unique(place):
        at = np.flatnonzero(place == index)
        offsets = np.arange(len(at) + 1, dtype=np.int64)
        draws[at] = normals(parameters.seed + int(index), run[at], lumi[at], number[at], offsets, 1)
    return pairs.rows(best_in_event(pairs.event, draws))

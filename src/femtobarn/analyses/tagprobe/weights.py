"""Weights of simulated events: generator, pileup, and their sum before any cut."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from femtobarn.analyses.tagprobe.parameters import TagProbeParameters
from femtobarn.analysis import Context
from femtobarn.errors import DataError
from femtobarn.outcome import Outcome
from femtobarn.read.columns import Events

__all__ = ["GENERATOR_SUM", "NORMALISED", "event_weights", "is_simulated"]

#: Name of the sum of generator weights over all events read.
GENERATOR_SUM = "sum_genWeight"
#: Weights that are divided by it when all parts are added.
NORMALISED = ("weight", "weight_PileupUp", "weight_PileupDown", "weight_total")


def is_simulated(events: Events, ctx: Context) -> bool:
    """Whether the events are simulated: as the fileset says, else by a column only simulation has."""
    stated = ctx.dataset.metadata.get("isMC")
    if stated is not None:
        return bool(stated)
    if ctx.dataset.metadata.get("kind") in ("data", "mc"):
        return bool(ctx.dataset.metadata["kind"] == "mc")
    layout = ctx.parameters.source.layout
    if layout is not None:
        return layout.simulated in events
    return "GenPart_pdgId" in events


def event_weights(
    events: Events, ctx: Context, out: Outcome, *, simulated: bool
) -> dict[str, NDArray[np.float64]]:
    """All weights by name, one an event; notes the sum of generator weights of all events."""
    parameters: TagProbeParameters = ctx.parameters
    ones = np.ones(len(events))
    given = parameters.columns.get("weight")
    if given is not None:
        return {"weight": np.asarray(events.flat(given), dtype=np.float64)}
    if not simulated:
        return {"weight": ones}
    layout = parameters.source.layout
    generator = layout.generator if layout is not None else "genWeight"
    weights: dict[str, NDArray[np.float64]] = {}
    gen = ones
    if generator in events:
        gen = np.asarray(events.flat(generator), dtype=np.float64)
        if not np.isfinite(gen).all():
            raise DataError(
                f"{int((~np.isfinite(gen)).sum())} events have a generator weight that is not a number"
            )
        out.add_sum(GENERATOR_SUM, gen)
        weights["weight_gen"] = gen
    pileup = ctx.resources.get("pileup")
    factors: dict[str, Any] = {"weight": ones}
    if pileup is not None:
        name = layout.interactions if layout is not None else "Pileup_nTrueInt"
        if name not in events:
            raise DataError(f"pileup weights need the column {name!r}, which is not there")
        number = events.flat(name)
        factors = {
            "weight": pileup(number), "weight_PileupUp": pileup(number, "up"),
            "weight_PileupDown": pileup(number, "down"),
        }  # fmt: skip
    for name, factor in factors.items():
        weights[name] = gen * factor
    if "LHEWeight_originalXWGTUP" in events:
        weights["weight_total"] = weights["weight"] * events.flat("LHEWeight_originalXWGTUP")
    return weights

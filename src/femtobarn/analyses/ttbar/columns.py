"""What several steps of the selection share: regions, jet columns, event numbers, histogram categories."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.analyses.ttbar.tasks import jet_cuts
from femtobarn.analyses.ttbar.variations import object_variations
from femtobarn.analysis import Context
from femtobarn.hists import Key
from femtobarn.kernels.multijet import CONTROL, SIGNAL, narrow
from femtobarn.read.columns import Events
from femtobarn.records import NOMINAL

__all__ = ["REGIONS", "category", "jet_columns", "numbers"]

#: Region -> code of the kernel; the control region first.
REGIONS: Final = {"4j1b": CONTROL, "4j2b": SIGNAL}
_NO_ID: Final = np.empty(0, dtype=np.int32)


def category(region: str, ctx: Context, variation: str) -> Key:
    """Category of a histogram: a varied sample is a variation of its process."""
    sample = str(ctx.dataset.metadata.get("variation", NOMINAL.label))
    return region, ctx.dataset.process, sample if variation == NOMINAL.label else variation


def numbers(events: Events, ctx: Context) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Run, section and event number; ntuples without them are numbered by file and entry."""
    if "event" in events:
        # As NanoAOD stores them; kernels widen each number themselves.
        kinds = {"run": np.uint32, "lumi": np.uint32, "event": np.uint64}
        run, lumi, event = (events.flat(name).astype(kind, copy=False) for name, kind in kinds.items())
        return run, lumi, event
    part = ctx.part
    start, file = (part.start, part.file) if part is not None else (0, 0)
    n = len(events)
    return (np.zeros(n, np.uint32), np.full(n, file, np.uint32), np.arange(start, start + n, dtype=np.uint64))


def jet_columns(events: Events, ctx: Context) -> tuple[Any, ...]:
    """Jets, event numbers, variations and cuts, in the order the jet kernels take them."""
    cuts = jet_cuts(ctx.parameters)
    names = ("pt", "eta", "phi", "energy" if cuts.energy_given else "mass", ctx.parameters.btag)
    jets = [narrow(events.stored(f"jet.{name}").values) for name in names]
    identification = _NO_ID
    if cuts.id_bits:
        identification = events.stored("jet.jetId").values.astype(np.int32, copy=False)
    variations = object_variations(ctx.parameters.systematics, ctx.dataset)
    kinds, sizes = np.array([v.kind for v in variations]), np.array([v.size for v in variations])
    offsets = events.stored("jet.pt").offsets
    return (offsets, *jets, identification, *numbers(events, ctx), kinds, sizes, cuts)

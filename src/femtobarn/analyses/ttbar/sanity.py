"""Is a sample what its name says?  Looked at in the first events of every file."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.analysis import Context, Peek
from femtobarn.errors import DataError
from femtobarn.kernels.multijet import Rows
from femtobarn.outcome import Outcome
from femtobarn.physics.weights import GENERATOR
from femtobarn.read.columns import Events
from femtobarn.records import Dataset

__all__ = ["ADVICE", "COLUMNS", "EVENTS", "duplicates", "inspect", "mislabelled", "peek"]

#: What to do about a file that is not what its dataset says.
ADVICE: Final = "name the dataset for what it holds, or go on with --set sanity=warn"
#: Events at the beginning of a file that are looked at.
EVENTS: Final = 200
_PARTICLES: Final = "GenPart_pdgId"
#: Columns that are looked at, where a file has them.
COLUMNS: Final = (_PARTICLES, GENERATOR)
_TOP, _W = 6, 24
_ODD: Final = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB], dtype=np.uint64)
#: Fraction of events that must show what the name says.
_MOST: Final = 0.9


def peek(parameters: Any, dataset: Dataset) -> Peek | None:
    """The generated particles of the first events of every simulated file."""
    return Peek(COLUMNS, EVENTS) if dataset.kind == "mc" else None


def inspect(ctx: Context, out: Outcome) -> None:
    """Refuse (or tell, ``sanity=warn``) a file that is not of the process its dataset names."""
    events = ctx.peek
    if events is None or not len(events):
        return
    if ctx.parameters.mode == "compat" and GENERATOR in events:
        negative = float((events.flat(GENERATOR) < 0).mean())
        if negative > 0:
            out.warn(
                f"{ctx.dataset.name}: {negative:.1%} of its first events have a negative generator weight, "
                "which mode=compat ignores"
            )
    problem = mislabelled(ctx.dataset, events, where=ctx.url)
    if not problem:
        return
    if ctx.parameters.sanity == "error":
        raise DataError(problem, action=ADVICE)
    out.warn(problem)


def mislabelled(dataset: Dataset, events: Events, *, where: str) -> str:
    """What the first events of a file say against its dataset; empty if nothing does."""
    found = _unlike(dataset.process, events) if _PARTICLES in events and len(events) else ""
    place = f"{where}: " if where else ""
    return f"{place}mislabelled: dataset {dataset.name!r} has {found}" if found else ""


def _unlike(process: str, events: Events) -> str:
    """What was found and what it looks like; empty if the process fits."""
    particles = events.jagged(_PARTICLES)
    parents, kinds, n = particles.parents, particles.values, len(events)

    def having(wanted: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return np.bincount(parents[wanted], minlength=n) > 0

    # A top is listed once a radiation step, so its copies are told from a partner by charge.
    plus, minus, bosons = having(kinds == _TOP), having(kinds == -_TOP), having(np.abs(kinds) == _W)
    top, pair, single = plus | minus, plus & minus, plus ^ minus
    fits = {
        "ttbar": top.mean() >= _MOST,
        "wjets": not top.any(),
        "single_top": single.mean() >= _MOST,
    }
    family = "single_top" if process.startswith("single_top") else process
    if fits.get(family, True):
        return ""
    if pair.mean() >= _MOST:
        looks = "ttbar"
    elif single.mean() >= _MOST:
        looks = "single top"
    elif not top.any() and bosons.mean() >= _MOST:
        looks = "wjets"
    else:
        looks = "none of ttbar, single top and wjets"
    found = f"{int(top.sum())}/{n} events with a top quark"
    if family == "single_top":
        found += f", {int(single.sum())}/{n} with exactly one"
    return f"{found}, {int(bosons.sum())}/{n} with a W: looks like {looks}"


def duplicates(events: Events, rows: Rows, out: Outcome) -> None:
    """Tell if a selected event is there twice within the part."""
    if "event" not in events or not len(rows.event):
        return
    # Rows are in event order, so the first of each event is where the number changes.
    index = rows.event[np.flatnonzero(np.diff(rows.event, prepend=-1))]
    run, lumi, event = (events.flat(name)[index].astype(np.uint64) for name in ("run", "lumi", "event"))
    # Multiplications wrap: a cheap hash that tells apart all but one pair in 2^64.
    hashed = (run * _ODD[0]) ^ (lumi * _ODD[1]) ^ (event * _ODD[2])
    hashed.sort()
    repeated = int((hashed[1:] == hashed[:-1]).sum())
    if repeated:
        out.warn(f"{out.dataset}: selected event with the same run, section and number as another", repeated)

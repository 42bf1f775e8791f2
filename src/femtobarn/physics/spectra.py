"""From kept objects to accumulated masses of all combinations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from femtobarn.hists.spectra import Kept, Spectra
from femtobarn.kernels.combinations import count_rows, fill_masses
from femtobarn.kernels.exact import carried, exact_sum
from femtobarn.physics.finalstates import TYPES, Combination, unpack
from femtobarn.physics.objects import Objects

__all__ = ["accumulate"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def accumulate(
    chosen: Ints,
    codes: Ints,
    objects: Mapping[str, Objects],
    momenta: Mapping[str, Floats],
    combos: Sequence[Combination],
    *,
    empty: Spectra,
    name_of: Callable[[int], str],
    met: Floats,
    weight: Floats | None = None,
    keep: int | None = None,
) -> Spectra:
    """All masses of the chosen events.

    Parameters
    ----------
    chosen : (k,) int64
        Numbers of the classified events.
    codes : (k,) int64
        Their final states.
    objects, momenta : {type: Objects}, {type: (m, 4) float64, GeV}
        Kept objects, leading one first.
    combos : combinations, as ``empty`` names them
    empty : Spectra
        Grid, names and whether events are weighted.
    name_of : from a final state to its name
    met : (n, 2) float64, GeV, or empty
    weight : (n,) float64, optional
    keep : int, optional
        Keep the masses themselves, filed under this part number.
    """
    if not len(chosen):
        return empty
    first, count, p = _tables(objects, momenta)
    picks, transverse = _picks(combos)
    states, inverse = np.unique(codes, return_inverse=True)
    place = np.argsort(inverse, kind="stable")
    bounds = np.concatenate([[0], np.cumsum(np.bincount(inverse, minlength=len(states)))]).astype(np.int64)
    order = chosen[place]
    counts = np.array([unpack(int(state))[0] for state in states], dtype=np.int64)
    room = count_rows(bounds, counts, picks, empty.grid.bins)
    (
        row, item, n, total, low, high, overflow, sumw, sumw2, filled,
        bins, bin_count, bin_sumw, bin_sumw2, masses,
    ) = fill_masses(
        order, bounds, counts, p, first, count, picks, transverse, met,
        weight if weight is not None else np.zeros(0),
        empty.grid.width, empty.grid.bins, room, keep is not None, np.empty(room[1], empty.grid.bin_type),
    )  # fmt: skip
    of = states[row]
    names = {int(state): name_of(int(state)) for state in states}
    kept = []
    if keep is not None:
        edges = np.concatenate([[0], np.cumsum(n)]).astype(np.int64)
        kept = [Kept(keep, of, item, edges, masses)]
    weights: dict[str, Any] = {}
    if weight is not None:
        # One sum a state; states are few.
        sums = [exact_sum(weight[order[a:b]]) for a, b in pairwise(bounds)]
        weights = {
            "state_sumw": np.array(sums, dtype=np.int64), "sumw": carried(sumw), "sumw2": carried(sumw2),
            "bin_sumw": bin_sumw, "bin_sumw2": bin_sumw2,
        }  # fmt: skip
    return replace(
        empty, names=names, state=states, state_events=np.diff(bounds), of=of, item=item, n=n,
        total=carried(total), low=low, high=high, overflow=overflow,
        offsets=np.concatenate([[0], np.cumsum(filled)]).astype(np.int64), bins=bins, counts=bin_count,
        kept=kept, **weights,
    )  # fmt: skip


def _tables(objects: Mapping[str, Objects], momenta: Mapping[str, Floats]) -> tuple[Ints, Ints, Floats]:
    """Where each event's objects of each type begin in one table of momenta, their numbers, the table."""
    events = len(next(iter(objects.values())).counts)
    first = np.zeros((events, len(TYPES)), dtype=np.int64)
    count = np.zeros((events, len(TYPES)), dtype=np.int64)
    start = 0
    for kind, item in objects.items():
        column = TYPES.index(kind)
        first[:, column] = item.offsets[:-1] + start
        count[:, column] = item.counts
        start += len(item.pt)
    return first, count, np.concatenate([momenta[kind] for kind in objects])


def _picks(combos: Sequence[Combination]) -> tuple[Ints, NDArray[np.bool_]]:
    picks = np.zeros((len(combos), len(TYPES), 3), dtype=np.int64)
    for number, combo in enumerate(combos):
        for place, pick in enumerate(combo.picks):
            picks[number, place] = pick
    return picks, np.array([combo.transverse for combo in combos], dtype=np.bool_)

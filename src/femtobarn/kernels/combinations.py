"""The survey's hot loops: choosing and sorting objects, and all masses of all combinations in one pass."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from femtobarn.kernels.exact import DIGITS, add_exactly

__all__ = ["count_rows", "fill_masses", "sort_selected"]


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def sort_selected(offsets: Any, keep: Any, key: Any) -> tuple[Any, Any]:
    """Positions of the kept objects of each event, by ``key`` descending; ties stay in stored order.

    Parameters
    ----------
    offsets : (n + 1,) int64
    keep : (m,) bool
    key : (m,) float64

    Returns
    -------
    offsets : (n + 1,) int64
        Of the kept objects.
    positions : (k,) int64
        Into the flat columns.
    """
    events = offsets.shape[0] - 1
    kept = np.zeros(events + 1, dtype=np.int64)
    positions = np.empty(keep.sum(), dtype=np.int64)
    at = 0
    for i in range(events):
        begin = at
        for j in range(offsets[i], offsets[i + 1]):
            if not keep[j]:
                continue
            # Insertion: events have a handful of objects, mostly sorted already.
            k = at
            if at - begin < 64:
                while k > begin and key[positions[k - 1]] < key[j]:
                    positions[k] = positions[k - 1]
                    k -= 1
            positions[k] = j
            at += 1
        if at - begin > 64:
            crowd = positions[begin:at].copy()
            crowd.sort()
            ranks = np.argsort(-key[crowd], kind="mergesort")
            positions[begin:at] = crowd[ranks]
        kept[i + 1] = at
    return kept, positions


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _applies(counts: Any, picks: Any) -> bool:
    """Whether a state with these counts (7,) has all objects of a combination."""
    for p in range(picks.shape[0]):
        if picks[p, 2] > 0 and counts[picks[p, 0]] < picks[p, 1] + picks[p, 2]:
            return False
    return True


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def count_rows(bounds: Any, counts: Any, picks: Any, bins: int) -> tuple[int, int, int]:
    """Spectra, most filled bins and values that :func:`fill_masses` will yield (arguments as there)."""
    rows, filled, values = 0, 0, 0
    for s in range(counts.shape[0]):
        events = bounds[s + 1] - bounds[s]
        for c in range(picks.shape[0]):
            if _applies(counts[s], picks[c]):
                rows += 1
                values += events
                filled += min(events, bins)
    return rows, filled, values


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _mass(p: Any, first: Any, count: Any, picks: Any, transverse: bool, met_x: float, met_y: float) -> float:
    """Mass of the picked objects of one event: sqrt(max(E^2 - p^2, 0)), or transverse with MET, GeV."""
    x = y = z = e = 0.0
    if picks[0, 2] == 0:
        for kind in range(first.shape[0]):
            for j in range(first[kind], first[kind] + count[kind]):
                x += p[j, 0]
                y += p[j, 1]
                z += p[j, 2]
                e += p[j, 3]
    else:
        for i in range(picks.shape[0]):
            begin = first[picks[i, 0]] + picks[i, 1]
            for j in range(begin, begin + picks[i, 2]):
                x += p[j, 0]
                y += p[j, 1]
                z += p[j, 2]
                e += p[j, 3]
    if not transverse:
        return math.sqrt(max(e * e - (x * x + y * y + z * z), 0.0))
    et = math.sqrt(max(e * e - z * z, 0.0)) + math.hypot(met_x, met_y)
    return math.sqrt(max(et * et - (x + met_x) ** 2 - (y + met_y) ** 2, 0.0))


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def fill_masses(
    order: Any, bounds: Any, counts: Any, p: Any, first: Any, count: Any,
    picks: Any, transverse: Any, met: Any, weight: Any,
    width: float, bins: int, room: tuple[int, int, int], keep: bool,
) -> Any:  # fmt: skip
    """Masses of all combinations of all events, accumulated.

    Parameters
    ----------
    order : (n,) int64
        Events, grouped by final state.
    bounds : (s + 1,) int64
        Events of state i are ``order[bounds[i]:bounds[i + 1]]``.
    counts : (s, 7) int64
        Objects of each type in each state.
    p : (m, 4) float64, GeV
        px, py, pz, E of the objects of each type, each event's by descending momentum.
    first, count : (events, 7) int64
        Where an event's objects of a type begin in ``p``, and how many there are.
    picks : (c, 7, 3) int64
        Type, first object and number of objects of each combination; all zero for "all objects".
    transverse : (c,) bool
    met : (events, 2) float64, GeV
        Used by transverse masses only (else of any length).
    weight : (events,) float64
        Empty for unweighted events.
    width, bins : grid
    room : from :func:`count_rows`
    keep : return the masses as well

    Returns
    -------
    tuple of arrays
        state number, combination, n, digits, low, high, overflow, digits of sumw and sumw2, number of
        filled bins; bin numbers, counts, digits of sumw and sumw2 of the filled bins; masses.
    """
    rows, most = room[0], room[1]
    weighted = weight.shape[0] > 0
    state = np.empty(rows, dtype=np.int64)
    item = np.empty(rows, dtype=np.int64)
    n = np.empty(rows, dtype=np.int64)
    total = np.zeros((rows, DIGITS), dtype=np.int64)
    low = np.empty(rows)
    high = np.empty(rows)
    overflow = np.zeros(rows, dtype=np.int64)
    sumw = np.zeros((rows if weighted else 0, DIGITS), dtype=np.int64)
    sumw2 = np.zeros((rows if weighted else 0, DIGITS), dtype=np.int64)
    filled = np.zeros(rows, dtype=np.int64)
    bin_number = np.empty(most, dtype=np.int64)
    bin_count = np.empty(most, dtype=np.int64)
    bin_sumw = np.zeros((most if weighted else 0, DIGITS), dtype=np.int64)
    bin_sumw2 = np.zeros((most if weighted else 0, DIGITS), dtype=np.int64)
    masses = np.empty(room[2] if keep else 0)
    scratch = np.zeros(bins, dtype=np.int64)
    place = np.zeros(bins if weighted else 0, dtype=np.int64)
    touched = np.empty(bins, dtype=np.int64)
    row = 0
    at = 0
    value = 0
    for s in range(counts.shape[0]):
        for c in range(picks.shape[0]):
            if not _applies(counts[s], picks[c]):
                continue
            used = 0
            smallest, largest = np.inf, -np.inf
            for i in order[bounds[s] : bounds[s + 1]]:
                met_x, met_y = (met[i, 0], met[i, 1]) if transverse[c] else (0.0, 0.0)
                m = _mass(p, first[i], count[i], picks[c], transverse[c], met_x, met_y)
                add_exactly(total[row], m)
                smallest = min(smallest, m)
                largest = max(largest, m)
                if keep:
                    masses[value] = m
                    value += 1
                if weighted:
                    add_exactly(sumw[row], weight[i])
                    add_exactly(sumw2[row], weight[i] * weight[i])
                k = bins
                if m < width * bins:
                    k = int(m / width)
                    # Division rounds; the edges k * width decide.
                    if m < k * width:
                        k -= 1
                    elif m >= (k + 1) * width:
                        k += 1
                if k >= bins:
                    overflow[row] += 1
                    continue
                if scratch[k] == 0:
                    touched[used] = k
                    if weighted:
                        place[k] = at + used
                    used += 1
                scratch[k] += 1
                if weighted:
                    add_exactly(bin_sumw[place[k]], weight[i])
                    add_exactly(bin_sumw2[place[k]], weight[i] * weight[i])
            if weighted:
                ranks = np.argsort(touched[:used])
                bin_sumw[at : at + used] = bin_sumw[at : at + used][ranks]
                bin_sumw2[at : at + used] = bin_sumw2[at : at + used][ranks]
            ordered = np.sort(touched[:used])
            for k in ordered:
                bin_number[at] = k
                bin_count[at] = scratch[k]
                scratch[k] = 0
                at += 1
            state[row] = s
            item[row] = c
            n[row] = bounds[s + 1] - bounds[s]
            low[row] = smallest
            high[row] = largest
            filled[row] = used
            row += 1
    return (
        state, item, n, total, low, high, overflow, sumw, sumw2, filled,
        bin_number[:at].copy(), bin_count[:at].copy(), bin_sumw[:at].copy(), bin_sumw2[:at].copy(), masses,
    )  # fmt: skip

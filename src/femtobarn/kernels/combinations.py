"""The survey's hot loops: choosing and sorting objects, and all masses of all combinations in one pass."""

from __future__ import annotations

import math
from typing import Any, Final

import numba
import numpy as np
from numpy.typing import NDArray

from femtobarn.kernels.exact import DIGITS, add_exactly

__all__ = ["count_rows", "fill_masses", "sort_selected"]


#: Objects of one event up to which insertion is the fastest way to sort.
_CROWD: Final = 256


def sort_selected(
    offsets: NDArray[np.int64], keep: NDArray[np.bool_], key: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
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
    kept, positions = _insert(offsets, keep, key, _CROWD)
    for i in np.flatnonzero(np.diff(kept) > _CROWD):
        crowd = positions[kept[i] : kept[i + 1]]
        positions[kept[i] : kept[i + 1]] = crowd[np.argsort(-key[crowd], kind="stable")]
    return kept, positions


@numba.njit(cache=True)
def _insert(offsets: Any, keep: Any, key: Any, crowd: int) -> tuple[Any, Any]:
    """Sort by insertion; events with more objects than ``crowd`` are left in stored order."""
    events = offsets.shape[0] - 1
    kept = np.zeros(events + 1, dtype=np.int64)
    positions = np.empty(keep.shape[0], dtype=np.int64)
    at = 0
    for i in range(events):
        begin = at
        number = 0
        for j in range(offsets[i], offsets[i + 1]):
            number += keep[j]
        for j in range(offsets[i], offsets[i + 1]):
            if not keep[j]:
                continue
            k = at
            while number <= crowd and k > begin and key[positions[k - 1]] < key[j]:
                positions[k] = positions[k - 1]
                k -= 1
            positions[k] = j
            at += 1
        kept[i + 1] = at
    return kept, positions[:at].copy()


@numba.njit(cache=True)
def _applies(counts: Any, picks: Any) -> bool:
    """Whether a state with these counts (7,) has all objects of a combination."""
    for p in range(picks.shape[0]):
        if picks[p, 2] > 0 and counts[picks[p, 0]] < picks[p, 1] + picks[p, 2]:
            return False
    return True


@numba.njit(cache=True)
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


@numba.njit(cache=True)
def _mass(p: Any, first: Any, count: Any, picks: Any, transverse: Any, met_x: float, met_y: float) -> float:
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


@numba.njit(cache=True)
def _move(digits: Any, out: Any) -> None:
    """Write a sum (8,) to where it is kept, carried and packed, and set it to zero."""
    carry = np.int64(0)
    for d in range(DIGITS):
        total = digits[d] + carry
        out[d] = total & 0xFFFFFFFF
        carry = total >> 32
        digits[d] = 0


@numba.njit(cache=True)
def fill_masses(
    order: Any, bounds: Any, counts: Any, p: Any, first: Any, count: Any,
    picks: Any, transverse: Any, met: Any, weight: Any,
    width: float, bins: int, room: tuple[int, int, int], keep: Any, bin_number: Any,
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
    bin_number : (room[1],) integers to write the numbers of filled bins into

    Returns
    -------
    tuple of arrays
        state number, combination, n, digits, low, high, overflow, digits of sumw and sumw2, number of
        filled bins; of the filled bins numbers, counts, packed digits of sumw and sumw2; masses.
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
    bin_count = np.empty(most, dtype=np.uint32)
    bin_sumw = np.empty((most if weighted else 0, DIGITS), dtype=np.uint32)
    bin_sumw2 = np.empty((most if weighted else 0, DIGITS), dtype=np.uint32)
    masses = np.empty(room[2] if keep else 0)
    scratch = np.zeros(bins, dtype=np.int64)
    scratch_w = np.zeros((bins if weighted else 0, DIGITS), dtype=np.int64)
    scratch_w2 = np.zeros((bins if weighted else 0, DIGITS), dtype=np.int64)
    row = 0
    at = 0
    value = 0
    for s in range(counts.shape[0]):
        for c in range(picks.shape[0]):
            if not _applies(counts[s], picks[c]):
                continue
            begin, lowest, highest = at, bins, -1
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
                scratch[k] += 1
                lowest = min(lowest, k)
                highest = max(highest, k)
                if weighted:
                    add_exactly(scratch_w[k], weight[i])
                    add_exactly(scratch_w2[k], weight[i] * weight[i])
            for k in range(lowest, highest + 1):
                if scratch[k] == 0:
                    continue
                bin_number[at] = k
                bin_count[at] = scratch[k]
                scratch[k] = 0
                if weighted:
                    _move(scratch_w[k], bin_sumw[at])
                    _move(scratch_w2[k], bin_sumw2[at])
                at += 1
            state[row] = s
            item[row] = c
            n[row] = bounds[s + 1] - bounds[s]
            low[row] = smallest
            high[row] = largest
            filled[row] = at - begin
            row += 1
    return (
        state, item, n, total, low, high, overflow, sumw, sumw2, filled,
        bin_number[:at].copy(), bin_count[:at].copy(), bin_sumw[:at].copy(), bin_sumw2[:at].copy(), masses,
    )  # fmt: skip

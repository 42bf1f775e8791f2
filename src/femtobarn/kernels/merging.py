"""Adding two sorted tables of sparse spectra in one walk along both: no sorting, no copies on the way."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from femtobarn.kernels.exact import DIGITS

__all__ = ["count_bins", "merge_bins", "pair_rows"]


@numba.njit(cache=True)
def pair_rows(of_a: Any, item_a: Any, of_b: Any, item_b: Any) -> tuple[Any, Any]:
    """Rows of the union of two tables sorted by (of, item).

    Parameters
    ----------
    of_a, item_a : (a,) int64
    of_b, item_b : (b,) int64

    Returns
    -------
    in_a, in_b : (u,) int64
        Where each row of the union is in either table; -1 where it is not.
    """
    most = of_a.shape[0] + of_b.shape[0]
    in_a = np.empty(most, dtype=np.int64)
    in_b = np.empty(most, dtype=np.int64)
    i = j = row = 0
    while i < of_a.shape[0] or j < of_b.shape[0]:
        mine = j == of_b.shape[0]
        theirs = i == of_a.shape[0]
        if not mine and not theirs:
            mine = of_a[i] < of_b[j] or (of_a[i] == of_b[j] and item_a[i] <= item_b[j])
            theirs = of_b[j] < of_a[i] or (of_b[j] == of_a[i] and item_b[j] <= item_a[i])
        in_a[row] = i if mine else -1
        in_b[row] = j if theirs else -1
        i += mine
        j += theirs
        row += 1
    return in_a[:row].copy(), in_b[:row].copy()


@numba.njit(cache=True)
def _range(offsets: Any, row: int) -> tuple[int, int]:
    return (offsets[row], offsets[row + 1]) if row >= 0 else (0, 0)


@numba.njit(cache=True)
def count_bins(in_a: Any, in_b: Any, offsets_a: Any, bins_a: Any, offsets_b: Any, bins_b: Any) -> Any:
    """(u + 1,) offsets of the filled bins of the union (arguments as in :func:`merge_bins`)."""
    offsets = np.zeros(in_a.shape[0] + 1, dtype=np.int64)
    for row in range(in_a.shape[0]):
        i, last_a = _range(offsets_a, in_a[row])
        j, last_b = _range(offsets_b, in_b[row])
        filled = 0
        while i < last_a and j < last_b:
            a, b = bins_a[i], bins_b[j]
            i += a <= b
            j += b <= a
            filled += 1
        offsets[row + 1] = offsets[row] + filled + (last_a - i) + (last_b - j)
    return offsets


@numba.njit(cache=True)
def _add_row(out: Any, place: int, digits: Any, row: int) -> None:
    """Add packed digits (8,) uint32 to others: integers of 256 bits in two's complement."""
    carry = np.int64(0)
    for d in range(DIGITS):
        total = np.int64(out[place, d]) + np.int64(digits[row, d]) + carry
        out[place, d] = total & 0xFFFFFFFF
        carry = total >> 32


@numba.njit(cache=True)
def merge_bins(
    in_a: Any, in_b: Any, offsets: Any,
    offsets_a: Any, bins_a: Any, counts_a: Any, sumw_a: Any, sumw2_a: Any,
    offsets_b: Any, bins_b: Any, counts_b: Any, sumw_b: Any, sumw2_b: Any,
    bins: Any, counts: Any, sumw: Any, sumw2: Any,
) -> None:  # fmt: skip
    """Add the filled bins of two tables into arrays that are there already.

    Parameters
    ----------
    in_a, in_b : (u,) int64
        From :func:`pair_rows`.
    offsets : (u + 1,) int64
        From :func:`count_bins`.
    offsets_x, bins_x, counts_x, sumw_x, sumw2_x : of either table
        ``sumw_x`` and ``sumw2_x`` (., 8) uint32 are empty for unweighted events.
    bins, counts, sumw, sumw2 : of the union, sums zero
    """
    weighted = sumw.shape[0] > 0
    for row in range(in_a.shape[0]):
        i, last_a = _range(offsets_a, in_a[row])
        j, last_b = _range(offsets_b, in_b[row])
        for at in range(offsets[row], offsets[row + 1]):
            mine = i < last_a and (j >= last_b or bins_a[i] <= bins_b[j])
            theirs = j < last_b and (i >= last_a or bins_b[j] <= bins_a[i])
            if mine:
                bins[at] = bins_a[i]
                counts[at] += counts_a[i]
                if weighted:
                    _add_row(sumw, at, sumw_a, i)
                    _add_row(sumw2, at, sumw2_a, i)
                i += 1
            if theirs:
                bins[at] = bins_b[j]
                counts[at] += counts_b[j]
                if weighted:
                    _add_row(sumw, at, sumw_b, j)
                    _add_row(sumw2, at, sumw2_b, j)
                j += 1

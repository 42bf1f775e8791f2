"""Cutting a spectrum to the part that a search can use: from its peak down to the first gap.

Below its peak a spectrum shows thresholds, not physics; beyond the first gap single events are left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Cut", "cut_on_grid", "cut_values"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Cut:
    """What is left of a spectrum.

    Attributes
    ----------
    edge : float, GeV
        Left edge of the peak; everything below is left out.
    end : float, GeV
        Right edge of the main part (infinite if nothing was split off).
    n_main, n_outliers : int
    nbins : int
        Peak bin to the last filled bin of the main part.
    """

    edge: float
    end: float
    n_main: int
    n_outliers: int
    nbins: int


def _peak(counts: Ints) -> int:
    """The rightmost of the highest bins."""
    return len(counts) - 1 - int(np.argmax(counts[::-1]))


def _gap(counts: Ints) -> int | None:
    """Where the first gap begins; one right behind the first bin splits nothing: one bin would be left."""
    empty = np.flatnonzero(counts == 0)
    return None if not len(empty) or empty[0] < 2 else int(empty[0])


def cut_on_grid(bins: Ints, counts: Ints, overflow: int, *, width: float, ratio: int) -> Cut | None:
    """Cut a spectrum on bins from 0: the same for any number of parts.

    Parameters
    ----------
    bins, counts : (b,) int64
        Filled bins of the base grid, and the values in them.
    overflow : int
        Values beyond the grid; they are outliers.
    width : float, GeV
        Of the base grid.
    ratio : int
        Base bins in one bin of the peak search.

    Returns
    -------
    Cut or None
        None for a spectrum without values inside the grid.
    """
    if not len(bins):
        return None
    coarse = np.bincount(bins // ratio, weights=counts).astype(np.int64)
    peak = _peak(coarse)
    found = _gap(coarse[peak:])
    gap = None if found is None else peak + found
    main = coarse[peak:gap]
    filled = int(np.flatnonzero(main)[-1]) + 1
    outliers = overflow + (int(coarse[gap:].sum()) if gap is not None else 0)
    end = np.inf if gap is None else gap * ratio * width
    return Cut(peak * ratio * width, end, int(main.sum()), outliers, filled)


def cut_values(values: Floats, *, width: float) -> tuple[Cut, Floats, Floats] | None:
    """Cut the values themselves on bins over their own range, as the survey's predecessor did.

    The peak is found on ceil(range / width) equal bins from the smallest to the largest value; the gap on
    bins made anew over what is left.  Two samples give other bins than their union: not mergeable.

    Returns
    -------
    (Cut, main, outliers) or None
    """
    if not len(values):
        return None
    counts, edges = _own_bins(values, width)
    peak = _peak(counts)
    left = values[values >= edges[peak]]
    counts2, edges2 = _own_bins(left, width)
    gap = _gap(counts2)
    if gap is None:
        main, outliers, end = left, left[:0], np.inf
    else:
        end = float(edges2[gap])
        main, outliers = left[left < end], left[left >= end]
    filled = int(np.flatnonzero(counts2[:gap])[-1]) + 1
    return Cut(float(edges[peak]), end, len(main), len(outliers), filled), main, outliers


def _own_bins(values: Floats, width: float) -> tuple[Ints, Floats]:
    low, high = float(values.min()), float(values.max())
    number = max(int(np.ceil((high - low) / width)), 1)
    counts, edges = np.histogram(values, bins=number, range=(low, high) if high > low else None)
    return counts.astype(np.int64), edges

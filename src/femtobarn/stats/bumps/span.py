"""Which part of a whole mass spectrum a smooth background can describe: from its broad maximum to its end.

Below its maximum a spectrum shows the thresholds of its objects.  The highest bin is a bad place to begin:
a bump that is higher than the rest would be taken for the maximum, and in a sparse spectrum the highest
bin is chance.  So the maximum is sought in a running median that no structure of up to five bins moves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

from femtobarn.stats.bumps.hunting import WIDEST, hunt
from femtobarn.stats.bumps.spectrum import Background, choose_background

__all__ = ["Beside", "searched_range", "sidebands"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

#: The search begins where the background describes the rest at least this well ...
_GOOD: Final = 0.01
#: ... within so many bins of the broad maximum, and with at least so many bins left.
_TRIED: Final = 2 * WIDEST + 1
_LEFT: Final = 12
#: Expected events of a group of bins that chi-squared may be computed with.
_GROUP: Final = 5.0


@dataclass(frozen=True, slots=True)
class Beside:
    """The background beside the largest excess, and the probability of a description as bad."""

    background: Background
    goodness: float


def searched_range(counts: Floats, edges: Floats, use: Mask) -> tuple[int, int, Beside | None]:
    """First bin of the search, the one behind its last, and the background beside its largest excess.

    Parameters
    ----------
    counts : (n,) float64
    edges : (n + 1,) float64, GeV
    use : (n,) bool
        Bins that are not left out.
    """
    filled = np.flatnonzero(counts > 0)
    if not len(filled):
        return 0, len(counts), None
    last = min(int(filled[-1]) + 1 + WIDEST, len(counts))
    first = max(broad_maximum(counts[:last], use[:last]), int(filled[0]))
    best, chosen = None, first
    for start in range(first, min(first + _TRIED, last - _LEFT) + 1):
        found = sidebands(counts[start:last], edges[start : last + 1], use[start:last])
        if found is None:
            break
        if best is None or found.goodness > best.goodness:
            best, chosen = found, start
        if found.goodness >= _GOOD:
            break
    return chosen, last, best


def broad_maximum(counts: Floats, use: Mask) -> int:
    """First bin where the running median of 11 bins is at its maximum, within the error of a count."""
    # Nothing is known of left-out bins, and nothing lies beyond the ends.
    known = np.where(use, counts, np.nan)
    padded = np.concatenate([np.zeros(WIDEST), known, np.zeros(WIDEST)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * WIDEST + 1)
    seen = ~np.isnan(windows).all(axis=1)
    median = np.zeros(len(counts))
    median[seen] = np.nanmedian(windows[seen], axis=1)
    highest = float(median.max())
    return int(np.flatnonzero(median >= highest - np.sqrt(highest))[0])


def sidebands(counts: Floats, edges: Floats, use: Mask) -> Beside | None:
    """The background chosen without the window of the largest excess, None without a fit.

    What order a background needs must not be decided by a bump.
    """
    background = choose_background(counts, edges, use)
    if background is None:
        return None
    first, width = hunt(counts[None], background.expected[None], use)[1][0]
    outside = use.copy()
    if width:
        outside[max(first - 1, 0) : first + width + 1] = False
        background = choose_background(counts, edges, outside)
        if background is None:
            return None
    return Beside(background, _goodness(counts, background, outside))


def _goodness(counts: Floats, background: Background, outside: Mask) -> float:
    """Chi-squared probability over groups of neighbouring bins of at least five expected events."""
    total = np.cumsum(np.where(outside, background.expected, 0.0))
    group = np.floor(total / _GROUP).astype(np.int64)
    n = np.bincount(group, weights=np.where(outside, counts, 0.0))
    mu = np.bincount(group, weights=np.where(outside, background.expected, 0.0))
    enough = mu > _GROUP / 2
    dof = int(enough.sum()) - background.order - 1
    if dof < 1:
        return 1.0
    return float(chdtrc(dof, np.sum((n[enough] - mu[enough]) ** 2 / mu[enough])))

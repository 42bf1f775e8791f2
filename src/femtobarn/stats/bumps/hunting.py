"""BumpHunter: the least probable window of a spectrum, and its probability from toys with a stated tail."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc, log_ndtr

__all__ = ["WIDEST", "hunt", "tail_probability"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

_WIDTHS: Final = (2, 3, 4, 5)
#: Bins of the widest window.
WIDEST: Final = max(_WIDTHS)
#: An expectation below this is none.
_LEAST: Final = 1e-9
#: Above this share of the toys their largest excesses are continued by an exponential.
_TAIL_FROM: Final = 0.9


def hunt(counts: Floats, expected: Floats, use: Mask) -> tuple[Floats, NDArray[np.int64]]:
    """BumpHunter statistic of spectra (t, n): -ln of the smallest p of any window; and the window.

    Windows of 2 to 5 bins; p is the Poisson probability of at least the observed where there is an excess.
    A window that touches a left-out bin is not looked at.

    Returns
    -------
    t : (t,) float64
    window : (t, 2) int
        First bin and number of bins.
    """
    zero = np.zeros((len(counts), 1))
    seen = np.concatenate([zero, np.cumsum(counts * use, axis=1)], axis=1)
    wanted = np.concatenate([zero, np.cumsum(expected * use, axis=1)], axis=1)
    covered = np.concatenate([[0], np.cumsum(use)])
    widths = [width for width in _WIDTHS if width <= counts.shape[1]]
    rows, firsts, sizes, ds, bs = [], [], [], [], []
    for width in widths:
        d, b = seen[:, width:] - seen[:, :-width], wanted[:, width:] - wanted[:, :-width]
        row, first = np.nonzero((d > b) & ((covered[width:] - covered[:-width]) == width))
        rows.append(row)
        firsts.append(first)
        sizes.append(np.full(len(row), width))
        ds.append(d[row, first])
        bs.append(np.maximum(b[row, first], _LEAST))
    row, first, size, d, b = (np.concatenate(part) for part in (rows, firsts, sizes, ds, bs))
    best, where = np.zeros(len(counts)), np.zeros((len(counts), 2), dtype=np.int64)
    # Chernoff: p <= exp(-least); and p is at least the probability of exactly d.  Most windows cannot win.
    least = d * np.log(d / b) - d + b
    np.maximum.at(best, row, least)
    able = np.flatnonzero(least + 0.5 * np.log(2 * np.pi * d + 1) + 1 / (12 * d) >= best[row])
    row, first, size, score = row[able], first[able], size[able], _score(d[able], b[able])
    # The first of the best, the narrowest before the wider.
    order = np.lexsort((first, size, -score, row))
    winner = order[np.unique(row[order], return_index=True)[1]]
    best[row[winner]] = score[winner]
    where[row[winner]] = np.stack([first[winner], size[winner]], axis=1)
    return best, where


def _score(d: Floats, b: Floats) -> Floats:
    """-ln p of at least d events where b are expected."""
    with np.errstate(divide="ignore"):
        score = np.asarray(-np.log(gammainc(d, b)))
    # Where p is too small for floating point: from the likelihood ratio of one count.
    tiny = ~np.isfinite(score)
    z2 = np.maximum(2 * (d[tiny] * np.log(d[tiny] / b[tiny]) - d[tiny] + b[tiny]), 0.0)
    score[tiny] = -log_ndtr(-np.sqrt(z2))
    return score


def tail_probability(toys: Floats, observed: float) -> float:
    """Share of toys at or above the observed value; beyond most of them, an exponential continues the tail.

    The exponential starts at the 90 % quantile and has the mean excess of the toys above it.
    """
    start = float(np.quantile(toys, _TAIL_FROM))
    if observed <= start:
        return float((np.sum(toys >= observed) + 1) / (len(toys) + 1))
    above = toys[toys > start]
    slope = float((above - start).mean()) if len(above) else 1.0
    return (1 - _TAIL_FROM) * math.exp(-(observed - start) / max(slope, 1e-6))

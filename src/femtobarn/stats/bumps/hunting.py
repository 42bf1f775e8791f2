"""BumpHunter: the least probable window of a spectrum, and its probability from toys with a stated tail."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc, xlogy
from scipy.stats import norm

__all__ = ["WIDEST", "hunt", "tail_probability"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

_WIDTHS: Final = (2, 3, 4, 5)
#: Bins of the widest window.
WIDEST: Final = max(_WIDTHS)
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
    best = np.zeros(len(counts))
    where = np.zeros((len(counts), 2), dtype=np.int64)
    for width in _WIDTHS:
        if width > counts.shape[1]:
            continue
        d, b = seen[:, width:] - seen[:, :-width], wanted[:, width:] - wanted[:, :-width]
        whole = (covered[width:] - covered[:-width]) == width
        with np.errstate(divide="ignore"):
            score = np.where(
                (d > b) & whole, -np.log(gammainc(np.maximum(d, 1e-9), np.maximum(b, 1e-9))), 0.0
            )
        score = np.where(np.isfinite(score), score, _asymptotic(d, b))
        at = score.argmax(axis=1)
        top = score[np.arange(len(score)), at]
        better = top > best
        best = np.where(better, top, best)
        where[better] = np.stack([at, np.full(len(at), width)], axis=1)[better]
    return best, where


def _asymptotic(d: Floats, b: Floats) -> Floats:
    """-ln p where p is too small for floating point: from the likelihood ratio of one count."""
    z2 = np.maximum(2 * (xlogy(d, d / np.maximum(b, 1e-9)) - d + b), 0.0)
    return np.asarray(-norm.logsf(np.sqrt(z2)))


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

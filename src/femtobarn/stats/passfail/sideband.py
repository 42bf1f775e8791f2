"""Sideband subtraction: the background under a peak, from both of its sides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["subtract_sidebands"]

Floats = NDArray[np.float64]


def subtract_sidebands(
    edges: Floats,
    values: Floats,
    variances: Floats,
    peak: tuple[float, float],
    sides: Sequence[tuple[float, float]],
) -> tuple[Floats, Floats]:
    """Sums in a window, less what its sides hold a unit of width, and their variances.

    The background is taken as a straight line through windows on both sides of the peak, at equal
    distances on average; then its mean density beside the peak is that under it.

    Parameters
    ----------
    edges : (n + 1,) float
        Of the last axis of the arrays; windows take the bins whose centres they hold.
    values, variances : (..., n) float
    peak : (low, high)
    sides : windows beside the peak

    Returns
    -------
    signal, variance : (...) float
        The signal may be negative.

    Raises
    ------
    ValueError
        A window without bins, or sides that overlap the peak.
    """
    centres, widths = 0.5 * (edges[1:] + edges[:-1]), np.diff(edges)
    inside = (centres > peak[0]) & (centres < peak[1])
    beside = np.zeros(len(centres), dtype=np.bool_)
    for low, high in sides:
        window = (centres > low) & (centres < high)
        if not window.any():
            raise ValueError(f"there are no bins in the sideband {low:g}-{high:g}")
        beside |= window
    if not inside.any() or (inside & beside).any():
        raise ValueError(f"the window {peak[0]:g}-{peak[1]:g} holds no bins or overlaps a sideband")
    factor = widths[inside].sum() / widths[beside].sum()
    signal = values[..., inside].sum(-1) - factor * values[..., beside].sum(-1)
    variance = variances[..., inside].sum(-1) + factor**2 * variances[..., beside].sum(-1)
    return np.asarray(signal), np.asarray(variance)

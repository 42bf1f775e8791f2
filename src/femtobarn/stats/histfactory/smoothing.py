"""Smoothing of systematic variations: "353QH, twice".

J. H. Friedman's algorithm (Proc. 1974 CERN School of Computing) as ROOT's ``TH1::Smooth`` does it.
"""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt

__all__ = ["smooth_353qh_twice", "smooth_variation"]

FloatArray = npt.NDArray[np.float64]
_log = logging.getLogger("femtobarn.stats")


def _running_median(values: FloatArray, width: int) -> FloatArray:
    """Medians of ``width`` neighbours; the ends that have too few keep their values."""
    out = values.copy()
    half = width // 2
    windows = np.lib.stride_tricks.sliding_window_view(values, width)
    out[half : values.size - half] = np.median(windows, axis=1)
    return out


def _median_of_3(a: float, b: float, c: float) -> float:
    return float(np.median([a, b, c]))


def _medians_353(values: FloatArray) -> FloatArray:
    y = _running_median(values, 3)
    # An end becomes the median of itself, its neighbour and the line through the next two.
    y[0] = _median_of_3(values[0], y[1], 3.0 * y[1] - 2.0 * y[2])
    y[-1] = _median_of_3(values[-1], y[-2], 3.0 * y[-2] - 2.0 * y[-3])
    if y.size >= 5:
        before, y = y, _running_median(y, 5)
        y[1] = _median_of_3(*before[:3])
        y[-2] = _median_of_3(*before[-3:])
    return _running_median(y, 3)


def _bend_flat_triples(z: FloatArray) -> FloatArray:
    """Quadratic interpolation where three equal bins stand at the bottom of a valley or the top of a hill."""
    y = z.copy()
    for i in range(2, z.size - 2):
        if z[i - 1] != z[i] or z[i] != z[i + 1]:
            continue
        left, right = z[i - 2] - z[i], z[i + 2] - z[i]
        if left * right <= 0.0:
            continue
        k = -1 if abs(right) > abs(left) else 1
        y[i] = -0.5 * z[i - 2 * k] + z[i] / 0.75 + z[i + 2 * k] / 6.0
        y[i + k] = 0.5 * (z[i + 2 * k] - z[i - 2 * k]) + z[i]
    return y


def _pass_353qh(values: FloatArray) -> FloatArray:
    y = _bend_flat_triples(_medians_353(values))
    out = y.copy()
    out[1:-1] = 0.25 * y[:-2] + 0.5 * y[1:-1] + 0.25 * y[2:]  # Hanning
    return out


def smooth_353qh_twice(values: npt.ArrayLike) -> FloatArray:
    """Smooth a sequence with running medians, interpolation and means, and its residuals once more.

    Parameters
    ----------
    values : (n,) array_like
        With fewer than three numbers they come back unchanged, with a logged warning.

    Returns
    -------
    (n,) float array
        Non-negative if the input is.
    """
    x = np.array(values, dtype=np.float64)
    if x.size < 3:
        _log.warning("a histogram of %d bins is too short to be smoothed", x.size)
        return x
    rough = _pass_353qh(x)
    out = rough + _pass_353qh(x - rough)
    return np.asarray(out if x.min() < 0.0 else np.maximum(out, 0.0))


def smooth_variation(variation: npt.ArrayLike, nominal: npt.ArrayLike) -> FloatArray:
    """Smooth the ratio of a variation to the nominal and keep the variation's yield.

    Bins with an empty nominal count as ratio one in the smoothing and end up empty.
    """
    v = np.asarray(variation, dtype=np.float64)
    n = np.asarray(nominal, dtype=np.float64)
    filled = n != 0.0
    ratio = np.where(filled, v / np.where(filled, n, 1.0), 1.0)
    smooth = smooth_353qh_twice(ratio) * n
    total = float(smooth.sum())
    return np.asarray(smooth * (float(v.sum()) / total)) if total != 0.0 else v.copy()

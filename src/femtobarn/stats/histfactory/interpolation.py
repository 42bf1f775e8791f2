"""HistFactory interpolation between the down, nominal and up side of a systematic uncertainty.

Each function returns values and first two derivatives by alpha, vectorised over modifiers.
Source: K. Cranmer et al., CERN-OPEN-2012-016, with the polynomial codes as ROOT and pyhf define them.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import numpy.typing as npt

__all__ = ["HistosysCode", "NormsysCode", "histosys_shift", "normsys_coefficients", "normsys_factor"]

FloatArray = npt.NDArray[np.float64]
Derivatives = tuple[FloatArray, FloatArray, FloatArray]
NormsysCode = Literal["code1", "code4"]
HistosysCode = Literal["code0", "code2", "code4p"]

#: Inverse of the six conditions (value, slope, curvature at +-1) on the coefficients of a..a^6.
_CODE4: Final = (
    np.array(
        [
            [15, -15, -7, -7, 1, -1],
            [24, 24, -9, 9, 1, 1],
            [-10, 10, 10, 10, -2, 2],
            [-24, -24, 14, -14, -2, -2],
            [3, -3, -3, -3, 1, -1],
            [8, 8, -5, 5, 1, 1],
        ],
        dtype=np.float64,
    )
    / 16.0
)


def normsys_coefficients(hi: FloatArray, lo: FloatArray) -> FloatArray:
    """Coefficients (6, n) of the code4 polynomial ``1 + sum_k c_k a^k`` for |a| < 1."""
    log_hi, log_lo = np.log(hi), np.log(lo)
    conditions = np.stack(
        [hi - 1.0, lo - 1.0, log_hi * hi, -log_lo * lo, log_hi**2 * hi, log_lo**2 * lo],
    )
    return np.asarray(_CODE4 @ conditions)


def normsys_factor(
    alpha: FloatArray, log_hi: FloatArray, log_lo: FloatArray, coefficients: FloatArray | None
) -> Derivatives:
    """Multiplicative factor; ``coefficients`` None is code1 (exponential everywhere).

    Parameters
    ----------
    alpha, log_hi, log_lo : (n,) float arrays
    coefficients : (6, n) float array or None

    Returns
    -------
    factor, first, second : (n,) float arrays
    """
    rate = np.where(alpha >= 0.0, log_hi, -log_lo)
    value = np.exp(alpha * rate)
    first, second = value * rate, value * rate * rate
    if coefficients is None:
        return value, first, second
    c = coefficients
    inside = np.abs(alpha) < 1.0
    a = alpha
    poly = 1.0 + a * (c[0] + a * (c[1] + a * (c[2] + a * (c[3] + a * (c[4] + a * c[5])))))
    slope = c[0] + a * (2 * c[1] + a * (3 * c[2] + a * (4 * c[3] + a * (5 * c[4] + a * 6 * c[5]))))
    curve = 2 * c[1] + a * (6 * c[2] + a * (12 * c[3] + a * (20 * c[4] + a * 30 * c[5])))
    return np.where(inside, poly, value), np.where(inside, slope, first), np.where(inside, curve, second)


def histosys_shift(alpha: FloatArray, up: FloatArray, down: FloatArray, code: HistosysCode) -> Derivatives:
    """Additive shift of a bin.

    Parameters
    ----------
    alpha : (n,) float array
        Parameter of each entry.
    up, down : (n,) float arrays
        ``hi - nominal`` and ``nominal - lo``.
    """
    zero = np.zeros(alpha.shape)
    if code == "code0":
        slope = np.where(alpha >= 0.0, up, down)
        return alpha * slope, slope, zero
    half_sum = 0.5 * (up + down)
    half_difference = 0.5 * (up - down)
    inside = np.abs(alpha) < 1.0
    if code == "code2":
        sign = np.sign(alpha)
        slope_out = half_sum + 2.0 * sign * half_difference
        value_out = half_difference + sign * half_sum + (alpha - sign) * slope_out
        value = np.where(inside, alpha * (half_sum + alpha * half_difference), value_out)
        slope = np.where(inside, half_sum + 2.0 * alpha * half_difference, slope_out)
        return value, slope, np.where(inside, 2.0 * half_difference, zero)
    a2 = alpha * alpha
    amplitude = half_difference / 8.0
    slope_out = np.where(alpha >= 0.0, up, down)
    poly = alpha * half_sum + amplitude * a2 * (15.0 + a2 * (3.0 * a2 - 10.0))
    slope = half_sum + amplitude * alpha * (30.0 + a2 * (18.0 * a2 - 40.0))
    curve = amplitude * (30.0 + a2 * (90.0 * a2 - 120.0))
    return (
        np.where(inside, poly, alpha * slope_out),
        np.where(inside, slope, slope_out),
        np.where(inside, curve, zero),
    )

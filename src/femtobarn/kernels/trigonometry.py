"""Sine, cosine and hyperbolic sine of directions, each at a fraction of the general functions' cost.

The polynomials are those of Sun's fdlibm (k_sin.c, k_cos.c), which most mathematical libraries descend from;
their error is below one unit in the last place of 1.
"""

from __future__ import annotations

from typing import Any, Final

import numba
import numpy as np

__all__ = ["sincos", "sinh_of"]

_TWO_OVER_PI: Final = 2.0 / np.pi
#: pi / 2 in two parts; the first has 33 bits, so that its small multiples are exact.
_HALF_PI: Final = 1.57079632673412561417e00
_HALF_PI_REST: Final = 6.07710050650619224932e-11
#: Beyond this the reduction loses digits (azimuths end at pi).
_FAR: Final = 1000.0


@numba.njit(cache=True)
def sincos(x: float) -> Any:
    """Sine and cosine of an angle in radians."""
    if not abs(x) < _FAR:
        return np.sin(x), np.cos(x)
    turn = np.rint(x * _TWO_OVER_PI)
    r = (x - turn * _HALF_PI) - turn * _HALF_PI_REST
    z = r * r
    s = 8.33333333332248946124e-03 + z * (
        -1.98412698298579493134e-04
        + z
        * (2.75573137070700676789e-06 + z * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10))
    )
    s = r + z * r * (-1.66666666666666324348e-01 + z * s)
    c = 4.16666666666666019037e-02 + z * (
        -1.38888888888741095749e-03
        + z
        * (
            2.48015872894767294178e-05
            + z
            * (
                -2.75573143513906633035e-07
                + z * (2.08757232129817482790e-09 + z * -1.13596475577881948265e-11)
            )
        )
    )
    c = (1.0 - 0.5 * z) + z * z * c
    quadrant = np.int64(turn) & 3
    # Selections, not jumps: which quadrant is next cannot be guessed.
    sine = c if quadrant & 1 else s
    cosine = s if quadrant & 1 else c
    sine = -sine if quadrant & 2 else sine
    cosine = -cosine if (quadrant + 1) & 2 else cosine
    return sine, cosine


@numba.njit(cache=True)
def sinh_of(x: float) -> Any:
    """Hyperbolic sine, to twelve digits or better."""
    if not abs(x) > 1e-3:
        return x + x * x * x / 6.0
    grown = np.exp(x)
    return 0.5 * (grown - 1.0 / grown)

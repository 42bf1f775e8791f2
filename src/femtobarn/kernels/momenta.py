"""Cartesian four-momenta of many objects, the same bits on every machine.

NumPy computes sines with the widest instructions a processor has, and the last bit of the answer depends
on them.  The mass of two nearly parallel objects is a small difference of large numbers: that bit decides
its seventh digit.  So here every function is that of the C library, one object at a time.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["cartesian", "mass_from_energy"]


def cartesian(
    pt: NDArray[np.float64], eta: NDArray[np.float64], phi: NDArray[np.float64], mass: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(m, 4) px, py, pz, E from (m,) pt, eta, phi, mass; GeV, radians."""
    out = np.empty((len(pt), 4))
    _fill(pt, eta, phi, mass, out)
    return out


def mass_from_energy(
    pt: NDArray[np.float64], eta: NDArray[np.float64], energy: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(m,) sqrt(max(E^2 - p^2, 0)) in GeV; nan where a number is not finite."""
    out = np.empty(len(pt))
    _fill_masses(pt, eta, energy, out)
    return out


@numba.njit(cache=True)
def _fill(pt: Any, eta: Any, phi: Any, mass: Any, out: Any) -> None:
    for i in range(pt.shape[0]):
        p = pt[i] * math.cosh(eta[i])
        out[i, 0] = pt[i] * math.cos(phi[i])
        out[i, 1] = pt[i] * math.sin(phi[i])
        out[i, 2] = pt[i] * math.sinh(eta[i])
        out[i, 3] = math.sqrt(p * p + mass[i] * mass[i])


@numba.njit(cache=True)
def _fill_masses(pt: Any, eta: Any, energy: Any, out: Any) -> None:
    for i in range(pt.shape[0]):
        p = pt[i] * math.cosh(eta[i])
        square = energy[i] * energy[i] - p * p
        # Not max(): it would turn nan into a mass of 0.
        out[i] = 0.0 if square < 0.0 else math.sqrt(square)

"""Four-vectors as bundles of equally shaped arrays.  GeV, radians, float64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["FourVectors", "delta_phi", "delta_r", "mass_of_sum"]

Array = NDArray[np.float64]


def delta_phi(phi1: Array, phi2: Array) -> Array:
    """Difference of two azimuths, wrapped into [-pi, pi)."""
    return (phi1 - phi2 + np.pi) % (2 * np.pi) - np.pi


def delta_r(eta1: Array, phi1: Array, eta2: Array, phi2: Array) -> Array:
    """Distance sqrt(deta^2 + dphi^2)."""
    return np.hypot(eta1 - eta2, delta_phi(phi1, phi2))


@dataclass(frozen=True, slots=True)
class FourVectors:
    """Momenta and energies of any common shape, in GeV."""

    px: Array
    py: Array
    pz: Array
    e: Array

    @classmethod
    def from_mass(cls, pt: Array, eta: Array, phi: Array, mass: Array | float) -> FourVectors:
        """From transverse momentum, pseudorapidity, azimuth and mass."""
        pt = np.asarray(pt, dtype=np.float64)
        pz = pt * np.sinh(eta)
        return cls(
            pt * np.cos(phi), pt * np.sin(phi), pz, np.sqrt((pt * np.cosh(eta)) ** 2 + np.square(mass))
        )

    @classmethod
    def from_energy(cls, pt: Array, eta: Array, phi: Array, e: Array) -> FourVectors:
        """From transverse momentum, pseudorapidity, azimuth and energy."""
        pt = np.asarray(pt, dtype=np.float64)
        return cls(pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), np.asarray(e, dtype=np.float64))

    def __add__(self, other: FourVectors) -> FourVectors:
        return FourVectors(self.px + other.px, self.py + other.py, self.pz + other.pz, self.e + other.e)

    def __getitem__(self, index: Any) -> FourVectors:
        return FourVectors(self.px[index], self.py[index], self.pz[index], self.e[index])

    def sum(self, axis: int = -1) -> FourVectors:
        """Vector sum along an axis."""
        return FourVectors(self.px.sum(axis), self.py.sum(axis), self.pz.sum(axis), self.e.sum(axis))

    @property
    def pt(self) -> Array:
        return np.hypot(self.px, self.py)

    @property
    def mass(self) -> Array:
        """sqrt(max(E^2 - p^2, 0)): rounding must not turn a massless sum into nan."""
        square = self.e**2 - self.px**2 - self.py**2 - self.pz**2
        return np.sqrt(np.maximum(square, 0.0))

    @property
    def rapidity(self) -> Array:
        return 0.5 * np.log((self.e + self.pz) / (self.e - self.pz))


def mass_of_sum(vectors: FourVectors, axis: int = -1) -> Array:
    """Invariant mass of the sum along an axis, GeV."""
    return vectors.sum(axis).mass

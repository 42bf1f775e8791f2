"""Particles whose peaks every survey of masses finds again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.units import Z_MASS

__all__ = ["RESONANCES", "Resonance", "mask_resonances"]


@dataclass(frozen=True, slots=True)
class Resonance:
    """Name, mass and half width of the region its peak fills after detector resolution, GeV."""

    name: str
    mass: float
    window: float


#: Masses: Particle Data Group 2024; windows: natural width and a few per cent of resolution.
RESONANCES: Final = (
    Resonance("J/psi", 3.0969, 0.2),
    Resonance("psi(2S)", 3.6861, 0.2),
    Resonance("Upsilon", 9.4604, 1.2),
    Resonance("W", 80.37, 10.0),
    Resonance("Z", Z_MASS, 15.0),
    Resonance("H", 125.2, 5.0),
    Resonance("t", 172.6, 15.0),
)
#: Those that a pair of leptons shows.
_DILEPTON: Final = ("J/psi", "psi(2S)", "Upsilon", "Z")


def mask_resonances(edges: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(n,) bins that a resonance of two leptons reaches into."""
    masked = np.zeros(len(edges) - 1, dtype=np.bool_)
    for item in RESONANCES:
        if item.name in _DILEPTON:
            masked |= (edges[1:] > item.mass - item.window) & (edges[:-1] < item.mass + item.window)
    return masked

"""Photon acceptance: the barrel-endcap transition of the calorimeters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["outside_crack"]


def outside_crack(
    eta: NDArray[np.float64], *, eta_max: float, crack: tuple[float, float]
) -> NDArray[np.bool_]:
    """Whether |eta| is below ``eta_max`` and not inside the transition region (its edges included)."""
    size = np.abs(eta)
    return (size < eta_max) & ~((size >= crack[0]) & (size <= crack[1]))

"""How many leptons of an event pass fixed thresholds, without temporary masks.

Comparisons are made in float64 whatever the columns hold: 2.1 as float32 is below 2.1.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

__all__ = ["count_above", "count_electrons", "count_muons", "single_lepton"]


@numba.njit(cache=True)
def count_above(offsets: Any, pt: Any, pt_min: float) -> Any:
    """(n,) number of objects above a transverse momentum in GeV, and the position of the last of them."""
    out = np.zeros(len(offsets) - 1, dtype=np.int32)
    at = np.full(len(offsets) - 1, -1, dtype=np.int64)
    for i in range(len(out)):
        for j in range(offsets[i], offsets[i + 1]):
            if np.float64(pt[j]) > pt_min:
                out[i] += 1
                at[i] = j
    return out, at


@numba.njit(cache=True)
def count_electrons(
    offsets: Any, pt: Any, eta: Any, level: Any, sip3d: Any, pt_min: float, eta_max: float, sip_max: float
) -> Any:
    """(n,) number of electrons of the tight working point (4) in acceptance, and the last's position."""
    out = np.zeros(len(offsets) - 1, dtype=np.int32)
    at = np.full(len(offsets) - 1, -1, dtype=np.int64)
    for i in range(len(out)):
        for j in range(offsets[i], offsets[i + 1]):
            if (
                np.float64(pt[j]) > pt_min
                and abs(np.float64(eta[j])) < eta_max
                and level[j] == 4
                and np.float64(sip3d[j]) < sip_max
            ):
                out[i] += 1
                at[i] = j
    return out, at


@numba.njit(cache=True)
def count_muons(
    offsets: Any, pt: Any, eta: Any, tight: Any, sip3d: Any, isolation: Any,
    pt_min: float, eta_max: float, sip_max: float, isolation_max: float,
) -> Any:  # fmt: skip
    """(n,) number of tight, isolated muons in acceptance, and the last's position."""
    out = np.zeros(len(offsets) - 1, dtype=np.int32)
    at = np.full(len(offsets) - 1, -1, dtype=np.int64)
    for i in range(len(out)):
        for j in range(offsets[i], offsets[i + 1]):
            if (
                np.float64(pt[j]) > pt_min
                and abs(np.float64(eta[j])) < eta_max
                and tight[j]
                and np.float64(sip3d[j]) < sip_max
                and np.float64(isolation[j]) < isolation_max
            ):
                out[i] += 1
                at[i] = j
    return out, at


@numba.njit(cache=True)
def single_lepton(electrons: Any, muons: Any) -> Any:
    """(n,) whether an event has one lepton in all."""
    return (electrons + muons) == 1

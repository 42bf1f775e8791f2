"""Which leptons pass fixed thresholds, and which events have exactly one, without branches.

Comparisons are made in float64 whatever the columns hold: 2.1 as float32 is below 2.1.  No loop jumps on a
random number: the processor compares several objects at a time and never guesses wrong.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

__all__ = ["exactly_one", "last_passing", "passing_above", "passing_electrons", "passing_muons"]


@numba.njit(cache=True, nogil=True)
def passing_above(pt: Any, pt_min: float) -> Any:
    """(m,) whether an object is above a transverse momentum in GeV."""
    out = np.empty(len(pt), np.bool_)
    for j in range(len(pt)):
        out[j] = np.float64(pt[j]) > pt_min
    return out


@numba.njit(cache=True, nogil=True)
def passing_electrons(
    pt: Any, eta: Any, level: Any, sip3d: Any, pt_min: float, eta_max: float, sip_max: float
) -> Any:
    """(m,) electrons of the tight working point (4) in acceptance."""
    out = np.empty(len(pt), np.bool_)
    for j in range(len(pt)):
        kinematic = (np.float64(pt[j]) > pt_min) & (abs(np.float64(eta[j])) < eta_max)
        out[j] = kinematic & (level[j] == 4) & (np.float64(sip3d[j]) < sip_max)
    return out


@numba.njit(cache=True, nogil=True)
def passing_muons(
    pt: Any, eta: Any, tight: Any, sip3d: Any, isolation: Any,
    pt_min: float, eta_max: float, sip_max: float, isolation_max: float,
) -> Any:  # fmt: skip
    """(m,) tight, isolated muons in acceptance."""
    out = np.empty(len(pt), np.bool_)
    for j in range(len(pt)):
        kinematic = (np.float64(pt[j]) > pt_min) & (abs(np.float64(eta[j])) < eta_max)
        quality = (np.float64(sip3d[j]) < sip_max) & (np.float64(isolation[j]) < isolation_max)
        out[j] = kinematic & quality & (tight[j] != 0)
    return out


@numba.njit(cache=True)
def _running(passing: Any) -> Any:
    """(m + 1,) number of passing objects before each."""
    out = np.empty(len(passing) + 1, np.int32)
    out[0] = 0
    for j in range(len(passing)):
        out[j + 1] = out[j] + passing[j]
    return out


@numba.njit(cache=True, nogil=True)
def exactly_one(first_offsets: Any, first: Any, second_offsets: Any, second: Any) -> Any:
    """(n,) whether one object of two kinds together passes.

    Parameters
    ----------
    first_offsets, second_offsets : (n + 1,) int64
    first, second : (m,) bool
        Objects that pass.
    """
    a, b = _running(first), _running(second)
    out = np.empty(len(first_offsets) - 1, np.bool_)
    for i in range(len(out)):
        one = a[first_offsets[i + 1]] - a[first_offsets[i]]
        out[i] = one + b[second_offsets[i + 1]] - b[second_offsets[i]] == 1
    return out


@numba.njit(cache=True, nogil=True)
def last_passing(offsets: Any, passing: Any) -> Any:
    """(n,) int64 position of the last passing object of each event; -1 where there is none."""
    out = np.full(len(offsets) - 1, -1, np.int64)
    for i in range(len(out)):
        for j in range(offsets[i], offsets[i + 1]):
            if passing[j]:
                out[i] = j
    return out

"""Pairs of objects of an event, as two flat index arrays, and matching of objects to others."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["best_in_event", "matched", "pairs_across", "pairs_within"]

Index = NDArray[np.int64]
Mask = NDArray[np.bool_]


@numba.njit(cache=True)
def _across(offsets_a: Any, keep_a: Any, offsets_b: Any, keep_b: Any, same: Any) -> Any:
    n = len(offsets_a) - 1
    total = 0
    for i in range(n):
        a = 0
        for j in range(offsets_a[i], offsets_a[i + 1]):
            a += keep_a[j]
        b = 0
        for j in range(offsets_b[i], offsets_b[i + 1]):
            b += keep_b[j]
        total += a * b
    event = np.empty(total, dtype=np.int64)
    first = np.empty(total, dtype=np.int64)
    second = np.empty(total, dtype=np.int64)
    at = 0
    for i in range(n):
        for j in range(offsets_a[i], offsets_a[i + 1]):
            if not keep_a[j]:
                continue
            for k in range(offsets_b[i], offsets_b[i + 1]):
                if keep_b[k] and not (same and j == k):
                    event[at] = i
                    first[at] = j
                    second[at] = k
                    at += 1
    return event[:at], first[:at], second[:at]


def pairs_within(offsets: Index, first: Mask, second: Mask) -> tuple[Index, Index, Index]:
    """Ordered pairs i != j of one collection whose first has ``first`` set and second ``second``.

    Parameters
    ----------
    offsets : (n + 1,) int64
    first, second : (m,) bool

    Returns
    -------
    event, i, j : (p,) int64
        Event number and positions in the flat columns, in order of events, then i, then j.
    """
    found: tuple[Index, Index, Index] = _across(offsets, first, offsets, second, True)
    return found


def pairs_across(
    offsets_a: Index, keep_a: Mask, offsets_b: Index, keep_b: Mask
) -> tuple[Index, Index, Index]:
    """All pairs of a kept object of one collection and a kept one of another; as :func:`pairs_within`."""
    found: tuple[Index, Index, Index] = _across(offsets_a, keep_a, offsets_b, keep_b, False)
    return found


@numba.njit(cache=True)
def _matched(
    offsets: Any, eta: Any, phi: Any, others: Any, eta2: Any, phi2: Any, keep: Any, radius: Any
) -> Any:
    out = np.zeros(len(eta), dtype=np.bool_)
    limit = radius * radius
    for i in range(len(offsets) - 1):
        for j in range(offsets[i], offsets[i + 1]):
            for k in range(others[i], others[i + 1]):
                if not keep[k]:
                    continue
                d = phi[j] - phi2[k]
                d = (d + np.pi) % (2.0 * np.pi) - np.pi
                e = eta[j] - eta2[k]
                if d * d + e * e < limit:
                    out[j] = True
                    break
    return out


def matched(
    offsets: Index,
    eta: NDArray[Any],
    phi: NDArray[Any],
    others: Index,
    eta2: NDArray[Any],
    phi2: NDArray[Any],
    keep: Mask,
    *,
    radius: float,
) -> Mask:
    """(m,) whether an object has a kept one of another collection within ``radius`` in eta and phi.

    Parameters
    ----------
    offsets, others : (n + 1,) int64
        Of the objects and of the others.
    eta, phi : (m,) float
    eta2, phi2 : (k,) float
    keep : (k,) bool
    radius : float
        In sqrt(deta^2 + dphi^2); exactly at it is outside.
    """
    found: Mask = _matched(
        offsets, np.asarray(eta, dtype=np.float64), np.asarray(phi, dtype=np.float64), others,
        np.asarray(eta2, dtype=np.float64), np.asarray(phi2, dtype=np.float64), keep, radius,
    )  # fmt: skip
    return found


def best_in_event(event: Index, penalty: NDArray[Any]) -> Mask:
    """(p,) marks one pair an event: that of the lowest penalty, the first of equal ones.

    Parameters
    ----------
    event : (p,) int64, ascending
    penalty : (p,) float or integer
    """
    out = np.zeros(len(event), dtype=np.bool_)
    if len(event):
        order = np.lexsort((np.arange(len(event)), penalty, event))
        firsts = np.concatenate([[True], event[order][1:] != event[order][:-1]])
        out[order[firsts]] = True
    return out

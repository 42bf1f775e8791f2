"""Lepton pairs: a pair near the Z mass as one object, and charge tags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numba
import numpy as np
from numpy.typing import NDArray

from femtobarn.errors import DataError
from femtobarn.physics.objects import Objects
from femtobarn.units import Z_MASS

__all__ = ["charge_tags", "make_z"]

#: A pair further from the Z mass than this (GeV) is no Z.
_WINDOW: Final = 15.0
_OPPOSITE, _SAME = 1, 2


@numba.njit(cache=True)
def _nearest_pair(offsets: Any, p: Any, charge: Any, target: float, best: Any, pair: Any) -> None:
    """Opposite-charge pair nearest the target: distance (n,) and positions (n, 2), updated if nearer."""
    for i in range(offsets.shape[0] - 1):
        for j in range(offsets[i], offsets[i + 1]):
            for k in range(j + 1, offsets[i + 1]):
                if charge[j] * charge[k] >= 0:
                    continue
                e = p[j, 3] + p[k, 3]
                x, y, z = p[j, 0] + p[k, 0], p[j, 1] + p[k, 1], p[j, 2] + p[k, 2]
                distance = abs(np.sqrt(max(e * e - x * x - y * y - z * z, 0.0)) - target)
                if distance < best[i]:
                    best[i] = distance
                    pair[i, 0], pair[i, 1] = j, k


def make_z(
    objects: Mapping[str, Objects], momenta: Mapping[str, NDArray[np.float64]]
) -> tuple[dict[str, Objects], dict[str, NDArray[np.float64]]]:
    """Replace in each event the same-flavour opposite-charge pair nearest the Z mass by one Z."""
    events = len(next(iter(objects.values())).counts)
    best = np.full(events, _WINDOW)
    chosen: dict[str, NDArray[np.int64]] = {}
    for kind in ("electrons", "muons"):
        if kind not in objects:
            continue
        item = objects[kind]
        before = best.copy()
        pair = np.full((events, 2), -1, dtype=np.int64)
        _nearest_pair(item.offsets, momenta[kind], _charges(item, kind), Z_MASS, best, pair)
        nearer = best < before
        for other in chosen.values():
            other[nearer] = -1
        chosen[kind] = np.where(nearer[:, None], pair, -1)
    total = np.zeros((events, 4))
    found = np.zeros(events, dtype=np.bool_)
    new_objects, new_momenta = dict(objects), dict(momenta)
    for kind, pair in chosen.items():
        rows = np.flatnonzero(pair[:, 0] >= 0)
        total[rows] = momenta[kind][pair[rows, 0]] + momenta[kind][pair[rows, 1]]
        found[rows] = True
        left = np.ones(len(objects[kind].pt), dtype=np.bool_)
        left[pair[rows].ravel()] = False
        new_objects[kind] = objects[kind].where(left)
        new_momenta[kind] = momenta[kind][left]
    offsets = np.concatenate([[0], np.cumsum(found)]).astype(np.int64)
    empty = np.zeros(int(found.sum()))
    new_objects["zbosons"] = replace(
        Objects.none(events), offsets=offsets, pt=empty, eta=empty, phi=empty, mass=empty, charge=empty,
        index=np.arange(len(empty)),
    )  # fmt: skip
    new_momenta["zbosons"] = total[found]
    return new_objects, new_momenta


def _charges(item: Objects, kind: str) -> NDArray[np.float64]:
    if item.charge is None:
        raise DataError(
            f"the charge of {kind} is not in the file", action="leave z_objects and charge_tags out"
        )
    return item.charge


def charge_tags(objects: Mapping[str, Objects], events: int) -> NDArray[np.int64]:
    """(n,) 1 for events with exactly two leptons of opposite charge, 2 for equal charge, else 0."""
    number = np.zeros(events, dtype=np.int64)
    total = np.zeros(events)
    for kind in ("electrons", "muons"):
        if kind in objects:
            item = objects[kind]
            number += item.counts
            np.add.at(total, np.repeat(np.arange(events), item.counts), np.sign(_charges(item, kind)))
    return np.where(number != 2, 0, np.where(total == 0, _OPPOSITE, _SAME)).astype(np.int64)

"""Overlap removal: when two reconstructed objects are one particle, the better identified stays.

The steps, in this order, with the distance dR = sqrt(deta^2 + dphi^2), follow the recommendation of ATLAS
(arXiv:2308.13362 and earlier): see :data:`STEPS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numba
import numpy as np
from numpy.typing import NDArray

from femtobarn.physics.objects import Objects

__all__ = ["STEPS", "remove_overlaps"]

#: (what is dropped, next to what, within which dR); jets near muons have a condition of their own.
STEPS: Final = (
    ("taus", "electrons", 0.1),
    ("muons", "electrons", 0.1),
    ("jets", "electrons", 0.2),
    ("electrons", "jets", 0.4),
    ("jets", "muons", 0.2),
    ("muons", "jets", 0.4),
    ("photons", "electrons", 0.4),
    ("photons", "muons", 0.4),
    ("jets", "photons", 0.4),
)
#: A jet near a muon stays if it has so many tracks, or if the muon carries no larger share of its momentum.
_TRACKS: Final = 3
_SHARE: Final = 0.7


@numba.njit(cache=True)
def _near(
    offsets: Any, eta: Any, phi: Any, keep: Any, others: Any, eta2: Any, phi2: Any, keep2: Any,
    radius: float, pt: Any, pt2: Any, tracks: Any, share: float,
) -> None:  # fmt: skip
    """Clear ``keep`` of objects closer than ``radius`` to a kept other.

    With ``share`` > 0 only where the other has more than this share of the momentum and, if ``tracks``
    are known, the object has fewer than 3 of them.
    """
    for i in range(offsets.shape[0] - 1):
        for j in range(offsets[i], offsets[i + 1]):
            if not keep[j]:
                continue
            for k in range(others[i], others[i + 1]):
                if not keep2[k]:
                    continue
                dphi = (phi[j] - phi2[k] + np.pi) % (2 * np.pi) - np.pi
                deta = eta[j] - eta2[k]
                if deta * deta + dphi * dphi >= radius * radius:
                    continue
                if share > 0 and (pt2[k] <= share * pt[j] or (tracks.shape[0] > 0 and tracks[j] >= 3)):
                    continue
                keep[j] = False
                break


def remove_overlaps(
    objects: Mapping[str, Objects],
    radii: Mapping[tuple[str, str], float],
    tracks: NDArray[np.int64] | None = None,
) -> dict[str, Objects]:
    """The objects that are left.

    Parameters
    ----------
    objects : {type: Objects}
    radii : {(dropped, next to): dR}
        Replaces the default distance of a step; 0 leaves the step out.
    tracks : (jets,) int, optional
        Tracks of each jet; without them the share of momentum alone decides next to muons.
    """
    keep = {kind: np.ones(len(item.pt), dtype=np.bool_) for kind, item in objects.items()}
    counted = np.zeros(0, dtype=np.int64) if tracks is None else np.asarray(tracks, dtype=np.int64)
    for dropped, beside, usual in STEPS:
        radius = radii.get((dropped, beside), usual)
        if dropped not in objects or beside not in objects or radius <= 0:
            continue
        a, b = objects[dropped], objects[beside]
        conditional = (dropped, beside) == ("jets", "muons")
        _near(
            a.offsets, a.eta, a.phi, keep[dropped], b.offsets, b.eta, b.phi, keep[beside], radius, a.pt, b.pt,
            counted if conditional else np.zeros(0, dtype=np.int64), _SHARE if conditional else 0.0,
        )  # fmt: skip
    return {kind: item.where(keep[kind]) for kind, item in objects.items()}

"""Rankers without a model: orders of the candidates that anybody can check by hand.

Each takes a :class:`~femtobarn.rank.history.Past` and gives ``(references,) float64 keys``: a candidate
with the larger key comes first; keys of candidates never tie.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from femtobarn.rank.history import Ints, Past, last_use

__all__ = ["RANKERS", "order", "rank_of"]

Floats = npt.NDArray[np.float64]

_NEWEST: Final = 20


def latest(past: Past) -> Floats:
    """Newest choice of the same reconstruction first, then newest of any."""
    same = past.last_same
    return np.where(same >= 0, same + len(past), past.last_any).astype(np.float64)


def latest_any(past: Past) -> Floats:
    """Newest choice of any reconstruction first."""
    return past.last_any.astype(np.float64)


def neighbour(past: Past) -> Floats:
    """As latest, but nearest in run number first; ties: lower run, then newest."""
    if not past.history.protocol.by_order:
        return latest(past)  # the past has only earlier runs in their order: nearest is newest
    behind = 2 * np.abs(past.run - past.target.run) + (past.run > past.target.run)
    # Best last; of equally near rows the newest, which has the highest position.
    best_last = np.lexsort((np.arange(len(past)), -behind))
    size, n = len(past.history.references), len(past)
    nearest_any = last_use(past.codes[best_last], np.arange(n), size)
    same = best_last[past.reco[best_last] == past.target.reco]
    nearest_same = last_use(past.codes[same], np.arange(len(same)), size)
    return np.where(nearest_same >= 0, nearest_same + n, nearest_any).astype(np.float64)


def _by_count(past: Past, counts: Ints) -> Floats:
    # ``latest`` keys are below 2 (rows + 1), so counts decide and latest breaks ties.
    return counts * (2.0 * len(past) + 2.0) + latest(past)


def mode20(past: Past) -> Floats:
    """Count among the newest 20 choices of the same reconstruction; ties: latest."""
    recent = past.codes[past.same_reco[-_NEWEST:]]
    return _by_count(past, np.bincount(recent, minlength=len(past.history.references)))


def frequent(past: Past) -> Floats:
    """Count in all of the past; ties: latest."""
    return _by_count(past, np.bincount(past.codes, minlength=len(past.history.references)))


def nearest(past: Past) -> Floats:
    """Reference nearest in run number; ties: higher."""
    references = past.history.references
    return -2.0 * np.abs(references - past.target.run) + (references > past.target.run)


def newest(past: Past) -> Floats:
    """References up to the run, highest first; then later ones, highest first."""
    references = past.history.references.astype(np.float64)
    span = float(references.max() - references.min()) + 1.0 if len(references) else 1.0
    return references + np.where(references <= past.target.run, span, 0.0)


#: name -> function, in the order of tables; ``latest`` is what everything is compared with.
RANKERS: Final[dict[str, Callable[[Past], Floats]]] = {
    "latest": latest,
    "latest_any": latest_any,
    "neighbour": neighbour,
    "mode20": mode20,
    "frequent": frequent,
    "nearest": nearest,
    "newest": newest,
}


def rank_of(past: Past, keys: Floats, code: int) -> int:
    """Rank (1 = best) of a candidate; 0 if it is not one."""
    if code < 0 or past.last_any[code] < 0:
        return 0
    candidates = past.candidates
    return 1 + int(np.count_nonzero(keys[candidates] > keys[code]))


def order(past: Past, keys: Floats) -> Ints:
    """Codes of the candidates, best first."""
    candidates = past.candidates
    return candidates[np.argsort(-keys[candidates], kind="stable")]

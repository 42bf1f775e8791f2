"""What the model knows about a candidate: how, how often and how long ago it was chosen, and its age.

No feature is a run number, an identity, a position in the export, a date or an era: each is a difference,
a count, a share or a rank, so that the model cannot memorise which run was popular.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from femtobarn.rank.history import Ints, Past, last_use
from femtobarn.rank.rankers import latest

__all__ = ["FEATURES", "MOST_CANDIDATES", "features", "shortlist"]

Floats = npt.NDArray[np.float64]

#: Candidates the model orders; those behind follow in the order of ``latest``.
MOST_CANDIDATES: Final = 12
_WINDOWS: Final = (5, 10, 20, 50)
_DECAYS: Final = (60.0, 400.0)
#: A run is fresh as a reference for so many runs: then it is often the one of the shift's own week.
_FRESH: Final = 100
#: Ranks with a weight of their own; a logistic model cannot bend a line.
_RANKS: Final = (1, 2, 3)

_BASE: Final = (
    *(f"same_rank_{i}" for i in _RANKS),
    "same_rank_inverse",
    *(f"other_rank_{i}" for i in _RANKS),
    "other_rank_inverse",
    *(f"any_rank_{i}" for i in _RANKS),
    "any_rank_inverse",
    *(f"dataset_rank_{i}" for i in _RANKS[:2]),
    "dataset_rank_inverse",
    "never_same",
    "log_events_since_same",
    "log_events_since_any",
    "log_runs_since_same",
    "log_runs_since_any",
    *(f"share_same_{w}" for w in _WINDOWS),
    *(f"share_any_{w}" for w in _WINDOWS),
    "dataset_share_20",
    "dataset_share_of_uses",
    *(f"decayed_same_{d:.0f}" for d in _DECAYS),
    *(f"decayed_any_{d:.0f}" for d in _DECAYS),
    "log_age",
    "young",
    *(f"same_chosen_{i}_ago" for i in _RANKS),
    *(f"other_chosen_{i}_ago" for i in _RANKS),
    "newer_than_current",
    "newer_in_other",
    "the_run_itself",
    "later_than_run",
    "log_run_distance",
    "log_run_distance_if_later",
    "fresh",
)
#: Facts about the moment; each is multiplied with what it is about, as a softmax sees only differences.
_MOMENT: Final = ("log_gap", "log_streak", "switches_20", "agreement", "same_dataset_as_last", "other_gap")
_SUBJECTS: Final = ("same_rank_1", "other_rank_1", "newer_in_other", "any_rank_1")
FEATURES: Final[tuple[str, ...]] = (
    *_BASE, *(f"{fact}*{subject}" for subject in _SUBJECTS for fact in _MOMENT)
)  # fmt: skip


def shortlist(past: Past, most: int = MOST_CANDIDATES) -> Ints:
    """Codes of the candidates worth a closer look: recent in the same reconstruction or in any."""
    candidates = past.candidates
    if len(candidates) <= most:
        return candidates
    by_latest = _ranks(latest(past)[candidates])
    by_any = _ranks(past.last_any[candidates].astype(np.float64))
    return np.sort(candidates[np.argsort(np.minimum(by_latest, by_any + 0.5), kind="stable")[:most]])


def _ranks(keys: Floats) -> Floats:
    """1 for the largest key; all keys differ."""
    ranks = np.empty(len(keys))
    ranks[np.argsort(-keys)] = np.arange(1.0, len(keys) + 1)
    return ranks


def _ranks_of_use(positions: Ints) -> Floats:
    """Rank by last use; infinite for those never used."""
    used = positions >= 0
    ranks = np.full(len(positions), np.inf)
    ranks[used] = _ranks(positions[used].astype(np.float64))
    return ranks


def features(past: Past, codes: Ints) -> Floats:
    """Features of some candidates.

    Returns
    -------
    (len(codes), len(FEATURES)) float64
    """
    size = len(past.history.references)
    target = past.target
    n = len(past)
    same, other = past.same_reco, np.flatnonzero(past.reco != target.reco)
    last_other = last_use(past.codes[other], other, size)
    dataset = past.history.dataset[past.rows]
    alike = np.flatnonzero(dataset == target.dataset)
    last_alike = last_use(past.codes[alike], alike, size)
    rank_same, rank_other = _ranks_of_use(past.last_same[codes]), _ranks_of_use(last_other[codes])
    rank_any = _ranks_of_use(past.last_any[codes])
    rank_alike = _ranks_of_use(last_alike[codes])
    distance = np.abs(past.run - target.run).astype(np.float64)
    first = n - 1 - last_use(past.codes[::-1], np.arange(n), size)[codes]
    last_any, last_same = past.last_any[codes], past.last_same[codes]
    never = last_same < 0
    far = float(distance.max(initial=1.0))
    uses = np.bincount(past.codes, minlength=size)[codes]
    young = 1.0 / (1.0 + (n - 1 - first))
    references = past.history.references[codes]
    current = _current(past, same)
    current_other = _current(past, other)
    newer = np.zeros(len(codes)) if current is None else (references > current).astype(np.float64)
    newer_other = newer * (rank_other == 1) if current_other is not None else np.zeros(len(codes))
    columns: list[npt.NDArray[Any]] = [
        *((rank_same == i) * 1.0 for i in _RANKS), 1.0 / rank_same,
        *((rank_other == i) * 1.0 for i in _RANKS), 1.0 / rank_other,
        *((rank_any == i) * 1.0 for i in _RANKS), 1.0 / rank_any,
        *((rank_alike == i) * 1.0 for i in _RANKS[:2]), 1.0 / rank_alike,
        never * 1.0,
        np.log1p(np.where(never, n, n - 1 - last_same)), np.log1p(n - 1 - last_any),
        np.log1p(np.where(never, far, distance[last_same])), np.log1p(distance[last_any]),
        *(_share(past.codes[same[-w:]], codes, size) for w in _WINDOWS),
        *(_share(past.codes[-w:], codes, size) for w in _WINDOWS),
        _share(past.codes[alike[-20:]], codes, size),
        np.bincount(past.codes[alike], minlength=size)[codes] / np.maximum(uses, 1),
        *(_decayed(past.codes[same], distance[same], d, codes, size) for d in _DECAYS),
        *(_decayed(past.codes, distance, d, codes, size) for d in _DECAYS),
        np.log1p(distance[first]), young,
        *_chosen(past.codes[same], codes), *_chosen(past.codes[other], codes),
        newer, newer_other,
        *_ages(target.run - references),
    ]  # fmt: skip
    moment = _moment(past, same, other, distance)
    subjects = ((rank_same == 1) * 1.0, (rank_other == 1) * 1.0, newer_other, (rank_any == 1) * 1.0)
    columns += [subject * fact for subject in subjects for fact in moment]
    return np.column_stack(columns)


def _current(past: Past, rows: Ints) -> int | None:
    return int(past.history.references[past.codes[rows[-1]]]) if len(rows) else None


def _share(recent: Ints, codes: Ints, size: int) -> Floats:
    counts = np.bincount(recent, minlength=size)[codes].astype(np.float64)
    return counts / max(len(recent), 1)


def _decayed(used: Ints, distance: Floats, length: float, codes: Ints, size: int) -> Floats:
    weights = np.exp(-distance / length)
    total = float(weights.sum())
    sums = np.bincount(used, weights=weights, minlength=size)[codes].astype(np.float64)
    return sums / total if total > 0 else np.zeros(len(codes))


def _chosen(used: Ints, codes: Ints) -> list[Floats]:
    """Whether the last, the last but one, ... of these rows chose each candidate."""
    return [(codes == used[-i]) * 1.0 if len(used) >= i else np.zeros(len(codes)) for i in _RANKS]


def _ages(age: Ints) -> list[npt.NDArray[Any]]:
    """How long before the run the candidate was taken; seldom is it the run itself, or a later one."""
    log_age = np.log1p(np.abs(age))
    return [
        (age == 0) * 1.0,
        (age < 0) * 1.0,
        log_age,
        (age < 0) * log_age,
        ((age > 0) & (age < _FRESH)) * 1.0,
    ]


def _moment(past: Past, same: Ints, other: Ints, distance: Floats) -> list[float]:
    """Facts about the moment of choice, in the order of ``_MOMENT``."""
    recent = past.codes[same[-21:]]
    changed = recent[1:] != recent[:-1]
    streak = len(recent) if not changed.any() else int(np.argmax(changed[::-1])) + 1
    both = len(same) > 0 and len(other) > 0
    agreement = both and past.codes[same[-1]] == past.codes[other[-1]]
    dataset = past.history.dataset[past.rows]
    return [
        float(np.log1p(distance[same[-1]])) if len(same) else 0.0,
        float(np.log1p(streak)) if len(recent) else 0.0,
        float(changed[-20:].mean()) if len(changed) else 0.0,
        float(agreement),
        float(len(same) > 0 and dataset[same[-1]] == past.target.dataset),
        float(np.log1p(distance[other[-1]])) if len(other) else 0.0,
    ]

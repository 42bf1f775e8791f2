"""Behind an embargo: which of two choices colleagues follow when the reconstructions disagree.

With the last hundred runs hidden, hardly anything beats the newest visible choice of any reconstruction.
Where that is not also the newest choice of the target's own reconstruction, there are two candidates for the
first place, and only there something can be gained.  Two facts decide, in a logistic model of two weights:
whether the other reconstruction has moved on to a newer run (then ours will follow) or gone back to an older
one (then it will not), and how such disagreements of the same class ended lately.  A habit fades with its age
in runs: after a long pause nothing is left of it, and the newest choice counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from femtobarn.rank.history import ClassHistory, Past
from femtobarn.rank.rankers import latest_any

__all__ = ["FollowRanker", "fit_follow"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: How fast the memory of earlier disagreements fades [runs].  Chosen on runs before 363000, walking forward,
#: among 300, 500, 1000, 2000 and 4000.
MEMORY: Final = 1000.0
#: So many disagreements without an outcome stand before the first one.
PRIOR: Final = 5.0
_RIDGE: Final = 5.0
#: Fewer disagreements than this teach nothing; the ranker then is ``latest_any``.
_LEAST: Final = 10


@dataclass(frozen=True)
class _Outcomes:
    """How the disagreements of a class ended, oldest first.

    Attributes
    ----------
    row, run : (n,) int64
        Events whose two candidates differed and one of which was chosen.
    ours : (n,) float64
        +1 if the choice of the event's own reconstruction was right, -1 if the newest of any was.
    """

    row: Ints
    run: Ints
    ours: Floats

    def memory(self, past: Past) -> float:
        """Mean outcome of the disagreements that a past shows, the recent ones first of all; in (-1, 1)."""
        seen = np.isin(self.row, np.arange(len(past.history))[past.rows])
        weights = np.exp(-np.abs(past.target.run - self.run[seen]) / MEMORY)
        return float((weights @ self.ours[seen]) / (weights.sum() + PRIOR))


def _rivals(past: Past) -> tuple[int, int] | None:
    """Newest choice of the target's reconstruction and newest of any, if they differ."""
    if not len(past.same_reco):
        return None
    ours, newest = int(past.codes[past.same_reco[-1]]), int(past.codes[-1])
    return None if ours == newest else (ours, newest)


@lru_cache(maxsize=8)
def _outcomes(history: ClassHistory) -> _Outcomes:
    found = []
    for row in range(len(history)):
        rivals = _rivals(history.past(history.target(row)))
        if rivals is not None and int(history.code[row]) in rivals:
            found.append((row, 1.0 if history.code[row] == rivals[0] else -1.0))
    rows = np.array([row for row, _ in found], dtype=np.int64)
    return _Outcomes(rows, history.run[rows], np.array([ours for _, ours in found]))


def _facts(past: Past, rivals: tuple[int, int]) -> tuple[float, float]:
    """+1 if the other choice is the older run, else -1; and twice the memory of earlier disagreements."""
    ours, newest = rivals
    references = past.history.references
    older = 1.0 if references[newest] < references[ours] else -1.0
    return older, 2.0 * _outcomes(past.history).memory(past)


@lru_cache(maxsize=8)
def _lessons(history: ClassHistory) -> Floats:
    """(n, 2) the facts of each disagreement before it ended, signed by how it did."""
    known = _outcomes(history)
    table = np.zeros((len(known.row), 2))
    for i, row in enumerate(known.row):
        past = history.past(history.target(int(row)))
        rivals = _rivals(past)
        if rivals is not None:
            table[i] = known.ours[i] * np.array(_facts(past, rivals))
    return table


@dataclass(frozen=True)
class FollowRanker:
    """``latest_any``, whose first place goes to the own reconstruction's choice where that is more likely."""

    weights: tuple[float, float] | None

    @property
    def probable(self) -> bool:
        return False

    def keys(self, past: Past) -> Floats:
        """(references,) keys, larger first."""
        keys = latest_any(past)
        rivals = _rivals(past)
        if self.weights is None or rivals is None:
            return keys
        older, memory = _facts(past, rivals)
        if self.weights[0] * older + self.weights[1] * memory > 0:
            keys[rivals[0]] = len(past)  # one more than the newest of all
        return keys


def fit_follow(histories: Mapping[str, ClassHistory], rows: Mapping[str, Ints]) -> FollowRanker:
    """Fit the weights to the disagreements among some rows of every class, each seen with its own past."""
    parts = [
        _lessons(history)[np.isin(_outcomes(history).row, rows[name])] for name, history in histories.items()
    ]
    x = np.concatenate(parts) if parts else np.zeros((0, 2))
    if len(x) < _LEAST:
        return FollowRanker(None)
    # Newton's method: a convex loss of two weights needs a handful of steps.
    weights = np.zeros(2)
    for _ in range(20):
        wrong = 1.0 / (1.0 + np.exp(x @ weights))
        gradient = _RIDGE * weights - x.T @ wrong
        curvature = (x * (wrong * (1.0 - wrong))[:, None]).T @ x + _RIDGE * np.eye(2)
        weights = weights - np.linalg.solve(curvature, gradient)
    return FollowRanker((float(weights[0]), float(weights[1])))

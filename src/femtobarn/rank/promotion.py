"""Which run to make the next reference: certified runs by length, recency and typical conditions.

The evaluation asks, for every reference that came into use, where it would have been among the certified
runs of the weeks before.  What happened to a run later may not enter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from femtobarn.catalog.runrecords import CLASSES
from femtobarn.catalog.runtable import RunTable
from femtobarn.rank.history import Events
from femtobarn.rank.physics import run_features
from femtobarn.rank.rules import Certification

__all__ = [
    "BASELINES", "PROMOTERS", "Promoted", "PromotionEvaluation", "evaluate_promotion", "newest_candidate",
    "rank_promotions",
]  # fmt: skip

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LEAST_CANDIDATES: Final = 5
WINDOW: Final = 600
_LONG: Final = 500
_DECAY: Final = 300.0
_TOPS: Final = (1, 5, 10)
#: What a factor e in bunches and pileup costs, against a factor e in length.
_ODDNESS: Final = 0.25
_NEWEST: Final = 5
#: Conditions a good reference shares with the runs around it.
_TYPICAL: Final = ("colliding_bunches", "pileup")


@dataclass(frozen=True)
class Pool:
    """Certified runs to choose among, at a moment.

    Attributes
    ----------
    run : (n,) int64
    length : (n,) float64
        Validated stable-beam lumisections (23.31 s each).
    age : (n,) float64
        Runs between each and the moment.
    atypical : (n,) float64
        Mean |ln| of bunches and pileup against the medians of the newest five; NaN if unknown.
    good : (n,) float64
        Share of lumisections called good; NaN if unknown.
    """

    run: Ints
    length: Floats
    age: Floats
    atypical: Floats
    good: Floats


def longest(pool: Pool) -> Floats:
    """Most lumisections; ties: higher run."""
    return pool.length + 1e-9 * pool.run


def recent(pool: Pool) -> Floats:
    """Highest run first."""
    return np.asarray(pool.run, dtype=np.float64)


def recent500(pool: Pool) -> Floats:
    """Runs of at least 500 lumisections first, then the highest."""
    keys: Floats = recent(pool) + np.where(pool.length >= _LONG, 1e9, 0.0)
    return keys


def length_recency(pool: Pool) -> Floats:
    """Length times exp(-age / 300)."""
    weighted: Floats = pool.length * np.exp(-pool.age / _DECAY)
    return weighted


def model(pool: Pool) -> Floats:
    """Good length, up to 1 000 lumisections, that fades with age and, a little, with odd conditions.

    The form is fixed, not trained: there are some twenty promotions a year, too few to learn more from.
    Odd means unlike the newest runs: leaders promote for what comes, so a run that is unlike the weeks before
    but like the last days is no worse for it.
    """
    usable = np.minimum(pool.length, 2.0 * _LONG) * np.nan_to_num(pool.good, nan=1.0)
    odd = np.minimum(np.nan_to_num(pool.atypical, nan=0.0), 2.0)
    scores: Floats = np.log(np.maximum(usable, 1e-3)) - pool.age / _DECAY - _ODDNESS * odd
    return scores


BASELINES: Final[Mapping[str, Callable[[Pool], Floats]]] = {
    "longest": longest,
    "recent": recent,
    "recent500": recent500,
    "length_recency": length_recency,
}
PROMOTERS: Final[Mapping[str, Callable[[Pool], Floats]]] = {**BASELINES, "model": model}


def _pool(certified: Ints, runs: RunTable, low: int, high: int, good: Certification | None = None) -> Pool:
    """Certified runs in [low, high) whose number of stable lumisections is known."""
    inside = certified[(certified >= low) & (certified < high)]
    lengths = [runs.number(int(run), "n_stable_ls") for run in inside]
    kept = [i for i, length in enumerate(lengths) if length is not None]
    chosen = inside[kept]
    features = [run_features(runs.get(int(run)), _TYPICAL) for run in chosen]
    table = np.array([[row[name].number or np.nan for name in _TYPICAL] for row in features]).reshape(-1, 2)
    return Pool(
        run=chosen,
        length=np.array([lengths[i] for i in kept], dtype=np.float64),
        age=(high - chosen).astype(np.float64),
        atypical=_atypical(table),
        good=np.array([_good_share(int(run), runs, good) for run in chosen], dtype=np.float64),
    )


def _atypical(table: Floats) -> Floats:
    """Distance of every row (oldest first) from the medians of the newest that know a column."""
    logs = np.log(table)
    away = np.full(table.shape, np.nan)
    for column, values in enumerate(logs.T):
        known = values[~np.isnan(values)]
        if len(known):
            away[:, column] = np.abs(values - np.median(known[-_NEWEST:]))
    known_of_row = np.count_nonzero(~np.isnan(away), axis=1)
    sums = np.nansum(away, axis=1)
    means: Floats = np.divide(sums, known_of_row, out=np.full(len(table), np.nan), where=known_of_row > 0)
    return means


def _good_share(run: int, runs: RunTable, good: Certification | None) -> float:
    """Share of a run's lumisections in the certification file; NaN where that is not known."""
    if good is None or good.says(run) is None:
        return math.nan
    mask = good.good
    mine = mask.runs == run
    sections = int((mask.last[mine] - mask.first[mine] + 1).sum())
    length = runs.number(run, "last_lumisection_number") or runs.number(run, "n_stable_ls")
    return min(sections / length, 1.0) if length else math.nan


def _ranked(pool: Pool, keys: Floats) -> Ints:
    """Positions, best first; ties: higher run."""
    order: Ints = np.lexsort((-pool.run, -keys))
    return order


@dataclass(frozen=True)
class Promoted:
    """A run that could be the next reference."""

    run: int
    rank: int
    score: float
    length: float
    age: int
    atypical: float | None
    good: float | None
    reasons: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "run": self.run, "rank": self.rank, "score": self.score, "n_stable_ls": self.length,
            "age_runs": self.age, "atypical": self.atypical, "good_share": self.good,
            "reasons": list(self.reasons),
        }  # fmt: skip


def rank_promotions(
    events: Events,
    runs: RunTable,
    run_class: str,
    *,
    low: int,
    high: int,
    good: Certification | None = None,
    top: int = 10,
) -> list[Promoted]:
    """Certified runs in [low, high), best first, by the model."""
    pool = _pool(_certified(events, run_class), runs, low, high, good)
    keys = model(pool)
    found = []
    for rank, i in enumerate(_ranked(pool, keys)[:top], 1):
        odd, share, age = float(pool.atypical[i]), float(pool.good[i]), int(pool.age[i])
        reasons = [
            f"{pool.length[i]:.0f} stable lumisections",
            f"{age} run{'s' * (age != 1)} ago",
        ]
        if not math.isnan(odd):
            reasons.append("typical bunches and pileup" if odd < math.log(2.0)
                           else f"bunches and pileup {math.exp(odd):.1f} times off the usual")  # fmt: skip
        if not math.isnan(share):
            reasons.append(f"{share:.0%} of its lumisections are good")
        found.append(Promoted(
            int(pool.run[i]), rank, float(keys[i]), float(pool.length[i]), age,
            None if math.isnan(odd) else odd, None if math.isnan(share) else share, tuple(reasons),
        ))  # fmt: skip
    return found


def newest_candidate(events: Events, runs: RunTable, run_class: str) -> int | None:
    """The newest certified run of a class whose number of stable lumisections is known."""
    newest_first = _certified(events, run_class)[::-1].tolist()
    return next((run for run in newest_first if runs.number(run, "n_stable_ls") is not None), None)


def _certified(events: Events, run_class: str) -> Ints:
    wanted = CLASSES.index(run_class)
    certified: Ints = np.unique(events.run[events.run_class == wanted])
    return certified


@dataclass(frozen=True)
class PromotionEvaluation:
    """Where the references that came into use would have been; rows of the table are the scored ones."""

    window: int
    promotions: int
    earlier: int
    reachable: int
    ranks: Mapping[str, Ints]
    table: Sequence[Mapping[str, int]]

    def to_json(self) -> dict[str, Any]:
        """The content of ``promote_metrics.json``."""
        return {
            "window": self.window,
            "min_candidates": LEAST_CANDIDATES,
            "promotions": self.promotions,
            "earlier_than_first_use": self.earlier,
            "reachable": self.reachable,
            "scored": len(self.table),
            "rankers": {
                name: {f"top{n}": float(np.mean(ranks <= n)) for n in _TOPS}
                | {"mrr": float(np.mean(1.0 / ranks))}
                for name, ranks in self.ranks.items()
                if len(ranks)
            },
        }  # fmt: skip


def evaluate_promotion(
    events: Events,
    runs: RunTable,
    run_class: str,
    *,
    test_from: int | None = None,
    test_to: int | None = None,
    window: int = WINDOW,
) -> PromotionEvaluation:
    """Rank the certified runs before the first use of every reference.

    A reference first used by run U counts if test_from <= U < test_to; it is *earlier* if its number is
    below U, *reachable* if it is among the candidates in [U - window, U).
    """
    mine = events.run_class == CLASSES.index(run_class)
    certified = _certified(events, run_class)
    ranks: dict[str, list[int]] = {name: [] for name in PROMOTERS}
    table: list[dict[str, int]] = []
    promotions = earlier = reachable = 0
    for reference in np.unique(events.reference[mine]):
        first = int(events.run[mine & (events.reference == reference)].min())
        if (test_from is not None and first < test_from) or (test_to is not None and first >= test_to):
            continue
        promotions += 1
        earlier += bool(reference < first)
        pool = _pool(certified, runs, first - window, first)
        at = np.flatnonzero(pool.run == reference)
        if not len(at):
            continue
        reachable += 1
        if len(pool.run) < LEAST_CANDIDATES:
            continue
        row = {"reference": int(reference), "first_use": first, "candidates": len(pool.run)}
        for name, score in PROMOTERS.items():
            rank = 1 + int(np.flatnonzero(_ranked(pool, score(pool)) == at[0])[0])
            ranks[name].append(rank)
            row[f"rank_{name}"] = rank
        table.append(row)
    return PromotionEvaluation(
        window, promotions, earlier, reachable, {name: np.array(r) for name, r in ranks.items()}, table
    )

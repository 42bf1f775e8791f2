"""Signs that the current reference is stale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from femtobarn.catalog.runrecords import Run
from femtobarn.catalog.runtable import RunTable
from femtobarn.rank.history import ClassHistory, Past
from femtobarn.rank.physics import DEFAULT_FEATURES, run_features
from femtobarn.rank.rules import ENERGY_TOLERANCE, FIELD_TOLERANCE

__all__ = ["Alert", "replacement_ages", "stale_alerts"]

_PERCENTILE: Final = 90.0
_LEAST_REPLACEMENTS: Final = 5
_RECENT: Final = 10
#: Names of the codes in a history.
_RECOS: Final = ("express", "prompt", "rerecoul")


@dataclass(frozen=True, slots=True)
class Alert:
    """A sign of staleness: a code, a sentence and the number behind it."""

    code: str
    detail: str

    def to_json(self) -> dict[str, Any]:
        return {"code": self.code, "detail": self.detail}


def replacement_ages(past: Past) -> np.ndarray[Any, np.dtype[np.int64]]:
    """How many runs old each reference was when the class and reconstruction moved on to another."""
    rows = past.same_reco
    references = past.history.references[past.codes[rows]]
    moved = np.flatnonzero(references[1:] != references[:-1])
    ages: np.ndarray[Any, np.dtype[np.int64]] = past.run[rows][moved + 1] - references[moved]
    return ages


def stale_alerts(
    past: Past, runs: RunTable | None, features: Sequence[str] = DEFAULT_FEATURES
) -> list[Alert]:
    """What speaks against going on with the reference that was used last."""
    rows = past.same_reco
    if not len(rows):
        return []
    history = past.history
    current = int(history.references[past.codes[rows[-1]]])
    found = [alert for alert in (_age(past, current), _other_moved(past, current)) if alert]
    newer = _newer(past, history, current)
    if newer:
        found.append(newer)
    if runs is not None:
        found += _conditions(past, current, runs, features)
    return found


def _age(past: Past, current: int) -> Alert | None:
    ages = replacement_ages(past)
    ages = ages[ages > 0]
    if len(ages) < _LEAST_REPLACEMENTS:
        return None
    limit = float(np.percentile(ages, _PERCENTILE))
    age = past.target.run - current
    if age <= limit:
        return None
    return Alert("STALE_AGE", f"reference {current} is {age} runs old; nine of ten were replaced before "
                              f"{limit:.0f} runs")  # fmt: skip


def _other_moved(past: Past, current: int) -> Alert | None:
    other = np.flatnonzero(past.reco != past.target.reco)
    if not len(other) or other[-1] < past.same_reco[-1]:
        return None
    theirs = int(past.history.references[past.codes[other[-1]]])
    if theirs == current:
        return None
    name = _RECOS[int(past.reco[other[-1]])]
    return Alert("OTHER_RECO_MOVED", f"{name} has moved to {theirs}; where the two reconstructions disagree, "
                                     "the last choice is right in 86 % of cases, else in 96 %")  # fmt: skip


def _newer(past: Past, history: ClassHistory, current: int) -> Alert | None:
    """A later run that came into use since the current reference did."""
    last = int(past.codes[past.same_reco[-1]])
    since = int(np.argmax(past.codes == last))
    references = history.references[past.codes[since:]]
    later = references[(references > current) & (references < past.target.run)]
    if not len(later):
        return None
    newest = int(later.max())
    return Alert("NEWER_REFERENCE", f"{newest} is in use as a reference and newer than {current}")


def _conditions(past: Past, current: int, runs: RunTable, features: Sequence[str]) -> list[Alert]:
    """The median of the last ten runs against the reference."""
    recent = [runs.get(int(r)) for r in np.unique(past.run)[-_RECENT:]]
    reference = runs.get(current)
    ours = run_features(reference, features)
    table = [run_features(run, features) for run in recent]
    found = []
    for name in features:
        values = [n for n in (row[name].number for row in table) if n is not None]
        mine = ours[name].number
        if mine is None or len(values) < _RECENT // 2:
            continue
        ratio = float(np.median(values)) / mine
        if abs(math.log(ratio)) > math.log(2.0):
            size = f"{ratio:.2g}" if 1e-3 < ratio < 1e3 else "over 1000" if ratio > 1 else "below 0.001"
            found.append(f"{name} {size} times that of {current}")
    for name, tolerance, unit in (
        ("fill_b_field", FIELD_TOLERANCE, "T"),
        ("fill_energy", ENERGY_TOLERANCE, "GeV"),
    ):
        found += _shifted(recent, reference, name, tolerance, unit)
    if not found:
        return []
    return [Alert("CONDITIONS_CHANGED", "median of the last ten runs: " + ", ".join(found))]


def _shifted(recent: Sequence[Run], reference: Run, name: str, tolerance: float, unit: str) -> list[str]:
    values = [n for n in (run.get(name).number for run in recent) if n is not None]
    mine = reference.get(name).number
    if mine is None or len(values) < _RECENT // 2 or abs(float(np.median(values)) - mine) <= tolerance:
        return []
    return [f"{name.removeprefix('fill_')} {np.median(values):g} {unit} instead of {mine:g} {unit}"]

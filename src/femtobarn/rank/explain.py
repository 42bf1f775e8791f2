"""Sentences: what colleagues did with a reference, and why a run is not the first choice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from femtobarn.rank.answers import WhyNot
from femtobarn.rank.history import Past
from femtobarn.rank.rules import Verdict

__all__ = ["Explanation", "why_not"]


def why_not(number: int, verdict: Verdict, ranks: Mapping[int, int], run_class: str) -> WhyNot:
    """Why a run is not the first choice: the rules against it, its rank, or that nobody knows it."""
    if verdict.reasons:
        return WhyNot(number, None, verdict.reasons, f"run {number} is out: "
                      + "; ".join(f"{r.code} ({r.detail})" for r in verdict.reasons))  # fmt: skip
    if number in ranks:
        text = "is the first choice" if ranks[number] == 1 else f"is in, at rank {ranks[number]}"
        return WhyNot(number, ranks[number], (), f"run {number} {text}")
    return WhyNot(number, None, (), f"nothing is known of run {number} in class {run_class}")


class Explanation:
    """What colleagues did with a reference, in sentences."""

    def __init__(self, past: Past, reco: str) -> None:
        self.past = past
        self.reco = reco
        self.references = past.history.references
        self.same = past.codes[past.same_reco]

    def __call__(self, number: int) -> tuple[str, ...]:
        at = int(np.searchsorted(self.references, number))
        if at == len(self.references) or self.references[at] != number or self.past.last_any[at] < 0:
            return ("never used as a reference before",)
        said = []
        streak = _streak(self.same, at)
        if streak:
            said.append(f"used by the last {streak} {self.reco} certifications" if streak > 1
                        else f"used by the last {self.reco} certification")  # fmt: skip
        recent = self.same[-20:]
        count = int(np.count_nonzero(recent == at))
        if count and count > streak:
            said.append(f"used by {count} of the last {len(recent)} {self.reco} certifications")
        last = int(self.past.last_any[at])
        total = int(np.count_nonzero(self.past.codes == at))
        run = int(self.past.run[last])
        ago = self.past.target.run - run
        when = (
            "the run itself"
            if ago == 0
            else f"{abs(ago)} run{'s' * (abs(ago) != 1)} {'ago' if ago > 0 else 'later'}"
        )
        said.append(f"used {total} time{'s' * (total != 1)}, last by run {run} ({when})")
        if self.past.last_same[at] < 0:
            said.append(f"never used for {self.reco}")
        return tuple(said)


def _streak(codes: np.ndarray[Any, Any], code: int) -> int:
    """How many of the newest choices in a row were this one."""
    other = np.flatnonzero(codes[::-1] != code)
    return int(other[0]) if len(other) else len(codes)

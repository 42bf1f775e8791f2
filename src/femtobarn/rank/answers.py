"""The answer to a question about a run: ranked references, excluded ones, alerts; and its JSON form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from femtobarn.catalog.attributes import ATTRIBUTES
from femtobarn.catalog.quantity import Quantity, absent
from femtobarn.catalog.runrecords import Run
from femtobarn.rank.alerts import Alert
from femtobarn.rank.metric import Metric
from femtobarn.rank.physics import Distance
from femtobarn.rank.questions import Question
from femtobarn.rank.rules import Reason

__all__ = ["Neighbourhood", "Suggested", "Suggestion", "WhyNot", "attributes", "links"]

_INSUFFICIENT: Final = "INSUFFICIENT_FEATURES"


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """How close a reference's fill is to the run's; None where a record is missing."""

    fill_distance: int | None
    same_scheme: bool | None

    @classmethod
    def of(cls, run: Run, other: Run) -> Neighbourhood:
        ours, theirs = (each.get("fill_injection_scheme").value for each in (run, other))
        distance = None if run.fill is None or other.fill is None else abs(run.fill - other.fill)
        return cls(distance, None if ours is None or theirs is None else ours == theirs)

    def to_json(self) -> dict[str, int | bool | None]:
        return {"fill_distance": self.fill_distance, "same_scheme": self.same_scheme}


@dataclass(frozen=True)
class Suggested:
    """One reference: two scores side by side, never one number made of both."""

    reference: int
    reco: str
    rank: int
    history_score: float | None
    history_rank: int | None
    history_reasons: tuple[str, ...]
    physics: Distance
    physics_rank: int | None
    flags: tuple[str, ...]
    neighbourhood: Neighbourhood

    def to_json(self) -> dict[str, Any]:
        return {
            "reference": self.reference,
            "reco": self.reco,
            "rank": self.rank,
            "history": {
                "score": self.history_score, "rank": self.history_rank, "reasons": list(self.history_reasons),
            },
            "physics": {
                "distance": self.physics.value,
                "rank": self.physics_rank,
                "reason": None if self.physics.value is not None else _INSUFFICIENT,
                "features": {name: ratio.to_json() for name, ratio in self.physics.features.items()},
            },
            **self.neighbourhood.to_json(),
            "flags": list(self.flags),
            "links": links(self.reference, self.reco),
        }  # fmt: skip


@dataclass(frozen=True)
class WhyNot:
    """Why a run is not the first choice."""

    run: int
    rank: int | None
    reasons: tuple[Reason, ...]
    answer: str

    def to_json(self) -> dict[str, Any]:
        return {"run": self.run, "rank": self.rank, "reasons": [r.to_json() for r in self.reasons],
                "answer": self.answer}  # fmt: skip


@dataclass(frozen=True)
class Suggestion:
    """The answer to one question."""

    question: Question
    run_class: str
    class_source: str
    target: Run
    features: Mapping[str, Quantity]
    closed_list_size: int
    candidates: tuple[Suggested, ...]
    ranked: int
    excluded: tuple[tuple[int, tuple[Reason, ...]], ...]
    alerts: tuple[Alert, ...]
    warnings: tuple[str, ...]
    why_not: tuple[WhyNot, ...] = ()
    metric: Metric = Metric("log")  # noqa: RUF009 (frozen)

    def to_json(self) -> dict[str, Any]:
        q = self.question
        return {
            "target": {
                "run_number": q.run, "reco": q.reco, "class": self.run_class,
                "class_source": self.class_source,
                "features": {name: value.to_json() for name, value in self.features.items()},
                "attributes": attributes(self.target, self.run_class),
                "links": links(q.run, q.reco),
            },
            "protocol": q.protocol.name, "history": q.history, "order": q.order,
            "list": "open" if q.open_list else "closed", "rules": q.rules.to_json(),
            "metric": self.metric.to_json(),
            "closed_list_size": self.closed_list_size,
            "ranked": self.ranked,
            "candidates": [item.to_json() for item in self.candidates],
            "excluded": [
                {"reference": run, "reasons": [reason.to_json() for reason in reasons]}
                for run, reasons in self.excluded
            ],
            "alerts": [alert.to_json() for alert in self.alerts],
            "warnings": list(self.warnings),
            "why_not": [item.to_json() for item in self.why_not],
        }  # fmt: skip


def attributes(run: Run, run_class: str) -> dict[str, Any]:
    """All that a run may have, by the names of OMS; what is missing says why."""
    found = {name: run.values.get(name, absent(attribute.unit)) for name, attribute in ATTRIBUTES.items()}
    if run_class != "cosmics" and found["apv_mode"].value is None:
        # The readout mode of the tracker differs from run to run in cosmics only.
        found["apv_mode"] = absent(reason="not_applicable")
    return {name: value.to_json() for name, value in found.items() if name != "run_number"}


def links(run: int, reco: str) -> dict[str, str]:
    """Pages about a run for people with access to them."""
    return {
        "oms": f"https://cmsoms.cern.ch/cms/runs/report?cms_run={run}",
        "dqm": f"https://cmsweb.cern.ch/dqm/offline/start?runnr={run};sampletype=offline_data;filter={reco}",
    }

"""What is known, and what is asked: records of certifications and runs, and a question about one run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from femtobarn.catalog.runrecords import CLASSES, Pair, class_from_run
from femtobarn.catalog.runtable import RunTable
from femtobarn.errors import UsageError
from femtobarn.rank.history import Protocol
from femtobarn.rank.metric import Metric, fit_metric
from femtobarn.rank.physics import DEFAULT_FEATURES
from femtobarn.rank.rules import Rules

__all__ = ["Question", "Records", "answer_recos", "target_class"]


@dataclass(frozen=True)
class Records:
    """All that is known: certifications, and run records where there are some."""

    pairs: tuple[Pair, ...]
    runs: RunTable

    def recos(self, run: int) -> frozenset[str]:
        """Reconstructions a run was certified in."""
        return self._certified.get(run, (frozenset(), ""))[0]

    def class_of(self, run: int) -> str:
        """Class of a certified run; empty if no dataset says."""
        return self._certified.get(run, (frozenset(), ""))[1]

    def __post_init__(self) -> None:
        found: dict[int, tuple[set[str], str]] = {}
        for pair in self.pairs:
            recos, name = found.setdefault(pair.key.run, (set(), ""))
            recos.add(pair.key.reco)
            if not name and pair.run_class in CLASSES:
                found[pair.key.run] = (recos, pair.run_class)
        frozen = {run: (frozenset(recos), name) for run, (recos, name) in found.items()}
        object.__setattr__(self, "_certified", frozen)
        object.__setattr__(self, "_metrics", {})

    _certified: Mapping[int, tuple[frozenset[str], str]] = field(init=False, repr=False, compare=False)
    _metrics: dict[tuple[object, ...], Metric] = field(init=False, repr=False, compare=False)

    def metric(self, name: str, run_class: str, features: tuple[str, ...], components: int | None) -> Metric:
        """A distance, fitted once on the certified runs of a class: it does not move with the question."""
        key = (name, run_class, features, components)
        if key not in self._metrics:
            runs = (
                self.runs.get(run)
                for run, (_, its_class) in sorted(self._certified.items())
                if its_class == run_class and run in self.runs
            )
            self._metrics[key] = fit_metric(name, runs, features, components)
        return self._metrics[key]


@dataclass(frozen=True)
class Question:
    """What is asked: ``run_class`` None leaves it to the records; ``references`` is a closed list by hand."""

    run: int
    reco: str
    run_class: str | None = None
    protocol: Protocol = Protocol("run-ordered+express")  # noqa: RUF009 (frozen)
    history: str = "latest"
    order: str = "history"
    open_list: bool = False
    references: tuple[int, ...] | None = None
    rules: Rules = Rules()  # noqa: RUF009 (frozen)
    features: tuple[str, ...] = DEFAULT_FEATURES
    metric: str = "log"
    components: int | None = None
    weights: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    top: int = 10
    why_not: tuple[int, ...] = ()


def answer_recos(reco: str) -> tuple[str, ...]:
    """Reconstructions of references for a target's, in order of preference."""
    return {"rereco": ("prompt",), "rerecoul": ("rerecoul", "prompt")}.get(reco, (reco,))


def target_class(question: Question, records: Records) -> tuple[str, str, list[str]]:
    """Class of the target, where that comes from, and what is doubtful about it."""
    if question.run_class is not None:
        return question.run_class, "option", []
    known = records.class_of(question.run)
    if known:
        return known, "dataset", []
    if question.run not in records.runs:
        certified = bool(records.recos(question.run))
        where = "certified without a dataset" if certified else "in no list of pairs"
        raise UsageError(f"run {question.run} is {where} and in no run table, so its class is not known",
                         where="--class", action=f"say --class {' | '.join(CLASSES)}")  # fmt: skip
    run = records.runs.get(question.run)
    found = class_from_run(run)
    if run.get("hlt_key").value is None:
        doubt = f"run {question.run} has no dataset and no HLT key: taken as {found}; --class overrides"
        return found, "hlt_key", [doubt]
    return found, "hlt_key", []

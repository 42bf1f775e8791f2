"""A recommendation: references a shifter may choose, ranked twice and explained; and those that are out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from femtobarn.catalog.quantity import Quantity
from femtobarn.catalog.runrecords import CLASSES, Pair, Run, class_from_run
from femtobarn.catalog.runtable import RunTable
from femtobarn.errors import UsageError
from femtobarn.rank.alerts import Alert, stale_alerts
from femtobarn.rank.history import ClassHistory, Events, Floats, Past, Protocol, Target
from femtobarn.rank.learned import Ranker
from femtobarn.rank.metric import Metric, fit_metric
from femtobarn.rank.physics import DEFAULT_FEATURES, Distance, run_features
from femtobarn.rank.rankers import latest
from femtobarn.rank.rules import Candidate, Reason, Rules, Verdict, judge

__all__ = ["Question", "Records", "Suggested", "Suggestion", "WhyNot", "suggest"]

_RECO_CODES: Final = {"express": 0, "prompt": 1, "rereco": 1, "rerecoul": 2}
_INSUFFICIENT: Final = "INSUFFICIENT_FEATURES"


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
                "attributes": {name: value.to_json() for name, value in self.target.values.items()},
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


def links(run: int, reco: str) -> dict[str, str]:
    """Pages about a run for people with access to them."""
    return {
        "oms": f"https://cmsoms.cern.ch/cms/runs/report?cms_run={run}",
        "dqm": f"https://cmsweb.cern.ch/dqm/offline/start?runnr={run};sampletype=offline_data;filter={reco}",
    }


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
        raise UsageError(
            f"run {question.run} is in no list of pairs and in no run table, so its class is not known",
            where="--class", action=f"say --class {' | '.join(CLASSES)}",
        )  # fmt: skip
    run = records.runs.get(question.run)
    found = class_from_run(run)
    if run.get("hlt_key").value is None:
        doubt = f"run {question.run} has no dataset and no HLT key: taken as {found}; --class overrides"
        return found, "hlt_key", [doubt]
    return found, "hlt_key", []


def _history(question: Question, run_class: str, records: Records) -> Past:
    """What was chosen before, as the protocol shows it."""
    pairs = records.pairs
    if question.reco == "rerecoul":
        # Nothing but its own kind, and prompt behind it.
        pairs = tuple(pair for pair in pairs if pair.key.reco in ("prompt", "rerecoul"))
    events = Events.from_pairs(pairs, recos=("express", "prompt", "rerecoul") if question.reco == "rerecoul"
                               else ("express", "prompt"))  # fmt: skip
    wanted = None if question.rules.any_class else CLASSES.index(run_class)
    history = ClassHistory(events, wanted, question.protocol)
    code = _RECO_CODES[question.reco]
    row = history.find(question.run, code)
    if row is not None:
        return history.past(history.target(row))
    newest = int(events.order.max(initial=-1)) + 1
    return history.past(Target(question.run, code, newest))


def suggest(question: Question, records: Records, ranker: Ranker | None = None) -> Suggestion:
    """Rank the references for one run.

    Parameters
    ----------
    question : Question
    records : Records
    ranker : Ranker, optional
        A model trained on what the protocol allows; needed if ``question.history`` is ``model``.

    Raises
    ------
    UsageError
        If the class of the run is not known, or there is no reference to choose from.
    """
    run_class, source, warnings = target_class(question, records)
    past = _history(question, run_class, records)
    closed = question.references or tuple(int(r) for r in past.history.references[past.candidates])
    numbers = _open_list(question, records, closed) if question.open_list else closed
    if not numbers:
        raise UsageError(f"no reference was used in class {run_class} before run {question.run}",
                         action="give a list with --references FILE, or --list open")  # fmt: skip
    judged = _Judge(question, run_class, records, past, closed)
    verdicts = {number: judged(number) for number in numbers}
    kept = [number for number in numbers if not verdicts[number].reasons]
    scores = _history_scores(question, past, ranker)
    probable = question.history == "model" and ranker is not None and ranker.probable
    target = records.runs.get(question.run)
    features = run_features(target, question.features)
    metric = records.metric(question.metric, run_class, question.features, question.components)
    distances = {n: metric.distance(features, run_features(records.runs.get(n), question.features),
                                    question.weights) for n in kept}  # fmt: skip
    by_history = sorted((n for n in kept if n in scores), key=lambda n: -scores[n])
    by_physics = sorted((n for n in kept if distances[n].value is not None),
                        key=lambda n: (distances[n].value, -n))  # fmt: skip
    ranked = _order(question.order, kept, by_history, by_physics)
    history_rank = {n: i for i, n in enumerate(by_history, 1)}
    physics_rank = {n: i for i, n in enumerate(by_physics, 1)}
    explain = _Explanation(past, question.reco)
    candidates = tuple(
        Suggested(
            reference=n, reco=_reference_reco(question, records, n), rank=i,
            history_score=_score(scores, history_rank, n, probable=probable),
            history_rank=history_rank.get(n),
            history_reasons=explain(n), physics=distances[n], physics_rank=physics_rank.get(n),
            flags=verdicts[n].flags,
        )
        for i, n in enumerate(ranked[: question.top], 1)
    )  # fmt: skip
    if not len(records.runs):
        warnings.append("no run records were given: nothing is known about the physics of any run")
    elif question.run not in records.runs:
        warnings.append(f"the run table does not hold run {question.run}: no distance can be given")
    excluded = tuple((n, verdicts[n].reasons) for n in numbers if verdicts[n].reasons)
    rank_of = {n: i for i, n in enumerate(ranked, 1)}
    why_not = tuple(_why_not(n, judged(n), rank_of, run_class) for n in question.why_not)
    if not ranked:
        warnings.append(f"all {len(numbers)} references are excluded; the reasons are listed")
    alerts = stale_alerts(past, records.runs, question.features)
    return Suggestion(
        question, run_class, source, target, features, len(closed), candidates, len(ranked), excluded,
        tuple(alerts), tuple(warnings), why_not, metric,
    )  # fmt: skip


class _Judge:
    """The rules, applied to any run."""

    def __init__(
        self, question: Question, run_class: str, records: Records, past: Past, closed: Sequence[int]
    ) -> None:
        from dataclasses import replace

        self.question, self.run_class, self.records = question, run_class, records
        self.used = {int(r) for r in past.history.references[past.candidates]}
        promoted = None if question.open_list else frozenset(closed)
        self.rules = replace(question.rules, promoted=promoted)
        self.target = Candidate(question.run, records.runs.get(question.run), run_class)

    def __call__(self, number: int) -> Verdict:
        known = self.records.class_of(number)
        if number in self.used:
            known = self.run_class  # it has been a reference of this class: that settles it
        elif not known and number in self.records.runs:
            run = self.records.runs.get(number)
            known = class_from_run(run) if run.get("hlt_key").value is not None else ""
        recos = frozenset[str]() if number in self.used else self.records.recos(number)
        recos = frozenset(r for r in recos if r in ("express", "prompt", "rereco", "rerecoul"))
        candidate = Candidate(number, self.records.runs.get(number), known, recos)
        wanted = answer_recos(self.question.reco)
        reco = next((r for r in wanted if r in recos), wanted[0])
        return judge(candidate, self.target, reco, self.rules)


def _open_list(question: Question, records: Records, closed: Sequence[int]) -> tuple[int, ...]:
    """Every run known by certification or record; later ones only if they are not out anyway."""
    known = {pair.key.run for pair in records.pairs} | set(records.runs) | set(closed)
    if question.rules.earlier_only:
        known = {run for run in known if run < question.run}
    return tuple(sorted(known - {question.run}))


def _history_scores(question: Question, past: Past, ranker: Ranker | None) -> dict[int, float]:
    """{reference: key}, larger is better, for all references of the past."""
    if question.history == "model":
        if ranker is None:
            raise UsageError("a model was asked for and none is trained", where="--history")
        keys: Floats = ranker.keys(past)
    else:
        keys = latest(past)
    return {int(past.history.references[c]): float(keys[c]) for c in past.candidates}


def _score(scores: Mapping[int, float], ranks: Mapping[int, int], n: int, *, probable: bool) -> float | None:
    """For people: the model's probability, else 1/rank."""
    if n not in scores:
        return None
    if not probable:
        return 1.0 / ranks[n]
    top = max(scores.values())
    total = sum(math.exp(value - top) for value in scores.values())
    return math.exp(scores[n] - top) / total


def _order(order: str, kept: Sequence[int], history: Sequence[int], physics: Sequence[int]) -> list[int]:
    """All kept runs: by the chosen score, then by the other, then highest first."""
    first, second = (history, physics) if order == "history" else (physics, history)
    return list(dict.fromkeys([*first, *second, *sorted(kept, reverse=True)]))


def _reference_reco(question: Question, records: Records, number: int) -> str:
    wanted = answer_recos(question.reco)
    return next((reco for reco in wanted if reco in records.recos(number)), wanted[-1])


def _why_not(number: int, verdict: Verdict, ranks: Mapping[int, int], run_class: str) -> WhyNot:
    if verdict.reasons:
        return WhyNot(number, None, verdict.reasons, f"run {number} is out: "
                      + "; ".join(f"{r.code} ({r.detail})" for r in verdict.reasons))  # fmt: skip
    if number in ranks:
        text = "is the first choice" if ranks[number] == 1 else f"is in, at rank {ranks[number]}"
        return WhyNot(number, ranks[number], (), f"run {number} {text}")
    return WhyNot(number, None, (), f"nothing is known of run {number} in class {run_class}")


class _Explanation:
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

"""A recommendation: references a shifter may choose, ranked twice and explained; and those that are out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from femtobarn.catalog.runrecords import CLASSES, class_from_run
from femtobarn.errors import UsageError
from femtobarn.rank.alerts import stale_alerts
from femtobarn.rank.answers import Neighbourhood, Suggested, Suggestion
from femtobarn.rank.explain import Explanation, why_not
from femtobarn.rank.history import ClassHistory, Events, Floats, Past, Target
from femtobarn.rank.learned import Ranker
from femtobarn.rank.physics import run_features
from femtobarn.rank.questions import Question, Records, answer_recos, target_class
from femtobarn.rank.rankers import latest
from femtobarn.rank.rules import Candidate, Verdict, judge

__all__ = ["suggest"]

_RECO_CODES: Final = {"express": 0, "prompt": 1, "rereco": 1, "rerecoul": 2}


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
    # A new processing goes by what was chosen for the prompt one.
    explain = Explanation(past, "prompt" if question.reco == "rereco" else question.reco)
    candidates = tuple(
        Suggested(
            reference=n, reco=_reference_reco(question, records, n), rank=i,
            history_score=_score(scores, history_rank, n, probable=probable),
            history_rank=history_rank.get(n),
            history_reasons=explain(n), physics=distances[n], physics_rank=physics_rank.get(n),
            flags=verdicts[n].flags, neighbourhood=Neighbourhood.of(target, records.runs.get(n)),
        )
        for i, n in enumerate(ranked[: question.top], 1)
    )  # fmt: skip
    excluded = tuple((n, verdicts[n].reasons) for n in numbers if verdicts[n].reasons)
    rank_of = {n: i for i, n in enumerate(ranked, 1)}
    explained = tuple(why_not(n, judged(n), rank_of, run_class) for n in question.why_not)
    warnings += _doubts(question, records, len(numbers), len(ranked))
    alerts = stale_alerts(past, records.runs, question.features)
    return Suggestion(
        question, run_class, source, target, features, len(closed), candidates, len(ranked), excluded,
        tuple(alerts), tuple(warnings), explained, metric,
    )  # fmt: skip


def _doubts(question: Question, records: Records, asked: int, ranked: int) -> Iterator[str]:
    """What a reader of the answer should know first."""
    if not len(records.runs):
        yield "no run records were given: nothing is known about the physics of any run"
    elif question.run not in records.runs:
        yield f"the run table does not hold run {question.run}: no distance can be given"
    if not ranked:
        yield f"all {asked} references are excluded; the reasons are listed"


class _Judge:
    """The rules, applied to any run."""

    def __init__(
        self, question: Question, run_class: str, records: Records, past: Past, closed: Sequence[int]
    ) -> None:
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

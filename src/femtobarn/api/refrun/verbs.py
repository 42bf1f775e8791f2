"""Reference runs: suggest one, replay the past, and find runs worth promoting."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from femtobarn.analyses import refrun as job
from femtobarn.api.refrun.records import (
    LoadedRecords,
    RecordSources,
    certification,
    load_records,
    run_numbers,
)
from femtobarn.catalog.runrecords import parse_class, parse_reco
from femtobarn.errors import DataError, UsageError, nearest
from femtobarn.rank.answers import Suggestion
from femtobarn.rank.evaluate import evaluate, parse_rankers
from femtobarn.rank.history import Events, Protocol
from femtobarn.rank.metric import check_metric
from femtobarn.rank.physics import DEFAULT_FEATURES, FEATURE_SOURCES
from femtobarn.rank.promotion import WINDOW, evaluate_promotion, newest_candidate, rank_promotions
from femtobarn.rank.questions import Question
from femtobarn.rank.rules import Rules
from femtobarn.rank.suggest import suggest
from femtobarn.run.task import Task, default_out, task

__all__ = [
    "JobDone", "SuggestRequest", "answer_question", "question_of", "refrun_evaluate", "refrun_promote",
    "refrun_suggest",
]  # fmt: skip

_EMBARGO: Final = 100
_FORMATS: Final = ("json", "csv", "html")


@dataclass(frozen=True)
class JobDone:
    """A finished job: where it is and what it says; ``content`` is its JSON table."""

    path: Path
    headline: str
    content: Mapping[str, Any]
    warnings: tuple[str, ...] = ()
    #: Whether the answer to the check is no (exit code 1).
    refused: str = ""


@dataclass(frozen=True, kw_only=True)
class SuggestRequest:
    """What a shifter asks; every field is a flag of ``femtobarn refrun suggest``."""

    reco: str
    run_class: str | None = None
    golden: str | None = None
    tracker_good: str | None = None
    blocklist: str | None = None
    retired: str | None = None
    references: str | None = None
    require_components: tuple[str, ...] = ()
    min_ls: int | None = None
    min_ready: float | None = None
    match: tuple[str, ...] = ()
    earlier_only: bool | None = None
    any_class: bool = False
    list: str = "closed"
    protocol: str = "run-ordered+express"
    embargo: int | None = None
    history: str = "latest"
    order: str = "history"
    features: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    metric: str = "log"
    components: int | None = None
    top: int = 10
    why_not: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def _choice(value: str, known: Sequence[str], flag: str) -> str:
    if value not in known:
        raise UsageError(f"{value!r} is not a choice", where=flag, near=nearest(value, known),
                         action=f"known are {', '.join(known)}")  # fmt: skip
    return value


def protocol_of(name: str, embargo: int | None) -> Protocol:
    """A protocol from its name and gap; the embargo is 100 runs if nothing is said."""
    if embargo is None:
        return Protocol(name, _EMBARGO if name.endswith("embargo") else 0)
    return Protocol(name, embargo)


def question_of(run: int, request: SuggestRequest) -> Question:
    """A checked question about one run.

    Raises
    ------
    UsageError, DataError
        Naming the flag, or the file, that is wrong.
    """
    if run <= 0:
        raise UsageError(f"{run} is no run number", where="RUN")
    if request.top < 1:
        raise UsageError(f"{request.top} references are none", where="--top", action="ask for 1 or more")
    reco = parse_reco(request.reco)
    for rule in request.match:
        _choice(rule, ("field", "energy", "apv"), "--match")
    features = request.features or DEFAULT_FEATURES
    check_metric(request.metric, request.components, features)
    earlier = request.earlier_only if request.earlier_only is not None else reco == "express"
    rules = Rules(
        earlier_only=earlier, any_class=request.any_class,
        blocklist=frozenset(run_numbers(request.blocklist) or ()),
        retired=frozenset(run_numbers(request.retired) or ()),
        golden=certification(request.golden), tracker_good=certification(request.tracker_good),
        components=request.require_components, min_ls=request.min_ls, min_ready=request.min_ready,
        match=frozenset(request.match),
    )  # fmt: skip
    return Question(
        run=run, reco=reco, run_class=None if request.run_class is None else parse_class(request.run_class),
        protocol=protocol_of(request.protocol, request.embargo),
        history=_choice(request.history, ("latest", "model"), "--history"),
        order=_choice(request.order, ("history", "physics"), "--order"),
        open_list=_choice(request.list, ("closed", "open"), "--list") == "open",
        references=run_numbers(request.references), rules=rules,
        features=features, weights=_weights(request.weights), metric=request.metric,
        components=request.components,
        top=request.top, why_not=request.why_not,
    )  # fmt: skip


def _weights(settings: Sequence[str]) -> dict[str, float]:
    """``pileup=2`` as weights of features."""
    found = {}
    for text in settings:
        name, _, value = text.partition("=")
        if name not in FEATURE_SOURCES:
            raise UsageError(f"there is no feature {name!r}", where="--weight",
                             near=nearest(name, FEATURE_SOURCES))  # fmt: skip
        try:
            found[name] = float(value)
        except ValueError as error:
            raise UsageError(f"{text!r} is not of the form FEATURE=NUMBER", where="--weight") from error
        if not math.isfinite(found[name]) or found[name] < 0:
            raise UsageError(f"the weight {value} is not a number from 0 on", where="--weight")
    return found


def answer_question(question: Question, loaded: LoadedRecords) -> Suggestion:
    """One answer from records in memory."""
    ranker = None
    if question.history == "model":
        from femtobarn.api.refrun.models import model_for

        ranker = model_for(question, loaded.records)
    return suggest(question, loaded.records, ranker)


def refrun_suggest(
    runs: Sequence[int],
    request: SuggestRequest,
    sources: RecordSources,
    *,
    formats: Sequence[str] = _FORMATS,
    out: str | Path | None = None,
    fresh: bool = False,
    command: Sequence[str] = (),
) -> JobDone:
    """Rank the references for some runs, and say why.

    Writes ``tables/suggest.json`` (and ``suggest.csv``), the luminosity overlays where lumisections are
    known, and the report.
    """
    if not runs:
        raise UsageError("no run is given", where="RUN")
    for form in formats:
        _choice(form, _FORMATS, "--format")
    questions = [question_of(run, request) for run in dict.fromkeys(runs)]
    loaded = load_records(sources)
    config = {"verb": "suggest", "runs": list(runs), **sources.to_json(), **request.to_json(),
              "formats": list(formats)}  # fmt: skip
    path = Path(out) if out is not None else default_out("refrun-suggest")
    with task(path, job="refrun", title=job.TITLE, config=config, inputs=loaded.inputs, command=command,
              fresh=fresh, origin=loaded.origin) as opened:  # fmt: skip
        opened.warn(*loaded.warnings)
        answers = []
        for question in questions:
            found = answer_question(question, loaded)
            opened.part(f"{question.run} {question.reco}", records=found.closed_list_size)
            about = f"run {question.run}: " if len(questions) > 1 else ""
            opened.warn(*(f"{about}{text}" for text in found.warnings))
            answers.append(found)
        content = job.suggest_content(answers)
        opened.table("suggest", content)
        if "csv" in formats or "html" in formats:
            job.write_suggest_tables(path / "tables", answers)
        if "html" in formats:
            job.draw_overlays(path / "plots", answers, loaded.lumisections, toy=loaded.origin == "toy")
        headline = job.suggest_headline(answers)
        _close(opened, headline, report="html" in formats)
    return JobDone(path, headline, content, opened.warnings)


def _close(opened: Task, headline: str, *, report: bool = True) -> None:
    opened.finish(headline)
    if report:
        from femtobarn.report import write_report

        write_report(opened.path)


def refrun_evaluate(
    sources: RecordSources,
    *,
    protocol: str = "run-ordered",
    embargo: int | None = None,
    test_from: int | None = None,
    test_to: int | None = None,
    rankers: str | None = None,
    allow_worse: bool = False,
    out: str | Path | None = None,
    fresh: bool = False,
    command: Sequence[str] = (),
) -> JobDone:
    """Replay the past with every ranker: ``tables/metrics.json``, ``tables/ranks.csv``, a report.

    The result is ``refused`` if the model loses to ``latest`` by more than .002 at the top.
    """
    names = parse_rankers(rankers)
    how = protocol_of(protocol, embargo)
    loaded = load_records(replace(sources, lumisections=None, runs=None))
    config = {"verb": "evaluate", **sources.to_json(), "protocol": how.name, "embargo": how.gap,
              "test_from": test_from, "test_to": test_to, "rankers": list(names)}  # fmt: skip
    path = Path(out) if out is not None else default_out("refrun-evaluate")
    events = Events.from_pairs(loaded.records.pairs)
    if not len(events):
        raise DataError("the list holds no express or prompt certification of a defined class",
                        where=sources.pairs or sources.store)  # fmt: skip
    with task(path, job="refrun", title=job.TITLE, config=config, inputs=loaded.inputs, command=command,
              fresh=fresh, origin=loaded.origin) as opened:  # fmt: skip
        opened.warn(*loaded.warnings)
        found = evaluate(events, how, test_from=test_from, test_to=test_to, rankers=names)
        content = found.to_json()
        for name in ("collisions", "cosmics", "HI"):
            opened.part(name, records=content["groups"][name]["n"])
        opened.table("metrics", content)
        job.write_evaluation(path / "tables", found, content)
        refused = "" if not found.worse else job.worse_sentence(content)
        if refused:
            opened.warn(refused)
        headline = job.evaluation_headline(content)
        job.draw_evaluation(path / "plots", content, toy=loaded.origin == "toy")
        _close(opened, headline)
    if allow_worse:
        return JobDone(path, headline, content, opened.warnings)
    return JobDone(path, headline, content, tuple(w for w in opened.warnings if w != refused), refused)


def refrun_promote(
    sources: RecordSources,
    *,
    run_class: str = "collisions",
    low: int | None = None,
    high: int | None = None,
    check: bool = False,
    test_from: int | None = None,
    test_to: int | None = None,
    window: int = WINDOW,
    tracker_good: str | None = None,
    top: int = 10,
    out: str | Path | None = None,
    fresh: bool = False,
    command: Sequence[str] = (),
) -> JobDone:
    """Rank certified runs as the next reference; with ``check`` replay past promotions instead."""
    wanted = parse_class(run_class)
    if window < 1:
        raise UsageError(f"a window of {window} runs is empty", where="--window")
    if sources.runs is None and sources.store is None:
        raise UsageError("promotion needs run records (their stable lumisections)", where="--runs",
                         action="--runs FILE or --store S")  # fmt: skip
    loaded = load_records(sources)
    events, runs = Events.from_pairs(loaded.records.pairs), loaded.records.runs
    config = {"verb": "promote", **sources.to_json(), "class": wanted, "from": low, "to": high,
              "evaluate": check, "test_from": test_from, "test_to": test_to, "window": window,
              "tracker_good": tracker_good, "top": top}  # fmt: skip
    path = Path(out) if out is not None else default_out("refrun-promote")
    good = certification(tracker_good)
    with task(path, job="refrun", title=job.TITLE, config=config, inputs=loaded.inputs, command=command,
              fresh=fresh, origin=loaded.origin) as opened:  # fmt: skip
        opened.warn(*loaded.warnings)
        if check:
            found = evaluate_promotion(
                events, runs, wanted, test_from=test_from, test_to=test_to, window=window
            )
            content: dict[str, Any] = {"class": wanted, "test_from": test_from, "test_to": test_to,
                                       **found.to_json()}  # fmt: skip
            opened.part(wanted, records=found.promotions)
            opened.table("promote_metrics", content)
            job.write_promotion_check(path / "tables", found)
            headline = job.promotion_check_headline(content)
        else:
            newest = high if high is not None else newest_candidate(events, runs, wanted)
            if newest is None:
                raise DataError(f"no certified run of class {wanted} has a known number of stable "
                                "lumisections", action="give a run table that covers them")  # fmt: skip
            last = newest + 1
            first = max(last - window, 0) if low is None else low
            if first >= last:
                raise UsageError(f"no run is from {low} to {high}", where="--from")
            ranked = rank_promotions(events, runs, wanted, low=first, high=last, good=good, top=top)
            if not ranked:
                raise DataError(f"no certified run of class {wanted} from {first} to {last - 1} has a known "
                                "number of stable lumisections", action="widen --from and --to, or give a "
                                "run table that covers them")  # fmt: skip
            content = {"class": wanted, "from": first, "to": last - 1,
                       "candidates": [one.to_json() for one in ranked]}  # fmt: skip
            opened.part(wanted, records=len(ranked))
            opened.table("promote", content)
            job.write_promotions(path / "tables", ranked)
            headline = job.promotion_headline(ranked, wanted)
        _close(opened, headline)
    return JobDone(path, headline, content, opened.warnings)

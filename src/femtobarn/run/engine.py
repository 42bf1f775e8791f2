"""Execute a plan: every part ends in the ledger, results are added in part order, nothing is lost unseen."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from femtobarn.analysis import Analysis
from femtobarn.outcome import Outcome
from femtobarn.records import Part
from femtobarn.run.executors import Executor
from femtobarn.run.fingerprint import digest, resource_digests, source_fingerprint, versions
from femtobarn.run.ledger import Entry, Ledger
from femtobarn.run.plan import Plan
from femtobarn.run.store import Store
from femtobarn.run.worker import Job, Task, TaskResult

__all__ = ["Progress", "RunResult", "Summary", "execute", "part_keys", "summarise"]

log: Final = logging.getLogger("femtobarn.run")


@dataclass(frozen=True, slots=True)
class Summary:
    """What became of the parts, and what that means in events."""

    total: int
    done: int
    cached: int
    failed: int
    events_expected: int
    events_processed: int
    lost_fraction: float
    bytes_read: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0

    @property
    def missing(self) -> int:
        return self.total - self.done - self.cached - self.failed

    @property
    def complete(self) -> bool:
        return self.failed == 0 and self.missing == 0

    def to_json(self) -> dict[str, Any]:
        """The manifest's ``ledger`` section."""
        return {
            "parts": {
                "total": self.total, "done": self.done, "cached": self.cached,
                "failed": self.failed, "missing": self.missing,
            },
            "events": {"expected": self.events_expected, "processed": self.events_processed},
            "lost_fraction": self.lost_fraction,
            "bytes_read": self.bytes_read,
            "wall_s": self.wall_s,
            "cpu_s": self.cpu_s,
        }  # fmt: skip


@dataclass(frozen=True)
class RunResult:
    """The merged outcome and the account of how it came about."""

    outcome: Outcome
    summary: Summary
    entries: Mapping[int, Entry]
    #: {dataset: (events processed, events in the dataset)}
    processed: Mapping[str, tuple[int, int]]

    @property
    def failures(self) -> list[Entry]:
        return [entry for _, entry in sorted(self.entries.items()) if entry.state == "failed"]


#: Called after every part with its ledger entry.
Progress = Callable[[Entry], None]


def part_keys(analysis: Analysis, parameters: Any, plan: Plan, *, salt: str = "") -> list[str]:
    """The store key of every part: a hash of all that can change its outcome."""
    common = digest(
        [
            source_fingerprint(analysis),
            parameters.model_dump(mode="json"),
            resource_digests(analysis.resources(parameters)),
            versions(),
            salt,
        ]
    )
    datasets = {d.name: digest([d.name, dict(d.metadata)]) for d in plan.datasets}
    columns = {name: digest([c.needed, c.optional]) for name, c in plan.columns.items()}
    return [
        digest(
            [
                common,
                datasets[part.dataset],
                columns.get(part.dataset, ""),
                *_identity(plan, part),
                part.start,
                part.stop,
            ]
        )
        for part in plan.parts
    ]


def _identity(plan: Plan, part: Part) -> tuple[Any, ...]:
    file = plan.files[part.file]
    return file.uuid, file.size, file.schema, file.tree, file.missing_optional, file.error


@dataclass
class _Fold:
    """Adds stored outcomes in part order, whatever order they arrive in; memory stays flat."""

    store: Store
    parts: Sequence[Part]
    outcome: Outcome
    keys: dict[int, str | None] = field(default_factory=dict)
    damaged: list[int] = field(default_factory=list)
    position: int = 0

    def settle(self, number: int, key: str | None) -> None:
        """A part is decided: its key in the store, or None if it failed."""
        self.keys[number] = key
        while self.position < len(self.parts):
            part = self.parts[self.position]
            if part.number not in self.keys:
                return
            decided = self.keys[part.number]
            if decided is not None:
                found = self.store.load(decided, part=part.number)
                if found is None:
                    del self.keys[part.number]
                    self.damaged.append(part.number)
                    return
                self.outcome.absorb(found)
            self.position += 1


def execute(
    plan: Plan,
    analysis: Analysis,
    executor: Executor,
    store: Store,
    *,
    parameters: Any,
    source: str | None = None,
    ledger: Path | None = None,
    parts: Sequence[Part] | None = None,
    salt: str = "",
    progress: Progress | None = None,
) -> RunResult:
    """Process all parts of a plan (or of a slice of it) and add up what they yield.

    Parameters
    ----------
    plan, analysis, executor, store
        What, how, where, and where outcomes are kept.
    parameters : the analysis' parameter model
    source : str, optional
        How workers find the analysis: a name or a file (default: its name).
    ledger : Path, optional
        File to append the account to.
    parts : sequence of Part, optional
        Only these parts of the plan.
    salt : str
        Set by ``--fresh``: makes keys that no earlier run can have left in the store.
    progress : callable, optional
    """
    started = time.perf_counter()
    chosen = plan.parts if parts is None else parts
    keys = part_keys(analysis, parameters, plan, salt=salt)
    fold = _Fold(store, chosen, Outcome.empty("", analysis.histograms_for(parameters)))
    job = Job(source or analysis.name, parameters.model_dump(mode="python"), str(store.folder))
    entries: dict[int, Entry] = {}
    by_number = {part.number: part for part in chosen}
    book = Ledger(ledger) if ledger is not None else None

    def note(entry: Entry, key: str | None) -> None:
        entries[entry.part] = entry
        if book is not None:
            book.append(entry)
        if progress is not None:
            progress(entry)
        fold.settle(entry.part, key)

    def task(part: Part) -> Task:
        return Task(part, keys[part.number], plan.files[part.file], plan.dataset(part.dataset))

    def run(tasks: Iterable[Task], attempt: int) -> None:
        for result in executor(job, tasks):
            entry = _entry(plan, result, attempt)
            note(entry, None if result.error else result.key)

    try:
        waiting = []
        for part in chosen:
            if keys[part.number] in store:
                note(_cached(plan, part, keys[part.number]), keys[part.number])
            else:
                waiting.append(part)
        run((task(part) for part in waiting), 1)
        attempt = 1
        while fold.damaged:
            again = [by_number[number] for number in fold.damaged]
            fold.damaged.clear()
            attempt += 1
            run((task(part) for part in again), attempt)
    finally:
        if book is not None:
            book.close()
    summary = summarise(plan, chosen, entries, wall_s=time.perf_counter() - started)
    return RunResult(fold.outcome, summary, entries, processed_events(plan, entries))


def _entry(plan: Plan, result: TaskResult, attempt: int) -> Entry:
    part = result.part
    return Entry(
        part=part.number,
        key=result.key,
        dataset=part.dataset,
        file=plan.files[part.file].ref.url,
        start=part.start,
        stop=part.stop,
        state="failed" if result.error else "done",
        attempts=attempt,
        events=result.events,
        bytes_read=result.bytes_read,
        seconds=round(result.seconds, 6),
        cpu_seconds=round(result.cpu_seconds, 6),
        error=result.error,
    )


def _cached(plan: Plan, part: Part, key: str) -> Entry:
    url = plan.files[part.file].ref.url
    return Entry(part.number, key, part.dataset, url, part.start, part.stop, "cached", events=part.entries)


def processed_events(plan: Plan, entries: Mapping[int, Entry]) -> dict[str, tuple[int, int]]:
    """{dataset: (events processed, events it has)}."""
    done = dict.fromkeys((dataset.name for dataset in plan.datasets), 0)
    for entry in entries.values():
        if entry.state != "failed":
            done[entry.dataset] += entry.stop - entry.start
    return {name: (count, plan.totals[name]) for name, count in done.items()}


def summarise(
    plan: Plan, parts: Sequence[Part], entries: Mapping[int, Entry], *, wall_s: float = 0.0
) -> Summary:
    """Count states; the lost fraction is of events, or of files where their events are unknown."""
    states = [entries[part.number].state for part in parts if part.number in entries]
    good = {
        part.number for part in parts if part.number in entries and entries[part.number].state != "failed"
    }
    expected = sum(part.entries for part in parts)
    processed = sum(part.entries for part in parts if part.number in good)
    unknown = [p for p in parts if p.number not in good and plan.files[p.file].error and not p.entries]
    lost = 1 - processed / expected if expected else 0.0
    if unknown:
        # A file nobody could open has an unknown number of events: count it as an average file.
        files = {part.file for part in parts}
        share = len(unknown) / len(files)
        lost = share + (1 - share) * lost
    return Summary(
        total=len(parts),
        done=states.count("done"),
        cached=states.count("cached"),
        failed=states.count("failed"),
        events_expected=expected,
        events_processed=processed,
        lost_fraction=lost,
        bytes_read=sum(entries[part.number].bytes_read for part in parts if part.number in entries),
        wall_s=wall_s,
        cpu_s=sum(entries[part.number].cpu_seconds for part in parts if part.number in entries),
    )

"""Execute a plan: every part ends in the ledger, results are added in part order, nothing is lost unseen."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from femtobarn.analysis import Analysis
from femtobarn.outcome import Outcome
from femtobarn.records import Dataset, Part
from femtobarn.run.executors import Executor
from femtobarn.run.keys import part_keys
from femtobarn.run.ledger import Entry, Ledger, read_ledger
from femtobarn.run.plan import Plan
from femtobarn.run.store import Store
from femtobarn.run.worker import Job, Task, TaskResult

__all__ = ["Progress", "RunResult", "Summary", "execute", "processed_events", "summarise"]

log: Final = logging.getLogger("femtobarn.run")

#: A part whose stored outcome is damaged this many times is given up: the disk is at fault.
_TRIES: Final = 3


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

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Summary:
        """Back from the manifest's ``ledger`` section."""
        parts, events = raw["parts"], raw["events"]
        return cls(
            parts["total"], parts["done"], parts["cached"], parts["failed"], events["expected"],
            events["processed"], raw["lost_fraction"], raw["bytes_read"], raw["wall_s"], raw["cpu_s"],
        )  # fmt: skip

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
        return [entry for _, entry in sorted(self.entries.items()) if not entry.good]


#: Called after every part with its ledger entry.
Progress = Callable[[Entry], None]


@dataclass
class _Fold:
    """Adds stored outcomes in part order, whatever order they arrive in; memory stays flat."""

    store: Store
    parts: Sequence[Part]
    outcome: Outcome
    keys: dict[int, str | None] = field(default_factory=dict)
    damaged: deque[Part] = field(default_factory=deque)
    position: int = 0

    def settle(self, number: int, key: str | None) -> None:
        """A part is decided: its key in the store, or None if it failed."""
        self.keys[number] = key
        while self.position < len(self.parts):
            part = self.parts[self.position]
            if part.number not in self.keys:
                return
            decided = self.keys.pop(part.number)
            if decided is not None:
                found = self.store.load(decided, part=part.number)
                if found is None:
                    self.damaged.append(part)
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
    keys: Sequence[str] | None = None,
    progress: Progress | None = None,
    columns: str = "",
) -> RunResult:
    """Process all parts of a plan (or of a slice of it) and add up what they yield.

    What the ledger says is done and the store still has stays done; what only the store has is
    ``cached``; everything else is processed.

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
    keys : sequence of str, optional
        Keys of the parts in the store, where the caller knows better than :func:`part_keys` what can
        change their outcomes.
    progress : callable, optional
    columns : str
        Folder where columns are kept uncompressed for the next run; empty for nowhere.

    Raises
    ------
    StoreError
        Outcomes or the ledger cannot be written; what is done is kept.
    """
    started = time.perf_counter()
    chosen = plan.parts if parts is None else parts
    if keys is None:
        keys = part_keys(analysis, parameters, plan, salt=salt)
    fold = _Fold(store, chosen, Outcome.empty("", analysis.histograms_for(parameters)))
    job = Job(
        source or analysis.name, parameters.model_dump(mode="python"), str(store.folder), columns=columns
    )
    with closing(_Account(plan, ledger, progress)) as account:
        waiting = _known(account, fold, store, chosen, keys)
        while waiting or fold.damaged:
            with closing(executor(job, _tasks(plan, waiting, fold.damaged, keys))) as results:
                for result in results:
                    tried = account.enter(_unless_hopeless(result, account, store))
                    fold.settle(tried.part, tried.key if tried.good else None)
        entries = account.entries
    summary = summarise(plan, chosen, entries, wall_s=time.perf_counter() - started)
    return RunResult(fold.outcome, summary, entries, processed_events(plan, entries))


def _known(
    account: _Account, fold: _Fold, store: Store, parts: Sequence[Part], keys: Sequence[str]
) -> deque[Part]:
    """Settle the parts that are done already; the others are returned."""
    waiting: deque[Part] = deque()
    for part in parts:
        key = keys[part.number]
        if key in store:
            account.recall(part, key)
            fold.settle(part.number, key)
        else:
            waiting.append(part)
    return waiting


def _tasks(plan: Plan, waiting: deque[Part], damaged: deque[Part], keys: Sequence[str]) -> Iterator[Task]:
    """Parts to process, those first whose stored outcome turned out to be damaged: the sum waits for them."""
    # Without its files: a thousand of them need not travel with every part.
    datasets = {d.name: Dataset(d.name, (), d.metadata) for d in plan.datasets}
    while damaged or waiting:
        part = damaged.popleft() if damaged else waiting.popleft()
        yield Task(part, keys[part.number], plan.files[part.file], datasets[part.dataset])


def _unless_hopeless(result: TaskResult, account: _Account, store: Store) -> TaskResult:
    """A result, or a failure if what is stored of this part has been damaged again and again."""
    if result.error or account.tries[result.part.number] < _TRIES:
        return result
    reason = f"{store.path(result.key)}: the stored result was damaged {_TRIES} times: check this disk"
    return replace(result, error=reason, events=0)


class _Account:
    """The entries of a run, in memory and in its ledger."""

    def __init__(self, plan: Plan, ledger: Path | None, progress: Progress | None) -> None:
        self.entries: dict[int, Entry] = {}
        self.tries: Counter[int] = Counter()
        self._plan = plan
        self._progress = progress
        self._book = Ledger(ledger, plan.digest) if ledger is not None else None
        self._earlier = read_ledger(ledger) if ledger is not None else {}

    def close(self) -> None:
        if self._book is not None:
            self._book.close()

    def recall(self, part: Part, key: str) -> None:
        """A part whose outcome is in the store: done by this run before, or cached from another."""
        earlier = self._earlier.get(part.number)
        if earlier is not None and earlier.good and earlier.key == key:
            self._note(earlier)
        else:
            self._write(self._entry(part, key, "cached", events=part.entries))

    def enter(self, result: TaskResult) -> Entry:
        """A part that was processed now."""
        self.tries[result.part.number] += 1
        earlier = self._earlier.get(result.part.number)
        entry = self._entry(
            result.part,
            result.key,
            "failed" if result.error else "done",
            attempts=self.tries[result.part.number] + (earlier.attempts if earlier is not None else 0),
            events=result.events,
            bytes_read=result.bytes_read,
            seconds=round(result.seconds, 6),
            cpu_seconds=round(result.cpu_seconds, 6),
            error=result.error,
        )
        self._write(entry)
        return entry

    def _entry(self, part: Part, key: str, state: Any, **details: Any) -> Entry:
        url = self._plan.files[part.file].ref.url
        return Entry(part.number, key, part.dataset, url, part.start, part.stop, state, **details)

    def _write(self, entry: Entry) -> None:
        if self._book is not None:
            self._book.append(entry)
        self._note(entry)

    def _note(self, entry: Entry) -> None:
        self.entries[entry.part] = entry
        if self._progress is not None:
            self._progress(entry)


def processed_events(plan: Plan, entries: Mapping[int, Entry]) -> dict[str, tuple[int, int]]:
    """{dataset: (events processed, events it has)}."""
    done = dict.fromkeys((dataset.name for dataset in plan.datasets), 0)
    for entry in entries.values():
        if entry.good:
            done[entry.dataset] += entry.stop - entry.start
    return {name: (count, plan.totals[name]) for name, count in done.items()}


def summarise(
    plan: Plan, parts: Sequence[Part], entries: Mapping[int, Entry], *, wall_s: float = 0.0
) -> Summary:
    """Count states; the lost fraction is of events, or of files where their events are unknown."""
    present = [entries[part.number] for part in parts if part.number in entries]
    states = [entry.state for entry in present]
    good = {entry.part for entry in present if entry.good}
    expected = sum(part.entries for part in parts)
    processed = sum(part.entries for part in parts if part.number in good)
    return Summary(
        total=len(parts),
        done=states.count("done"),
        cached=states.count("cached"),
        failed=states.count("failed"),
        events_expected=expected,
        events_processed=processed,
        lost_fraction=_lost_fraction(plan, parts, good, processed / expected if expected else 1.0),
        bytes_read=sum(entry.bytes_read for entry in present),
        wall_s=wall_s,
        cpu_s=sum(entry.cpu_seconds for entry in present),
    )


def _lost_fraction(plan: Plan, parts: Sequence[Part], good: set[int], processed: float) -> float:
    """The share of events that is lost; a file of unknown length counts as an average file."""
    unknown = sum(1 for p in parts if p.number not in good and plan.files[p.file].error and not p.entries)
    share = unknown / len({part.file for part in parts}) if unknown else 0.0
    return share + (1 - share) * (1 - processed)

"""What a worker does with one part: open, read, process, store.  Runs in any process, anywhere."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from femtobarn.analysis import Analysis, Columns, Context, find_analysis
from femtobarn.errors import DataError, FemtobarnError
from femtobarn.outcome import Outcome
from femtobarn.read import Source, open_source, read_events
from femtobarn.records import Dataset, Part
from femtobarn.run.plan import FilePlan
from femtobarn.run.store import Store

__all__ = ["Job", "Task", "TaskResult", "Worker"]

_OPEN_FILES: Final = 8


@dataclass(frozen=True)
class Job:
    """What is the same for all parts of a run.  Crosses process boundaries; holds no functions."""

    analysis: str
    parameters: Mapping[str, Any]
    store: str


@dataclass(frozen=True, slots=True)
class Task:
    """One part with all that is needed to process it."""

    part: Part
    key: str
    file: FilePlan
    dataset: Dataset


@dataclass(frozen=True, slots=True)
class TaskResult:
    """How a task went.  The outcome itself is in the store, under ``key``."""

    part: Part
    key: str
    error: str = ""
    events: int = 0
    bytes_read: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    warnings: Mapping[str, int] = field(default_factory=dict)


class Worker:
    """Keeps an analysis, its resources and a few open files from one part to the next."""

    def __init__(self, job: Job) -> None:
        self._analysis: Analysis = find_analysis(job.analysis)
        self._parameters = self._analysis.parameters(**job.parameters)
        self._store = Store(Path(job.store))
        self._histograms = self._analysis.histograms_for(self._parameters)
        self._resources: Mapping[str, Any] | None = None
        self._files: OrderedDict[str, Source] = OrderedDict()

    def close(self) -> None:
        for source in self._files.values():
            source.close()
        self._files.clear()

    def run(self, task: Task) -> TaskResult:
        """Process one part; every failure of its input becomes a result with a reason."""
        started, cpu = time.perf_counter(), time.process_time()
        error, events, size = "", 0, 0
        try:
            outcome, size = self._process(task)
            self._store.save(task.key, outcome)
            events = task.part.entries
        except FemtobarnError as problem:
            error = str(problem)
        except MemoryError:
            error = f"{task.file.ref.url}: not enough memory for entries {task.part.start}-{task.part.stop}"
        except Exception as problem:  # noqa: BLE001 - an analysis may raise anything; the run goes on
            error = _blame(problem, task)
        return TaskResult(
            task.part,
            task.key,
            error=error,
            events=events,
            bytes_read=size,
            seconds=time.perf_counter() - started,
            cpu_seconds=time.process_time() - cpu,
        )

    def _process(self, task: Task) -> tuple[Outcome, int]:
        if task.file.error:
            raise DataError(task.file.error)
        source = self._open(task.file)
        schema, part = task.file.schema, task.part
        declared: Columns = self._analysis.columns_for(self._parameters, schema, task.dataset)
        events = read_events(
            source, declared.needed, declared.optional, part.start, part.stop, where=task.file.ref.url
        )
        context = Context(
            dataset=task.dataset,
            parameters=self._parameters,
            schema=schema,
            part=part,
            variations=self._analysis.variations(self._parameters, task.dataset),
            histograms=self._histograms,
            resources=self._load_resources(),
        )
        outcome = self._analysis.process(events, context)
        if not isinstance(outcome, Outcome):
            raise DataError(f"process() returned {type(outcome).__name__}, not an Outcome",
                            where=self._analysis.name)  # fmt: skip
        branches = [source.schema.resolve(name).name for name in events.names]
        share = part.entries / max(source.entries, 1)
        return outcome, round(source.stored_bytes(branches) * share)

    def _open(self, file: FilePlan) -> Source:
        """An open file, kept for the next parts; refused if it is not the planned one any more."""
        url = file.ref.url
        source = self._files.pop(url, None)
        if source is None:
            source = open_source(file.ref, (file.schema,) if file.schema != "raw" else ())
            if (source.uuid, source.entries) != (file.uuid, file.entries):
                source.close()
                raise DataError(
                    "changed between planning and reading (uuid or number of entries differ)",
                    where=url,
                    action="start again with: femtobarn resume RUN",
                )
        self._files[url] = source
        while len(self._files) > _OPEN_FILES:
            self._files.popitem(last=False)[1].close()
        return source

    def _load_resources(self) -> Mapping[str, Any]:
        if self._resources is None:
            declared = self._analysis.resources(self._parameters)
            self._resources = MappingProxyType(
                {name: resource.load(Path(resource.path)) for name, resource in declared.items()}
            )
        return self._resources


def _blame(problem: Exception, task: Task) -> str:
    """Where an analysis' own code went wrong: file and line of the innermost frame of its module."""
    place = ""
    trace = problem.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if "site-packages" not in code.co_filename and "/run/worker.py" not in code.co_filename:
            place = f"{code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    text = str(problem).strip().split("\n", 1)[0]
    return (
        f"{task.file.ref.url}: entries {task.part.start}-{task.part.stop}: "
        f"{type(problem).__name__}: {text} (at {place})"
    )

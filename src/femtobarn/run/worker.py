"""What a worker does with one part: open, read, process, store.  Runs in any process, anywhere."""

from __future__ import annotations

import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import femtobarn
from femtobarn.analysis import Analysis, Columns, Context, Resource, find_analysis
from femtobarn.errors import DataError, FemtobarnError
from femtobarn.net import bytes_received
from femtobarn.outcome import Outcome
from femtobarn.read import Events, Source, open_source, read_events
from femtobarn.read.columncache import CachedColumns
from femtobarn.records import Dataset, Part
from femtobarn.run.fingerprint import source_fingerprint
from femtobarn.run.plan import FilePlan
from femtobarn.run.store import Store

__all__ = ["DEADLY", "Job", "Task", "TaskResult", "Worker", "given_up", "stamped"]

_OPEN_FILES: Final = 8
#: A part that ends this many workers is given up.
DEADLY: Final = 3


@dataclass(frozen=True)
class Job:
    """What is the same for all parts of a run.  Crosses process boundaries; holds no functions."""

    analysis: str
    parameters: Mapping[str, Any]
    store: str
    #: Of the code that workers elsewhere must have; empty where they cannot differ.
    version: str = ""
    source: str = ""
    #: Folder of columns that are kept uncompressed; empty for none.
    columns: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """One part with all that is needed to process it; the dataset comes without its list of files."""

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


@dataclass
class _Open:
    """An open file, what it looked like when it was opened, and what its columns weigh."""

    source: Source
    stamp: tuple[int, int] | None
    weights: dict[tuple[str, ...], float] = field(default_factory=dict)
    titles: dict[tuple[str, ...], Mapping[str, str]] = field(default_factory=dict)

    def titles_of(self, columns: tuple[str, ...]) -> Mapping[str, str]:
        """What the file says about these columns, if it says anything."""
        if not columns:
            return {}
        if columns not in self.titles:
            title = getattr(self.source, "branch_title", None)
            names = {name: self.source.schema.resolve(name).name for name in columns}
            self.titles[columns] = {
                name: title(branch)
                for name, branch in names.items()
                if title is not None and branch in self.source.branches
            }
        return self.titles[columns]

    def bytes_of(self, columns: tuple[str, ...], entries: int) -> int:
        """Compressed bytes of so many entries of these columns."""
        if columns not in self.weights:
            names = [self.source.schema.resolve(name).name for name in columns]
            self.weights[columns] = self.source.stored_bytes(names) / max(self.source.entries, 1)
        return round(self.weights[columns] * entries)


class Worker:
    """Keeps an analysis, its resources and a few open files from one part to the next."""

    def __init__(self, job: Job, *, clock: Callable[[], float] = time.process_time) -> None:
        self._clock = clock
        self._analysis: Analysis = find_analysis(job.analysis)
        if job.version:
            _refuse_other_code(job, self._analysis)
        self._parameters = self._analysis.parameters(**job.parameters)
        self._store = Store(Path(job.store))
        self._kept = Path(job.columns) if job.columns else None
        self._histograms = self._analysis.histograms_for(self._parameters)
        self._resources: Mapping[str, Any] | None = None
        self._loaded: dict[Resource, Any] = {}
        self._files: OrderedDict[str, _Open] = OrderedDict()

    def close(self) -> None:
        """Close the open files."""
        for file in self._files.values():
            file.source.close()
        self._files.clear()

    def run(self, task: Task) -> TaskResult:
        """Process one part; every failure of its input becomes a result with a reason.

        Raises
        ------
        StoreError
            The outcome cannot be stored.  That is no fault of the part: the run must stop.
        """
        result, outcome = self.attempt(task)
        if outcome is not None:
            self._store.save(task.key, outcome)
        return result

    def attempt(self, task: Task) -> tuple[TaskResult, Outcome | None]:
        """Process one part without storing it."""
        started, cpu = time.perf_counter(), self._clock()
        outcome, error, size, entries = None, "", 0, task.part.entries
        try:
            if self._analysis.whole_file is not None:
                outcome, size, entries = self._whole_file(task)
            else:
                outcome, size = self._process(task)
        except FemtobarnError as problem:
            error = str(problem)
        except MemoryError:
            error = f"{_place(task)}: not enough memory"
        except Exception as problem:  # noqa: BLE001 - an analysis may raise anything; the run goes on
            error = _blame(problem, task)
        result = TaskResult(
            task.part,
            task.key,
            error=error,
            events=entries if not error else 0,
            bytes_read=size,
            seconds=time.perf_counter() - started,
            cpu_seconds=self._clock() - cpu,
        )
        return result, outcome

    def _whole_file(self, task: Task) -> tuple[Outcome, int, int]:
        """A job that reads the file itself."""
        if task.file.error:
            raise DataError(task.file.error)
        assert self._analysis.whole_file is not None  # noqa: S101 - asked for by the caller
        context = Context(task.dataset, self._parameters, task.file.schema, task.part)
        return self._analysis.whole_file(task.file.ref, context, self._store.path(task.key))

    def _process(self, task: Task) -> tuple[Outcome, int]:
        if task.file.error:
            raise DataError(task.file.error)
        before = bytes_received()
        file = self._open(task.file)
        schema, part = task.file.schema, task.part
        declared: Columns = self._analysis.columns_for(self._parameters, schema, task.dataset)
        events = read_events(
            file.source, declared.needed, declared.optional, part.start, part.stop, where=task.file.ref.url
        )
        context = Context(
            dataset=task.dataset,
            parameters=self._parameters,
            schema=schema,
            part=part,
            variations=self._analysis.variations(self._parameters, task.dataset),
            histograms=self._histograms,
            resources=self._load_resources(task.dataset),
            peek=self._peek(task, file.source),
            titles=file.titles_of(self._analysis.titles),
            url=task.file.ref.url,
        )
        outcome = self._analysis.process(events, context)
        if not isinstance(outcome, Outcome):
            raise DataError(f"process() returned {type(outcome).__name__}, not an Outcome",
                            where=self._analysis.name)  # fmt: skip
        size = file.bytes_of(events.names, part.entries)
        # Over the network, what really came (headers and gaps, or nothing when it was kept) is what counts.
        return outcome, bytes_received() - before if "://" in task.file.ref.url else size

    def _peek(self, task: Task, source: Source) -> Events | None:
        """The extra columns of the file's first events, if this part begins it."""
        wanted = self._analysis.peek(self._parameters, task.dataset) if task.part.start == 0 else None
        if wanted is None:
            return None
        stop = min(wanted.events, source.entries)
        return read_events(source, (), wanted.columns, 0, stop, where=task.file.ref.url)

    def _open(self, file: FilePlan) -> _Open:
        """An open file, kept for the next parts; refused if it is not the planned one any more."""
        url = file.ref.url
        known = self._files.pop(url, None)
        stamp = _stamp(url)
        if known is not None and known.stamp != stamp:
            known.source.close()
            known = None
        if known is None:
            source = open_source(file.ref, (file.schema,) if file.schema != "raw" else ())
            if (source.uuid, source.entries, source.size) != (file.uuid, file.entries, file.size):
                source.close()
                raise DataError(
                    "changed between planning and reading (uuid, size or number of entries differ)",
                    where=url,
                    action="plan and process it anew with: femtobarn resume RUN",
                )
            if self._kept is not None and stamp is not None and not source.objects:
                source = CachedColumns(source, self._kept, stamp=stamp[1])
            known = _Open(source, stamp)
        self._files[url] = known
        while len(self._files) > _OPEN_FILES:
            self._files.popitem(last=False)[1].source.close()
        return known

    def _load_resources(self, dataset: Dataset) -> Mapping[str, Any]:
        if self._resources is None:
            declared = self._analysis.resources(self._parameters)
            self._resources = MappingProxyType(
                {name: resource.load(Path(resource.path)) for name, resource in declared.items()}
            )
        own = self._analysis.dataset_resources(self._parameters, dataset)
        if not own:
            return self._resources
        for resource in own.values():
            if resource not in self._loaded:
                self._loaded[resource] = resource.load(Path(resource.path))
        return MappingProxyType(
            {**self._resources, **{name: self._loaded[resource] for name, resource in own.items()}}
        )


def given_up(task: Task, cause: str) -> TaskResult:
    """The result of a task that ends every worker that tries it."""
    part = task.part
    return TaskResult(
        part,
        task.key,
        error=f"{task.file.ref.url}: entries {part.start}-{part.stop}: ended {DEADLY} workers ({cause})",
    )


def stamped(job: Job) -> Job:
    """A job that says which code its workers must have: that of this process."""
    return replace(job, version=femtobarn.__version__, source=source_fingerprint(find_analysis(job.analysis)))


def _refuse_other_code(job: Job, analysis: Analysis) -> None:
    """A worker that runs other code than the run would make other results."""
    theirs = {"femtobarn": job.version, f"source of {analysis.name}": job.source}
    mine = {"femtobarn": femtobarn.__version__, f"source of {analysis.name}": source_fingerprint(analysis)}
    for name, wanted in theirs.items():
        if mine[name] != wanted:
            raise FemtobarnError(
                f"the worker has another {name} ({mine[name][:12]}) than the run ({wanted[:12]})",
                where=socket.gethostname(),
                action="give the workers the environment of the run (site file: setup, image, ship, python), "
                "and do not edit code while a run goes on",
            )


def _stamp(url: str) -> tuple[int, int] | None:
    """Size and time of a local file, to notice that it is replaced while it is open."""
    if "://" in url:
        return None
    try:
        status = Path(url).stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _place(task: Task) -> str:
    return f"{task.file.ref.url}: entries {task.part.start}-{task.part.stop}"


def _blame(problem: Exception, task: Task) -> str:
    """Where an analysis' own code went wrong: file and line of the innermost frame outside of libraries."""
    place = ""
    trace = problem.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if "site-packages" not in code.co_filename and code.co_filename != __file__:
            place = f"{code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    text = str(problem).strip().split("\n", 1)[0]
    return f"{_place(task)}: {type(problem).__name__}: {text}" + (f" (at {place})" if place else "")

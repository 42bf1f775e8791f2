"""The plan: which ranges of which files are processed, known before the first event is read.

Planning opens every file once, reads metadata only, and cuts it into parts of about equal cost along
the file's clusters.  A file that cannot be used stays in the plan with its reason; nothing is skipped
in silence.  What a file told is remembered by its path, size and time, so planning again opens nothing.
"""

from __future__ import annotations

import json
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any, Final
from uuid import uuid4

from femtobarn.analysis import Analysis, Columns
from femtobarn.errors import ConfigError, DataError, FemtobarnError, UsageError
from femtobarn.net.client import shared_client
from femtobarn.net.transports import open_transport
from femtobarn.read import (
    check_unit,
    expand_columns,
    find_schema,
    missing_columns,
    open_source,
    require_columns,
    schema_names,
)
from femtobarn.records import TOY_TITLE, Dataset, FileRef, Part
from femtobarn.run.fingerprint import digest, schema_digest, versions
from femtobarn.run.planned import FilePlan, Plan, Sizing
from femtobarn.run.store import cache_root

__all__ = ["FilePlan", "Plan", "Sizing", "make_plan"]

log: Final = logging.getLogger("femtobarn.run")

#: Of the remembered facts; a change makes them anew.
_PROBE_VERSION: Final = 3
_TARGET_EVENTS: Final = 200_000
_PROBES: Final = 8
#: Files looked at before the one that is next: enough to keep all probes busy, few to keep in memory.
_AHEAD: Final = 8 * _PROBES


def make_plan(
    analysis: Analysis,
    parameters: Any,
    datasets: Sequence[Dataset],
    sizing: Sizing | None = None,
    *,
    deliver: Callable[[tuple[Dataset, ...]], tuple[Dataset, ...]] | None = None,
) -> Plan:
    """Probe the files of the datasets and cut them into parts.

    ``deliver`` may put others (skims) in the place of the prepared datasets.

    Raises
    ------
    FemtobarnError
        The datasets themselves are wrong: unknown to the analysis, without files, or of another
        release than asked for.  Single bad files do not raise; see :attr:`Plan.bad`.
    """
    sizing = sizing or Sizing()
    _check_sizing(sizing)
    given = tuple(datasets)
    unused: Mapping[str, str] = {}
    if analysis.prepare is not None:
        given, unused = analysis.prepare(given, parameters)
    if not given:
        raise UsageError("no dataset is left to process", action="; ".join(unused.values()) or None)
    _check_duplicates(given, shared=analysis.shared_files)
    if deliver is not None:
        given = deliver(given)
    examine = _Examiner(analysis, parameters, given)
    files: list[FilePlan] = []
    parts: list[Part] = []
    columns: dict[str, Columns] = {}
    totals = {dataset.name: 0 for dataset in given}
    cutter = _Cutter(sizing)
    seen: dict[str, dict[tuple[str, int], str]] = {}
    releases: dict[str, FilePlan] = {}
    for file, clusters in examine.all():
        _check_copy(file, seen.setdefault(file.dataset if analysis.shared_files else "", {}))
        _check_release(file, releases)
        totals[file.dataset] += file.entries
        parts += cutter.cut(file, clusters, file_number=len(files), first=len(parts))
        files.append(file)
        if file.schema:
            columns.setdefault(file.dataset, examine.columns(file))
    return Plan(given, tuple(files), tuple(parts), totals, unused, columns)


def _check_sizing(sizing: Sizing) -> None:
    for name in ("part_events", "part_bytes", "max_files", "max_events", "steps_per_part"):
        value = getattr(sizing, name)
        if value is not None and value < 1:
            raise UsageError(f"--{name.replace('_', '-')} must be at least 1, not {value}")


def _check_duplicates(datasets: Iterable[Dataset], *, shared: bool = False) -> None:
    """A file that is listed twice would be counted twice (``shared``: twice in one dataset)."""
    seen: dict[str, str] = {}
    for dataset in datasets:
        if shared:
            seen = {}
        for ref in dataset.files:
            url = ref.url if "://" in ref.url else str(Path(ref.url).resolve())
            if url in seen:
                raise ConfigError(f"is listed twice: in dataset {seen[url]!r} and in {dataset.name!r}",
                                  where=ref.url, action="list every file once")  # fmt: skip
            seen[url] = dataset.name


def _check_copy(file: FilePlan, seen: dict[tuple[str, int], str]) -> None:
    """The same file under two names would be counted twice."""
    if file.error or not file.uuid:
        return
    first = seen.setdefault((file.uuid, file.size), file.ref.url)
    if first != file.ref.url:
        raise ConfigError(f"is a copy of {first} (same uuid and size)", where=file.ref.url,
                          action="list every file once")  # fmt: skip


def _check_release(file: FilePlan, first: dict[str, FilePlan]) -> None:
    """Files of different releases in one dataset would be added up as if they were one."""
    if not file.schema:
        return
    other = first.setdefault(file.dataset, file)
    if _family(other.schema) != _family(file.schema):
        raise ConfigError(
            f"is {file.schema}, but {other.ref.url} of the same dataset {file.dataset!r} is {other.schema}",
            where=file.ref.url, action="give each release a dataset of its own",
        )  # fmt: skip


def _family(schema: str) -> str:
    """Formats of one experiment may be mixed; the education releases differ in content."""
    return schema if schema.startswith("atlas-") else schema.partition("-")[0]


class _Examiner:
    """Opens files (a few at a time) and checks them against what the analysis declares."""

    def __init__(self, analysis: Analysis, parameters: Any, datasets: Sequence[Dataset]) -> None:
        self._analysis = analysis
        self._parameters = parameters
        self._datasets = {dataset.name: dataset for dataset in datasets}
        self._schemas = analysis.schemas(parameters)
        self._busy: dict[str, Lock] = {}

    def all(self) -> Iterable[tuple[FilePlan, list[int]]]:
        """Every file in order, with its clusters; never more than a few looked at ahead."""
        jobs = ((dataset.name, ref) for dataset in self._datasets.values() for ref in dataset.files)
        with ThreadPoolExecutor(max_workers=_PROBES) as pool:
            ahead = deque(pool.submit(self._examine, *job) for job in islice(jobs, _AHEAD))
            try:
                while ahead:
                    found = ahead.popleft().result()
                    ahead.extend(pool.submit(self._examine, *job) for job in islice(jobs, 1))
                    yield found
            finally:
                for future in ahead:
                    future.cancel()

    def columns(self, file: FilePlan) -> Columns:
        """The declared columns for a file."""
        return self._analysis.columns_for(self._parameters, file.schema, self._datasets[file.dataset])

    def _examine(self, dataset: str, ref: FileRef) -> tuple[FilePlan, list[int]]:
        bad = FilePlan(dataset, ref, entries=ref.entries or 0)
        try:
            # A file of several datasets is opened by the first; the others find what it remembered.
            with self._busy.setdefault(ref.url, Lock()):
                facts = _facts(ref, self._schemas)
            _check_identity(ref, facts)
            file = _file_plan(dataset, ref, facts)
            declared = self.columns(file)
            view: Any = _BranchList(file, facts["branch_bytes"])
            if facts["columns"]:
                require_columns(view, declared.needed, where=ref.url)
            optional = expand_columns(view, declared.optional)
            absent = tuple(missing_columns(view, optional))
        except FemtobarnError as error:
            return replace(bad, error=str(error)), []
        names = [name for name in (*declared.needed, *optional) if name not in absent]
        branches = {view.schema.resolve(name).name for name in names}
        needed = sum(facts["branch_bytes"].get(branch, 0) for branch in branches)
        return replace(file, needed_bytes=needed, missing_optional=absent), facts["clusters"]


def _check_identity(ref: FileRef, facts: Mapping[str, Any]) -> None:
    """Refuse a file that is not the one the fileset describes, and steps that do not fit it."""
    if ref.uuid not in (None, facts["uuid"]):
        raise DataError(f"has the uuid {facts['uuid']}, the fileset says {ref.uuid}: another file",
                        where=ref.url)  # fmt: skip
    if ref.entries not in (None, facts["entries"]):
        raise DataError(f"has {facts['entries']} entries, the fileset says {ref.entries}: another file",
                        where=ref.url)  # fmt: skip
    end = 0
    for start, stop in sorted(ref.steps):
        if start < end or stop < start or stop > facts["entries"]:
            raise DataError(
                f"the step {start}-{stop} overlaps another or leaves the file's {facts['entries']} entries",
                where=ref.url, action="make the fileset anew: femtobarn data files",
            )  # fmt: skip
        end = stop


def _file_plan(dataset: str, ref: FileRef, facts: Mapping[str, Any]) -> FilePlan:
    known = {key: facts[key] for key in ("entries", "uuid", "size", "tree")}
    return FilePlan(dataset, replace(ref, **known), schema=facts["schema"], toy=facts["toy"], **known)


def _facts(ref: FileRef, schemas: tuple[str, ...]) -> dict[str, Any]:
    """What opening the file tells, remembered by path, size and time of change."""
    place = _memory_of(ref, schemas)
    if place is not None and place.is_file():
        try:
            return dict(json.loads(place.read_text()))
        except (OSError, json.JSONDecodeError):
            log.warning("%s is damaged; the file is probed again", place)
    source = open_source(ref, schemas)
    try:
        check_unit(source, where=ref.url)
        facts = {
            "schema": source.schema.name,
            "tree": source.tree,
            "entries": source.entries,
            "uuid": source.uuid,
            "size": source.size,
            "clusters": source.clusters(),
            "columns": not source.objects,
            "toy": getattr(source, "title", "") == TOY_TITLE,
            "branch_bytes": {name: source.stored_bytes([name]) for name in sorted(source.branches)},
        }
    finally:
        source.close()
    if place is not None:
        _remember(place, facts)
    return facts


def _memory_of(ref: FileRef, schemas: tuple[str, ...]) -> Path | None:
    identity = _remote_identity(ref) if "://" in ref.url else _local_identity(ref.url)
    if identity is None:
        return None
    known = [schema_digest(name) for name in schemas or schema_names()]
    key = digest([*identity, ref.tree, schemas, known, versions()["femtobarn"], _PROBE_VERSION])
    return cache_root() / "probes" / key[:2] / f"{key}.json"


def _local_identity(url: str) -> list[Any] | None:
    """Path, size and time of change."""
    try:
        status = Path(url).stat()
    except OSError:
        return None
    return [str(Path(url).resolve()), status.st_size, status.st_mtime_ns] if Path(url).is_file() else None


def _remote_identity(ref: FileRef) -> list[Any] | None:
    """Address, size, and ETag or time as the server tells them; None where it does not, or does not answer.

    One small request; opening the file would take many.
    """
    try:
        transport = open_transport(ref.url, shared_client(), tries=1)
    except FemtobarnError:
        return None  # opening it will say what is wrong, or find another replica
    stamp, size = transport.stamp, transport.size
    transport.close()
    return [ref.url, size, stamp] if stamp else None


def _remember(place: Path, facts: Mapping[str, Any]) -> None:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        scratch = place.with_suffix(f".{uuid4().hex[:8]}.tmp")
        scratch.write_text(json.dumps(facts))
        scratch.replace(place)
    except OSError as error:
        log.warning("cannot remember what %s holds: %s", place, error)


class _BranchList:
    """The branches of a probed file, seen as a source is (for checks of declared columns)."""

    def __init__(self, file: FilePlan, branches: Iterable[str]) -> None:
        self.schema = find_schema(file.schema)
        self.tree = file.tree
        self.branches = frozenset(branches)


class _Cutter:
    """Cuts files into parts, remembering how much of each dataset is taken already."""

    def __init__(self, sizing: Sizing) -> None:
        self._sizing = sizing
        self._files: Counter[str] = Counter()
        self._events: Counter[str] = Counter()

    def cut(self, file: FilePlan, clusters: Sequence[int], *, file_number: int, first: int) -> list[Part]:
        """The parts of one file, numbered from ``first``."""
        name, sizing = file.dataset, self._sizing
        if sizing.max_files is not None and self._files[name] >= sizing.max_files:
            return []
        self._files[name] += 1
        if file.error:
            # Stays in the plan as one part that fails, so that the loss is accounted for.
            return [Part(first, name, file_number, 0, file.entries)]
        ranges = _ranges(file, clusters, sizing)
        if sizing.max_events is not None:
            ranges = _first(ranges, sizing.max_events - self._events[name])
        found = [Part(first + i, name, file_number, start, stop) for i, (start, stop) in enumerate(ranges)]
        self._events[name] += sum(part.entries for part in found)
        return found


def _first(ranges: Iterable[tuple[int, int]], events: int) -> Iterable[tuple[int, int]]:
    """The first so many events of these ranges."""
    left = events
    for start, stop in ranges:
        if left <= 0:
            return
        yield start, min(stop, start + left)
        left -= stop - start


def _ranges(file: FilePlan, clusters: Sequence[int], sizing: Sizing) -> Iterable[tuple[int, int]]:
    """Entry ranges of one file; a file without entries is one empty part, so that it is accounted for."""
    if file.entries == 0:
        yield 0, 0
        return
    for start, stop in _joined(file.ref.steps, sizing.steps_per_part) or ((0, file.entries),):
        if sizing.part_events is not None:
            for begin in range(start, stop, sizing.part_events):
                yield begin, min(begin + sizing.part_events, stop)
        elif file.ref.steps:
            yield start, stop
        else:
            yield from _along_clusters(file.entries, clusters, _target(file, sizing))


def _joined(steps: Sequence[tuple[int, int]], number: int | None) -> Sequence[tuple[int, int]]:
    """Up to ``number`` steps as one, as long as one begins where the other ends."""
    if number is None:
        return steps
    found: list[tuple[int, int]] = []
    count = 0
    for start, stop in steps:
        if found and count < number and found[-1][1] == start:
            found[-1] = (found[-1][0], stop)
            count += 1
        else:
            found.append((start, stop))
            count = 1
    return found


def _target(file: FilePlan, sizing: Sizing) -> int:
    """Events a part should have: not more than the target number, nor than the target bytes hold."""
    per_event = file.needed_bytes / max(file.entries, 1)
    return max(min(_TARGET_EVENTS, int(sizing.part_bytes / max(per_event, 1e-9))), 1)


def _along_clusters(entries: int, clusters: Sequence[int], target: int) -> Iterable[tuple[int, int]]:
    """Ranges of about ``target`` events that end on cluster borders."""
    start = 0
    previous = 0
    for edge in (*(edge for edge in clusters if 0 < edge < entries), entries):
        if edge - start > target and previous > start:
            yield start, previous
            start = previous
        previous = edge
    if start < entries:
        yield start, entries

"""Transformation requests as a ServiceX server keeps them: submitted, run one after the other, looked at.

The loopback server (:mod:`femtobarn.web.servicex`) translates between these and HTTP.  Requests live as
long as the server; their outputs are in the cache of deliveries and stay there.
"""

from __future__ import annotations

import datetime as dt
import glob
import logging
import queue
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from femtobarn.deliver.delivered import Options
from femtobarn.deliver.delivery import deliver_spec
from femtobarn.deliver.formats import EXTENSIONS
from femtobarn.deliver.queries import LANGUAGES, Query, query_from_codegen
from femtobarn.deliver.spec import General, Sample, Spec, dataset_of
from femtobarn.errors import FemtobarnError, UsageError, nearest

__all__ = ["FORMATS", "Output", "Rules", "Transformation", "Transformations"]

log: Final = logging.getLogger("femtobarn.deliver")

#: result-format of a request -> General.OutputFormat
FORMATS: Final[Mapping[str, str]] = {
    "parquet": "parquet",
    "root-file": "root-ttree",
    "root-rntuple": "root-rntuple",
}
#: Kinds of datasets that requests may name.
_CATALOGUES: Final = ("rucio://", "cernopendata://", "xrootd://", "atlas://", "das://")
DONE: Final = frozenset({"Complete", "Fatal", "Canceled", "Bad Dataset"})


@dataclass(frozen=True, slots=True)
class Rules:
    """What requests may ask for.

    Attributes
    ----------
    roots : local files are read only below these folders
    allow_python : run code that requests bring along
    """

    roots: tuple[Path, ...]
    allow_python: bool = False

    def checked(self, name: str) -> str:
        """The file a name stands for, links resolved; web and XRootD addresses are always allowed.

        Raises
        ------
        UsageError
            It is outside of the folders, or a pattern, which could lead there.
        """
        if name.startswith(("http://", "https://", "root://")):
            return name
        if "://" in name and not name.startswith("file://"):
            raise UsageError(f"addresses of this kind are not read: {name}", action="use https:// or root://")
        if glob.has_magic(name):
            raise UsageError("patterns of local files are not read", where=name, action="name the files")
        path = Path(name.removeprefix("file://")).expanduser().resolve()
        if not any(path.is_relative_to(root) for root in self.roots):
            raise UsageError("is outside of the folders that may be read", where=name,
                             action="serve with --allow FOLDER")  # fmt: skip
        return str(path)


@dataclass(frozen=True, slots=True)
class Output:
    """One result: its name among the request's, and the file."""

    name: str
    path: Path
    size: int
    created: dt.datetime


@dataclass
class Transformation:
    """A request and what has become of it."""

    id: str
    number: int
    title: str | None
    did: str | None
    file_list: tuple[str, ...]
    query: Query
    selection: str
    codegen: str
    result_format: str
    destination: str
    status: str = "Submitted"
    files: int = 0
    failed: int = 0
    outputs: list[Output] = field(default_factory=list)
    submitted: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))
    finished: dt.datetime | None = None
    problem: str = ""

    @property
    def completed(self) -> int:
        return len(self.outputs)

    @property
    def done(self) -> bool:
        return self.status in DONE

    def describe(self, address: str) -> dict[str, Any]:
        """As the client wants it; ``address`` is where results are fetched."""
        return {
            "request_id": self.id, "did": self.did or "File List Provided in Request", "did_id": self.number,
            "title": self.title, "selection": self.selection, "tree-name": None, "image": "femtobarn",
            "result-destination": self.destination, "result-format": self.result_format,
            "generated-code-cm": "", "status": self.status, "app-version": _version(), "files": self.files,
            "files-completed": self.completed, "files-failed": self.failed,
            "files-remaining": max(self.files - self.completed - self.failed, 0),
            "submit-time": _iso(self.submitted),
            "finish-time": _iso(self.finished) if self.finished else None,
            "minio-endpoint": address, "minio-secured": False, "minio-access-key": "local",
            "minio-secret-key": "localsecret", "log-url": None, "failure-info": self.problem,
        }  # fmt: skip


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _iso(time: dt.datetime) -> str:
    return time.replace(tzinfo=None).isoformat()


def _version() -> str:
    from femtobarn import __version__

    return f"femtobarn-{__version__}"


class Transformations:
    """All requests of a server; one thread works through them in order."""

    def __init__(self, rules: Rules, *, workers: int | None = None) -> None:
        self._rules = rules
        self._workers = workers
        self._all: dict[str, Transformation] = {}
        self._waiting: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Finish the request in hand and stop."""
        self._waiting.put(None)

    def submit(self, body: Mapping[str, Any]) -> Transformation:
        """Accept a request.

        Raises
        ------
        FemtobarnError
            It asks for what does not exist or is not allowed here.
        """
        codegen, kind = str(body.get("codegen", "")), str(body.get("result-format", ""))
        if codegen not in LANGUAGES:
            raise UsageError(f"there is no code generator {codegen!r}", near=nearest(codegen, LANGUAGES))
        if kind not in FORMATS:
            raise UsageError(f"there is no result format {kind!r}", near=nearest(kind, FORMATS))
        if codegen == "python" and not self._rules.allow_python:
            raise UsageError("Python code is not run here", action="serve with --allow-python")
        query = query_from_codegen(str(body.get("selection", "")), codegen, where=None)
        files = body.get("file-list") or ()
        if isinstance(files, str) or not all(isinstance(name, str) for name in files):
            raise UsageError("file-list must be a list of names")
        did = body.get("did")
        if bool(files) == bool(did):
            raise UsageError("give either did or file-list")
        names = tuple(self._rules.checked(name) for name in files)
        if did and not str(did).startswith(_CATALOGUES):
            raise UsageError(f"datasets of this kind are not looked up: {did}",
                             action="use " + ", ".join(_CATALOGUES))  # fmt: skip
        with self._lock:
            one = Transformation(
                str(uuid.uuid4()), len(self._all) + 1, body.get("title"), did, names, query,
                str(body["selection"]), codegen, kind, str(body.get("result-destination", "object-store")),
                files=len(files),
            )  # fmt: skip
            self._all[one.id] = one
        self._waiting.put(one.id)
        return one

    def get(self, request: str) -> Transformation | None:
        return self._all.get(request)

    def listed(self) -> Sequence[Transformation]:
        return list(self._all.values())

    def cancel(self, request: str) -> None:
        one = self._all[request]
        if not one.done:
            one.status, one.finished = "Canceled", _now()

    def delete(self, request: str) -> None:
        """Forget a request; its outputs stay in the cache."""
        self.cancel(request)
        with self._lock:
            del self._all[request]

    def _work(self) -> None:
        while (request := self._waiting.get()) is not None:
            one = self._all.get(request)
            if one is not None and not one.done:
                self._run(one)

    def _run(self, one: Transformation) -> None:
        one.status = "Running"
        try:
            sample = self._sample(one)
        except FemtobarnError as error:
            self._end(one, "Bad Dataset", str(error))
            return
        try:
            self._deliver(one, sample)
        except FemtobarnError as error:
            log.warning("request %s: %s", one.id, error)
            one.failed = max(one.failed, 1)
            self._end(one, "Fatal", str(error))
        except Exception as error:
            log.exception("request %s", one.id)
            self._end(one, "Fatal", f"{type(error).__name__}: {error}")

    def _sample(self, one: Transformation) -> Sample:
        if one.file_list:
            return Sample(one.id, one.query, one.file_list)
        text = str(one.did)
        body, _, options = text.partition("?")
        most = next(
            (int(o.removeprefix("files=")) for o in options.split("&") if o.startswith("files=")), None
        )
        files, address = dataset_of(body)
        return Sample(one.id, one.query, tuple(map(self._rules.checked, files)), address, most)

    def _deliver(self, one: Transformation, sample: Sample) -> None:
        spec = Spec(General(format=FORMATS[one.result_format]), (sample,), Path.cwd())
        options = Options(workers=self._workers, allow_python=self._rules.allow_python, allow_missing=True)
        found = deliver_spec(spec, options, progress=_counting(one)).samples[0]
        one.files = len(found.rows)
        one.failed = len(found.failed)
        if not one.done:
            one.outputs = _outputs(found.rows, FORMATS[one.result_format])
            problem = "\n".join(str(row["error"]) for row in found.failed)
            # One file that failed makes the request fail: a client would take what is there for everything.
            self._end(one, "Fatal" if one.failed else "Complete", problem)

    def _end(self, one: Transformation, status: str, problem: str) -> None:
        if not one.done:
            one.status, one.problem, one.finished = status, problem, _now()


def _counting(one: Transformation) -> Callable[[Any], Callable[[Any], None]]:
    """Count failures while a request runs, so that its status shows how far it is."""

    def begin(plan: Any) -> Callable[[Any], None]:
        one.files = len(plan.parts)

        def note(entry: Any) -> None:
            one.failed += not entry.good

        return note

    return begin


def _outputs(rows: Sequence[Mapping[str, Any]], kind: str) -> list[Output]:
    """Results under the names of their inputs, as ServiceX calls them."""
    found: list[Output] = []
    for number, row in enumerate(row for row in rows if row["path"] is not None):
        stem = str(row["input"]).split("?")[0].rsplit("/", 1)[-1].removesuffix(".root")
        name = (
            f"{number:04d}_{''.join(c if c.isalnum() or c in '._-' else '_' for c in stem)}{EXTENSIONS[kind]}"
        )
        path = Path(row["path"])
        found.append(Output(name, path, path.stat().st_size, _now()))
    return found

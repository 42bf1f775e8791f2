"""Run directories of jobs whose parts are records, not events: the same manifest, ledger and promises.

A task writes its manifest before it starts and completes it at the end; an existing directory is written
again if the configuration is the same, and refused, naming the difference, if it is not.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import platform
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

import femtobarn
from femtobarn.errors import FemtobarnError, StoreError, UsageError
from femtobarn.locks import locked
from femtobarn.run.files import SCHEMA_VERSION, read_json, strict, write_json, write_text

__all__ = ["Task", "default_out", "task"]

#: What a task writes; ``--fresh`` removes these and nothing else.
_OWN: Final = ("manifest.json", "ledger.jsonl", "report.html", "tables", "plots")


def default_out(name: str) -> Path:
    """``runs/NAME-YYYYMMDD-HHMMSS``."""
    now = datetime.datetime.now().astimezone()
    return Path("runs") / f"{name}-{now:%Y%m%d-%H%M%S}"


class Task:
    """A run directory that is being written."""

    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        self.path = path
        self._manifest = manifest
        self._lines: list[dict[str, Any]] = []
        self._warnings: list[str] = []
        self._started = (time.monotonic(), time.process_time())

    def warn(self, *sentences: str) -> None:
        """Add warnings; a sentence counts once."""
        self._warnings += [sentence for sentence in sentences if sentence not in self._warnings]

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(self._warnings)

    def part(self, name: str, *, state: str = "done", records: int = 0, error: str = "") -> None:
        """Account for one part: a page, a class, a target."""
        number = len(self._lines)
        self._lines.append({"part": number, "file": name, "state": state, "attempts": 1, "events": records,
                            "error": error})  # fmt: skip
        lines = "".join(json.dumps(line, sort_keys=True, allow_nan=False) + "\n" for line in self._lines)
        write_text(self.path / "ledger.jsonl", lines)

    def table(self, name: str, content: Mapping[str, Any]) -> Path:
        """Write ``tables/NAME.json``."""
        path = self.path / "tables" / f"{name}.json"
        write_json(path, {"schema_version": SCHEMA_VERSION, **content})
        return path

    def finish(self, headline: str, **more: Any) -> None:
        """Complete the manifest."""
        counts = {state: sum(line["state"] == state for line in self._lines)
                  for state in ("done", "cached", "failed", "missing")}  # fmt: skip
        total, lost = len(self._lines), counts["failed"] + counts["missing"]
        records = sum(line["events"] for line in self._lines)
        wall, cpu = self._started
        self._manifest |= strict(more) | {
            "ledger": {
                "parts": {"total": total, **counts},
                "events": {"expected": records, "processed": records},
                "lost_fraction": lost / total if total else 0.0,
                "bytes_read": sum(file["size"] or 0 for file in self._manifest["inputs"]),
                "wall_s": time.monotonic() - wall,
                "cpu_s": time.process_time() - cpu,
            },
            "failures": [line for line in self._lines if line["state"] == "failed"],
            "warnings": self._warnings,
            "headline": headline,
            "finished": _now(),
        }
        write_json(self.path / "manifest.json", self._manifest)


@contextmanager
def task(
    path: Path,
    *,
    job: str,
    title: str,
    config: Mapping[str, Any],
    inputs: Mapping[str, Path],
    command: Sequence[str],
    fresh: bool = False,
    origin: str = "",
) -> Iterator[Task]:
    """Open a run directory for a job.

    Parameters
    ----------
    path : folder
    job : name of the analysis
    config : what defines the run; an existing directory must have the same
    inputs : {what it is: file}
    origin : ``toy`` for built-in samples

    Raises
    ------
    UsageError
        If the directory holds something else than a run with this configuration.
    """
    wanted = strict(config)
    if fresh:
        _clear(path)
    _check(path, wanted)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot be made: {error.strerror or error}", where=str(path)) from error
    with locked(path):
        manifest = {
            "schema_version": SCHEMA_VERSION,
            "femtobarn": femtobarn.__version__,
            "analysis": job,
            "title": title,
            "command": list(command),
            "config": wanted,
            "parameters": {},
            "execution": {},
            "seed": None,
            "origin": origin,
            "versions": _versions(),
            "inputs": [_input(name, file) for name, file in inputs.items()],
            "unused": {},
            "datasets": {},
            "warnings": [],
            "failures": [],
            "ledger": {"parts": {"total": 0, "done": 0, "cached": 0, "failed": 0, "missing": 0},
                       "events": {"expected": 0, "processed": 0}, "lost_fraction": 1.0},
            "started": _now(),
            "finished": None,
            "headline": "",
        }  # fmt: skip
        write_json(path / "manifest.json", manifest)
        yield Task(path, manifest)


def _versions() -> dict[str, str]:
    # As of :mod:`femtobarn.run.fingerprint`, which would load the event machinery to say the same.
    return {
        "femtobarn": femtobarn.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }


def _check(path: Path, wanted: Mapping[str, Any]) -> None:
    """Refuse a folder with another run, or with anything that is no run."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    file = path / "manifest.json"
    if not file.is_file():
        raise UsageError("exists and is not a run directory", where=str(path), action="choose another --out")
    before = dict(read_json(file)).get("config", {})
    names = sorted(n for n in {*before, *wanted} if before.get(n) != wanted.get(n))
    if names:
        changes = "; ".join(f"{n}: {before.get(n)!r} -> {wanted.get(n)!r}" for n in names)
        raise UsageError(f"holds a run with another configuration: {changes}", where=str(path),
                         action="choose another --out, or replace it with --fresh")  # fmt: skip


def _clear(path: Path) -> None:
    """Remove what an earlier task wrote here."""
    if not (path / "manifest.json").is_file():
        return
    for name in _OWN:
        item = path / name
        if item.is_dir():
            shutil.rmtree(item, ignore_errors=True)
        else:
            item.unlink(missing_ok=True)


def _input(name: str, file: Path) -> dict[str, Any]:
    """Identity of an input file: its size and hash."""
    try:
        content = file.read_bytes()
    except OSError as error:
        return {
            "dataset": name,
            "path": str(file),
            "uuid": None,
            "size": None,
            "entries": None,
            "schema": name,
            "tree": None,
            "error": str(FemtobarnError(str(error))),
        }
    return {"dataset": name, "path": str(file), "uuid": f"sha256:{hashlib.sha256(content).hexdigest()}",
            "size": len(content), "entries": None, "schema": name, "tree": None, "error": None}  # fmt: skip


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")

"""The ledger: one JSON line a part and attempt, append only; the last line of a part counts.

A line ``{"plan": ...}`` says which plan the part numbers below it belong to; when inputs have changed
and the plan with them, lines of the older plan no longer count.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

from femtobarn.errors import StoreError

__all__ = ["Entry", "Ledger", "State", "read_ledger"]

State = Literal["done", "cached", "failed"]
_SYNC_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Entry:
    """How one attempt at one part ended."""

    part: int
    key: str
    dataset: str
    file: str
    start: int
    stop: int
    state: State
    attempts: int = 1
    events: int = 0
    bytes_read: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    error: str = ""

    @property
    def good(self) -> bool:
        return self.state != "failed"

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


class Ledger:
    """Append entries to a file; a kill at any moment loses at most the last, half-written line.

    Parameters
    ----------
    path : Path
    plan : str
        Which plan the part numbers belong to.
    """

    def __init__(self, path: Path, plan: str) -> None:
        self._path = path
        self._synced = time.monotonic()
        begin = _end_of_line(path)
        try:
            # Unbuffered: a line that could not be written is not tried again when the file is closed.
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise self._trouble(error) from error
        if _last_plan(path) != plan:
            begin += json.dumps({"plan": plan}).encode() + b"\n"
        if begin:
            self._write(begin)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def append(self, entry: Entry) -> None:
        self._write(json.dumps(entry.to_json(), sort_keys=True, allow_nan=False).encode() + b"\n")
        if time.monotonic() - self._synced > _SYNC_SECONDS:
            self.sync()

    def _write(self, line: bytes) -> None:
        try:
            written = self._file.write(line)
        except OSError as error:
            raise self._trouble(error) from error
        if written != len(line):
            raise self._trouble(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    def _trouble(self, error: OSError) -> StoreError:
        return StoreError(
            f"cannot write the ledger: {error.strerror or error}",
            where=str(self._path),
            action=f"free some space, then: femtobarn resume {self._path.parent}",
        )

    def sync(self) -> None:
        """Make sure that the lines so far survive a power cut."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._trouble(error) from error
        self._synced = time.monotonic()

    def close(self) -> None:
        if not self._file.closed:
            try:
                self.sync()
            finally:
                self._file.close()


def _end_of_line(path: Path) -> bytes:
    """What must be written first, so that a line cut short by a kill does not swallow the next one."""
    try:
        with path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return b"" if file.read(1) == b"\n" else b"\n"
    except OSError:
        return b""  # absent or empty


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The readable lines; half-written ones are left out (their parts are made again)."""
    if not path.exists():
        return
    with path.open("rb") as lines:
        for line in lines:
            try:
                item = json.loads(line)
            except ValueError:
                continue
            if isinstance(item, dict):
                yield item


def _last_plan(path: Path) -> str | None:
    plan = None
    for item in _lines(path):
        plan = item.get("plan", plan)
    return plan


def read_ledger(path: Path) -> dict[int, Entry]:
    """The last entry of every part of the present plan."""
    last: dict[int, Entry] = {}
    plan = None
    for item in _lines(path):
        if "plan" in item:
            if item["plan"] != plan:
                last.clear()
            plan = item["plan"]
            continue
        try:
            entry = Entry(**item)
        except TypeError:
            continue
        last[entry.part] = entry
    return last

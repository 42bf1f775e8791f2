"""The ledger: one JSON line a part and attempt, append only; the last line of a part counts."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

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


class Ledger:
    """Append entries to a file; a kill at any moment loses at most the last, half-written line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("ab")
        self._synced = time.monotonic()
        # A line that a kill cut short must not swallow the next one.
        if path.stat().st_size and not path.read_bytes().endswith(b"\n"):
            self._file.write(b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def append(self, entry: Entry) -> None:
        line = json.dumps(asdict(entry), sort_keys=True, allow_nan=False) + "\n"
        try:
            self._file.write(line.encode())
            self._file.flush()
            if time.monotonic() - self._synced > _SYNC_SECONDS:
                self.sync()
        except OSError as error:
            raise StoreError(f"cannot write the ledger: {error.strerror or error}", where=str(self._path),
                             action="free some space, then: femtobarn resume " + str(self._path.parent)) from error  # fmt: skip

    def sync(self) -> None:
        """Make sure that the lines so far survive a power cut."""
        os.fsync(self._file.fileno())
        self._synced = time.monotonic()

    def close(self) -> None:
        if not self._file.closed:
            self.sync()
            self._file.close()


def read_ledger(path: Path) -> dict[int, Entry]:
    """The last entry of every part; half-written lines are ignored (their parts are made again)."""
    last: dict[int, Entry] = {}
    if not path.exists():
        return last
    with path.open("rb") as lines:
        for line in lines:
            try:
                entry = Entry(**json.loads(line))
            except (json.JSONDecodeError, TypeError, UnicodeDecodeError):
                continue
            last[entry.part] = entry
    return last

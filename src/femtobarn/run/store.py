"""The content-addressed store of part outcomes.

An entry's name is the key of everything that can change it.  Entries appear by atomic rename, carry
their own checksum, and are dropped and redone when it does not fit.
"""

from __future__ import annotations

import functools
import logging
import mmap
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from femtobarn.errors import StoreError
from femtobarn.folders import cache_root
from femtobarn.outcome import Outcome
from femtobarn.run.codec import decode, encode

__all__ = ["Store", "cache_root"]

log: Final = logging.getLogger("femtobarn.run")


class Store:
    """Part outcomes by key, in a folder.

    Parameters
    ----------
    folder : Path
        Where entries are written and looked for.
    also : sequence of Path
        Folders that are only looked in (what slices of the run have made already).
    """

    def __init__(self, folder: Path, also: Sequence[Path] = ()) -> None:
        self.folder = folder
        self._folders = (folder, *also)

    def path(self, key: str) -> Path:
        """Where an entry is written."""
        return _place(self.folder, key)

    def __contains__(self, key: str) -> bool:
        return any(_place(folder, key).is_file() for folder in self._folders)

    def save(self, key: str, outcome: Outcome) -> None:
        """Write an entry; readers see all of it or nothing."""
        self.put(key, encode(outcome))

    def put(self, key: str, data: bytes) -> None:
        """Write an entry that is encoded already."""
        path = self.path(key)
        scratch = path.with_name(f".{uuid.uuid4().hex}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            scratch.write_bytes(data)
            scratch.replace(path)
        except OSError as error:
            scratch.unlink(missing_ok=True)
            raise StoreError(
                f"cannot store a result: {error.strerror or error}",
                where=str(path.parent),
                action="free some space or set FEMTOBARN_CACHE to another disk, then: femtobarn resume RUN",
            ) from error

    def load(self, key: str, *, part: int) -> Outcome | None:
        """An entry, or None when there is none or it was damaged (then it is removed, with a log line)."""
        for folder in self._folders:
            path = _place(folder, key)
            try:
                data = path.read_bytes()
                return decode(data, part=part, mapped=functools.partial(_mapped, path, data))
            except FileNotFoundError:
                continue
            except (StoreError, OSError) as error:
                log.warning("stored result %s %s; it will be made again", path, error)
                path.unlink(missing_ok=True)
        return None


def _mapped(path: Path, data: bytes) -> memoryview:
    """The bytes of a file, read where and when they are used; they last even if the file is removed.

    A system that gives no more mappings (Linux has 65 530 a process) leaves them in memory.
    """
    try:
        with path.open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError:
        return memoryview(data)


def _place(folder: Path, key: str) -> Path:
    return folder / key[:2] / f"{key}.part"

"""The content-addressed store of part outcomes.

An entry's name is the key of everything that can change it.  Entries appear by atomic rename, carry
their own checksum, and are dropped and redone when it does not fit.
"""

from __future__ import annotations

import logging
import os
import uuid
from pathlib import Path
from typing import Final

from femtobarn.errors import StoreError
from femtobarn.outcome import Outcome
from femtobarn.run.codec import decode, encode

__all__ = ["Store", "cache_root"]

log: Final = logging.getLogger("femtobarn.run")


def cache_root() -> Path:
    """``$FEMTOBARN_CACHE``, else ``$XDG_CACHE_HOME/femtobarn``, else ``~/.cache/femtobarn``."""
    stated = os.environ.get("FEMTOBARN_CACHE")
    if stated:
        return Path(stated)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "femtobarn"


class Store:
    """Part outcomes by key, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.part"

    def __contains__(self, key: str) -> bool:
        return self.path(key).is_file()

    def save(self, key: str, outcome: Outcome) -> None:
        """Write an entry; readers see all of it or nothing."""
        path = self.path(key)
        scratch = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            scratch.write_bytes(encode(outcome))
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
        path = self.path(key)
        try:
            return decode(path.read_bytes(), part=part)
        except FileNotFoundError:
            return None
        except StoreError as error:
            log.warning("stored result %s %s; it will be made again", path, error.what)
            path.unlink(missing_ok=True)
            return None

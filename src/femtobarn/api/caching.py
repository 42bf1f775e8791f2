"""What is kept between runs: how much of it, whether it is sound, and how to be rid of it."""

from __future__ import annotations

import hashlib
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from femtobarn.errors import DataError, StoreError
from femtobarn.folders import cache_root
from femtobarn.net.answers import AnswerCache
from femtobarn.net.fetching import check_file
from femtobarn.read.columncache import is_sound
from femtobarn.run.codec import decode

__all__ = ["CacheRoom", "Pruned", "cache_list", "cache_prune", "cache_verify"]

log: Final = logging.getLogger("femtobarn.api")

#: What the folders of the cache hold, in words.
_ROOMS: Final[Mapping[str, str]] = {
    "parts": "outcomes of parts of runs",
    "columns": "columns of local files, uncompressed (--cache columns)",
    "probes": "what opening local files told",
    "http": "answers of catalogues and other servers",
    "remote/files": "whole remote files",
    "remote/columns": "ranges of remote files",
    "deliver": "delivered columns",
    "refrun": "trained rankers of reference runs",
}
_DAY: Final = 86_400.0
#: Entries that were not used for so many days go.
_KEEP_DAYS: Final = 30.0


@dataclass(frozen=True, slots=True)
class CacheRoom:
    """One folder of the cache; ``oldest`` is the time of its oldest file [s since 1970]."""

    name: str
    what: str
    path: Path
    files: int
    bytes: int
    oldest: float | None


@dataclass(frozen=True, slots=True)
class Pruned:
    """How much was removed."""

    files: int
    bytes: int


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def cache_list() -> list[CacheRoom]:
    """The folders of the cache that hold something."""
    root = cache_root()
    names = dict(_ROOMS)
    if root.is_dir():
        known = {name.partition("/")[0] for name in names}
        names |= {
            item.name: "" for item in sorted(root.iterdir()) if item.is_dir() and item.name not in known
        }
    rooms = []
    for name, what in names.items():
        sizes = [(path.stat().st_size, path.stat().st_mtime) for path in _files(root / name)]
        if sizes:
            rooms.append(CacheRoom(name, what, root / name, len(sizes), sum(size for size, _ in sizes),
                                   min(time for _, time in sizes)))  # fmt: skip
    return rooms


def cache_prune(*, everything: bool = False, days: float = _KEEP_DAYS) -> Pruned:
    """Remove what was neither written nor read for some days and what writers left behind, or everything.

    Raises
    ------
    StoreError
        Something cannot be removed.
    """
    root, now = cache_root(), time.time()
    files = size = 0
    try:
        for room in cache_list():
            for path in _files(room.path):
                status = path.stat()
                scratch = path.name.endswith((".tmp", ".part")) and path.name.startswith(".")
                # Scratch files of writers at work are young.
                unused = now - max(status.st_mtime, status.st_atime) > (_DAY if scratch else days * _DAY)
                if everything or unused:
                    path.unlink(missing_ok=True)
                    files, size = files + 1, size + status.st_size
        for folder in sorted((p for p in root.rglob("*") if p.is_dir()), reverse=True):
            if not any(folder.iterdir()):
                folder.rmdir()
    except OSError as error:
        raise StoreError(f"cannot be removed: {error.strerror or error}", where=str(root)) from error
    return Pruned(files, size)


def cache_verify() -> tuple[int, list[str]]:
    """Check what carries a checksum: (entries checked, what was damaged); the damaged is removed."""
    root = cache_root()
    checked, damaged = 0, []
    checks: tuple[tuple[str, str, Callable[[Path], bool]], ...] = (
        ("parts", "*.part", _sound_part),
        ("columns", "*.col", is_sound),
        ("deliver/files", "*.part", _sound_delivery),
        ("remote/columns", "*-*", _sound_range),
        ("remote/files", "*.sha256", _sound_copy),
    )
    for room, pattern, sound in checks:
        for path in (p for p in _files(root / room) if p.match(pattern) and not p.name.startswith(".")):
            checked += 1
            if not sound(path):
                damaged.append(str(path))
                path.unlink(missing_ok=True)
    for kept in AnswerCache().entries():
        checked += 1
        if kept.body() is None:  # removes it, too
            damaged.append(str(kept.folder))
    return checked, damaged


def _sound_part(path: Path) -> bool:
    try:
        decode(path.read_bytes(), part=0)
    except (StoreError, OSError):
        return False
    return True


def _sound_delivery(path: Path) -> bool:
    """Whether a delivered file beside its description is what was written."""
    # The room of deliveries takes longer to load than all other checks together.
    from femtobarn.deliver.cache import is_changed
    from femtobarn.deliver.job import record_of

    try:
        record = record_of(decode(path.read_bytes(), part=0))
    except (StoreError, OSError):
        return False
    if not record["file"] or not is_changed(path.with_name(record["file"]), record):
        return True
    path.with_name(record["file"]).unlink(missing_ok=True)
    return False


def _sound_range(path: Path) -> bool:
    stored = path.read_bytes()
    return hashlib.sha256(stored[32:]).digest() == stored[:32]


def _sound_copy(note: Path) -> bool:
    copy = note.with_name(note.name.removesuffix(".sha256"))
    try:
        sound = copy.is_file() and not check_file(copy, size=None, checksum=note.read_text().strip())
    except DataError:
        sound = False
    if not sound:
        shutil.rmtree(note.parent, ignore_errors=True)
    return sound

"""Columns kept uncompressed on disk: the second pass over a file costs no decompression.

An entry is one column of one range of entries.  Its name is a hash of what the bytes depend on (identity of
the file, tree, branch, range, format); it carries a checksum that is verified whenever it is used, and one
that does not fit is made again, with a log line.  Entries are mapped into memory, not copied.
"""

from __future__ import annotations

import hashlib
import json
import logging
import mmap
import os
import struct
import uuid
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import xxhash
from numpy.typing import NDArray

from femtobarn.errors import StoreError
from femtobarn.kernels.jagged import Jagged
from femtobarn.read.columns import Column, widened
from femtobarn.read.source import Source

__all__ = ["CachedColumns", "is_sound", "load_column", "save_column"]

log: Final = logging.getLogger("femtobarn.read")

_MAGIC: Final = b"FBCOLUM1"
_ALIGN: Final = 64
#: Length and checksum of the description that follows.
_HEAD: Final = struct.Struct("<II")
_SUFFIX: Final = ".col"


class CachedColumns:
    """A source whose columns are looked for in a folder first.

    Parameters
    ----------
    source : Source
        A local file.
    folder : Path
    """

    def __init__(self, source: Source, folder: Path, *, stamp: int) -> None:
        self._source = source
        self._folder = folder
        self.objects: Mapping[str, Any] = source.objects
        self.schema = source.schema
        self.tree = source.tree
        self.entries = source.entries
        self.uuid = source.uuid
        self.size = source.size
        self.branches = source.branches
        self._identity = [source.uuid, source.size, stamp, source.tree, source.entries]

    def clusters(self, branches: Sequence[str] = ()) -> list[int]:
        return self._source.clusters(branches)

    def stored_bytes(self, branches: Sequence[str]) -> int:
        return self._source.stored_bytes(branches)

    def close(self) -> None:
        self._source.close()

    def read(self, branches: Sequence[str], start: int, stop: int) -> dict[str, Column]:
        return {name: widened(column) for name, column in self.read_stored(branches, start, stop).items()}

    def read_stored(self, branches: Sequence[str], start: int, stop: int) -> dict[str, Column]:
        """Columns in the precision of the file, from the folder or else from the source."""
        shared: dict[str, NDArray[Any]] = {}
        found: dict[str, Column] = {}
        for name in branches:
            column = load_column(self._folder, self._key(name, start, stop), shared)
            if column is not None and len(column) == stop - start:
                found[name] = column
        missing = [name for name in branches if name not in found]
        if missing:
            read = getattr(self._source, "read_stored", self._source.read)
            fresh: dict[str, Column] = read(missing, start, stop)
            for name, column in fresh.items():
                save_column(self._folder, self._key(name, start, stop), column)
                _protect(column)
            found |= fresh
        return {name: found[name] for name in branches}

    def _key(self, name: str, start: int, stop: int) -> str:
        what = json.dumps([*self._identity, name, start, stop])
        return hashlib.sha256(what.encode()).hexdigest()[:40]


def _protect(column: Column) -> None:
    """Read only, as it will be when it is mapped: for what compiled code has been made for, and for bugs."""
    arrays = (column.offsets, column.values) if isinstance(column, Jagged) else (column,)
    for array in arrays:
        array.flags.writeable = False


def save_column(folder: Path, key: str, column: Column) -> None:
    """Keep a column; lists keep their offsets in an entry that all columns of the same shape share.

    Raises
    ------
    StoreError
        There is no room, or no right to write.
    """
    if not isinstance(column, Jagged):
        _save(folder, key, column, offsets="")
        return
    offsets = np.ascontiguousarray(column.offsets)
    name = "offsets-" + xxhash.xxh3_128_hexdigest(offsets.data)
    if not _place(folder, name).exists():
        _save(folder, name, offsets, offsets="")
    _save(folder, key, column.values, offsets=name)


def load_column(folder: Path, key: str, shared: dict[str, NDArray[Any]]) -> Column | None:
    """A column, or None if there is none or it is damaged (then it is removed, with a log line).

    ``shared`` holds offsets that were loaded already.
    """
    path = _place(folder, key)
    try:
        values, name = _load(path)
        if not name:
            return values
        if name not in shared:
            shared[name] = _load(_place(folder, name))[0]
        return Jagged(shared[name], values)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, OSError, struct.error) as error:
        log.warning("kept column %s is damaged (%s); it will be read again", path, error)
        path.unlink(missing_ok=True)
        return None


def is_sound(path: Path) -> bool:
    """Whether an entry holds what was saved."""
    try:
        _load(path)
    except (ValueError, KeyError, OSError, struct.error):
        return False
    return True


def _place(folder: Path, key: str) -> Path:
    return folder / key[-2:] / f"{key}{_SUFFIX}"


def _save(folder: Path, key: str, values: NDArray[Any], *, offsets: str) -> None:
    values = np.ascontiguousarray(values)
    if values.dtype.kind not in "biuf":
        return  # texts are not kept
    header = {"dtype": values.dtype.str, "count": len(values), "offsets": offsets,
              "sum": xxhash.xxh3_64_hexdigest(values.data)}  # fmt: skip
    text = json.dumps(header).encode()
    begin = -(-(len(_MAGIC) + _HEAD.size + len(text)) // _ALIGN) * _ALIGN
    path = _place(folder, key)
    scratch = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with scratch.open("wb") as stream:
            stream.write((_MAGIC + _HEAD.pack(len(text), zlib.crc32(text)) + text).ljust(begin, b" "))
            stream.write(values.data)
        scratch.replace(path)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise StoreError(
            f"cannot keep a column: {error.strerror or error}",
            where=str(path.parent),
            action="free some space, set FEMTOBARN_CACHE to another disk, or run without --cache columns",
        ) from error


def _load(path: Path) -> tuple[NDArray[Any], str]:
    """Values and the name of their offsets; ValueError if the bytes are not those that were saved."""
    file = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(file).st_size
        if size < _ALIGN:
            raise ValueError("too short")
        # All pages at once: one by one they cost more than the selection.
        flags = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
        data = mmap.mmap(file, size, flags=flags, prot=mmap.PROT_READ)
    finally:
        os.close(file)
    if data[: len(_MAGIC)] != _MAGIC:
        raise ValueError("another format")
    length, checksum = _HEAD.unpack_from(data, len(_MAGIC))
    begin = len(_MAGIC) + _HEAD.size
    text = data[begin : begin + length]
    if zlib.crc32(text) != checksum:
        raise ValueError("another header than stated")
    header = json.loads(text)
    begin = -(-(begin + length) // _ALIGN) * _ALIGN
    dtype = np.dtype(header["dtype"])
    if size != begin + header["count"] * dtype.itemsize:
        raise ValueError("another length than stated")
    values = np.frombuffer(data, dtype, header["count"], begin)
    if xxhash.xxh3_64_hexdigest(values.data) != header["sum"]:
        raise ValueError("another checksum than stated")
    return values, str(header["offsets"])

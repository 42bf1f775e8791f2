"""The few records of a ROOT file that lead to a tree: header, directory, keys, compressed blocks.

Sources of the layout: ROOT's own documentation of the file format (root.cern, "ROOT files", TFile, TKey,
TDirectory) and the streamers written in every file.  Everything is big-endian.
"""

from __future__ import annotations

import os
import struct
import uuid
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.errors import DataError, FemtobarnError

__all__ = ["Key", "RootBytes", "Unusual", "unpack_blocks"]

Bytes = NDArray[np.uint8]

_HEADER: Final = 100
_KEY: Final = struct.Struct(">ihiIhh")
_FAR: Final = 1_000_000
#: Header of one compressed block: two letters, method, both sizes as three little-endian bytes.
_BLOCK: Final = 9
_CHECKSUM: Final = 8


class Unusual(FemtobarnError):  # noqa: N818 - no error: another reader takes over
    """Something that this reader leaves to the general one."""

    def __init__(self) -> None:
        super().__init__("is left to the general reader")


@dataclass(frozen=True, slots=True)
class Key:
    """Where an object of the file lies."""

    kind: str
    name: str
    title: str
    cycle: int
    at: int
    length: int
    object_length: int
    stored_length: int


class RootBytes:
    """A local ROOT file, read by position (a map would be killed by a signal if the file shrank).

    Raises
    ------
    Unusual
        Not a ROOT file of the usual kind, or cut off; the general reader says what is wrong.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._file = os.open(path, os.O_RDONLY)
        try:
            self._header()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __del__(self) -> None:
        self.close()

    def _header(self) -> None:
        head = self.bytes_at(0, _HEADER, exact=False)
        if len(head) < _HEADER or head[:4] != b"root":
            raise Unusual
        version, self._begin = struct.unpack_from(">ii", head, 4)
        layout = ">qqiiibiqi" if version >= _FAR else ">iiiiibiii"
        numbers = struct.unpack_from(layout, head, 12)
        self.size, name_length = int(numbers[0]), int(numbers[4])
        at = 12 + struct.calcsize(layout) + 2
        self.uuid = str(uuid.UUID(bytes=bytes(head[at : at + 16])))
        if os.fstat(self._file).st_size < self.size:
            raise Unusual
        self._directory = self._begin + name_length

    def bytes_at(self, at: int, length: int, *, exact: bool = True) -> bytes:
        # A damaged length may be larger than memory.
        data = os.pread(self._file, max(min(length, os.fstat(self._file).st_size), 0), max(at, 0))
        if exact and len(data) != length:
            raise DataError(f"ends within {length} bytes at {at}", where=self.path)
        return data

    def read_into(self, target: Bytes, at: int, length: int) -> Bytes:
        """The bytes at a position, in the first ``length`` of a buffer."""
        view = target[:length]
        if os.preadv(self._file, [view], at) != length:  # type: ignore[list-item]
            raise DataError(f"ends within {length} bytes at {at}", where=self.path)
        return view

    def directory(self) -> list[Key]:
        """The objects of the file's own directory."""
        head = self.bytes_at(self._directory, 42)
        (version,) = struct.unpack_from(">h", head)
        (seek,) = struct.unpack_from(">q", head, 34) if version > 1000 else struct.unpack_from(">i", head, 26)
        length, _, _, _, key_length, _ = _KEY.unpack(self.bytes_at(seek, _KEY.size))
        data = self.bytes_at(seek, length)
        (count,) = struct.unpack_from(">i", data, key_length)
        at, found = key_length + 4, []
        for _ in range(count):
            key, at = _key(data, at)
            found.append(key)
        return found

    def payload(self, key: Key) -> Bytes:
        """The object behind a key, uncompressed."""
        stored = np.frombuffer(self.bytes_at(key.at + key.length, key.stored_length), dtype=np.uint8)
        if key.object_length == key.stored_length:
            return stored
        out = np.empty(key.object_length, dtype=np.uint8)
        unpack_blocks(stored, out)
        return out


def _key(data: bytes, at: int) -> tuple[Key, int]:
    total, version, object_length, _, key_length, cycle = _KEY.unpack_from(data, at)
    far = version > 1000
    (seek,) = struct.unpack_from(">q" if far else ">i", data, at + _KEY.size)
    at += _KEY.size + (16 if far else 8)
    texts = []
    for _ in range(3):
        length = data[at]
        at += 1
        if length == 255:
            (length,) = struct.unpack_from(">i", data, at)
            at += 4
        texts.append(data[at : at + length].decode("utf-8", "replace"))
        at += length
    return Key(texts[0], texts[1], texts[2], cycle, seek, key_length, object_length, total - key_length), at


def unpack_blocks(stored: Bytes, out: Bytes) -> None:
    """Decompress all blocks of ``stored`` so that they fill ``out``."""
    at, done = 0, 0
    while done < len(out):
        head = stored[at : at + _BLOCK].tobytes()
        if len(head) < _BLOCK:
            raise DataError(f"the compressed data end after {done} of {len(out)} bytes")
        packed, size = int.from_bytes(head[3:6], "little"), int.from_bytes(head[6:9], "little")
        begin = at + _BLOCK
        at = begin + packed
        if at > len(stored) or done + size > len(out) or not size:
            raise DataError("a compressed block is longer than what holds it")
        _unpack(head[:2], stored[begin:at], out[done : done + size])
        done += size


def _unpack(method: bytes, stored: Any, out: Any) -> None:
    import cramjam

    if method == b"ZS":
        done = cramjam.zstd.decompress_into(stored, out)
    elif method == b"ZL":
        done = cramjam.zlib.decompress_into(stored, out)
    elif method == b"XZ":
        import lzma

        opened = lzma.decompress(stored, format=lzma.FORMAT_XZ)
        done = len(opened)
        out[:done] = np.frombuffer(opened, dtype=np.uint8)[: len(out)]
    elif method == b"L4":
        import xxhash

        if xxhash.xxh64_digest(stored[_CHECKSUM:]) != stored[:_CHECKSUM].tobytes():
            raise DataError("a compressed block has another checksum than it says")
        done = cramjam.lz4.decompress_block_into(stored[_CHECKSUM:], out, output_len=len(out))
    else:
        raise Unusual
    if done != len(out):
        raise DataError(f"a compressed block holds {done} bytes, not {len(out)}")


def buffer_of(size: int, old: Any = None) -> Bytes:
    """A buffer of at least so many bytes: the old one if it is large enough (fresh pages cost time)."""
    if old is not None and len(old) >= size:
        return np.asarray(old)
    return np.empty(max(size, 1 << 16), dtype=np.uint8)

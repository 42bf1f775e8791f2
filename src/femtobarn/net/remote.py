"""A remote file as a file: only the ranges that are needed, from whichever replica gives them.

Ranges that follow each other are joined.  When a server fails, the rest comes from the next replica; size
and identity (the uuid that ROOT writes into its header) must agree, for half of one file and half of
another would be numbers of nothing.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import threading
import time
import uuid
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from femtobarn.errors import DataError, FemtobarnError, NetworkError, UsageError
from femtobarn.folders import atomic_write, cache_root
from femtobarn.net.answers import safe_name
from femtobarn.net.client import HttpClient, safe_url, shared_client
from femtobarn.net.fetching import check_file, checksum_of, fetch_file, one_of
from femtobarn.net.settings import net_settings
from femtobarn.net.transports import DiskTransport, NoRangesError, Range, Transport, open_transport
from femtobarn.records import FileRef

__all__ = ["RemoteFile", "bytes_received", "identity", "join_ranges"]

log: Final = logging.getLogger("femtobarn.net")

#: Ranges this near to each other are asked for as one [bytes].
_GAP: Final = 4096
#: Most bytes of one request, so that its time limit is fair.
_LARGEST: Final = 8 * 2**20
#: Read at least this much when single bytes are asked for: headers are read in small pieces.
_AHEAD: Final = 32 * 1024
#: Blocks of such reading that are remembered.
_BLOCKS: Final = 64
#: Tries at a server when there are replicas, instead of the client's own number.
_FEW_TRIES: Final = 3
#: Seconds for which a copy is good whose server gives neither ETag nor time of change.
_UNSTAMPED: Final = 3600.0
_copying: Final = threading.Lock()
_traffic: Final = threading.local()


def bytes_received() -> int:
    """Bytes of remote files that this thread has got over the network so far."""
    return int(getattr(_traffic, "received", 0))


def join_ranges(ranges: Iterable[Range], *, gap: int = _GAP, largest: int = _LARGEST) -> list[Range]:
    """Sorted ranges that cover these, near ones joined, none larger than ``largest`` unless it was.

    Examples
    --------
    >>> join_ranges([(10, 20), (0, 10), (9000, 9010)])
    [(0, 20), (9000, 9010)]
    """
    joined: list[Range] = []
    for start, stop in sorted(ranges):
        if joined and start - joined[-1][1] <= gap and max(stop, joined[-1][1]) - joined[-1][0] <= largest:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        elif not joined or stop > joined[-1][1]:
            joined.append((start, stop))
    return joined


def identity(head: bytes) -> str:
    """What tells files of the same size apart: the uuid in a ROOT header, else a hash of the beginning."""
    if head[:4] == b"root" and len(head) >= 80:
        # magic, version, fBEGIN, fEND, fSeekFree, fNbytesFree, nfree, fNbytesName, fUnits, fCompress,
        # fSeekInfo, fNbytesInfo, version of the uuid, uuid; seeks have 8 bytes in files beyond 2 GB.
        at = 59 if int.from_bytes(head[4:8], "big") >= 1_000_000 else 47
        return str(uuid.UUID(bytes=head[at : at + 16]))
    return hashlib.sha256(head[:4096]).hexdigest()[:32]


class RemoteFile(io.RawIOBase):
    """A file at one of several addresses, opened for reading.

    Parameters
    ----------
    ref : FileRef
        Address, replicas, and what is known of size and uuid.
    client : HttpClient, optional
        The process' shared one if not given.

    Attributes
    ----------
    size : int
        Bytes of the whole file.
    received : int
        Bytes that came over the network so far.

    Raises
    ------
    NetworkError
        No replica can be reached.
    DataError
        They can, but are not the file that was described, or not the same file.
    """

    def __init__(self, ref: FileRef, client: HttpClient | None = None) -> None:
        super().__init__()
        self.url = ref.url
        self._ref = ref
        self._client = client or shared_client()
        self._keep = net_settings().cache_remote
        self._waiting = [ref.url, *ref.replicas]
        self._problems: list[FemtobarnError] = []
        self._transport: Transport | None = None
        self._known: tuple[int, str] | None = None
        self._position = 0
        self.received = 0
        self.size = 0
        self._held: dict[int, bytes] = {}
        self._starts: list[int] = []
        self._blocks: dict[int, bytes] = {}
        self._advance()

    def __repr__(self) -> str:
        return f"<RemoteFile {safe_url(self.url)}>"

    # -- replicas ---------------------------------------------------------------------------------

    def _advance(self) -> Transport:
        """Open the next replica that is the same file."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None
        while self._waiting:
            url = self._waiting.pop(0)
            try:
                transport = self._open(url)
                self._agree(transport)
            except (NetworkError, DataError, UsageError) as error:  # the last: a protocol that is not here
                self._blame(error)
                continue
            self._transport = transport
            return transport
        raise one_of(self._problems)

    def _blame(self, error: FemtobarnError) -> None:
        self._problems.append(error)
        if self._waiting:
            log.warning("%s; the next replica is tried", error)

    def _open(self, url: str) -> Transport:
        tries = _FEW_TRIES if self._waiting else None
        try:
            transport = open_transport(url, self._client, tries=tries)
        except NoRangesError as refusal:
            log.warning("%s: the server does not send parts of files; the whole file is fetched, once",
                        safe_url(url))  # fmt: skip
            return self._copy(url, refusal.stamp, refusal.size)
        if not isinstance(transport, DiskTransport):
            self._count(len(transport.head))
            if self._keep == "files":
                transport.close()
                return self._copy(url, transport.stamp, transport.size)
        return transport

    def _copy(self, url: str, stamp: str, size: int | None) -> Transport:
        """The whole file in the cache, fetched if it is not there, or not sound."""
        key = hashlib.sha256(f"{url} {stamp} {size}".encode()).hexdigest()[:32]
        path = cache_root() / "remote" / "files" / key / safe_name(url)
        with _copying:
            if not _sound(path) or (not stamp and time.time() - path.stat().st_mtime > _UNSTAMPED):
                fetch_file([url], path, client=self._client, size=size or self._ref.size,
                           checksum=self._ref.checksum)  # fmt: skip
                _note_checksum(path)
                self._count(path.stat().st_size)
        return DiskTransport(path)

    def _agree(self, transport: Transport) -> None:
        """Refuse a replica that is another file than stated, or than the one read before."""
        found = identity(transport.head)
        size, name = self._known or (self._ref.size, self._ref.uuid)
        is_root = transport.head[:4] == b"root"
        for what, stated, actual in (("bytes", size, transport.size), ("uuid", name, found)):
            if stated is not None and stated != actual and (what == "bytes" or is_root or self._known):
                transport.close()
                raise DataError(f"is another file: its {what}: {actual}, expected {stated}",
                                where=safe_url(transport.url))  # fmt: skip
        self._known = (transport.size, found)
        self.size = transport.size
        self._blocks = {0: transport.head}

    # -- ranges -----------------------------------------------------------------------------------

    def prefetch(self, ranges: Sequence[Range]) -> None:
        """Bring these ranges here together; they are held until :meth:`release`."""
        wanted = [(max(a, 0), min(b, self.size)) for a, b in ranges if self._inside(a, b) is None]
        joined = join_ranges(each for each in wanted if each[1] > each[0])
        self._hold(self._fetch(joined))

    def release(self) -> None:
        """Forget the ranges that were held."""
        self._held.clear()
        self._starts.clear()

    def _hold(self, found: dict[Range, bytes]) -> None:
        for (start, _), data in found.items():
            if len(data) > len(self._held.get(start, b"")):
                self._held[start] = data
        self._starts = sorted(self._held)

    def _fetch(self, ranges: Sequence[Range]) -> dict[Range, bytes]:
        """Each range from the cache, or from the first replica that gives it."""
        found: dict[Range, bytes] = {}
        if self._keep == "columns":
            kept = {each: self._recall(each) for each in ranges}
            found = {each: data for each, data in kept.items() if data is not None}
        while missing := [each for each in ranges if each not in found]:
            transport = self._transport
            if transport is None:
                raise NetworkError("is closed", where=safe_url(self.url))
            try:
                for each, data in transport.fetch(missing):
                    found[each] = data
                    if not isinstance(transport, DiskTransport):
                        self._count(len(data))
                        self._remember(each, data)
            except NetworkError as error:
                self._blame(error)
                self._advance()
        return found

    def _count(self, size: int) -> None:
        self.received += size
        _traffic.received = bytes_received() + size

    def _inside(self, start: int, stop: int) -> bytes | None:
        """The bytes of a range if they are held already."""
        place = bisect_right(self._starts, start) - 1
        if place >= 0:
            first = self._starts[place]
            data = self._held[first]
            if stop <= first + len(data):
                return data[start - first : stop - first]
        for first, data in self._blocks.items():
            if first <= start and stop <= first + len(data):
                return data[start - first : stop - first]
        return None

    def read_range(self, start: int, stop: int) -> bytes:
        """The bytes ``start <= i < stop``, fewer at the end of the file."""
        stop = min(stop, self.size)
        if start >= stop:
            return b""
        data = self._inside(start, stop)
        if data is None:
            ahead = (start, min(max(stop, start + _AHEAD), self.size))
            block = self._fetch([ahead])[ahead]
            self._blocks[start] = block
            while len(self._blocks) > _BLOCKS:
                del self._blocks[next(iter(self._blocks))]
            data = block[: stop - start]
        return data

    def read_all(self) -> bytes:
        """The whole file."""
        pieces = [(at, min(at + _LARGEST, self.size)) for at in range(0, self.size, _LARGEST)]
        found = self._fetch(pieces)
        return b"".join(found[piece] for piece in pieces)

    # -- ranges that are kept (--cache-remote columns) ----------------------------------------------

    def _place(self, wanted: Range) -> Path:
        size, name = self._known or (0, "")
        return cache_root() / "remote" / "columns" / f"{name}-{size}" / f"{wanted[0]}-{wanted[1]}"

    def _recall(self, wanted: Range) -> bytes | None:
        try:
            stored = self._place(wanted).read_bytes()
        except OSError:
            return None
        if hashlib.sha256(stored[32:]).digest() == stored[:32] and len(stored) == 32 + wanted[1] - wanted[0]:
            return stored[32:]
        log.warning("%s is damaged; it is read from the server again", self._place(wanted))
        return None

    def _remember(self, each: Range, data: bytes) -> None:
        if self._keep != "columns":
            return
        try:
            atomic_write(self._place(each), hashlib.sha256(data).digest() + data)
        except OSError as error:
            log.warning("cannot keep what was read of %s: %s", safe_url(self.url), error)

    # -- as a file ----------------------------------------------------------------------------------

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        data = self.read_range(self._position, self._position + len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None
        self.release()
        super().close()


def _sound(path: Path) -> bool:
    """Whether a copy is there and is what was fetched."""
    note = path.with_name(f"{path.name}.sha256")
    if not path.is_file() or not note.is_file():
        return False
    if not check_file(path, size=None, checksum=note.read_text().strip()):
        return True
    log.warning("%s is damaged; it is fetched again", path)
    path.unlink(missing_ok=True)
    return False


def _note_checksum(path: Path) -> None:
    path.with_name(f"{path.name}.sha256").write_text(checksum_of(path, "sha256"))

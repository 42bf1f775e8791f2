"""Byte ranges of one file at one address: by http(s), by the xrootd protocol, or from a disk."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Protocol

from femtobarn.errors import DataError, NetworkError, UsageError
from femtobarn.net.client import HttpClient, safe_url
from femtobarn.net.settings import net_settings

__all__ = ["DiskTransport", "HttpTransport", "NoRangesError", "Range", "Transport", "open_transport"]

log: Final = logging.getLogger("femtobarn.net")

Range = tuple[int, int]
#: Bytes asked for when a file is opened: the header and, in small files, all there is to know.
HEAD: Final = 32 * 1024
#: Limits of the xrootd protocol for one vector read.
_VECTOR: Final = 512
_VECTOR_BYTES: Final = 2_000_000
_XRD_SECONDS: Final = 60
_XRD_STREAM: Final = 4 * 2**20


class NoRangesError(NetworkError):
    """The server sends whole files only; what its headers say of the file."""

    stamp: str = ""
    size: int | None = None


class Transport(Protocol):
    """Bytes of a file; ``stamp`` changes when the file does, ``head`` is its beginning."""

    url: str
    size: int
    stamp: str
    head: bytes

    def fetch(self, ranges: Sequence[Range]) -> Iterator[tuple[Range, bytes]]:
        """The bytes of each range, in any order, as they come.

        Raises
        ------
        NetworkError
            The server fails; what came before that was given.
        """
        ...

    def stream(self, start: int) -> Iterator[bytes]:
        """All bytes from ``start`` on."""
        ...

    def close(self) -> None: ...


def open_transport(url: str, client: HttpClient, *, tries: int | None = None) -> Transport:
    """Open a file for reading ranges.

    Raises
    ------
    NetworkError
        The server cannot be reached or has no such file; :class:`NoRangesError` if it gives whole files only.
    DataError
        A path that does not exist, or an empty file.
    UsageError
        An address of a kind that cannot be read here.
    """
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    if scheme in ("http", "https"):
        return HttpTransport(url, client, tries=tries)
    if scheme in ("root", "xroot", "roots"):
        return XrootdTransport(url)
    if scheme in ("", "file"):
        return DiskTransport(Path(url.removeprefix("file://")))
    raise UsageError(f"files at {scheme}:// cannot be read", where=url,
                     action="use a path, http(s):// or root://")  # fmt: skip


class DiskTransport:
    """A file on a disk, for instance a replica in the local store."""

    def __init__(self, path: Path) -> None:
        self.url = str(path)
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}", where=self.url) from None
        status = os.fstat(self._file.fileno())
        self.size = status.st_size
        self.stamp = f"{status.st_size}-{status.st_mtime_ns}"
        self.head = self._read(0, HEAD)

    def _read(self, start: int, length: int) -> bytes:
        self._file.seek(start)
        return self._file.read(length)

    def fetch(self, ranges: Sequence[Range]) -> Iterator[tuple[Range, bytes]]:
        for start, stop in ranges:
            yield (start, stop), self._read(start, stop - start)

    def stream(self, start: int) -> Iterator[bytes]:
        self._file.seek(start)
        while piece := self._file.read(_XRD_STREAM):
            yield piece

    def close(self) -> None:
        self._file.close()


class HttpTransport:
    """Ranges by http; a few of them at the same time."""

    def __init__(self, url: str, client: HttpClient, *, tries: int | None = None) -> None:
        self.url = url
        self._client = client
        self._tries = tries
        answer = client.get_range(url, 0, HEAD, tries=tries)
        headers = answer.headers
        stated = headers.get("content-range", "").rpartition("/")[2]
        self.stamp = " ".join(
            f"{name}={headers[name]}" for name in ("etag", "last-modified") if name in headers
        )
        if answer.status == 416 or (answer.status == 200 and headers.get("content-length") == "0"):
            raise DataError("is empty (0 bytes)", where=safe_url(url), action="is it the right file?")
        if answer.status == 200:
            refusal = NoRangesError("does not send parts of files", where=safe_url(url))
            length = headers.get("content-length", "")
            refusal.stamp, refusal.size = self.stamp, int(length) if length.isdigit() else None
            raise refusal
        self.size = int(stated)
        self.head = answer.body

    def fetch(self, ranges: Sequence[Range]) -> Iterator[tuple[Range, bytes]]:
        if len(ranges) == 1:
            yield ranges[0], self._get(ranges[0])
            return
        with ThreadPoolExecutor(max_workers=min(len(ranges), net_settings().per_host)) as pool:
            waiting = [(each, pool.submit(self._get, each)) for each in ranges]
            failure: NetworkError | None = None
            try:
                for each, future in waiting:
                    try:
                        data = future.result()
                    except NetworkError as error:
                        # What the others bring need not be asked for again elsewhere.
                        failure = failure or error
                    else:
                        yield each, data
            finally:
                for _, future in waiting:
                    future.cancel()
            if failure is not None:
                raise failure

    def _get(self, wanted: Range) -> bytes:
        answer = self._client.get_range(self.url, *wanted, tries=self._tries)
        if answer.status != 206:
            raise NetworkError("does not send parts of files any more", where=safe_url(self.url))
        size = answer.headers["content-range"].rpartition("/")[2]
        if int(size) != self.size:
            raise NetworkError(f"says that the file has {size} bytes, and before that {self.size}",
                               where=safe_url(self.url), action="the file changes; try later")  # fmt: skip
        return answer.body

    def stream(self, start: int) -> Iterator[bytes]:
        with self._client.stream(self.url, start=start) as answer:
            if start and answer.status_code != 206:
                raise NoRangesError("does not send parts of files", where=safe_url(self.url))
            # As it comes: what is here before a cut is kept.
            yield from answer.iter_bytes()

    def close(self) -> None:
        """Connections belong to the client."""


@functools.cache
def _xrootd() -> Any:
    """The xrootd client, told to give up in reasonable time."""
    patience = {
        "XRD_CONNECTIONWINDOW": 8, "XRD_CONNECTIONRETRY": 2, "XRD_STREAMERRORWINDOW": 8,
        "XRD_REQUESTTIMEOUT": _XRD_SECONDS, "XRD_STREAMTIMEOUT": _XRD_SECONDS, "XRD_TIMEOUTRESOLUTION": 1,
    }  # fmt: skip
    for name, value in patience.items():
        os.environ.setdefault(name, str(value))
    try:
        from XRootD import client
    except ImportError:
        raise UsageError(
            "root:// needs the extra 'xrootd'", action="pip install 'femtobarn[xrootd]'"
        ) from None
    return client


class XrootdTransport:
    """Ranges by the xrootd protocol, in vector reads."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._file = _xrootd().File()
        self._check(self._file.open(url, timeout=_XRD_SECONDS)[0], "cannot be opened")
        status, about = self._file.stat(timeout=_XRD_SECONDS)
        self._check(status, "cannot be looked at")
        self.size = int(about.size)
        self.stamp = f"{about.size}-{about.modtime}"
        if not self.size:
            raise DataError("is empty (0 bytes)", where=url, action="is it the right file?")
        self.head = self._read(0, HEAD)

    def _check(self, status: Any, what: str) -> None:
        if not status.ok:
            reason = str(status.message).strip().split("\n", 1)[0]
            raise NetworkError(f"{what} ({reason})", where=self.url)

    def _read(self, start: int, length: int) -> bytes:
        status, data = self._file.read(start, min(length, self.size - start), timeout=_XRD_SECONDS)
        self._check(status, "cannot be read")
        return bytes(data)

    def fetch(self, ranges: Sequence[Range]) -> Iterator[tuple[Range, bytes]]:
        pieces = [
            (at, min(at + _VECTOR_BYTES, stop))
            for start, stop in ranges
            for at in range(start, stop, _VECTOR_BYTES)
        ]
        found: dict[int, bytes] = {}
        for first in range(0, len(pieces), _VECTOR):
            some = [(start, stop - start) for start, stop in pieces[first : first + _VECTOR]]
            status, answer = self._file.vector_read(chunks=some, timeout=_XRD_SECONDS)
            self._check(status, "cannot be read")
            found.update({int(chunk.offset): bytes(chunk.buffer) for chunk in answer.chunks})
        for start, stop in ranges:
            data = b"".join(found.get(at, b"") for at in range(start, stop, _VECTOR_BYTES))
            if len(data) != stop - start:
                raise NetworkError(f"sent {len(data)} of {stop - start} bytes", where=self.url)
            yield (start, stop), data

    def stream(self, start: int) -> Iterator[bytes]:
        for at in range(start, self.size, _XRD_STREAM):
            yield self._read(at, _XRD_STREAM)

    def close(self) -> None:
        self._file.close(timeout=5)

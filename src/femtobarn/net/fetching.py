"""Whole files: resumed, from any of several addresses, kept only if size and checksum agree."""

from __future__ import annotations

import hashlib
import logging
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from femtobarn.errors import DataError, FemtobarnError, NetworkError, StoreError, UsageError
from femtobarn.net.client import HttpClient, safe_url
from femtobarn.net.transports import NoRangesError, open_transport

__all__ = ["adler32", "check_file", "checksum_of", "fetch_file"]

log: Final = logging.getLogger("femtobarn.net")

_PIECE: Final = 1 << 20
#: Tries at one address that bring nothing new, before the next one is taken.
_TRIES: Final = 3


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


class _Adler32:
    def __init__(self) -> None:
        self._value = 1

    def update(self, data: bytes, /) -> None:
        self._value = zlib.adler32(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value & 0xFFFFFFFF:08x}"


_KINDS: Final[dict[str, Callable[[], _Hash]]] = {
    "adler32": _Adler32,
    "sha256": hashlib.sha256,
    "md5": lambda: hashlib.md5(usedforsecurity=False),
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
}


def checksum_of(path: Path, kind: str = "adler32") -> str:
    """``KIND:HEX`` of a file; kinds are adler32, sha256, sha1 and md5.

    Raises
    ------
    DataError
        Unknown kind, or a file that cannot be read.
    """
    if kind not in _KINDS:
        raise DataError(f"a checksum of the kind {kind!r} cannot be verified", where=str(path))
    value = _KINDS[kind]()
    try:
        with path.open("rb") as stream:
            while piece := stream.read(_PIECE):
                value.update(piece)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(path)) from error
    return f"{kind}:{value.hexdigest()}"


def adler32(path: Path) -> str:
    """``adler32:xxxxxxxx``, as the portals state it."""
    return checksum_of(path)


def check_file(path: Path, *, size: int | None, checksum: str | None) -> str:
    """What is wrong with a file, empty if nothing is."""
    actual = path.stat().st_size
    if size is not None and actual != size:
        return f"has {actual} bytes, stated are {size}"
    if checksum:
        kind, _, stated = checksum.partition(":")
        found = checksum_of(path, kind).partition(":")[2]
        if found.lower() != stated.lower().zfill(len(found)):
            return f"has the {kind} {found}, stated is {stated}"
    return ""


def fetch_file(
    addresses: Sequence[str],
    path: Path,
    *,
    client: HttpClient,
    size: int | None = None,
    checksum: str | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Bring a file here, from the first of several addresses that gives all of it; returns that address.

    The bytes collect in ``PATH.part``, also over several calls, and are renamed when size and checksum
    agree.  What does not agree is removed and the next address tried.

    Raises
    ------
    NetworkError, DataError
        No address gives the file; every reason is in the message.
    StoreError
        It cannot be written.
    """
    part = path.with_name(path.name + ".part")
    problems: list[FemtobarnError] = []
    for number, url in enumerate(addresses, start=1):
        tries = None if number == len(addresses) else _TRIES
        try:
            _fill(url, part, client, size, sleep, tries)
            fault = check_file(part, size=size, checksum=checksum)
            if fault:
                part.unlink(missing_ok=True)
                raise DataError(f"{fault}: not kept", where=safe_url(url))  # noqa: TRY301
            part.replace(path)
        except OSError as error:
            raise StoreError(f"cannot be written: {error.strerror or error}", where=str(path)) from error
        except (NetworkError, DataError, UsageError) as error:  # the last: a protocol that is not here
            problems.append(error)
            if len(addresses) > len(problems):
                log.warning("%s; the next replica is tried", error)
        else:
            return url
    raise one_of(problems)


def one_of(problems: Sequence[FemtobarnError]) -> FemtobarnError:
    """The error of one address as it is, or that of several as one."""
    first = problems[0]
    if len(problems) == 1:
        return first
    reasons = "; ".join(f"{item.where}: {item.what}" for item in problems)
    # A replica that is another file matters more than a server that is away.
    worst = next((item for item in problems if isinstance(item, DataError)), first)
    return type(worst)(f"none of {len(problems)} replicas can be used: {reasons}", where=first.where,
                       action=worst.action)  # fmt: skip


def _fill(
    url: str,
    part: Path,
    client: HttpClient,
    size: int | None,
    sleep: Callable[[float], None],
    limit: int | None,
) -> None:
    """Append to the part file until it is whole; ``limit`` is how often to ask when there are replicas."""
    part.parent.mkdir(parents=True, exist_ok=True)
    tries = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            _append(url, part, client, size, limit)
        except NoRangesError:
            log.warning("%s does not resume; the file is fetched from its beginning", safe_url(url))
            part.unlink(missing_ok=True)
            _whole(url, part, client)
            return
        except NetworkError as error:
            now = part.stat().st_size if part.exists() else 0
            tries = 0 if now > before else tries + 1
            if tries >= (_TRIES if limit is None else 1) or "answered 4" in error.what:
                raise
            sleep(client.limits.backoff * 2.0**tries)
        else:
            return


def _append(url: str, part: Path, client: HttpClient, size: int | None, limit: int | None) -> None:
    transport = open_transport(url, client, tries=limit)
    try:
        if size is not None and transport.size != size:
            raise DataError(f"has {transport.size} bytes at the server, stated are {size}: not fetched",
                            where=safe_url(url))  # fmt: skip
        have = part.stat().st_size if part.exists() else 0
        if have > transport.size:
            part.unlink()
            have = 0
        if have < transport.size:
            with part.open("ab") as stream:
                for piece in transport.stream(have):
                    stream.write(piece)
                written = stream.tell()
            if written < transport.size:
                raise NetworkError(f"sent {written} of {transport.size} bytes", where=safe_url(url))
    finally:
        transport.close()


def _whole(url: str, part: Path, client: HttpClient) -> None:
    """From a server without ranges: all at once, tried a few times."""
    for attempt in range(_TRIES):
        try:
            with client.stream(url) as answer, part.open("wb") as stream:
                for piece in answer.iter_bytes(_PIECE):
                    stream.write(piece)
        except NetworkError:
            if attempt == _TRIES - 1:
                raise
        else:
            return

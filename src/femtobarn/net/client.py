"""The HTTP client: time limits, retries with ``Retry-After``, a few requests at once, downloads that resume.

Secrets (tokens, passwords) travel in headers that an ``authorise`` function adds to each request; they are
in no log line, error text, cache file or address that leaves this module.
"""

from __future__ import annotations

import contextlib
import email.utils
import hashlib
import json
import logging
import os
import random
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import httpx

from femtobarn.errors import NetworkError, StoreError
from femtobarn.net.answers import AnswerCache, Kept, age
from femtobarn.net.settings import net_settings

__all__ = ["Answer", "HttpClient", "Limits", "safe_url", "shared_client"]

log: Final = logging.getLogger("femtobarn.net")

#: Statuses that are worth another try.
_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
#: Parameters whose values are nobody's business.
_SECRET: Final = ("token", "secret", "password", "passwd", "code", "signature", "key", "credential")

#: Seconds for which a server that could not be reached is not tried again.
_SILENCE: Final = 30.0

Params = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Limits:
    """How patient and how gentle to be; times in seconds.

    ``backoff`` doubles from try to try (with up to a quarter of jitter); ``longest_wait`` bounds one wait,
    also one that a server asks for: a longer one is an error that says so.  ``total`` bounds a request
    with all its tries, ``unreachable`` one that never got a connection.  ``per_host`` requests run at a
    time to one server; None leaves it to the settings.
    """

    connect: float = 6.0
    read: float = 60.0
    tries: int = 5
    backoff: float = 0.5
    longest_wait: float = 120.0
    total: float = 120.0
    unreachable: float = 18.0
    per_host: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said: status, headers (names in lower case) and body."""

    status: int
    url: str
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)

    def json(self) -> Any:
        """The body as JSON.

        Raises
        ------
        NetworkError
            If it is something else, for instance a login page.
        """
        try:
            return json.loads(self.body)
        except ValueError as error:
            kind = self.headers.get("content-type", "of no stated type")
            raise NetworkError(f"answered {len(self.body)} bytes ({kind}) that are not JSON",
                               where=safe_url(self.url)) from error  # fmt: skip


def safe_url(url: str) -> str:
    """An address without user, password and secret parameters, to be shown."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    query = [
        (name, "***" if any(word in name.lower() for word in _SECRET) else value)
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
    ]
    return urlunsplit((parts.scheme, host, parts.path, urlencode(query, safe="*[]:,"), ""))


class HttpClient:
    """Requests with limits; safe to use from several threads.

    Parameters
    ----------
    limits : Limits
    authorise : callable () -> headers, optional
        Asked before every request.
    renew : callable () -> None, optional
        Called once after a 401, before the request is repeated.
    follow : bool
        Follow redirects (public files); off, a redirect is an answer like any other.
    refresh : bool
        Ask again whatever is remembered.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        authorise: Callable[[], Mapping[str, str]] | None = None,
        renew: Callable[[], None] | None = None,
        follow: bool = True,
        refresh: bool = False,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.limits = limits or Limits(total=net_settings().seconds)
        self.received = 0
        self._refresh = refresh
        self._authorise = authorise
        self._renew = renew
        self._follow = follow
        self._sleep = sleep
        self._clock = clock
        self._per_host = self.limits.per_host or net_settings().per_host
        self._slots: dict[str, threading.BoundedSemaphore] = {}
        self._silent: dict[str, float] = {}
        self._count = 0
        self._lock = threading.Lock()
        timeout = httpx.Timeout(self.limits.read, connect=self.limits.connect)
        # httpx drops Authorization itself when a redirect leaves the host.
        self._http = httpx.Client(timeout=timeout, headers={"User-Agent": "femtobarn"})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    @property
    def requests(self) -> int:
        """Requests sent so far, repeated ones counted."""
        return self._count

    def get(self, url: str, params: Params = (), *, headers: Mapping[str, str] | None = None) -> Answer:
        """One answer; statuses below 500 other than 401, 408, 425 and 429 are returned as they are.

        Raises
        ------
        NetworkError
            If the server cannot be reached, keeps failing, or does not accept the credentials.
        """
        return self._send("GET", url, params, None, headers or {})

    def post(self, url: str, data: Mapping[str, str]) -> Answer:
        """Send a form; its fields may be secrets and are shown nowhere."""
        return self._send("POST", url, (), data, {})

    def get_json(self, url: str, params: Params = ()) -> Any:
        """The JSON of an answer with status 200.

        Raises
        ------
        NetworkError
            Any other status, or no JSON.
        """
        answer = self.get(url, params, headers={"Accept": "application/json, application/vnd.api+json"})
        if answer.status != 200:
            raise NetworkError(f"answered {answer.status}{_said(answer)}", where=safe_url(answer.url))
        return answer.json()

    def get_range(self, url: str, start: int, stop: int, *, tries: int | None = None) -> Answer:
        """Bytes ``start <= i < stop`` (fewer at the end of the file), as sent by a server that knows ranges.

        Status 200 stands for a server that does not: its body is then not read and left empty.

        Raises
        ------
        NetworkError
            As :meth:`get`; another range than was asked for.
        """
        wanted = {"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}
        answer = self._send("GET", url, (), None, wanted, most=stop - start, limit_tries=tries)
        if answer.status in (200, 416):
            return answer
        if answer.status != 206:
            raise NetworkError(f"answered {answer.status}{_said(answer)}", where=safe_url(url))
        first, _, size = answer.headers.get("content-range", "").removeprefix("bytes ").partition("/")
        if not size.isdigit() or first.partition("-")[0] != str(start):
            raise NetworkError(f"sent the range {first or '(unnamed)'} instead of {start}-{stop - 1}",
                               where=safe_url(url))  # fmt: skip
        if len(answer.body) != min(stop, int(size)) - start:
            raise NetworkError(f"sent {len(answer.body)} of {min(stop, int(size)) - start} bytes",
                               where=safe_url(url))  # fmt: skip
        return answer

    @contextlib.contextmanager
    def stream(self, url: str, *, start: int = 0) -> Iterator[httpx.Response]:
        """An open answer for big files, from byte ``start`` on; one try, no total time limit.

        Raises
        ------
        NetworkError
            The server cannot be reached, answers no file, or the connection is cut while it is read.
        """
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={start}-"} if start else {})}
        try:
            with (
                self._slot(url),
                self._http.stream("GET", url, headers=headers, follow_redirects=True) as found,
            ):
                with self._lock:
                    self._count += 1
                if found.status_code not in (200, 206):
                    raise NetworkError(f"answered {found.status_code} {found.reason_phrase}".rstrip(),
                                       where=safe_url(url))  # fmt: skip
                yield found
        except httpx.InvalidURL as error:
            raise NetworkError(f"is no address: {error}", where=safe_url(url)) from None
        except httpx.TransportError as error:
            raise NetworkError(f"could not be reached ({_plain(error)})", where=safe_url(url)) from None

    def remembered(self, url: str, params: Params = (), *, max_age: float | None = None) -> bytes:
        """The body of an answer with status 200, taken from the disk if it was given lately.

        An older answer is asked for again with its ETag.  When the server cannot be reached it is used as it
        is, with a warning that says how old it is.

        Raises
        ------
        NetworkError
            No answer, and none remembered.
        """
        kept, body = self._remembered(url, params, max_age)
        return body if body is not None else kept.path.read_bytes()

    def _remembered(
        self, url: str, params: Params, max_age: float | None, checksum: str | None = None
    ) -> tuple[Kept, bytes | None]:
        cache = AnswerCache()
        key = cache.key("GET", url, params)
        kept = cache.find(key)
        old = kept.body() if kept is not None else None
        if kept is None or old is None or (checksum is not None and f"sha256:{kept.sha256}" != checksum):
            kept = None
        limit = net_settings().max_age if max_age is None else max_age
        refresh = self._refresh or net_settings().refresh
        if kept is not None and not refresh and self._clock() - kept.time < limit:
            return kept, old
        try:
            headers = {"If-None-Match": kept.etag} if kept is not None and kept.etag else {}
            answer = self.get(url, params, headers=headers)
            if answer.status == 304 and kept is not None:
                cache.confirm(kept, time=self._clock())
                return kept, old
            if answer.status != 200:
                raise NetworkError(  # noqa: TRY301 - a refusal, too, leaves the remembered answer
                    f"answered {answer.status}{_said(answer)}", where=safe_url(answer.url)
                )
            _verify(answer, checksum)
        except NetworkError as error:
            if kept is None:
                raise
            log.warning("%s; the copy of %s ago is used", error, age(self._clock() - kept.time))
            return kept, old
        etag = answer.headers.get("etag", "")
        return cache.keep(key, safe_url(url), answer.body, time=self._clock(), etag=etag), answer.body

    def remembered_json(self, url: str, params: Params = (), *, max_age: float | None = None) -> Any:
        """The JSON of :meth:`remembered`."""
        return Answer(200, url, self.remembered(url, params, max_age=max_age)).json()

    @contextlib.contextmanager
    def _slot(self, url: str) -> Iterator[None]:
        """A place among the few requests that one server gets at a time."""
        host = urlsplit(url).netloc.rpartition("@")[2]
        with self._lock:
            slots = self._slots.setdefault(host, threading.BoundedSemaphore(self._per_host))
        with slots:
            yield

    def _ask(self, method: str, url: str, deadline: float, most: int | None, **more: Any) -> Answer:
        """One request; its body is cut off at the deadline, or when it is longer than asked for."""
        follow = self._follow and method == "GET"
        with self._slot(url):
            with self._lock:
                self._count += 1
            with self._http.stream(method, url, follow_redirects=follow, **more) as found:
                headers = MappingProxyType({k.lower(): v for k, v in found.headers.items()})
                if most is not None and found.status_code == 200:
                    return Answer(200, str(found.url), b"", headers)
                body = bytearray()
                for piece in found.iter_bytes():
                    body += piece
                    if time.monotonic() > deadline:
                        raise httpx.ReadTimeout("the body comes too slowly")
                    if most is not None and len(body) > most:
                        raise httpx.RemoteProtocolError("the body is longer than asked for")
                with self._lock:
                    self.received += len(body)
                return Answer(found.status_code, str(found.url), bytes(body), headers)

    def _send(
        self,
        method: str,
        url: str,
        params: Params,
        data: Mapping[str, str] | None,
        headers: Mapping[str, str],
        most: int | None = None,
        limit_tries: int | None = None,
    ) -> Answer:
        most_tries = limit_tries or self.limits.tries
        renewed, connected = False, False
        trouble = ""
        started = time.monotonic()
        host = urlsplit(url).netloc.rpartition("@")[2]
        tries = 0
        for attempt in range(1, most_tries + 1):
            self._refuse_silent(host, url)
            tries, wait = attempt, self._backoff(attempt)
            own = dict(self._authorise()) if self._authorise is not None else {}
            try:
                found = self._ask(method, url, started + self.limits.total, most, params=list(params) or None,
                                  data=data, headers={**headers, **own})  # fmt: skip
            except httpx.InvalidURL as error:
                raise NetworkError(f"is no address: {error}", where=safe_url(url)) from None
            except httpx.UnsupportedProtocol:
                raise NetworkError(
                    "is no address: it should begin with https://", where=safe_url(url)
                ) from None
            except httpx.TooManyRedirects:
                raise NetworkError("leads in a circle of redirects", where=safe_url(url)) from None
            except httpx.TransportError as error:
                # Their texts may quote the request; the kind of error is enough.
                connected = connected or not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
                trouble = f"could not be reached ({_plain(error)})"
            except httpx.DecodingError:
                connected, trouble = True, "sent a body that cannot be decoded"
            else:
                connected = True
                if found.status == 401 and self._renew is not None and not renewed:
                    renewed = True
                    self._renew()
                    continue
                if found.status not in _AGAIN:
                    return found
                trouble = f"answered {found.status} {_phrase(found.status)}".rstrip()
                wait = self._asked_wait(found.headers.get("retry-after"), wait, url)
            # A try that may get no connection takes that long, too.
            limit = self.limits.total if connected else self.limits.unreachable - self.limits.connect
            if attempt == most_tries or time.monotonic() - started + wait > limit:
                break
            log.info("%s %s; try %d in %.1f s", safe_url(url), trouble, attempt + 1, wait)
            self._sleep(wait)
        if not connected:
            self._silent[host] = time.monotonic()
        raise NetworkError(f"{trouble}, {tries} times in a row", where=safe_url(url),
                           action="is the address right, and the network there? try again later")  # fmt: skip

    def _refuse_silent(self, host: str, url: str) -> None:
        """A server that just now could not be reached is not waited for again by every file on it."""
        since = time.monotonic() - self._silent.get(host, -1e9)
        if since < _SILENCE:
            raise NetworkError(f"could not be reached (no connection {since:.0f} s ago either)",
                               where=safe_url(url), action="is the network there? try later")  # fmt: skip

    def _backoff(self, attempt: int) -> float:
        jitter = 1.0 + 0.25 * random.random()  # noqa: S311 (no secret depends on it)
        return float(min(self.limits.backoff * 2.0 ** (attempt - 1) * jitter, self.limits.longest_wait))

    def _asked_wait(self, header: str | None, otherwise: float, url: str) -> float:
        """Seconds from ``Retry-After``: a number, or a date."""
        if not header:
            return otherwise
        try:
            wait = float(header)
        except ValueError:
            try:
                wait = email.utils.parsedate_to_datetime(header).timestamp() - self._clock()
            except (TypeError, ValueError):
                return otherwise
        if wait > self.limits.longest_wait:
            raise NetworkError(f"asks to wait for {wait:.0f} s", where=safe_url(url), action="try again then")
        return max(wait, otherwise)

    def download(
        self,
        url: str,
        path: Path | None = None,
        *,
        max_age: float | None = None,
        checksum: str | None = None,
    ) -> Path:
        """A file's local copy, fetched if there is none or it is too old.

        Parameters
        ----------
        path : where to put a copy; the one in the cache is given if there is none
        max_age : seconds after which it is asked for again; None keeps it for good
        checksum : ``sha256:...``; another content is an error and is not kept

        Raises
        ------
        NetworkError
            With an older copy at hand the failure is logged and that copy is used.
        """
        limit = float("inf") if max_age is None else max_age
        kept, _ = self._remembered(url, (), limit, checksum)
        if path is None:
            return kept.path
        _copy(kept.path, path)
        return path


_shared: dict[int, HttpClient] = {}
_shared_lock: Final = threading.Lock()


def shared_client() -> HttpClient:
    """The client that catalogues and file readers of this process use together."""
    with _shared_lock:
        if os.getpid() not in _shared:
            _shared.clear()
            _shared[os.getpid()] = HttpClient()
        return _shared[os.getpid()]


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _said(answer: Answer) -> str:
    """What a server's error document says, if it is short and of the JSON:API form."""
    try:
        errors = json.loads(answer.body).get("errors") or []
        text = "; ".join(str(e.get("detail") or e.get("title") or "") for e in errors)
    except (ValueError, AttributeError):
        return ""
    return f": {text[:200]}" if text else ""


def _plain(error: httpx.TransportError) -> str:
    if isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout):
        return "no connection in time"
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    if isinstance(error, httpx.RemoteProtocolError):
        return "the connection was cut"
    return "no connection" if isinstance(error, httpx.ConnectError) else type(error).__name__


def _verify(answer: Answer, checksum: str | None) -> None:
    stated = answer.headers.get("content-length")
    encoded = "content-encoding" in answer.headers
    if stated and not encoded and stated.isdigit() and int(stated) != len(answer.body):
        raise NetworkError(f"sent {len(answer.body)} of {stated} bytes", where=safe_url(answer.url))
    if checksum is not None and f"sha256:{hashlib.sha256(answer.body).hexdigest()}" != checksum:
        raise NetworkError("sent another content than its checksum says", where=safe_url(answer.url))


def _copy(source: Path, path: Path) -> None:
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, scratch)
        scratch.replace(path)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise StoreError(f"cannot be written: {error.strerror or error}", where=str(path)) from error

"""The HTTP client: time limits, retries with ``Retry-After``, a few requests at once, downloads that resume.

Secrets (tokens, passwords) travel in headers that an ``authorise`` function adds to each request; they are
in no log line, error text, cache file or address that leaves this module.
"""

from __future__ import annotations

import email.utils
import hashlib
import json
import logging
import os
import random
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import httpx

from femtobarn.errors import NetworkError, StoreError
from femtobarn.folders import cache_root

__all__ = ["Answer", "HttpClient", "Limits", "safe_url"]

log: Final = logging.getLogger("femtobarn.net")

#: Statuses that are worth another try.
_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
#: Parameters whose values are nobody's business.
_SECRET: Final = ("token", "secret", "password", "passwd", "code", "signature", "key", "credential")

Params = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Limits:
    """How patient and how gentle to be; times in seconds.

    ``backoff`` doubles from try to try (with up to a quarter of jitter); ``longest_wait`` bounds one wait,
    also one that a server asks for: a longer one is an error that says so.
    """

    connect: float = 10.0
    read: float = 60.0
    tries: int = 5
    backoff: float = 0.5
    longest_wait: float = 120.0
    in_flight: int = 4


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
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        authorise: Callable[[], Mapping[str, str]] | None = None,
        renew: Callable[[], None] | None = None,
        follow: bool = True,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.limits = limits or Limits()
        self._authorise = authorise
        self._renew = renew
        self._follow = follow
        self._sleep = sleep
        self._clock = clock
        self._slots = threading.BoundedSemaphore(self.limits.in_flight)
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

    def _send(
        self,
        method: str,
        url: str,
        params: Params,
        data: Mapping[str, str] | None,
        headers: Mapping[str, str],
    ) -> Answer:
        renewed = False
        trouble = ""
        for attempt in range(1, self.limits.tries + 1):
            wait = self._backoff(attempt)
            own = dict(self._authorise()) if self._authorise is not None else {}
            try:
                with self._slots:
                    with self._lock:
                        self._count += 1
                    found = self._http.request(
                        method, url, params=list(params) or None, data=data, headers={**headers, **own},
                        follow_redirects=self._follow and method == "GET",
                    )  # fmt: skip
            except httpx.InvalidURL as error:
                raise NetworkError(f"is no address: {error}", where=safe_url(url)) from None
            except httpx.UnsupportedProtocol:
                raise NetworkError(
                    "is no address: it should begin with https://", where=safe_url(url)
                ) from None
            except httpx.TransportError as error:
                # Their texts may quote the request; the kind of error is enough.
                trouble = f"could not be reached ({_plain(error)})"
            else:
                if found.status_code == 401 and self._renew is not None and not renewed:
                    renewed = True
                    self._renew()
                    continue
                if found.status_code not in _AGAIN:
                    return Answer(
                        found.status_code,
                        str(found.url),
                        found.content,
                        MappingProxyType({k.lower(): v for k, v in found.headers.items()}),
                    )
                trouble = f"answered {found.status_code} {found.reason_phrase}".rstrip()
                wait = self._asked_wait(found.headers.get("retry-after"), wait, url)
            if attempt < self.limits.tries:
                log.info("%s %s; try %d in %.1f s", safe_url(url), trouble, attempt + 1, wait)
                self._sleep(wait)
        raise NetworkError(f"{trouble}, {self.limits.tries} times in a row", where=safe_url(url),
                           action="is the address right, and the network there? try again later")  # fmt: skip

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
        path : where to keep it; in the cache if not given
        max_age : seconds after which it is asked for again; None keeps it for good
        checksum : ``sha256:...``; another content is an error and is not kept

        Raises
        ------
        NetworkError
            With an older copy at hand the failure is logged and that copy is used.
        """
        key = hashlib.sha256(url.encode()).hexdigest()[:32]
        name = Path(urlsplit(url).path).name or "file"
        path = path or cache_root() / "http" / key / name
        fresh = path.is_file() and (max_age is None or self._clock() - path.stat().st_mtime < max_age)
        if fresh and (checksum is None or _matches(path, checksum)):
            return path
        try:
            answer = self.get(url)
            if answer.status != 200:
                raise NetworkError(f"answered {answer.status}", where=safe_url(url))  # noqa: TRY301
            _verify(answer, checksum)
        except NetworkError as error:
            if path.is_file() and checksum is None:
                log.warning("%s; the copy of %s is used", error, time.ctime(path.stat().st_mtime))
                return path
            raise
        _keep(path, answer.body, self._clock())
        return path


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


def _matches(path: Path, checksum: str) -> bool:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" == checksum


def _keep(path: Path, body: bytes, now: float) -> None:
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_bytes(body)
        os.utime(scratch, (now, now))
        scratch.replace(path)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise StoreError(f"cannot be written: {error.strerror or error}", where=str(path)) from error

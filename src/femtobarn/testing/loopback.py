"""A server on the loopback for tests of reading and fetching, with the faults that real ones have."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, unquote, urlsplit

__all__ = ["Ask", "LoopbackServer", "Reply", "file_reply"]


@dataclass(frozen=True, slots=True)
class Ask:
    """A request as it came; header names are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def range(self) -> tuple[int, int] | None:
        """First and last byte that are asked for."""
        text = self.headers.get("range", "").removeprefix("bytes=")
        first, _, last = text.partition("-")
        return (int(first), int(last) if last else -1) if first else None


@dataclass(slots=True)
class Reply:
    """An answer.  ``cut`` closes the connection after so many bytes; ``pause`` [s] is before each 16 kB."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    pause: float = 0.0


class LoopbackServer:
    """Answers requests on 127.0.0.1 by a function; use as a context manager.

    Attributes
    ----------
    url : str
        Its address, without a slash at the end.
    seen : list of Ask
    answer : callable (Ask) -> Reply
        May be replaced at any time.
    """

    def __init__(self, answer: Callable[[Ask], Reply]) -> None:
        self.seen: list[Ask] = []
        self.answer = answer
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                """Quiet."""

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                length = int(self.headers.get("Content-Length", 0))
                ask = Ask(
                    self.command,
                    unquote(parts.path),
                    dict(parse_qsl(parts.query)),
                    {k.lower(): v for k, v in self.headers.items()},
                    self.rfile.read(length),
                )
                server.seen.append(ask)
                reply = server.answer(ask)
                try:
                    self._send(reply)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            do_HEAD = do_POST = do_GET  # noqa: N815 - as the library calls them

            def _send(self, reply: Reply) -> None:
                self.send_response(reply.status)
                for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                body = reply.body if reply.cut is None else reply.body[: reply.cut]
                for at in range(0, len(body), 1 << 14):
                    time.sleep(reply.pause)
                    self.wfile.write(body[at : at + (1 << 14)])

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()
        self._open = True

    def stop(self) -> None:
        """Refuse connections from now on, as a server that died."""
        if self._open:
            self._open = False
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def file_reply(folder: Path, *, ranges: bool = True, etag: bool = True) -> Callable[[Ask], Reply]:
    """An answer function that gives the files of a folder, with or without parts of them."""

    def answer(ask: Ask) -> Reply:
        path = folder / ask.path.lstrip("/")
        if not path.is_file():
            return Reply(404, b"not there")
        data = path.read_bytes()
        headers = {"ETag": f'"{len(data)}-{path.stat().st_mtime_ns}"'} if etag else {}
        wanted = ask.range
        if not ranges or wanted is None:
            return Reply(200, data, headers)
        first, last = wanted
        last = len(data) - 1 if last < 0 else min(last, len(data) - 1)
        if first >= len(data):
            return Reply(416, b"", {"Content-Range": f"bytes */{len(data)}"})
        headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        return Reply(206, data[first : last + 1], headers)

    return answer

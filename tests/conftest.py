"""Shared fixtures: where the optional reference material lies, and a private cache for every test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from femtobarn.net import HttpClient
    from femtobarn.testing.loopback import LoopbackServer

# A deadline would be a timed assertion: the first call of a kernel compiles it.
settings.register_profile("femtobarn", deadline=None)
settings.load_profile("femtobarn")

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("FEMTOBARN_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """Path of a file of the reference material, or skip: a plain checkout does not have it."""

    def find(name: str) -> Path:
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"needs the reference file {name}, which is not part of the project")
        return path

    return find


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEMTOBARN_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(autouse=True)
def _own_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of the network that a test makes end with it; the loopback is never behind a proxy."""
    for name in ("PER_HOST", "CACHE_REMOTE", "REFRESH", "MAX_AGE", "SNAPSHOT"):
        monkeypatch.setenv(f"FEMTOBARN_{name}", "")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")


@pytest.fixture
def loopback() -> Iterator[Callable[..., LoopbackServer]]:
    """``loopback(answer)``: a server on 127.0.0.1; a folder instead of a function serves its files."""
    from femtobarn.testing.loopback import LoopbackServer, file_reply

    servers: list[LoopbackServer] = []

    def start(answer: object, **options: bool) -> LoopbackServer:
        reply = file_reply(answer, **options) if isinstance(answer, Path) else answer
        servers.append(LoopbackServer(reply))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def quick_client(monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpClient]:
    """The process' shared client with waits of no length; how long they are is tested where it matters."""
    from femtobarn.net import HttpClient, Limits, client

    quick = HttpClient(Limits(connect=2.0, read=2.0, backoff=0.001, total=20.0))
    monkeypatch.setattr(client, "_shared", {os.getpid(): quick})
    yield quick
    quick.close()

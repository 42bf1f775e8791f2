"""How gently and with what memory the network is used; set once, inherited by worker processes.

They travel in the environment because workers are processes of their own: what the command line says is
written there before the first of them starts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from femtobarn.errors import UsageError, nearest

__all__ = [
    "CacheRemote",
    "NetSettings",
    "net_settings",
    "network_as_before",
    "network_variables",
    "use_network",
]

CacheRemote = Literal["none", "columns", "files"]

_PER_HOST: Final = "FEMTOBARN_PER_HOST"
_SECONDS: Final = "FEMTOBARN_REQUEST_SECONDS"
_CACHE_REMOTE: Final = "FEMTOBARN_CACHE_REMOTE"
_REFRESH: Final = "FEMTOBARN_REFRESH"
_MAX_AGE: Final = "FEMTOBARN_MAX_AGE"
_SNAPSHOT: Final = "FEMTOBARN_SNAPSHOT"
#: What holds for a run wherever and whenever it goes on.
_LASTING: Final = (_PER_HOST, _SECONDS, _CACHE_REMOTE, _MAX_AGE, _SNAPSHOT)


@dataclass(frozen=True, slots=True)
class NetSettings:
    """What the user asked of the network.

    Attributes
    ----------
    per_host : int
        Most requests to one server at a time.
    seconds : float
        Time limit of a request for metadata, all tries together.
    cache_remote : none, columns or files
        What is kept of remote files: nothing, the ranges that were read, or whole files.
    refresh : bool
        Ask servers again whatever is remembered.
    max_age : float
        Seconds for which a remembered answer is taken without asking.
    snapshot : str or None
        A saved release of ATLAS Open Data, used instead of the metadata service.
    """

    per_host: int = 8
    seconds: float = 120.0
    cache_remote: CacheRemote = "none"
    refresh: bool = False
    max_age: float = 86_400.0
    snapshot: str | None = None


def net_settings() -> NetSettings:
    """The settings in force.

    Raises
    ------
    UsageError
        The environment holds something else than a setting.
    """
    kept = os.environ.get(_CACHE_REMOTE) or "none"
    if kept not in get_args(CacheRemote):
        raise UsageError(f"--cache-remote {kept!r} is unknown", near=nearest(kept, get_args(CacheRemote)),
                         action="choose none, columns or files")  # fmt: skip
    return NetSettings(
        per_host=int(_number(_PER_HOST, 8, least=1)),
        seconds=_number(_SECONDS, 120.0, least=1),
        cache_remote=kept,  # type: ignore[arg-type]
        refresh=os.environ.get(_REFRESH) == "1",
        max_age=_number(_MAX_AGE, 86_400.0, least=0),
        snapshot=os.environ.get(_SNAPSHOT) or None,
    )


def _number(name: str, default: float, *, least: float) -> float:
    text = os.environ.get(name)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = least - 1
    if not least <= value < float("inf"):
        raise UsageError(f"{text!r} must be a number from {least:g}", where=name)
    return value


def use_network(
    *,
    per_host: int | None = None,
    seconds: float | None = None,
    cache_remote: str | None = None,
    refresh: bool | None = None,
    max_age: float | None = None,
    snapshot: str | None = None,
) -> NetSettings:
    """Change some settings for this process and those it starts; returns all of them."""
    given = {
        _PER_HOST: per_host,
        _SECONDS: seconds,
        _CACHE_REMOTE: cache_remote,
        _REFRESH: None if refresh is None else int(refresh),
        _MAX_AGE: max_age,
        # Found again from another folder.
        _SNAPSHOT: None if snapshot is None else Path(snapshot).absolute(),
    }
    os.environ.update({name: str(value) for name, value in given.items() if value is not None})
    return net_settings()


def network_variables() -> dict[str, str]:
    """Environment variables by which jobs elsewhere, or a later process, get the same settings."""
    return {name: os.environ[name] for name in _LASTING if os.environ.get(name)}


@contextmanager
def network_as_before(variables: Mapping[str, str]) -> Iterator[None]:
    """Settings of an earlier process, where nothing else is said now."""
    again = {name: value for name, value in variables.items() if name in _LASTING and name not in os.environ}
    os.environ.update(again)
    try:
        yield
    finally:
        for name in again:
            os.environ.pop(name, None)

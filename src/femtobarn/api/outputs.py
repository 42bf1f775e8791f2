"""Run directories that are addresses: worked on in a local copy, written back afterwards."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from femtobarn.errors import UsageError
from femtobarn.run.directory import RunDirectory
from femtobarn.run.remote_output import is_remote, pull, push

__all__ = ["copied_run", "here", "reads_run", "writes_run"]

_F = TypeVar("_F", bound=Callable[..., Any])


def here(path: str | Path) -> Path:
    """The local folder of a run; a remote one is fetched."""
    return pull(str(path)) if is_remote(path) else Path(path)


def reads_run(verb: _F) -> _F:
    """A verb whose first argument is a run, which may be an address."""

    @functools.wraps(verb)
    def at_hand(path: Any, *arguments: Any, **options: Any) -> Any:
        return verb(here(path) if is_remote(path) else path, *arguments, **options)

    return cast("_F", at_hand)


def writes_run(verb: _F) -> _F:
    """The same for a verb that writes into the run: what it changed is copied back."""

    @functools.wraps(verb)
    def and_back(path: Any, *arguments: Any, **options: Any) -> Any:
        found = here(path) if is_remote(path) else path
        result = verb(found, *arguments, **options)
        push(Path(found))
        return result

    return cast("_F", and_back)


def copied_run(run: Path, out: str | Path | None) -> Path:
    """The run itself, or a copy of it to work in."""
    if out is None or Path(out).resolve() == run.resolve():
        return run
    RunDirectory(run).manifest()  # says what is wrong if this is no run
    target = Path(out)
    if target.exists() and any(target.iterdir()):
        raise UsageError("the directory is not empty", where=str(target), action="choose another --out")
    shutil.copytree(run, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("slices", "run.lock"))
    return target

"""One run at a time in a directory: a lock file that survives crashes and is recognised as stale."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from femtobarn.errors import StoreError

__all__ = ["locked"]


def _started(pid: int) -> str:
    """When a process started, in the kernel's ticks; tells a reused process number from the original."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        return ""


def _alive(owner: dict[str, str | int]) -> bool:
    pid = int(owner["pid"])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # exists, but belongs to somebody else
    return _started(pid) == owner.get("started", "")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's ``run.lock``; refuse when a living process holds it."""
    path = folder / "run.lock"
    mine = {"pid": os.getpid(), "host": socket.gethostname(), "started": _started(os.getpid())}
    for _ in range(3):
        try:
            with path.open("x") as file:
                json.dump(mine, file)
            break
        except FileExistsError:
            _refuse_if_held(path)
            path.unlink(missing_ok=True)
    else:
        raise StoreError("another run keeps taking this directory", where=str(folder))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _refuse_if_held(path: Path) -> None:
    try:
        owner = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError):
        return  # gone again, or cut short by a crash: nobody can hold it
    if owner.get("host") != socket.gethostname():
        raise StoreError(
            f"a run on {owner.get('host')} (process {owner.get('pid')}) is at work in this directory",
            where=str(path.parent),
            action=f"wait for it; if it is dead, remove {path}",
        )
    if _alive(owner):
        raise StoreError(
            f"a run (process {owner['pid']}) is at work in this directory",
            where=str(path.parent),
            action="wait for it, or choose another --out",
        )

"""One process at a time in a directory: a lock file that survives crashes and is recognised as stale.

The file appears with its content by a hard link, which is atomic on shared disks too, where
``fcntl`` locks cannot be trusted.  Where there are no hard links, it is created exclusively.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from femtobarn.errors import StoreError

__all__ = ["holder", "locked"]


#: How file systems say that they have no hard links.
_NO_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV, errno.EMLINK)
#: Without them a lock is empty while it is written; one that stays so was left by a crash, s.
_WRITTEN_WITHIN: Final = 1.0


@contextmanager
def locked(folder: Path, name: str = "run.lock", *, patience: float = 0.0) -> Iterator[None]:
    """Hold a folder's lock file; refuse when a living process holds it (for more than ``patience`` s).

    Raises
    ------
    StoreError
        Another process is at work here, or the lock cannot be written.
    """
    path, end = folder / name, time.monotonic() + patience
    while not _take(path):
        try:
            _replace_stale(path)
            break
        except StoreError:
            if time.monotonic() >= end:
                raise
            time.sleep(0.1)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def holder(folder: Path) -> str:
    """Who is at work in a folder, as ``host (process N)``; empty if nobody is, as far as can be seen."""
    try:
        _refuse_if_held(folder / "run.lock")
    except StoreError as error:
        return error.what
    return ""


def _take(path: Path) -> bool:
    """Create the lock file with our name in it; False if there is one already."""
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        scratch.write_text(json.dumps(_myself()))
        os.link(scratch, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise _cannot(path, error) from error
        return _create(path)
    finally:
        scratch.unlink(missing_ok=True)
    return True


def _create(path: Path) -> bool:
    """The same without hard links."""
    try:
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644), "w") as out:
            out.write(json.dumps(_myself()))
    except FileExistsError:
        _await_content(path)
        return False
    except OSError as error:
        raise _cannot(path, error) from error
    return True


def _await_content(path: Path) -> None:
    end = time.monotonic() + _WRITTEN_WITHIN
    while time.monotonic() < end:
        try:
            if path.stat().st_size:
                return
        except OSError:
            return  # given back already
        time.sleep(0.02)


def _cannot(path: Path, error: OSError) -> StoreError:
    return StoreError(f"cannot be locked: {error.strerror or error}", where=str(path.parent))


def _replace_stale(path: Path) -> None:
    """Take over the lock of a dead process; a second lock lets only one taker do so at a time."""
    _refuse_if_held(path)
    guard = path.with_name(f"{path.name}.taking")
    if not _take(guard):
        _refuse_if_held(guard)
        guard.unlink(missing_ok=True)
        if not _take(guard):
            raise StoreError("another run is taking this directory", where=str(path.parent))
    try:
        _refuse_if_held(path)
        path.unlink(missing_ok=True)
        if not _take(path):
            raise StoreError("another run has just taken this directory", where=str(path.parent))
    finally:
        guard.unlink(missing_ok=True)


def _refuse_if_held(path: Path) -> None:
    try:
        owner = json.loads(path.read_text())
        host, pid = str(owner["host"]), int(owner["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return  # gone again, or damaged by a crash of the machine: nobody can hold it
    if host != socket.gethostname():
        raise StoreError(
            f"a run on {host} (process {pid}) is at work in this directory",
            where=str(path.parent),
            action=f"wait for it; if it is dead, remove {path}",
        )
    if _alive(pid, owner):
        raise StoreError(
            f"a run (process {pid}) is at work in this directory",
            where=str(path.parent),
            action="wait for it, or choose another --out",
        )


def _myself() -> dict[str, Any]:
    return {"pid": os.getpid(), "host": socket.gethostname(), "started": _started(os.getpid())}


def _alive(pid: int, owner: dict[str, Any]) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # exists, but belongs to somebody else
    return bool(_started(pid) == owner.get("started", ""))


def _started(pid: int) -> str:
    """When a process started, in the kernel's ticks; tells a reused process number from the original."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        return ""

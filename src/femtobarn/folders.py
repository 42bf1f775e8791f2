"""Where files are kept between runs."""

from __future__ import annotations

import os
import re
import uuid
from pathlib import Path
from typing import Final

__all__ = ["atomic_write", "cache_root", "shared_disk"]

_MOUNTS: Final = Path("/proc/self/mountinfo")
#: File systems that several machines see: their locks and memory maps reach no further than one of them.
_SHARED: Final = (
    *("nfs", "nfs4", "afs", "auristorfs", "lustre", "gpfs", "beegfs", "beegfs_nodev", "ceph", "cephfs"),
    *("cifs", "smb3", "smbfs", "9p", "orangefs", "glusterfs", "panfs", "wekafs"),
    *("fuse", "fuse.eosxd", "fuse.eosd", "fuse.xrootdfs", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph"),
)


def cache_root() -> Path:
    """``$FEMTOBARN_CACHE``, else ``$XDG_CACHE_HOME/femtobarn``, else ``~/.cache/femtobarn``."""
    stated = os.environ.get("FEMTOBARN_CACHE")
    if stated:
        return Path(stated)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "femtobarn"


def atomic_write(path: Path, data: bytes) -> None:
    """Write a file so that readers see the old content or the new one, never half of it.

    Raises
    ------
    OSError
        As writing does; no scratch file is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        scratch.write_bytes(data)
        scratch.replace(path)
    except OSError:
        scratch.unlink(missing_ok=True)
        raise


def shared_disk(path: Path) -> str:
    """The kind of the file system that a path lies on, if other machines may see it too; else empty."""
    try:
        lines = _MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""  # not Linux: nobody can say
    place, kind = path.resolve(), ""
    best = -1
    for line in lines:
        # Fields of proc(5): mount point 5th, file system type after the dash; blanks are written \\040.
        head, _, tail = line.partition(" - ")
        mounted = Path(re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), head.split()[4]))
        if place.is_relative_to(mounted) and len(mounted.parts) >= best:
            best, kind = len(mounted.parts), tail.split()[0]
    return kind if kind in _SHARED else ""

"""Where files are kept between runs, and what files and folders may be called on any system."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import uuid
from pathlib import Path
from typing import Final

__all__ = ["atomic_write", "cache_root", "disk_advice", "fitting", "folder_of", "legal_name", "shared_disk"]

#: Windows refuses paths of 260 characters and more unless long paths are turned on; scratch files need some.
LONGEST_PATH: Final = 240
#: Names of devices, whatever their extension (Microsoft: Naming Files, Paths, and Namespaces).
_DEVICES: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
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


def folder_of(dataset: str) -> str:
    """A dataset's name as a folder: ``sample/1`` is ``sample_1``."""
    return dataset.lstrip("/").replace("/", "_")


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


def legal_name(text: str, otherwise: str = "x") -> str:
    """A file name, made from any text, that every operating system takes."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", text).strip("_.") or otherwise
    return f"{name}_" if _DEVICES.fullmatch(name) else f"_{name}" if _DEVICES.match(name) else name


def fitting(path: Path) -> Path:
    """The path itself; one over 240 characters with its name cut and a hash of the whole name in it."""
    excess = len(str(path.absolute())) - LONGEST_PATH
    if excess <= 0:
        return path
    mark = hashlib.sha256(path.name.encode()).hexdigest()[:8]
    kept = max(len(path.stem) - excess - len(mark) - 1, 0)
    return path.with_name(f"{path.stem[:kept]}-{mark}{path.suffix}")


def disk_advice(error: OSError) -> str:
    """What helps against a refusal of the disk."""
    if error.errno == errno.ENAMETOOLONG or len(str(error.filename or "")) > LONGEST_PATH:
        return (
            "choose a shorter folder, or turn on long paths (Windows: registry value LongPathsEnabled = 1 "
            r"under HKLM\SYSTEM\CurrentControlSet\Control\FileSystem)"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "choose a folder in which you may write"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "free some space, or choose a folder on another disk"
    return "mend the disk, or choose another folder"


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

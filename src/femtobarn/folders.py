"""Where files are kept between runs, and what files and folders may be called on any system."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import uuid
from pathlib import Path
from typing import Final

__all__ = ["atomic_write", "cache_root", "disk_advice", "fitting", "folder_of", "legal_name"]

#: Windows refuses paths of 260 characters and more unless long paths are turned on; scratch files need some.
LONGEST_PATH: Final = 240
#: Names of devices, whatever their extension (Microsoft: Naming Files, Paths, and Namespaces).
_DEVICES: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)


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

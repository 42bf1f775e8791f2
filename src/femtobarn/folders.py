"""Where files are kept between runs, and what folders are called."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

__all__ = ["atomic_write", "cache_root", "folder_of"]


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

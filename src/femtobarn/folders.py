"""Where files are kept between runs."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_root"]


def cache_root() -> Path:
    """``$FEMTOBARN_CACHE``, else ``$XDG_CACHE_HOME/femtobarn``, else ``~/.cache/femtobarn``."""
    stated = os.environ.get("FEMTOBARN_CACHE")
    if stated:
        return Path(stated)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "femtobarn"

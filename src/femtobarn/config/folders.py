"""Where files are kept between runs (:mod:`femtobarn.folders`, by its older name)."""

from __future__ import annotations

from femtobarn.folders import atomic_write, cache_root

__all__ = ["atomic_write", "cache_root"]

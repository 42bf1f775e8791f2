"""Where files are kept between runs (:mod:`femtobarn.folders`, by its older name)."""

from __future__ import annotations

from femtobarn.folders import cache_root

__all__ = ["cache_root"]

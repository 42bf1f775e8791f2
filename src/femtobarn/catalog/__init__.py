"""What data exist and where: files, coffea filesets, open-data portals, the grid; sample tables."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from femtobarn.catalog.fileset import fileset_content, read_fileset, write_fileset
from femtobarn.catalog.golden import read_golden_json
from femtobarn.catalog.releases import RELEASES, Release, Sample, SampleTable, find_release

if TYPE_CHECKING:
    from femtobarn.catalog.resolving import Lookup, datasets_at, datasets_from_files, resolve_address

__all__ = [
    "RELEASES",
    "Lookup",
    "Release",
    "Sample",
    "SampleTable",
    "datasets_at",
    "datasets_from_files",
    "fileset_content",
    "find_release",
    "read_fileset",
    "read_golden_json",
    "resolve_address",
    "write_fileset",
]

_RESOLVING: Final = ("Lookup", "datasets_at", "datasets_from_files", "resolve_address")


def __getattr__(name: str) -> Any:
    """What brings the HTTP client along (0.15 s) comes when it is asked for."""
    if name not in _RESOLVING:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("femtobarn.catalog.resolving"), name)

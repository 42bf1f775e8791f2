"""What data exist and where: local files and globs, coffea filesets, sample tables."""

from __future__ import annotations

from femtobarn.catalog.fileset import fileset_content, read_fileset, write_fileset
from femtobarn.catalog.golden import read_golden_json
from femtobarn.catalog.local import datasets_from_files
from femtobarn.catalog.releases import RELEASES, Release, Sample, SampleTable, find_release

__all__ = [
    "RELEASES",
    "Release",
    "Sample",
    "SampleTable",
    "datasets_from_files",
    "fileset_content",
    "find_release",
    "read_fileset",
    "read_golden_json",
    "write_fileset",
]

"""The input files of the Analysis Grand Challenge: 787 of CMS 2015 simulation as NanoAOD, and mirrors.

Cross-sections in pb at 13 TeV as the Grand Challenge uses them: all ttbar decays 396.87 + 332.97
(CERN Open Data records 19980, 19981); single top s-channel 2.0268 + 1.2676; t-channel 36.993 + 22.175
over the leptonic fraction 0.252 of its samples; tW 37.936 + 37.906; W+jets 61457 x 0.252.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from types import MappingProxyType
from typing import Final, Literal

from femtobarn.errors import ConfigError, UsageError
from femtobarn.records import Dataset, FileRef

__all__ = ["LUMINOSITY_PB", "PROCESSES", "SourceName", "check_source", "fileset", "relocate"]

#: pb-1 of the 2015 data, before certification (the certified part is smaller).
LUMINOSITY_PB: Final = 3378.0
SourceName = Literal["upstream", "xcache", "eos", "ssl-dev"]

_TTBAR: Final = 396.87 + 332.97
#: Cross-section in pb by process and variation.
PROCESSES: Final[Mapping[str, Mapping[str, float]]] = MappingProxyType(
    {
        "ttbar": dict.fromkeys(("nominal", "scaledown", "scaleup", "ME_var", "PS_var"), _TTBAR),
        "single_top_s_chan": {"nominal": 2.0268 + 1.2676},
        "single_top_t_chan": {"nominal": (36.993 + 22.175) / 0.252},
        "single_top_tW": {"nominal": 37.936 + 37.906},
        "wjets": {"nominal": 61457 * 0.252},
    }
)
_HOST: Final = "https://xrootd-local.unl.edu:1094"
_BASE: Final = f"{_HOST}//store/user/AGC/nanoAOD/"
#: Where the same files lie elsewhere: what replaces the beginning of their addresses.
_MIRRORS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "xcache": (_HOST, "root://red-xcache1.unl.edu"),
        "eos": (_BASE, "root://eospublic.cern.ch//eos/opendata/cms/upload/agc/1.0.0/"),
        "ssl-dev": ("https://xrootd-local.unl.edu:1094//store/user/AGC", "/data/alheld/AGC/datasets"),
    }
)


@functools.cache
def _files() -> Mapping[str, tuple[FileRef, ...]]:
    """All files by dataset, in the published order."""
    place = resources.files("femtobarn.catalog") / "tables" / "agc-2015.csv"
    lines = [line for line in place.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    found: dict[str, list[FileRef]] = {}
    for row in csv.DictReader(lines):
        first = int(row["first"])
        for i, events in enumerate(row["events"].split()):
            name = f"cmsopendata2015_{row['stem']}_{first + i:04}.root"
            ref = FileRef(f"{_BASE}{row['folder']}/{name}", "Events", entries=int(events))
            found.setdefault(row["dataset"], []).append(ref)
    return MappingProxyType({name: tuple(refs) for name, refs in found.items()})


def fileset(n_files: int = -1) -> tuple[Dataset, ...]:
    """The datasets of the Grand Challenge with the first ``n_files`` files of each (-1: all).

    Metadata: process, variation, xsec [pb], nevts (of the files kept).

    Raises
    ------
    UsageError
        ``n_files`` is neither positive nor -1.
    """
    if n_files == 0 or n_files < -1:
        raise UsageError(
            f"{n_files} files of each dataset cannot be taken", action="use a number from 1, or -1 for all"
        )
    out = []
    for process, variations in PROCESSES.items():
        for variation, xsec in variations.items():
            name = f"{process}__{variation}"
            files = _files()[name] if n_files < 0 else _files()[name][:n_files]
            nevts = sum(ref.entries or 0 for ref in files)
            metadata = {
                "process": process,
                "variation": variation,
                "xsec": xsec,
                "nevts": nevts,
                "kind": "mc",
            }
            out.append(Dataset(name, files, metadata))
    return tuple(out)


def check_source(source: str, xcache_prefix: str | None, cache_dir: str | None) -> None:
    """Refuse switches that contradict each other.

    Raises
    ------
    ValueError
        So that it can be used in a model's validator.
    """
    others = [
        name
        for name, given in (
            ("source=xcache", source == "xcache"),
            ("xcache_prefix", xcache_prefix),
            ("cache_dir", cache_dir),
        )
        if given
    ]
    if source in ("ssl-dev", "eos") and others:
        raise ValueError(f"source={source} and {others[0]} contradict each other: choose one of them")


def relocate(
    files: Sequence[FileRef], *, source: str = "upstream", xcache_prefix: str | None = None
) -> tuple[FileRef, ...]:
    """The files at their addresses on a mirror; addresses of other places stay, apart from the prefix.

    Raises
    ------
    ConfigError
        Contradicting switches.
    """
    try:
        check_source(source, xcache_prefix, None)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    old, new = _MIRRORS.get(source, ("", ""))
    moved = []
    for ref in files:
        url = new + ref.url.removeprefix(old) if old and ref.url.startswith(old) else ref.url
        moved.append(replace(ref, url=f"{xcache_prefix or ''}{url}"))
    return tuple(moved)

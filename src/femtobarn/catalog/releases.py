"""The public releases: their aliases, energies, luminosities and sample tables (CSV, package data)."""

from __future__ import annotations

import csv
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import Final

from femtobarn.errors import UsageError, nearest

__all__ = ["RELEASES", "Release", "Sample", "SampleTable", "find_release"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One simulated sample of a release.

    ``xsec`` in pb, ``sumw`` the sum of generator weights of the whole sample, ``red_eff`` the reduction
    efficiency of its skim; ``suspicious`` says why a published number is doubted.  ``xsec`` is None
    where each event states it.
    """

    name: str
    dsid: int
    group: str
    xsec: float | None
    sumw: float | None
    red_eff: float = 1.0
    suspicious: str = ""


class SampleTable(Mapping[str, Sample]):
    """Samples by name or by DSID as text."""

    def __init__(self, samples: Iterator[Sample]) -> None:
        self._samples = MappingProxyType({sample.name: sample for sample in samples})
        self._by_dsid = {str(sample.dsid): sample for sample in self._samples.values()}

    def __getitem__(self, name: str) -> Sample:
        return self._samples[name] if name in self._samples else self._by_dsid[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._samples)

    def __len__(self) -> int:
        return len(self._samples)


@dataclass(frozen=True, slots=True)
class Release:
    """A public release: collision energy in TeV, luminosity in fb-1."""

    name: str
    title: str
    experiment: str
    sqrt_s: float
    lumi: float
    aliases: tuple[str, ...] = ()

    @property
    def samples(self) -> SampleTable:
        return _table(self.name)


RELEASES: Final[Mapping[str, Release]] = MappingProxyType(
    {
        release.name: release
        for release in (
            Release("atlas-2016", "ATLAS open data, 8 TeV", "ATLAS", 8, 1.0, ("2016e-8tev",)),
            Release("atlas-2020", "ATLAS open data, 13 TeV", "ATLAS", 13, 10.0, ("2020e-13tev",)),
            Release("atlas-2025", "ATLAS open data, 13 TeV (beta)", "ATLAS", 13, 36.6, ("2025e-13tev-beta",)),
            Release("cms-run1", "CMS open data, 7 and 8 TeV", "CMS", 8, 11.58),
            Release("cms-nanoaod", "CMS open data, NanoAOD", "CMS", 13, 1.0),
        )
    }
)


def find_release(name: str) -> Release:
    """A release by name or alias."""
    for release in RELEASES.values():
        if name == release.name or name in release.aliases:
            return release
    names = [*RELEASES, *(alias for release in RELEASES.values() for alias in release.aliases)]
    raise UsageError(
        f"unknown release {name!r}", near=nearest(name, names), action="releases: " + ", ".join(RELEASES)
    )


@functools.cache
def _table(release: str) -> SampleTable:
    place = resources.files("femtobarn.catalog") / "tables" / f"{release}.csv"
    if not place.is_file():
        return SampleTable(iter(()))
    lines = [line for line in place.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return SampleTable(_sample(row) for row in csv.DictReader(lines))


def _sample(row: dict[str, str]) -> Sample:
    return Sample(
        row["name"],
        int(row["dsid"]),
        row["group"],
        float(row["xsec_pb"]) if row["xsec_pb"] else None,
        float(row["sumw"]) if row["sumw"] else None,
        float(row["red_eff"] or 1.0),
        row["suspicious"],
    )

"""What a run would cost, from what catalogues say alone: no file is opened.

Catalogues state the bytes of every file and the events of a record, seldom the events of a file and never
the bytes of single columns.  So events of files follow their bytes, parts follow the target size, and the
time follows from speeds: of an earlier run of the analysis where one is named, else stated ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from femtobarn.records import Dataset
from femtobarn.run.planned import Sizing

__all__ = ["DatasetEstimate", "Estimate", "Speed", "estimate", "speed_of"]

_TARGET_EVENTS: Final = 200_000


@dataclass(frozen=True, slots=True)
class Speed:
    """Of one worker.

    Attributes
    ----------
    events, bytes_read : per second
        The defaults are a four-lepton selection on flat ntuples on one core; name a run to have better.
    share : float
        Of a file's bytes that is read.
    overhead : seconds a part
    """

    events: float = 50_000.0
    bytes_read: float = 20e6
    share: float = 1.0
    overhead: float = 0.01


@dataclass(frozen=True, slots=True)
class DatasetEstimate:
    """One dataset: ``events`` is None where no catalogue says; ``parts`` follows bytes then."""

    name: str
    files: int
    bytes: int
    events: int | None
    parts: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """All datasets, and the time on so many workers [s]; files without a stated size are counted apart."""

    datasets: tuple[DatasetEstimate, ...]
    workers: int
    seconds: float
    unsized: int

    @property
    def files(self) -> int:
        return sum(item.files for item in self.datasets)

    @property
    def bytes(self) -> int:
        return sum(item.bytes for item in self.datasets)

    @property
    def events(self) -> int:
        return sum(item.events or 0 for item in self.datasets)

    @property
    def parts(self) -> int:
        return sum(item.parts for item in self.datasets)

    def to_json(self) -> dict[str, Any]:
        """As a JSON value."""
        return {
            "schema_version": 1,
            "datasets": [
                {"name": d.name, "files": d.files, "bytes": d.bytes, "events": d.events, "parts": d.parts}
                for d in self.datasets
            ],
            "files": self.files, "bytes": self.bytes, "events": self.events, "parts": self.parts,
            "unsized": self.unsized, "workers": self.workers, "seconds": self.seconds,
        }  # fmt: skip


def estimate(
    datasets: Iterable[Dataset], sizing: Sizing | None = None, *, workers: int = 1, speed: Speed | None = None
) -> Estimate:
    """Count files, bytes, events and parts, and the time they take.

    Parameters
    ----------
    datasets : iterable of Dataset
        Their files with sizes (and numbers of entries) as far as stated; metadata ``nevts`` is the
        number of events of the record.
    sizing : Sizing, optional
    workers : int
    speed : Speed, optional
    """
    sizing, speed = sizing or Sizing(), speed or Speed()
    found, unsized, seconds = [], 0, 0.0
    for dataset in datasets:
        files = dataset.files[: sizing.max_files]
        sizes = [ref.size or 0 for ref in files]
        unsized += sum(1 for ref in files if ref.size is None)
        events = _events(dataset, sizes, whole=sum(ref.size or 0 for ref in dataset.files))
        if sizing.max_events is not None:
            events = _first(events, sizing.max_events)
        parts = sum(map(lambda size, count: _parts(size, count, sizing, speed.share), sizes, events))
        known = None if None in events else sum(count for count in events if count is not None)
        found.append(DatasetEstimate(dataset.name, len(files), sum(sizes), known, parts))
        seconds += max(sum(sizes) * speed.share / speed.bytes_read, (known or 0) / speed.events)
        seconds += parts * speed.overhead
    return Estimate(tuple(found), workers, seconds / workers, unsized)


def _events(dataset: Dataset, sizes: Sequence[int], whole: int) -> list[int | None]:
    """Events of each file: stated, or the record's shared out by bytes, or unknown."""
    stated = [ref.entries for ref in dataset.files[: len(sizes)]]
    total = dataset.metadata.get("nevts")
    if total is None or not whole:
        return list(stated)
    return [
        entries if entries is not None else round(float(total) * size / whole)
        for entries, size in zip(stated, sizes, strict=True)
    ]


def _first(events: Sequence[int | None], most: int) -> list[int | None]:
    """As many of these events as are asked for."""
    left, found = most, []
    for count in events:
        found.append(None if count is None else min(count, left))
        left -= found[-1] or 0
    return found


def _parts(size: int, events: int | None, sizing: Sizing, share: float) -> int:
    """Parts that a file of so many bytes and events is cut into."""
    by_bytes = math.ceil(size * share / sizing.part_bytes)
    if events is None:
        return max(by_bytes, 1)
    if sizing.part_events is not None:
        return max(math.ceil(events / sizing.part_events), 1)
    return max(math.ceil(events / _TARGET_EVENTS), by_bytes, 1)


def speed_of(manifest: Mapping[str, Any]) -> Speed:
    """What a finished run's manifest says about the speed of one worker."""
    ledger, usual = manifest["ledger"], Speed()
    events, cpu, size = ledger["events"]["processed"], ledger["cpu_s"], ledger["bytes_read"]
    inputs = sum(item["size"] or 0 for item in manifest["inputs"])
    entries = sum(item["entries"] or 0 for item in manifest["inputs"])
    if not (events and cpu and size and inputs and entries):
        return usual
    share = min((size / events) / (inputs / entries), 1.0)
    return Speed(events=events / cpu, bytes_read=usual.bytes_read, share=share, overhead=usual.overhead)

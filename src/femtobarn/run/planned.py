"""What a plan is: files, the parts they are cut into, and why anything was left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from femtobarn.analysis import Columns
from femtobarn.errors import UsageError
from femtobarn.records import Dataset, FileRef, Part
from femtobarn.run.fingerprint import digest

__all__ = ["SCHEMA_VERSION", "FilePlan", "Plan", "Sizing"]

#: Of the plan as a file.
SCHEMA_VERSION: Final = 1
_TARGET_BYTES: Final = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Sizing:
    """How big parts may be, and how much of the input is wanted.

    ``part_events`` is kept exactly; without it parts follow clusters up to about 200 000 events or
    ``part_bytes`` of needed (compressed) bytes.  ``max_files`` and ``max_events`` are per dataset.
    ``steps_per_part`` joins so many steps of a fileset, where one ends as the next begins.
    """

    part_events: int | None = None
    part_bytes: int = _TARGET_BYTES
    max_files: int | None = None
    max_events: int | None = None
    steps_per_part: int | None = None


@dataclass(frozen=True, slots=True)
class FilePlan:
    """One input file as the probe saw it; ``error`` says why it cannot be used."""

    dataset: str
    ref: FileRef
    schema: str = ""
    tree: str = ""
    entries: int = 0
    uuid: str = ""
    size: int = 0
    needed_bytes: int = 0
    missing_optional: tuple[str, ...] = ()
    toy: bool = False
    error: str = ""


@dataclass(frozen=True)
class Plan:
    """Files, parts and why anything was left out.  Parts are numbered from 0 without gaps."""

    datasets: tuple[Dataset, ...]
    files: tuple[FilePlan, ...]
    parts: tuple[Part, ...]
    totals: Mapping[str, int]
    unused: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, Columns] = field(default_factory=dict)

    @property
    def bad(self) -> tuple[FilePlan, ...]:
        return tuple(file for file in self.files if file.error)

    @property
    def events(self) -> int:
        return sum(part.entries for part in self.parts)

    @property
    def needed_bytes(self) -> int:
        """Compressed bytes of the needed columns in the planned ranges (estimate)."""
        total = 0.0
        for part in self.parts:
            file = self.files[part.file]
            total += file.needed_bytes * part.entries / max(file.entries, 1)
        return round(total)

    @cached_property
    def digest(self) -> str:
        """Tells this plan from others."""
        return digest(self.to_json())

    @cached_property
    def _by_name(self) -> Mapping[str, Dataset]:
        return {dataset.name: dataset for dataset in self.datasets}

    def dataset(self, name: str) -> Dataset:
        return self._by_name[name]

    def slice(self, index: int, count: int) -> tuple[Part, ...]:
        """The ``index``-th (from 1) of ``count`` shares of about equal cost, in part order."""
        if not 1 <= index <= count:
            raise UsageError(f"there is no slice {index} of {count}", action="use --part 1/N to N/N")
        total = sum(max(part.entries, 1) for part in self.parts)
        chosen, before = [], 0
        for part in self.parts:
            cost = max(part.entries, 1)
            # The share that holds the middle of the part; integers, so every machine agrees.
            share = min((2 * before + cost) * count // (2 * total), count - 1) + 1
            if share == index:
                chosen.append(part)
            before += cost
        return tuple(chosen)

    def to_json(self) -> dict[str, Any]:
        """As a JSON value, for people and for other machines."""
        return {
            "schema_version": SCHEMA_VERSION,
            "datasets": [
                {"name": d.name, "metadata": dict(d.metadata), "entries": self.totals.get(d.name, 0),
                 "columns": _columns(self.columns.get(d.name))}
                for d in self.datasets
            ],
            "files": [_file(file) for file in self.files],
            "parts": [[p.number, p.dataset, p.file, p.start, p.stop] for p in self.parts],
            "unused": dict(self.unused),
        }  # fmt: skip


def _columns(columns: Columns | None) -> dict[str, list[str]]:
    return {"needed": list(columns.needed), "optional": list(columns.optional)} if columns else {}


def _file(file: FilePlan) -> dict[str, Any]:
    """What is known of a file; what is not, or is empty, is left out."""
    ref = file.ref
    found = {
        "dataset": file.dataset, "url": ref.url, "tree": file.tree or ref.tree, "schema": file.schema,
        "entries": file.entries, "uuid": file.uuid, "size": file.size, "needed_bytes": file.needed_bytes,
        "missing_optional": list(file.missing_optional), "checksum": ref.checksum,
        "replicas": list(ref.replicas), "steps": [list(step) for step in ref.steps], "toy": file.toy,
        "error": file.error,
    }  # fmt: skip
    return {name: value for name, value in found.items() if value}

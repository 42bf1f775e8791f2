"""Where the records of a reference-run job come from: files, addresses, or a store."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from femtobarn.catalog.certhelper import read_pairs, read_run_list
from femtobarn.catalog.golden import read_golden_json
from femtobarn.catalog.lumisections import Sections, read_lumisections
from femtobarn.catalog.runtable import RunTable, read_runs
from femtobarn.errors import DataError, UsageError
from femtobarn.rank.questions import Records
from femtobarn.rank.rules import Certification

__all__ = ["LoadedRecords", "RecordSources", "certification", "load_records", "run_numbers"]


@dataclass(frozen=True, slots=True)
class RecordSources:
    """Files, or the store they were fetched into; files win where both are given.

    ``pairs`` may be an address (https://...), which is asked at most daily.
    """

    pairs: str | None = None
    runs: str | None = None
    lumisections: str | None = None
    store: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "pairs": self.pairs,
            "runs": self.runs,
            "lumisections": self.lumisections,
            "store": self.store,
        }


@dataclass(frozen=True)
class LoadedRecords:
    """Records in memory, ready for any number of questions."""

    records: Records
    lumisections: Sections | None
    inputs: dict[str, Path]
    warnings: tuple[str, ...]
    origin: str


def load_records(sources: RecordSources, *, need_pairs: bool = True) -> LoadedRecords:
    """Read all sources.

    Raises
    ------
    UsageError
        If neither pairs nor a store with pairs are given.
    DataError
        If a source is wrong, naming file and row.
    """
    if sources.pairs is None and sources.store is None and need_pairs:
        raise UsageError("no list of certified runs is given", where="--pairs",
                         action="--pairs FILE, or --store S after `femtobarn refrun fetch`")  # fmt: skip
    inputs: dict[str, Path] = {}
    warnings: list[str] = []
    stored = _from_store(sources.store) if sources.store is not None else None
    if sources.store is not None:
        inputs["store"] = Path(sources.store)
    pairs: tuple[Any, ...] = stored.pairs if stored is not None else ()
    if sources.pairs is not None:
        path = _local(sources.pairs)
        found = read_pairs(path)
        inputs["pairs"] = path
        pairs = found.pairs
        warnings += found.warnings
    if not pairs and need_pairs:
        raise UsageError("the store holds no pairs", where=sources.store,
                         action=f"femtobarn refrun fetch --store {sources.store} --resources pairs "
                                "--pairs FILE-OR-URL, or give --pairs here")  # fmt: skip
    runs = stored.runs if stored is not None else RunTable({}, "no run table")
    if sources.runs is not None:
        inputs["runs"] = Path(sources.runs)
        runs = read_runs(sources.runs)
        warnings += runs.warnings
    lumi = stored.lumisections if stored is not None else None
    if sources.lumisections is not None:
        inputs["lumisections"] = Path(sources.lumisections)
        lumi = read_lumisections(sources.lumisections)
        warnings += lumi.warnings
    if lumi is not None:
        runs = runs.merged(lumi.by_run())
    return LoadedRecords(Records(pairs, runs), lumi, inputs, tuple(warnings), _origin(inputs))


def _local(address: str) -> Path:
    """A file, or the cached copy of what an address holds."""
    if not address.startswith(("http://", "https://")):
        return Path(address)
    from femtobarn.net import HttpClient

    with HttpClient() as client:
        return client.download(address, max_age=86_400.0)


def _from_store(path: str) -> Any:
    from femtobarn.catalog.runstore import read_store

    return read_store(Path(path))


def _origin(inputs: dict[str, Path]) -> str:
    """``toy`` if the records lie beside the truth they were generated from."""
    for path in inputs.values():
        truth = path.parent / "truth.json"
        if not truth.is_file():
            continue
        try:
            content = json.loads(truth.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(content, dict) and content.get("origin") == "toy":
            return "toy"
    return ""


def certification(path: str | None) -> Certification | None:
    """A certification file, if one is named; one without runs would say nothing of any."""
    if path is None:
        return None
    mask = read_golden_json(Path(path))
    if not len(mask.runs):
        raise DataError("certifies no run", where=path, action="name a certification (golden) JSON")
    return Certification(Path(path).name, mask)


def run_numbers(path: str | None) -> tuple[int, ...] | None:
    """A list of runs, if one is named."""
    return None if path is None else read_run_list(path)

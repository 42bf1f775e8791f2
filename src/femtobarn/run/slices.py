"""Slices of a run, processed apart (array jobs) and merged with proof of completeness."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from femtobarn.analysis import Analysis
from femtobarn.errors import StoreError
from femtobarn.locks import locked
from femtobarn.outcome import Outcome
from femtobarn.run.engine import Progress, RunResult, execute, processed_events, summarise
from femtobarn.run.executors import Executor
from femtobarn.run.files import SCHEMA_VERSION, differences, read_json, write_json
from femtobarn.run.keys import part_keys
from femtobarn.run.ledger import Entry, read_ledger
from femtobarn.run.plan import Plan
from femtobarn.run.store import Store

__all__ = ["merge_slices", "run_slice", "slice_folder", "slice_folders"]


def slice_folder(run: Path, index: int, count: int) -> Path:
    """Where slice ``index`` of ``count`` is kept."""
    return run / "slices" / f"{index}-of-{count}"


def slice_folders(run: Path) -> list[Path]:
    """The slices that a run directory holds."""
    return sorted(path for path in (run / "slices").glob("*-of-*") if path.is_dir())


def run_slice(
    run: Path,
    plan: Plan,
    analysis: Analysis,
    executor: Executor,
    *,
    part: tuple[int, int],
    parameters: Any,
    config: Mapping[str, Any],
    source: str,
    progress: Progress | None = None,
    columns: str = "",
) -> RunResult:
    """Process slice ``i`` of ``n`` into its own folder, which keeps the parts' outcomes."""
    index, count = part
    parts = plan.slice(index, count)
    folder = slice_folder(run, index, count)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        write_json(
            folder / "slice.json",
            {
                "schema_version": SCHEMA_VERSION, "index": index, "count": count, "config": config,
                "plan": plan.digest, "parts": [p.number for p in parts],
            },
        )  # fmt: skip
        return execute(
            plan, analysis, executor, Store(folder / "parts"), parameters=parameters, source=source,
            ledger=folder / "ledger.jsonl", parts=parts, progress=progress, columns=columns,
        )  # fmt: skip


def merge_slices(
    folders: Sequence[Path],
    plan: Plan,
    analysis: Analysis,
    *,
    parameters: Any,
    config: Mapping[str, Any],
) -> RunResult:
    """Add the parts of all slices in plan order; what is absent is missing in the result's account.

    Raises
    ------
    StoreError
        No slices, slices of another configuration or plan, or two slices that hold the same part.
    """
    started = time.perf_counter()
    if not folders:
        raise StoreError(
            "there are no slices to merge", action="make them with: femtobarn run ... --part i/n"
        )
    owners = _owners(folders, plan, config)
    keys = part_keys(analysis, parameters, plan)
    total = Outcome.empty("", analysis.histograms_for(parameters))
    entries: dict[int, Entry] = {}
    ledgers = {folder: read_ledger(folder / "ledger.jsonl") for folder in folders}
    for part in plan.parts:
        owner = owners.get(part.number)
        entry = ledgers[owner].get(part.number) if owner is not None else None
        if owner is None or entry is None:
            continue
        if entry.good:
            outcome = Store(owner / "parts").load(keys[part.number], part=part.number)
            if outcome is None:
                continue
            total.absorb(outcome)
        entries[part.number] = entry
    summary = summarise(plan, plan.parts, entries, wall_s=time.perf_counter() - started)
    return RunResult(total, summary, entries, processed_events(plan, entries))


def _owners(folders: Sequence[Path], plan: Plan, config: Mapping[str, Any]) -> dict[int, Path]:
    """Which slice holds which part; no part may have two owners."""
    owners: dict[int, Path] = {}
    expected = plan.digest
    for folder in folders:
        about = read_json(folder / "slice.json")
        changed = differences(about["config"], config)
        if changed:
            raise StoreError("was made with another configuration: " + "; ".join(changed), where=str(folder))
        if about["plan"] != expected:
            raise StoreError("was made from another plan (the input files changed)", where=str(folder))
        for number in about["parts"]:
            if number in owners:
                raise StoreError(f"part {number} is in two slices: {owners[number]} and {folder}",
                                 action="remove one of them")  # fmt: skip
            owners[number] = folder
    return owners

"""How far a run is, and who is at work on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from femtobarn.api.beginning import manifest_of
from femtobarn.api.outputs import here
from femtobarn.locks import holder
from femtobarn.run.batch import read_arrays
from femtobarn.run.directory import RunDirectory
from femtobarn.run.files import read_json
from femtobarn.run.ledger import read_ledger
from femtobarn.run.queues import CLUSTER_JOBS, alive, cancel_command
from femtobarn.run.slices import slice_folders

__all__ = ["status"]


def status(path: str | Path, *, ask_queue: bool = False) -> dict[str, Any]:
    """How far a run is, from its ledger alone.

    With ``ask_queue`` also who is at work on it: ``jobs`` still in the queue of the batch system, and
    whether a process holds its lock.
    """
    folder = RunDirectory(here(path))
    manifest = manifest_of(folder)
    entries = read_ledger(folder.ledger_path)
    for item in slice_folders(folder.path):
        for number, entry in read_ledger(item / "ledger.jsonl").items():
            if number not in entries or not entries[number].good:
                entries[number] = entry
    states = [entry.state for entry in entries.values()]
    total = manifest["ledger"]["parts"]["total"]
    counts = {state: states.count(state) for state in ("done", "cached", "failed")}
    return {
        "run": str(folder.path),
        "analysis": manifest["analysis"],
        "started": manifest["started"],
        "finished": manifest["finished"],
        "parts": {"total": total, **counts, "missing": total - len(entries)},
        "events": {
            "expected": manifest["ledger"]["events"]["expected"],
            "processed": sum(entry.events for entry in entries.values() if entry.state != "failed"),
        },
        "failures": [
            {"file": e.file, "start": e.start, "stop": e.stop, "error": e.error}
            for _, e in sorted(entries.items())
            if e.state == "failed"
        ],
        "headline": manifest["headline"],
        "submitted": bool(read_arrays(folder.path)),
        **(_at_work(folder.path) if ask_queue else {}),
    }


def _at_work(path: Path) -> dict[str, Any]:
    """Jobs of a run in the queue, the command that ends them, and whether a process is at work."""
    submitted = [(array.kind, array.jobs) for array in read_arrays(path)]
    record = path / CLUSTER_JOBS
    if record.exists():
        about = read_json(record)
        submitted.append((about["kind"], about["jobs"]))
    queued = [(kind, found) for kind, jobs in submitted if (found := alive(kind, jobs))]
    return {
        "jobs": [job for _, found in queued for job in found],
        "cancel": [cancel_command(kind, found) for kind, found in queued],
        "held": next(filter(None, map(holder, (path, *slice_folders(path)))), ""),
    }

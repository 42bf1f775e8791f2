"""Rows of measurements, kept in ``bench/results.json`` and shown in ``docs/performance.md``."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results.json"


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """Peer's cost over ours, repetition by repetition: median, smallest and largest."""
    each = [peer / mine for mine, peer in zip(ours, theirs, strict=True)]
    return {"median": statistics.median(each), "min": min(each), "max": max(each)}


def keep(rows: Sequence[dict[str, object]], path: Path = RESULTS) -> None:
    """Put rows into the results, in place of earlier ones of the same work and peer."""
    known = json.loads(path.read_text())["rows"] if path.exists() else []
    new = {(one["work"], one["peer"]) for one in rows}
    merged = [one for one in known if (one["work"], one["peer"]) not in new] + list(rows)
    merged.sort(key=lambda one: (str(one["work"]), str(one["peer"])))
    document = {"schema_version": 1, "rows": merged}
    path.write_text(json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n")

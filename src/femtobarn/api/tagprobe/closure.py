"""``tnp closure``: toys of a known efficiency through the tag-and-probe fit."""

from __future__ import annotations

import dataclasses
import datetime
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import femtobarn
from femtobarn.errors import UsageError, nearest
from femtobarn.run.files import SCHEMA_VERSION, write_csv, write_json
from femtobarn.run.pool import in_pool
from femtobarn.stats.passfail.models import RESONANCES, parse_model
from femtobarn.stats.passfail.toys import ToyResult, ToyTruth, closure_summary, fit_toy, truth

__all__ = ["tnp_closure"]

#: ``analysis`` in the manifest of a closure.
_CLOSURE: Final = "tnp-closure"


def tnp_closure(
    *,
    toys: int = 100,
    seed: int = 1,
    efficiency: float = 0.85,
    model: str = "dcb_cms",
    resonance: str = "Z",
    out: str | Path,
    workers: int | None = None,
) -> tuple[Path, Mapping[str, Any]]:
    """Toys of a known efficiency through the fit; writes ``tables/closure.json``.

    Returns
    -------
    the directory, and the row of the table
    """
    if toys < 1:
        raise UsageError(f"--toys must be at least 1, not {toys}")
    if resonance not in RESONANCES:
        raise UsageError(f"unknown resonance {resonance!r}", near=nearest(resonance, RESONANCES))
    parse_model(model)
    where = Path(out)
    true = truth(model, efficiency, resonance=resonance)
    items = [(model, efficiency, resonance, seed, number) for number in range(toys)]
    results = in_pool(_toy, items, workers=workers)
    row = dict(closure_summary(true, results)) | {"seed": seed}
    write_json(where / "tables" / "closure.json", {"schema_version": SCHEMA_VERSION, **row})
    columns = {f.name: [getattr(one, f.name) for one in results] for f in dataclasses.fields(results[0])}
    write_csv(where / "tables" / "closure_toys.csv", columns)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    said = f"{toys} toys of {model}"
    if row["pull_width"] is not None:
        said += f": pull mean {row['pull_mean']:+.3f}, width {row['pull_width']:.3f}, {row['failed']} failed"
    write_json(where / "manifest.json", {
        "schema_version": SCHEMA_VERSION, "femtobarn": femtobarn.__version__, "analysis": _CLOSURE,
        "title": "Tag and probe: closure of the fit", "origin": "toy", "seed": seed, "inputs": [],
        "config": {"analysis": _CLOSURE, "model": model, "toys": toys, "efficiency": efficiency},
        "warnings": [], "started": now, "finished": now, "figures": [],
        "headline": f"{said}.",
    })  # fmt: skip
    return where, row


def _toy(item: tuple[str, float, str, int, int]) -> ToyResult:
    model, efficiency, resonance, seed, number = item
    return fit_toy(_truth(model, efficiency, resonance), seed, number)


@functools.cache
def _truth(model: str, efficiency: float, resonance: str) -> ToyTruth:
    """Made once a process: the same for all toys."""
    return truth(model, efficiency, resonance=resonance)

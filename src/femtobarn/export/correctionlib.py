"""Scale factors as a correctionlib file (schema 2), read back and compared bin by bin."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from femtobarn.errors import StoreError
from femtobarn.export.probe_tables import Grid, shifted
from femtobarn.run.files import write_text

__all__ = ["correction_set", "export_correctionlib"]


def correction_set(grids: Sequence[Grid], *, name: str, year: str, description: str) -> dict[str, Any]:
    """The correction as a JSON value: inputs year, ValType, WorkingPoint, eta, pt and phi if there."""
    axes = list(grids[0].edges)
    if any(list(grid.edges) != axes for grid in grids):
        raise StoreError("working points with and without phi cannot be one correction")
    units = {"eta": "", "pt": " in GeV", "phi": " in radians"}
    inputs = [
        {"name": "year", "type": "string", "description": "year of data taking"},
        {"name": "ValType", "type": "string", "description": "sf, sfup, stat_up, ..., <source>down"},
        {"name": "WorkingPoint", "type": "string", "description": ", ".join(grid.name for grid in grids)},
        *(
            {
                "name": axis, "type": "real",
                "description": f"probe's {grids[0].variables[axis] or axis + ' (not used)'}{units[axis]}",
            }
            for axis in axes
        ),
    ]  # fmt: skip
    tables = {grid.name: shifted(grid) for grid in grids}
    kinds = list(dict.fromkeys(kind for table in tables.values() for kind in table))
    data = _category("year", {year: _category("ValType", {
        kind: _category("WorkingPoint", {
            grid.name: _binning(grid, tables[grid.name][kind]) for grid in grids if kind in tables[grid.name]
        })
        for kind in kinds
    })})  # fmt: skip
    correction = {
        "name": name, "description": description, "version": 1, "inputs": inputs,
        "output": {"name": "weight", "type": "real", "description": "data / simulation"}, "data": data,
    }  # fmt: skip
    return {"schema_version": 2, "description": description, "corrections": [correction]}


def _category(name: str, content: dict[str, Any]) -> dict[str, Any]:
    return {
        "nodetype": "category", "input": name,
        "content": [{"key": key, "value": value} for key, value in content.items()],
    }  # fmt: skip


def _binning(grid: Grid, values: Any) -> dict[str, Any]:
    return {
        "nodetype": "multibinning",
        "inputs": list(grid.edges),
        "edges": [[float(e) for e in edges] for edges in grid.edges.values()],
        "content": [float(v) for v in np.ravel(values)],
        "flow": "clamp",
    }


def export_correctionlib(
    grids: Sequence[Grid], path: Path, *, name: str, year: str, description: str
) -> dict[str, Any]:
    """Write the file and evaluate it with correctionlib at the centre of every bin.

    Raises
    ------
    StoreError
        correctionlib reads something else than was written.
    """
    content = correction_set(grids, name=name, year=year, description=description)
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    _check(text, grids, name, year, str(path))
    write_text(path, text)
    return content


def _check(text: str, grids: Sequence[Grid], name: str, year: str, where: str) -> None:
    import correctionlib

    correction = correctionlib.CorrectionSet.from_string(text)[name]
    for grid in grids:
        centres = [0.5 * (edges[1:] + edges[:-1]) for edges in grid.edges.values()]
        points = np.array(list(itertools.product(*centres))).T
        for kind, values in shifted(grid).items():
            found = correction.evaluate(year, kind, grid.name, *points)
            # Its JSON reader may round the last digit.
            if not np.allclose(np.asarray(found), values.ravel(), rtol=1e-12, atol=0.0):
                raise StoreError(f"correctionlib does not read back {kind} of {grid.name}", where=where)

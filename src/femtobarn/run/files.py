"""Files of a run directory: strict JSON and CSV, written whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import math
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from femtobarn.errors import StoreError

__all__ = ["SCHEMA_VERSION", "read_json", "strict", "write_csv", "write_json", "write_text"]

SCHEMA_VERSION: Final = 1


def strict(value: Any) -> Any:
    """A value as JSON knows it: no NaN or infinity (null instead), no NumPy types, keys as text."""
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return strict(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [strict(item) for item in value]
    if isinstance(value, np.generic):
        return strict(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Path):
        return str(value)
    return value


def write_text(path: Path, text: str | bytes) -> None:
    """Write a file by atomic rename."""
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    data = text.encode() if isinstance(text, str) else text
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_bytes(data)
        scratch.replace(path)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise StoreError(f"cannot be written: {error.strerror or error}", where=str(path)) from error


def write_json(path: Path, value: Any) -> None:
    """Write strict JSON with sorted keys."""
    write_text(path, json.dumps(strict(value), indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file of a run."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StoreError("is not a run directory (or the run did not get far enough): no such file",
                         where=str(path)) from error  # fmt: skip
    except (OSError, ValueError) as error:
        raise StoreError(f"cannot be read: {error}", where=str(path)) from error


def write_csv(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """Write a table with a header line; floats in full precision."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(_cells(column) for column in columns.values()), strict=True))
    write_text(path, out.getvalue())


def _cells(column: Sequence[Any]) -> list[Any]:
    values = column.tolist() if isinstance(column, np.ndarray) else list(column)
    return ["" if item is None or (isinstance(item, float) and math.isnan(item)) else item for item in values]

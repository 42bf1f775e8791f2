"""Files of a run directory: strict JSON and CSV, written whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import math
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.errors import StoreError
from femtobarn.folders import disk_advice
from femtobarn.kernels.jagged import Jagged

__all__ = [
    "SCHEMA_VERSION",
    "differences",
    "read_json",
    "replacing",
    "strict",
    "write_csv",
    "write_json",
    "write_parquet",
    "write_text",
]

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


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write to that takes the place of ``path`` when it is complete."""
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield scratch
        scratch.replace(path)
    except OSError as error:
        raise StoreError(
            f"cannot be written: {error.strerror or error}",
            where=str(path),
            action=f"{disk_advice(error)}, then: femtobarn resume RUN",
        ) from error
    finally:
        scratch.unlink(missing_ok=True)


def write_text(path: Path, text: str | bytes) -> None:
    """Write a file by atomic rename."""
    with replacing(path) as scratch:
        scratch.write_bytes(text.encode() if isinstance(text, str) else text)


def write_parquet(path: Path, columns: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> None:
    """Write a table as Parquet; text columns are dictionaries, which repeat cheaply."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = {name: _arrow(column) for name, column in columns.items()}
    text = [name for name, array in arrays.items() if pa.types.is_string(array.type)]
    table = pa.table(arrays)
    if metadata:
        table = table.replace_schema_metadata(dict(metadata))
    with replacing(path) as scratch:
        pq.write_table(table, scratch, use_dictionary=text, compression="zstd")


def _arrow(column: Any) -> Any:
    """A column of values, or of lists, as Arrow knows it."""
    import pyarrow as pa

    if isinstance(column, Jagged):
        return pa.LargeListArray.from_arrays(column.offsets, pa.array(column.values))
    if isinstance(column, list | tuple):
        return pa.array(column)  # which knows that None is nothing
    return pa.array(np.asarray(column))


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


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What has changed from one nested mapping to another: ``name.of.key: old -> new``."""
    old, new = _flat(before), _flat(now)
    return [
        f"{name}: {old.get(name)!r} -> {new.get(name)!r}"
        for name in sorted(old | new)
        if old.get(name) != new.get(name)
    ]


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, item in value.items():
        name = f"{prefix}{key}"
        if isinstance(item, Mapping):
            out |= _flat(item, f"{name}.")
        else:
            out[name] = item
    return out


def write_csv(path: Path, columns: Mapping[str, Sequence[Any] | NDArray[Any]]) -> None:
    """Write a table with a header line; floats in full precision."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(_cells(column) for column in columns.values()), strict=True))
    write_text(path, out.getvalue())


def _cells(column: Sequence[Any] | NDArray[Any]) -> list[Any]:
    values = column.tolist() if isinstance(column, np.ndarray) else list(column)
    return ["" if item is None or (isinstance(item, float) and math.isnan(item)) else item for item in values]

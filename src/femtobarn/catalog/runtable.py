"""Run records by the thousand: a table read once, whose rows become :class:`Run` when they are asked for."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from femtobarn.catalog.attributes import ATTRIBUTES, Attribute, parse, quantity
from femtobarn.catalog.quantity import Quantity
from femtobarn.catalog.runrecords import Run
from femtobarn.errors import DataError, nearest

__all__ = ["RunTable", "canonical", "read_runs"]

_KEY: Final = "run_number"
#: Columns that data frames write and nobody means.
_IGNORED: Final = ("", "__index_level_0__", "Unnamed: 0")


def canonical(name: str) -> str:
    """The OMS name of a column."""
    return name.removeprefix("oms_")


class RunTable:
    """Runs by number.  Looking one up is cheap; nothing is parsed twice.

    ``warnings`` names rejected values.
    """

    def __init__(
        self, runs: Mapping[int, Mapping[str, Any]], source: str, warnings: Iterable[str] = ()
    ) -> None:
        self._rows = runs
        self._made: dict[int, Run] = {}
        self.source = source
        self.warnings = tuple(warnings)

    def __contains__(self, number: int) -> bool:
        return number in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[int]:
        return iter(self._rows)

    def get(self, number: int) -> Run:
        """The run; one that nobody knows has no values."""
        made = self._made.get(number)
        if made is None:
            row = self._rows.get(number, {})
            values = {
                name: value if isinstance(value, Quantity)
                else quantity(value, ATTRIBUTES.get(name, Attribute(name, "text")), f"{self.source}: {name}")
                for name, value in row.items()
            }  # fmt: skip
            made = self._made[number] = Run(number, MappingProxyType(values))
        return made

    def number(self, run: int, name: str) -> float | None:
        """One attribute of a run as a number."""
        return self.get(run).get(name).number

    def merged(self, other: Mapping[int, Mapping[str, Quantity]]) -> RunTable:
        """The same table with more attributes (of lumisections, say) where it has none."""
        rows = {number: dict(row) for number, row in self._rows.items()}
        for number, values in other.items():
            row = rows.setdefault(number, {})
            for name, value in values.items():
                if row.get(name) is None:
                    row[name] = value
        return RunTable(rows, self.source, self.warnings)


def read_runs(path: str | Path) -> RunTable:
    """Read a run table from CSV, Parquet or JSON (rows, answers of OMS, or runs of the Run Registry).

    Raises
    ------
    DataError
        Naming file, row and column of a value that is none, or the missing column ``run_number``.
    """
    path = Path(path)
    table = _columns(path, _KEY)
    known = {name: ATTRIBUTES.get(canonical(name)) for name in table.columns}
    rows: list[dict[str, Any]] = [{} for _ in range(table.size)]
    rejected: dict[str, int] = {}
    for column, attribute in known.items():
        if attribute is None:
            continue
        name, numeric = attribute.name, attribute.kind in ("number", "count")
        for i, value in _parsed(table, column, attribute):
            if value is None:
                continue
            rows[i][name] = value
            if numeric and not attribute.low <= value <= attribute.high:
                rejected[name] = rejected.get(name, 0) + 1
    runs: dict[int, dict[str, Any]] = {}
    for i, row in enumerate(rows):
        number = row.pop(_KEY, None)
        if not isinstance(number, int) or number <= 0:
            raise DataError(f"the run number is {number!r}", where=table.where(i))
        if number in runs and runs[number] != row:
            raise DataError(f"run {number} appears twice with different values", where=table.where(i),
                            action="remove one of the rows")  # fmt: skip
        runs[number] = row
    if not runs:
        raise DataError("the table of runs is empty", where=str(path))
    warnings = [
        f"{path.name}: {count} values of {name} are outside "
        f"[{ATTRIBUTES[name].low:g}, {ATTRIBUTES[name].high:g}] and were rejected"
        for name, count in sorted(rejected.items())
    ]
    return RunTable(runs, path.name, warnings)


@dataclass(frozen=True)
class _Columns:
    """Cells by column as they are in a file, and where each row is."""

    columns: Mapping[str, Sequence[Any]]
    size: int
    where: Callable[[int], str]


def _columns(path: Path, key: str) -> _Columns:
    if path.suffix.lower() in (".parquet", ".pq", ".json"):
        places, rows = [], []
        for where, row in read_rows(path, key):
            places.append(where)
            rows.append(row)
        names = dict.fromkeys(name for row in rows for name in row)
        return _Columns(
            {name: [row.get(name) for row in rows] for name in names}, len(rows), places.__getitem__
        )
    lines: list[int] = []
    cells: list[list[str]] = []
    header: list[str] = []
    for header, line, found in _csv_lines(path, key):  # noqa: B007 (the header is needed after the loop)
        lines.append(line)
        cells.append(found)
    columns = dict[str, Sequence[Any]](zip(header, zip(*cells, strict=True), strict=True)) if cells else {}
    return _Columns(columns, len(cells), lambda i: f"{path}:{lines[i]}")


def _parsed(table: _Columns, name: str, attribute: Attribute) -> list[tuple[int, Any]]:
    """Row and value of the cells that hold something; plain numbers, nearly all, by the short road."""
    cells = [(i, cell) for i, cell in enumerate(table.columns[name]) if cell is not None and cell != ""]
    if attribute.kind in ("number", "count"):
        try:
            numbers = [(i, float(cell)) for i, cell in cells]
        except (TypeError, ValueError):
            numbers = []
        if len(numbers) == len(cells) and all(math.isfinite(value) for _, value in numbers):
            if attribute.kind == "number":
                return numbers
            return [(i, int(value) if value.is_integer() else value) for i, value in numbers]
    if attribute.kind == "text" and all(isinstance(cell, str) for _, cell in cells):
        texts = {cell: parse(cell, attribute, where=name) for cell in {cell for _, cell in cells}}
        return [(i, texts[cell]) for i, cell in cells]
    return [(i, parse(cell, attribute, where=table.where(i))) for i, cell in cells]


def read_rows(path: Path, key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Rows of a CSV, Parquet or JSON file with where they are; ``key`` must be a column."""
    suffix = path.suffix.lower()
    try:
        if suffix in (".parquet", ".pq"):
            yield from _parquet(path, key)
        elif suffix == ".json":
            yield from _json(path, key)
        else:
            yield from _csv(path, key)
    except FileNotFoundError as error:
        raise DataError("no such file", where=str(path)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read: {error}", where=str(path)) from error


def _check(names: Iterable[str], key: str, path: Path) -> None:
    names = list(names)
    if key not in {canonical(name) for name in names}:
        raise DataError(f"has no column {key!r}", where=str(path), near=nearest(key, names),
                        action=f"its columns are {', '.join(names[:12]) or 'none: it is empty'}")  # fmt: skip


def _csv(path: Path, key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for names, line, cells in _csv_lines(path, key):
        yield f"{path}:{line}", dict(zip(names, cells, strict=True))


def _csv_lines(path: Path, key: str) -> Iterator[tuple[list[str], int, list[str]]]:
    """Header, line number and cells of every row."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            names = next(reader, [])
            _check(names, key, path)
            for cells in reader:
                if len(cells) != len(names):
                    raise DataError(
                        f"has {len(cells)} cells, the header {len(names)}",
                        where=f"{path}:{reader.line_num}",
                        action="is the file cut short?",
                    )
                yield names, reader.line_num, cells
    except FileNotFoundError as error:
        raise DataError("no such file", where=str(path)) from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot be read: {error}", where=str(path)) from error


def _parquet(path: Path, key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except pyarrow.ArrowInvalid as error:
        raise DataError(f"is not a readable Parquet file: {error}", where=str(path)) from error
    _check(table.column_names, key, path)
    names = [name for name in table.column_names if name not in _IGNORED]
    columns = [table[name].to_pylist() for name in names]
    for i, cells in enumerate(zip(*columns, strict=True)):
        yield f"{path}, row {i + 1}", dict(zip(names, cells, strict=True))


def _json(path: Path, key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise DataError(f"is not valid JSON, perhaps cut short: {error}", where=str(path)) from error
    rows: Sequence[Any] = content.get("data", content) if isinstance(content, dict) else content
    if isinstance(rows, dict):
        rows = [{key: number, **values} for number, values in rows.items()]
    for i, row in enumerate(rows):
        values = _flat(row) if isinstance(row, dict) else row
        if not isinstance(values, dict):
            raise DataError("is not an object", where=f"{path}, row {i + 1}")
        if i == 0:
            _check(values, key, path)
        yield f"{path}, row {i + 1}", values


def _flat(row: Mapping[str, Any]) -> Any:
    """Attributes of a row of OMS (``attributes``) or of the Run Registry (``oms_attributes`` and its own)."""
    if "attributes" in row:
        return row["attributes"]
    inner = row.get("oms_attributes")
    return {**inner, **row} if isinstance(inner, dict) else row

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
from femtobarn.errors import DataError, missing_file, nearest

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
        return RunTable(_Merged(self._rows, other), self.source, self.warnings)


class _Merged(Mapping[int, Mapping[str, Any]]):
    """Rows with what others say of the same runs; the first ones' word counts."""

    def __init__(
        self, first: Mapping[int, Mapping[str, Any]], other: Mapping[int, Mapping[str, Any]]
    ) -> None:
        self._first, self._other = first, other

    def __getitem__(self, number: int) -> Mapping[str, Any]:
        if number not in self._first:
            return self._other[number]
        known = {name: value for name, value in self._first[number].items() if value is not None}
        return {**self._other.get(number, {}), **known}

    def __contains__(self, number: object) -> bool:
        return number in self._first or number in self._other

    def __iter__(self) -> Iterator[int]:
        return iter(dict.fromkeys([*self._first, *self._other]))

    def __len__(self) -> int:
        return len({*self._first, *self._other})


class _Rows(Mapping[int, Mapping[str, Any]]):
    """Rows that are kept as columns and put together when somebody asks: few ever do."""

    def __init__(self, place: Mapping[int, int], columns: Mapping[str, Sequence[Any]]) -> None:
        self._place, self._table = place, columns

    def __getitem__(self, number: int) -> Mapping[str, Any]:
        i = self._place[number]
        return {name: cells[i] for name, cells in self._table.items() if cells[i] is not None}

    def __iter__(self) -> Iterator[int]:
        return iter(self._place)

    def __len__(self) -> int:
        return len(self._place)


def read_runs(path: str | Path) -> RunTable:
    """Read a run table from CSV, Parquet or JSON (rows, answers of OMS, or runs of the Run Registry).

    Raises
    ------
    DataError
        Naming file, row and column of a value that is none, or the missing column ``run_number``.
    """
    path = Path(path)
    table = _columns(path, _KEY)
    columns: dict[str, Sequence[Any]] = {}
    warnings = []
    for column in table.columns:
        attribute = ATTRIBUTES.get(canonical(column))
        if attribute is None:
            continue
        name, cells = attribute.name, _parsed(table, column, attribute)
        if name in columns:  # `duration` and `oms_duration`
            cells = [old if new is None else new for old, new in zip(columns[name], cells, strict=True)]
        columns[name] = cells
        count = sum(not attribute.allows(cell) for cell in cells) if attribute.bounded else 0
        if count:
            warnings.append(f"{path.name}: {count} values of {name} are outside "
                            f"[{attribute.low:g}, {attribute.high:g}] and were rejected")  # fmt: skip
    numbers = columns.pop(_KEY, ())
    place: dict[int, int] = {}
    for i, number in enumerate(numbers):
        if not isinstance(number, int) or number <= 0:
            raise DataError(f"the run number is {number!r}", where=table.where(i))
        before = place.setdefault(number, i)
        if before != i and any(cells[before] != cells[i] for cells in columns.values()):
            raise DataError(f"run {number} appears twice with different values", where=table.where(i),
                            action="remove one of the rows")  # fmt: skip
    if not place:
        raise DataError("the table of runs is empty", where=str(path))
    return RunTable(_Rows(place, columns), path.name, sorted(warnings))


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


def _parsed(table: _Columns, name: str, attribute: Attribute) -> list[Any]:
    """The values of a column, None where it holds nothing; plain numbers, nearly all, by the short road."""
    cells = table.columns[name]
    if attribute.kind in ("number", "count"):
        try:
            numbers = [None if cell is None or cell == "" else float(cell) for cell in cells]
        except (TypeError, ValueError):
            numbers = [math.nan]
        if all(number is None or math.isfinite(number) for number in numbers):
            if attribute.kind == "number":
                return numbers
            return [int(n) if n is not None and n.is_integer() else n for n in numbers]
    if all(cell is None or isinstance(cell, str) for cell in cells):
        # Texts and lists of them repeat themselves.
        read: dict[Any, Any] = {None: None, "": None}
        for i, cell in enumerate(cells):
            if cell not in read:
                read[cell] = parse(cell, attribute, where=table.where(i))
        return [read[cell] for cell in cells]
    return [parse(cell, attribute, where=table.where(i)) for i, cell in enumerate(cells)]


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
        raise missing_file(path) from error
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
        raise missing_file(path) from error
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

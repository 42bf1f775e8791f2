"""Tables: CSV and Parquet files, one event (or candidate) a row."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from femtobarn.errors import DataError, nearest
from femtobarn.kernels.jagged import Jagged
from femtobarn.net import RemoteFile
from femtobarn.read.columns import Column
from femtobarn.read.schema import RAW, Schema, find_schema, schema_names
from femtobarn.read.source import Source, either, reading
from femtobarn.records import FileRef

__all__ = ["CsvTable", "ParquetTable", "open_table"]

#: Rows between which a CSV file may be cut; it has no structure of its own.
_CSV_CLUSTER: Final = 100_000
#: Files larger than this (bytes) are identified by size, time and both ends instead of all their bytes.
_HASHED: Final = 64 << 20
_END: Final = 1 << 16
_ROW: Final = re.compile(r"Row #(\d+)")
_NUMBER: Final = r"^\s*[-+]?(\d+\.?\d*([eE][-+]?\d+)?|\.\d+([eE][-+]?\d+)?|nan|NaN|inf)\s*$"


def open_table(ref: FileRef, candidates: Sequence[Schema]) -> Source:
    """Open a CSV or Parquet file and find which of the schemas (all table schemas, if none) it has.

    Raises
    ------
    DataError
        The file is empty, damaged or of none of the schemas; a broken line of a CSV file is named.
    """
    if ref.url.lower().endswith(".parquet"):
        return ParquetTable(ref, candidates)
    return CsvTable(ref, candidates)


class CsvTable:
    """A CSV file with a header line.  It is parsed once, as a whole."""

    def __init__(self, ref: FileRef, candidates: Sequence[Schema]) -> None:
        self.ref = ref
        self.objects: Mapping[str, Any] = {}
        self.tree = ""
        data = _all_bytes(ref)
        self._table = _parse_csv(ref.url, data)
        self.schema = _choose(ref, self._table.column_names, candidates)
        self.entries = int(self._table.num_rows)
        self.size = len(data)
        self.uuid = _identity(ref.url, data)
        self.branches = frozenset(self._table.column_names)

    def clusters(self, branches: Sequence[str] = ()) -> list[int]:  # noqa: ARG002 - part of the protocol
        return sorted({*range(0, self.entries, _CSV_CLUSTER), 0, self.entries})

    def read(self, branches: Sequence[str], start: int, stop: int) -> dict[str, Column]:
        _require(self.ref.url, self.branches, branches)
        return {
            name: to_column(self._table[name].slice(start, stop - start), where=self.ref.url, name=name)
            for name in branches
        }

    def stored_bytes(self, branches: Sequence[str]) -> int:
        """Each column's share of the file: lines are read whole."""
        known = sum(name in self.branches for name in branches)
        return self.size * known // max(len(self.branches), 1)

    def close(self) -> None:
        """Nothing is kept open."""


class ParquetTable:
    """A Parquet file of flat and list columns; its row groups are the clusters."""

    def __init__(self, ref: FileRef, candidates: Sequence[Schema]) -> None:
        self.ref = ref
        self.objects: Mapping[str, Any] = {}
        self.tree = ""
        remote = "://" in ref.url
        data = _all_bytes(ref) if remote else None
        with reading(ref.url):
            self._file = pyarrow.parquet.ParquetFile(io.BytesIO(data) if data is not None else ref.url)
        self._metadata = self._file.metadata
        names = [field.name for field in self._file.schema_arrow]
        groups = [self._metadata.row_group(i).num_rows for i in range(self._metadata.num_row_groups)]
        self._edges = [int(edge) for edge in np.cumsum([0, *groups])]
        try:
            self.schema = _choose(ref, names, candidates)
            self.uuid = _identity(ref.url, data)
        except BaseException:
            self._file.close()
            raise
        self.entries = int(self._metadata.num_rows)
        self.size = len(data) if data is not None else Path(ref.url).stat().st_size
        self.branches = frozenset(names)

    def clusters(self, branches: Sequence[str] = ()) -> list[int]:  # noqa: ARG002 - part of the protocol
        return sorted({0, *self._edges, self.entries})

    def read(self, branches: Sequence[str], start: int, stop: int) -> dict[str, Column]:
        _require(self.ref.url, self.branches, branches)
        groups = [
            number
            for number, (low, high) in enumerate(zip(self._edges[:-1], self._edges[1:], strict=True))
            if low < stop and high > start
        ]
        first = self._edges[groups[0]] if groups else start
        found = {}
        for name in branches:
            with reading(self.ref.url, f" at column {name!r}, rows {start}-{stop}"):
                column = self._file.read_row_groups(groups, columns=[name])[name]
                found[name] = to_column(
                    column.slice(start - first, stop - start), where=self.ref.url, name=name
                )
        return found

    def stored_bytes(self, branches: Sequence[str]) -> int:
        wanted = set(branches)
        total = 0
        for number in range(self._metadata.num_row_groups):
            group = self._metadata.row_group(number)
            chunks = (group.column(i) for i in range(group.num_columns))
            total += sum(
                int(chunk.total_compressed_size)
                for chunk in chunks
                if {chunk.path_in_schema, chunk.path_in_schema.split(".", 1)[0]} & wanted
            )
        return total

    def close(self) -> None:
        self._file.close()


# -- which schema, which file ------------------------------------------------------------------------


def _choose(ref: FileRef, names: Sequence[str], candidates: Sequence[Schema]) -> Schema:
    """The first candidate that fits the header; without candidates, the first table schema."""
    tables = [schema for schema in map(find_schema, schema_names()) if schema.format == "csv"]
    for schema in candidates or tables:
        # A tree's schema fits a table only by marks of its own: one without any would fit everything.
        if schema.matches(names) and (
            schema.format == "csv"
            or (schema.format == "tree" and (schema.requires or _speaks(schema, names)))
        ):
            return schema
    if not candidates:
        return RAW
    other = next((schema for schema in tables if schema.matches(names)), None)
    if other is not None:
        raise DataError(
            f"is not {either(candidates)}: it looks like {other.name}",
            where=ref.url,
            action="choose other files",
        )
    wanted = next((schema for schema in candidates if schema.format == "csv"), None)
    if wanted is None:
        raise DataError(f"is a table, not {either(candidates)}", where=ref.url)
    missing = next((name for name in (*wanted.requires, *wanted.excludes) if name not in names), "")
    raise DataError(
        f"lacks the column {missing!r} of {wanted.name}",
        where=f"{ref.url}:1",
        near=nearest(missing, names),
        action="columns in this file: " + ", ".join(list(names)[:12]),
    )


def _speaks(schema: Schema, names: Sequence[str]) -> bool:
    """Whether most of these names are ones that the schema translates."""
    logical = schema.logical(names)
    known = sum(a != b or b in schema.columns for a, b in zip(names, logical, strict=True))
    return 2 * known > len(names)


def _require(url: str, known: Collection[str], names: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise DataError(f"has no column {name!r}", where=url, near=nearest(name, known))


def _all_bytes(ref: FileRef) -> bytes:
    with reading(ref.url):
        if "://" not in ref.url:
            return Path(ref.url).read_bytes()
        with RemoteFile(ref) as stream:
            return stream.read_all()


def _identity(url: str, data: bytes | None) -> str:
    """Hash of the content, or for a large local file of its size, time of change and both ends."""
    digest = hashlib.sha256()
    if data is None:
        path = Path(url)
        status = path.stat()
        if status.st_size > _HASHED:
            with path.open("rb") as stream:
                digest.update(f"{status.st_size} {status.st_mtime_ns}".encode())
                digest.update(stream.read(_END))
                stream.seek(-_END, io.SEEK_END)
                digest.update(stream.read())
            return digest.hexdigest()
        data = path.read_bytes()
    digest.update(data)
    return digest.hexdigest()


# -- CSV -----------------------------------------------------------------------------------------------


def _parse_csv(url: str, data: bytes) -> pa.Table:
    """All rows; every fault names its line."""
    if not data.strip():
        raise DataError("is empty: it has no header line", where=url)
    if b"\x00" in data[:4096]:
        raise DataError("is not a text table (it holds binary data)", where=url)
    try:
        table = pyarrow.csv.read_csv(
            io.BytesIO(data if data.endswith(b"\n") else data + b"\n"),
            # One thread: only then the parser counts rows for its messages.
            read_options=pyarrow.csv.ReadOptions(use_threads=False),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=False),
            convert_options=pyarrow.csv.ConvertOptions(null_values=[""], strings_can_be_null=False),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError, UnicodeDecodeError) as error:
        _refuse(url, data, str(error))
    names = [name.strip() for name in table.column_names]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated or not all(names):
        fault = f"repeats the column {repeated[0]!r}" if repeated else "has a column without name"
        raise DataError(fault, where=f"{url}:1")
    table = table.rename_columns(names)
    for name in names:
        _check_numbers(url, data, name, table[name])
    return table


def _refuse(url: str, data: bytes, message: str) -> NoReturn:
    match = _ROW.search(message)
    where = f"{url}:{_line(data, int(match[1]))}" if match else url
    reason = message.removeprefix("CSV parse error: ")
    reason = _ROW.sub("", reason).strip(" :").split("\n", 1)[0][:200]
    raise DataError(
        f"is not a proper CSV table: {reason}", where=where, action="fetch it again or repair the line"
    )


def _line(data: bytes, row: int) -> int:
    """Line number of a row (header is row 1); the parser skips empty lines without counting them."""
    seen = 0
    for number, line in enumerate(data.splitlines(), start=1):
        seen += bool(line)
        if seen == row:
            return number
    return row


def _check_numbers(url: str, data: bytes, name: str, column: Any) -> None:
    """Refuse an empty cell in a column of numbers, and a word in what is otherwise one."""
    if pa.types.is_null(column.type):
        if len(column):
            raise DataError(f"column {name!r} is empty", where=f"{url}:2")
        return
    if column.null_count:
        row = pyarrow.compute.index(pyarrow.compute.is_null(column), value=True).as_py()
        raise DataError(f"column {name!r} has an empty cell", where=f"{url}:{_line(data, row + 2)}")
    if not pa.types.is_string(column.type):
        return
    broken = pyarrow.compute.index(pyarrow.compute.match_substring(column, "\n"), value=True).as_py()
    if broken >= 0:
        raise DataError(f"column {name!r} has an unclosed quote", where=f"{url}:{_line(data, broken + 2)}")
    numeric = pyarrow.compute.match_substring_regex(column, _NUMBER)
    if 2 * (pyarrow.compute.sum(numeric).as_py() or 0) > len(column):
        row = pyarrow.compute.index(numeric, value=False).as_py()
        value = column[row].as_py() if row >= 0 else column[0].as_py()
        raise DataError(
            f"column {name!r} holds numbers, but here {value[:40]!r}",
            where=f"{url}:{_line(data, max(row, 0) + 2)}",
        )


# -- from Arrow to columns -------------------------------------------------------------------------------


def to_column(column: Any, *, where: str, name: str) -> Column:
    """Flat array or :class:`Jagged` from an Arrow chunked array; floating-point values as float64.

    Raises
    ------
    DataError
        The column has missing values or is of a kind that is not read (structures, lists of lists).
    """
    kind = column.type
    if column.null_count:
        raise DataError(f"column {name!r} has {column.null_count} missing values", where=where)
    if pa.types.is_fixed_size_list(kind):
        values = pa.chunked_array([chunk.flatten() for chunk in column.chunks], type=kind.value_type)
        flat = _flat(values, where=where, name=name)
        return Jagged(np.arange(len(column) + 1, dtype=np.int64) * kind.list_size, flat)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        counts = np.asarray(pyarrow.compute.list_value_length(column), dtype=np.int64)
        offsets = np.zeros(len(column) + 1, dtype=np.int64)
        np.cumsum(counts, out=offsets[1:])
        return Jagged(offsets, _flat(pyarrow.compute.list_flatten(column), where=where, name=name))
    return _flat(column, where=where, name=name)


def _flat(column: Any, *, where: str, name: str) -> NDArray[Any]:
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if column.null_count:
        raise DataError(f"column {name!r} has {column.null_count} missing values", where=where)
    if pa.types.is_null(kind) or pa.types.is_floating(kind):
        return np.asarray(column.cast(pa.float64()).to_numpy())
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return np.asarray(column.to_numpy())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_temporal(kind):
        return np.asarray(column.cast(pa.string()).to_pylist(), dtype=np.str_)
    raise DataError(f"column {name!r} is of a kind that is not read: {kind}", where=where)

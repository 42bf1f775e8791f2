"""Delivered files: Parquet, TTree or RNTuple, with the types that were read and a note of their origin."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import awkward as ak
import numpy as np

from femtobarn.errors import DataError, UsageError, nearest

__all__ = ["EXTENSIONS", "NOTE", "TREE", "Delivered", "read_back", "write"]

#: General.OutputFormat -> ending of the file's name.
EXTENSIONS: Final[Mapping[str, str]] = MappingProxyType(
    {"root-ttree": ".root", "parquet": ".parquet", "root-rntuple": ".root"}
)
#: Name of the one tree of an output.
TREE: Final = "servicex"
#: Key under which a file says where it is from.
NOTE: Final = "femtobarn_provenance"


@dataclass
class Delivered:
    """What one output holds.

    Attributes
    ----------
    trees : {name of tree: {name of column: array}}
    objects : {path: histogram}, copied as they are
    entries : events that were read, selected or not
    bytes_read : from the input
    absent : trees that the input did not have and that the query can do without
    """

    trees: dict[str, dict[str, Any]] = field(default_factory=dict)
    objects: dict[str, Any] = field(default_factory=dict)
    entries: int = 0
    bytes_read: int = 0
    absent: tuple[str, ...] = ()

    @property
    def events(self) -> int:
        """Rows of all trees."""
        return sum(len(next(iter(columns.values()))) for columns in self.trees.values() if columns)


def write(path: Path, kind: str, content: Delivered, note: Mapping[str, Any]) -> None:
    """Write an output.

    Raises
    ------
    DataError
        The format cannot hold a column, or not these trees; it says which format can.
    UsageError
        There is no such format.
    """
    if kind not in EXTENSIONS:
        raise UsageError(f"unknown OutputFormat {kind!r}", near=nearest(kind, EXTENSIONS))
    for tree, columns in content.trees.items():
        _check(tree, columns)
    if kind == "parquet":
        _write_parquet(path, content, note)
    else:
        _write_root(path, kind, content, note)


def _check(tree: str, columns: Mapping[str, Any]) -> None:
    if not columns:
        raise DataError(f"tree {tree!r}: the query yields no column")
    lengths = {name: len(array) for name, array in columns.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name} {length}" for name, length in list(lengths.items())[:4])
        raise DataError(f"tree {tree!r}: the columns differ in length ({said})",
                        action="columns of one output have one row an event")  # fmt: skip


def _table(columns: Mapping[str, Any]) -> Any:
    return ak.to_arrow_table(
        ak.zip(dict(columns), depth_limit=1), extensionarray=False, list_to32=True, string_to32=True
    )


def _write_parquet(path: Path, content: Delivered, note: Mapping[str, Any]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if content.objects:
        raise DataError("Parquet cannot hold histograms", action="set OutputFormat: root-ttree")
    if not content.trees:
        raise DataError("there is no tree to write as Parquet", action="set OutputFormat: root-ttree")
    if len(content.trees) == 1:
        table = _table(next(iter(content.trees.values())))
    else:
        # As ServiceX does it: one table, a column tells the trees apart.
        tables = []
        for name, columns in content.trees.items():
            part = _table(columns)
            tables.append(part.append_column("treename", pa.array([name] * part.num_rows, pa.string())))
        first = tables[0].schema
        if any(not part.schema.equals(first) for part in tables):
            raise DataError(
                "trees with different columns do not fit into one Parquet file: " + ", ".join(content.trees),
                action="set OutputFormat: root-ttree",
            )
        table = pa.concat_tables(tables)
    known = table.schema.metadata or {}
    table = table.replace_schema_metadata({**known, NOTE.encode(): json.dumps(note, sort_keys=True).encode()})
    pq.write_table(table, path, compression="zstd")


def _write_root(path: Path, kind: str, content: Delivered, note: Mapping[str, Any]) -> None:
    import uproot

    with uproot.recreate(path) as out:
        for name, item in content.objects.items():
            try:
                out[name] = item
            except (TypeError, NotImplementedError, ValueError) as error:
                raise DataError(f"{name!r} cannot be copied: {error}") from error
        for tree, columns in content.trees.items():
            add = _add_ttree if kind == "root-ttree" else _add_rntuple
            add(out, tree, columns)
        out[NOTE] = json.dumps(note, sort_keys=True)


def _add_ttree(out: Any, tree: str, columns: Mapping[str, Any]) -> None:
    """A real TTree: assigning a dictionary would write an RNTuple."""
    ready = {name: _for_ttree(name, array) for name, array in columns.items()}
    types: dict[str, Any] = {
        name: (array.dtype, array.shape[1:]) if isinstance(array, np.ndarray) else array.type.content
        for name, array in ready.items()
    }
    used = set(columns)

    def counter(name: str) -> str:
        candidate = f"n{name}"
        while candidate in used:
            candidate = f"n_{candidate}"
        return candidate

    try:
        out.mktree(tree, types, counter_name=counter).extend(ready)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise _cannot_hold(tree, ready, "a TTree", _fits_ttree, error) from error


def _for_ttree(name: str, array: Any) -> Any:
    """A column as the writer takes it: fixed shapes as NumPy, no empty kinds, no missing values."""
    array = _known_type(array)
    if "?" in str(array.type) or "option" in str(array.type):
        if bool(ak.any(ak.is_none(array, axis=-1), axis=None)) or bool(ak.any(ak.is_none(array), axis=None)):
            raise DataError(
                f"the column {name!r} has missing values, which a TTree cannot hold",
                action="set OutputFormat: parquet, or select the events that have it",
            )
        array = ak.drop_none(array, axis=None)
    if array.layout.is_regular or (array.layout.is_numpy and array.ndim > 1):
        return np.asarray(ak.to_numpy(array))
    return ak.to_packed(array)


def _known_type(array: Any) -> Any:
    """Columns without any value may have no type; a number's is given to them."""
    if "unknown" in str(array.type):
        return (
            ak.values_astype(ak.fill_none(array, 0.0), np.float64)
            if array.ndim == 1
            else ak.enforce_type(array, "var * " * (array.ndim - 1) + "float64")
        )
    return array


def _add_rntuple(out: Any, tree: str, columns: Mapping[str, Any]) -> None:
    ready = ak.zip({name: ak.to_packed(_known_type(array)) for name, array in columns.items()}, depth_limit=1)
    try:
        out.mkrntuple(tree, ready)
    except (TypeError, ValueError, NotImplementedError, AttributeError) as error:
        raise _cannot_hold(tree, columns, "an RNTuple", None, error) from error


def _fits_ttree(array: Any) -> bool:
    return isinstance(array, np.ndarray) or array.ndim <= 2


def _cannot_hold(
    tree: str, columns: Mapping[str, Any], what: str, fits: Callable[[Any], bool] | None, error: Exception
) -> DataError:
    bad = [name for name, array in columns.items() if fits is not None and not fits(array)]
    said = (
        ", ".join(f"{name!r} ({columns[name].type.content})" for name in bad)
        or str(error).strip().split("\n")[0]
    )
    other = " or root-rntuple" if what == "a TTree" else ""
    return DataError(f"tree {tree!r}: {what} cannot hold {said}", action=f"set OutputFormat: parquet{other}")


def read_back(path: Path, kind: str) -> Delivered:
    """The content of an output, for merging several into one."""
    if kind == "parquet":
        import pyarrow.parquet as pq

        table = ak.from_arrow(pq.read_table(path))
        if not table.fields:
            return Delivered({TREE: {}})
        return Delivered({TREE: {name: table[name] for name in table.fields}})
    import uproot

    found = Delivered()
    with uproot.open(path) as file:
        for name, kind_of in file.classnames(cycle=False).items():
            if kind_of == "TTree":
                counters = {branch.count_branch.name for branch in file[name].branches if branch.count_branch}
                array = file[name].arrays(filter_name=lambda branch: branch not in counters)  # noqa: B023
                found.trees[name] = {column: array[column] for column in array.fields}
            elif "RNTuple" in kind_of:
                array = file[name].arrays()
                found.trees[name] = {column: array[column] for column in array.fields}
            elif kind_of.startswith(("TH", "TProfile")):
                found.objects[name] = file[name]
    return found

"""Events in memory: a length and named columns, flat or jagged, with an awkward view on demand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from femtobarn.errors import DataError, nearest
from femtobarn.kernels.jagged import Jagged

__all__ = ["Column", "Events", "to_column", "view_of", "widened"]

Column = NDArray[Any] | Jagged


def to_column(array: Any) -> Column:
    """Split an awkward array of depth one or two into flat arrays.

    Floating-point values become float64, so that a cut compares the same number whatever the file's
    precision; integers and booleans keep their type (in native byte order).
    """
    import awkward as ak

    if array.ndim == 1:
        return _values(array)
    layout = ak.to_packed(ak.from_regular(array, axis=None)).layout
    if array.ndim > 2 or not layout.is_list:
        raise DataError("columns with more than one level of nesting are not read")
    layout = layout.to_ListOffsetArray64(start_at_zero=True)
    offsets = np.asarray(layout.offsets.data, dtype=np.int64)
    return Jagged(offsets, _values(ak.Array(layout.content)))


def view_of(array: Any, view: str) -> Any:
    """What is taken of lists in lists: the ``first`` value of each (0 in an empty one), or their ``count``.

    The count is that of the inner lists of each event; without a view the array itself is returned.
    """
    import awkward as ak

    if view == "first":
        return ak.fill_none(ak.firsts(array, axis=2), 0, axis=1)
    return ak.num(array, axis=1) if view == "count" else array


def _values(array: Any) -> NDArray[Any]:
    """The values of an awkward array of depth one."""
    import awkward as ak

    if ak.parameters(array).get("__array__") == "string":
        return np.asarray(ak.to_list(array), dtype=np.str_)
    if array.fields or not array.layout.is_numpy:
        raise DataError(f"columns of type {array.type.content} are not read; name one of its members")
    return _native(ak.to_numpy(array))


def _native(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind == "f":
        return values.astype(np.float64)
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def widened(column: Column) -> Column:
    """Floating-point values as float64; anything else as it is."""
    values = column.values if isinstance(column, Jagged) else column
    if values.dtype.kind != "f" or values.dtype == np.float64:
        return column
    wide = values.astype(np.float64)
    return column.like(wide) if isinstance(column, Jagged) else wide


class Events:
    """The events of one part.

    ``events["muon.pt"]`` is the flat array or :class:`Jagged` column; ``events.muon`` is an awkward
    record array of all columns of that collection, for those who like to write selections that way.

    Floating-point columns are float64, so that a cut compares the same number whatever the file's precision.
    They are made so when they are first asked for; ``stored`` gives what the source read, for kernels that
    widen each number themselves.

    Parameters
    ----------
    length : int
    columns : mapping of name to column
        Every column must have ``length`` events.
    objects : mapping, optional
        Whole-file objects (published histograms), for sources that hold no events.
    """

    __slots__ = ("_columns", "_length", "_wide", "objects")

    def __init__(
        self, length: int, columns: Mapping[str, Column], objects: Mapping[str, Any] | None = None
    ) -> None:
        for name, column in columns.items():
            if len(column) != length:
                raise ValueError(f"column {name!r} has {len(column)} events, not {length}")
        self._length = length
        self._columns = MappingProxyType(dict(columns))
        self._wide: dict[str, Column] = {}
        self.objects: Mapping[str, Any] = MappingProxyType(dict(objects or {}))

    def __len__(self) -> int:
        return self._length

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __repr__(self) -> str:
        return f"<Events: {self._length} events, {len(self._columns)} columns>"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._columns)

    def __getitem__(self, name: str) -> Any:
        found = self._wide.get(name)
        if found is None:
            found = self._wide[name] = widened(self.stored(name))
        return found

    def stored(self, name: str) -> Any:
        """A column in the precision it was read with (float32 or float64)."""
        try:
            return self._columns[name]
        except KeyError:
            raise DataError(
                f"column {name!r} was not read",
                near=nearest(name, self._columns),
                action="add it to the analysis' declared columns",
            ) from None

    def flat(self, name: str) -> NDArray[Any]:
        """A column with one value per event."""
        column = self[name]
        if isinstance(column, Jagged):
            raise DataError(f"column {name!r} has several values per event; one was expected")
        return np.asarray(column)

    def jagged(self, name: str) -> Jagged:
        """A column with any number of values per event."""
        column = self[name]
        if not isinstance(column, Jagged):
            raise DataError(f"column {name!r} has one value per event; a list was expected")
        return column

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in self._columns:
            return self[name]
        return self.collection(name)

    def collection(self, name: str) -> Any:
        """Awkward record array of the columns ``name.x`` or ``name_x``."""
        import awkward as ak

        fields = {
            column[len(name) + 1 :]: self[column]
            for column in self._columns
            if column.startswith((f"{name}.", f"{name}_"))
        }
        if not fields:
            known = {column.replace(".", "_").split("_")[0] for column in self._columns}
            raise DataError(
                f"no column of a collection {name!r} was read",
                near=nearest(name, known),
                action="declare its columns, for example " + repr(f"{name}_pt"),
            )
        lists = {key: column for key, column in fields.items() if isinstance(column, Jagged)}
        if not lists:
            return ak.zip(fields)
        offsets = next(iter(lists.values())).offsets
        if any(not np.array_equal(column.offsets, offsets) for column in lists.values()):
            raise DataError(f"columns of {name!r} differ in their number of objects")
        contents = [ak.contents.NumpyArray(column.values) for column in lists.values()]
        record = ak.contents.RecordArray(contents, list(lists), length=int(offsets[-1]))
        return ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(offsets), record))

    def rows(self, events: Iterable[int] | NDArray[Any]) -> Events:
        """The events with these numbers, or where a mask of the events' length is set."""
        index = np.asarray(events)
        if index.dtype == np.bool_:
            if len(index) != self._length:
                raise ValueError(f"a mask of {len(index)} entries cannot select from {self._length} events")
            index = np.flatnonzero(index)
        index = index.astype(np.int64)
        picked: dict[str, Column] = {
            name: column.rows(index) if isinstance(column, Jagged) else column[index]
            for name, column in self._columns.items()
        }
        return Events(len(index), picked, self.objects)

"""Pairs of a tag and a probe of one part, and every column one can ask of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from femtobarn.analyses.tagprobe.names import Name
from femtobarn.errors import DataError, nearest
from femtobarn.kernels.jagged import Jagged
from femtobarn.read.columns import Events

__all__ = ["Member", "Pairs"]

Floats = NDArray[np.float64]
Index = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Member:
    """The tags or the probes of pairs.

    Attributes
    ----------
    collection : str
        Prefix of their columns in the file, ``Electron_``.
    index : (p,) int64
        Positions in the flat columns of the collection (of a file of pairs: rows).
    derived : mapping of column name to a function that makes the whole collection's column
    """

    collection: str
    index: Index
    derived: Mapping[str, Callable[[], NDArray[Any]]] = field(default_factory=dict)

    def column(self, events: Events, name: str) -> NDArray[Any]:
        """(p,) one of its columns, read or derived."""
        full = f"{self.collection}{name}"
        if full in events:
            column = events[full]
            return np.asarray(column.values if isinstance(column, Jagged) else column)[self.index]
        if name in self.derived:
            return self.derived[name]()[self.index]
        raise DataError(
            f"there is no column {full!r}", near=nearest(full, events.names),
            action="columns are named as in the file",
        )  # fmt: skip

    def names(self, events: Events) -> list[str]:
        """Its columns that were read, and those derived."""
        read = [
            name.removeprefix(self.collection) for name in events.names if name.startswith(self.collection)
        ]
        return list(dict.fromkeys([*read, *self.derived]))

    def rows(self, keep: Mask) -> Member:
        return Member(self.collection, self.index[keep], self.derived)


@dataclass(frozen=True)
class Pairs:
    """Selected pairs.

    Attributes
    ----------
    events : Events
        All events of the part.
    event : (p,) int64
        Event of each pair, ascending.
    tag, probe : Member
    extra : {name: (p,) array}
        pair_mass and other columns of pairs.
    weights : {name: (n,) float64}
        Weights of all events of the part.
    """

    events: Events
    event: Index
    tag: Member
    probe: Member
    extra: Mapping[str, NDArray[Any]]
    weights: Mapping[str, Floats]

    def __len__(self) -> int:
        return len(self.event)

    @property
    def mass(self) -> Floats:
        """(p,) GeV."""
        return np.asarray(self.extra["pair_mass"], dtype=np.float64)

    def weight(self, name: str | None) -> Floats:
        """(p,) weights; ones for None."""
        if name is None:
            return np.ones(len(self.event))
        if name not in self.weights:
            if name in self.events:
                return np.asarray(self.events.flat(name), dtype=np.float64)[self.event]
            raise DataError(f"there is no weight {name!r}", near=nearest(name, self.weights),
                            action="weights: " + ", ".join(self.weights))  # fmt: skip
        return self.weights[name][self.event]

    def rows(self, keep: Mask) -> Pairs:
        """Those with ``keep`` set."""
        return Pairs(
            self.events, self.event[keep], self.tag.rows(keep), self.probe.rows(keep),
            {name: column[keep] for name, column in self.extra.items()}, self.weights,
        )  # fmt: skip

    def get(self, name: Name) -> NDArray[Any] | Jagged:
        """A column: one value a pair, or lists of the pair's event."""
        if name.side == "pair":
            return self.extra[name.column]
        if name.side != "event":
            member = self.probe if name.side == "probe" else self.tag
            return member.column(self.events, name.column)
        if name.column in self.weights:
            return self.weights[name.column][self.event]
        if name.column in self.extra:
            return self.extra[name.column]
        if name.column not in self.events:
            raise DataError(
                f"there is no column {name.column!r}", near=nearest(name.column, self.events.names)
            )
        column = self.events[name.column]
        return column.rows(self.event) if isinstance(column, Jagged) else np.asarray(column)[self.event]

    def rows_of(self, events: Index, name: Name) -> NDArray[Any] | Jagged:
        """A column of the events with these numbers."""
        column = self.events[name.column]
        return column.rows(events) if isinstance(column, Jagged) else np.asarray(column)[events]

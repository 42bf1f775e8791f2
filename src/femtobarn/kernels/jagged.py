"""Jagged columns as two flat arrays, and the step from jagged to dense.

Most selections end with "exactly four leptons" or "the two leading photons".  From there on a dense
``(events, k)`` table of object positions is simpler and faster than any jagged algebra.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Jagged", "Mask", "exactly", "leading", "scatter"]

Mask = NDArray[np.bool_]
Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Jagged:
    """A column with a varying number of values per event.

    Attributes
    ----------
    offsets : (n + 1,) int64
        Event ``i`` owns ``values[offsets[i]:offsets[i + 1]]``; the first offset is 0.
    values : (m,) array
    """

    offsets: Index
    values: NDArray[Any]

    def __post_init__(self) -> None:
        if self.offsets[0] != 0 or self.offsets[-1] != len(self.values):
            raise ValueError("offsets must start at 0 and end at the number of values")

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def counts(self) -> Index:
        """(n,) number of values of each event."""
        return np.diff(self.offsets)

    @property
    def parents(self) -> Index:
        """(m,) event number of each value."""
        return np.repeat(np.arange(len(self), dtype=np.int64), self.counts)

    def like(self, values: NDArray[Any]) -> Jagged:
        """The same structure around other values."""
        return Jagged(self.offsets, values)

    def rows(self, events: Index) -> Jagged:
        """The column of the events with these (ascending or not) numbers."""
        counts = self.counts[events]
        offsets = np.zeros(len(events) + 1, dtype=np.int64)
        np.cumsum(counts, out=offsets[1:])
        inside = np.arange(offsets[-1], dtype=np.int64) - np.repeat(offsets[:-1], counts)
        return Jagged(offsets, self.values[np.repeat(self.offsets[events], counts) + inside])

    def where(self, keep: Mask) -> Jagged:
        """The values with ``keep`` (m,) set; events may become empty."""
        if len(keep) != len(self.values):
            raise ValueError(f"a mask of {len(keep)} entries cannot select from {len(self.values)} values")
        passed = np.zeros(len(keep) + 1, dtype=np.int64)
        np.cumsum(keep, out=passed[1:])
        return Jagged(passed[self.offsets], self.values[keep])


def exactly(k: int, offsets: Index, keep: Mask) -> tuple[Index, Index]:
    """Events with exactly ``k`` kept objects, and where those objects are.

    Parameters
    ----------
    k : int
    offsets : (n + 1,) int64
    keep : (m,) bool

    Returns
    -------
    events : (r,) int64
        Numbers of the events.
    index : (r, k) int64
        Positions of their kept objects in the flat columns, in stored order.
    """
    kept = Jagged(offsets, keep).where(keep)
    events = np.flatnonzero(kept.counts == k)
    positions = np.flatnonzero(keep)
    return events, positions[kept.offsets[events][:, None] + np.arange(k)]


def leading(k: int, offsets: Index, keep: Mask, order: NDArray[np.floating[Any]]) -> tuple[Index, Index]:
    """Events with at least ``k`` kept objects, and the ``k`` highest in ``order``.

    Equal values keep their stored order.

    Parameters
    ----------
    k : int
    offsets : (n + 1,) int64
    keep : (m,) bool
    order : (m,) float
        What to sort by, descending; usually pT.

    Returns
    -------
    events : (r,) int64
    index : (r, k) int64
        Positions in the flat columns, highest first.
    """
    kept = Jagged(offsets, keep).where(keep)
    positions = np.flatnonzero(keep)
    parents = kept.parents
    positions = positions[np.lexsort((positions, -order[positions], parents))]
    events = np.flatnonzero(kept.counts >= k)
    return events, positions[kept.offsets[events][:, None] + np.arange(k)]


def scatter(length: int, events: Index, passed: Any) -> Mask:
    """(length,) mask that is ``passed`` (a boolean, or one a row) at these events and False elsewhere."""
    mask = np.zeros(length, dtype=np.bool_)
    mask[events] = passed
    return mask

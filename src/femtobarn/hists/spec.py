"""What to histogram: an axis or a few, a title, a unit.  Regular and variable binnings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Axis", "HistSpec", "regular", "variable"]


@dataclass(frozen=True, slots=True)
class Axis:
    """Bin edges of one observable.

    Attributes
    ----------
    name : str
    edges : (nbins + 1,) tuple of float
    label : str
        What a plot's axis says, without the unit.
    unit : str
    uniform : bool
        Whether the bins are equally wide (then filling needs no search).
    """

    name: str
    edges: tuple[float, ...]
    label: str = ""
    unit: str = ""
    uniform: bool = False

    def __post_init__(self) -> None:
        if len(self.edges) < 2 or any(b <= a for a, b in zip(self.edges, self.edges[1:], strict=False)):
            raise ValueError(f"axis {self.name!r}: edges must be at least two and rise strictly")

    @property
    def nbins(self) -> int:
        return len(self.edges) - 1

    def index(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """Bin of each value with flow: 0 underflow, ``nbins + 1`` overflow (and nan).

        Bins are half open: a value on an edge belongs to the bin above it, as everywhere in the field.
        """
        edges = np.asarray(self.edges)
        values = np.asarray(values, dtype=np.float64)
        found = np.searchsorted(edges, values, side="right")
        return np.where(np.isnan(values), self.nbins + 1, found).astype(np.int64)


def regular(nbins: int, low: float, high: float, name: str, *, label: str = "", unit: str = "") -> Axis:
    """An axis of ``nbins`` equal bins."""
    edges = tuple(float(edge) for edge in np.linspace(low, high, nbins + 1))
    return Axis(name, edges, label=label or name, unit=unit, uniform=True)


def variable(edges: NDArray[Any] | list[float], name: str, *, label: str = "", unit: str = "") -> Axis:
    """An axis with these edges."""
    return Axis(name, tuple(float(edge) for edge in edges), label=label or name, unit=unit)


@dataclass(frozen=True, slots=True)
class HistSpec:
    """A histogram to be filled: its name and axes.

    It is stored with the axes observable(s), region, process and variation.
    """

    name: str
    axes: tuple[Axis, ...]
    title: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """Bins with flow, per axis."""
        return tuple(axis.nbins + 2 for axis in self.axes)

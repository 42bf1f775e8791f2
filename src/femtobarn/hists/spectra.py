"""Many sparse spectra on one absolute grid, with exact sums: equal bits for any cut into parts.

A *survey* of spectra is two tables.  One row a *state* (a group of events): how many there are.  One row
a *spectrum* (a state and an item of it): number of values, exact sum, smallest, largest, values beyond
the grid, and the filled bins.  Merging is addition of integers, hence exact, associative and commutative.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.kernels.exact import DIGITS, carried, rounded, unpacked
from femtobarn.kernels.merging import count_bins, merge_bins, pair_rows

__all__ = ["ARRAYS", "Grid", "Kept", "Spectra", "Spectrum", "count_type"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Grid:
    """Bins ``[k width, (k + 1) width)`` from 0 to ``bins * width``; what lies beyond is overflow."""

    width: float
    bins: int

    @property
    def high(self) -> float:
        return self.width * self.bins

    @property
    def bin_type(self) -> type:
        """Type that numbers the bins: millions of them are kept."""
        return np.uint16 if self.bins <= 1 << 16 else np.uint32


@dataclass(frozen=True, slots=True)
class Kept:
    """The values themselves, where somebody asked for them: those of one part.

    Attributes
    ----------
    part : int
    of, item : (g,) int64
        State and item of each spectrum.
    offsets : (g + 1,) int64
    values : (n,) float64
        Values of spectrum i are ``values[offsets[i]:offsets[i + 1]]``, in order of events.
    """

    part: int
    of: Ints
    item: Ints
    offsets: Ints
    values: Floats


#: Columns of a survey with their shape and type (bins and counts: as narrow as they can be).
ARRAYS: Final[Mapping[str, tuple[tuple[int, ...], type]]] = {
    "state": ((), np.int64), "state_events": ((), np.int64), "state_sumw": ((DIGITS,), np.int64),
    "of": ((), np.int64), "item": ((), np.int64), "n": ((), np.int64), "total": ((DIGITS,), np.int64),
    "low": ((), np.float64), "high": ((), np.float64), "overflow": ((), np.int64),
    "sumw": ((DIGITS,), np.int64), "sumw2": ((DIGITS,), np.int64),
    "offsets": ((), np.int64), "bins": ((), np.uint16), "counts": ((), np.uint32),
    "bin_sumw": ((DIGITS,), np.uint32), "bin_sumw2": ((DIGITS,), np.uint32),
}  # fmt: skip


def count_type(largest: int) -> type:
    """Type of the counts of bins of which none exceeds this."""
    return np.uint32 if largest < 1 << 32 else np.int64


def _empty(name: str) -> NDArray[Any]:
    shape, kind = ARRAYS[name]
    return np.zeros((1 if name == "offsets" else 0, *shape), dtype=kind)


@dataclass(frozen=True, slots=True)
class Spectrum:
    """One spectrum with its sums rounded."""

    state: int
    item: int
    n: int
    total: float
    low: float
    high: float
    overflow: int
    sumw: float
    sumw2: float
    bins: Ints
    counts: Ints
    values: Floats
    variances: Floats


@dataclass
class Spectra:
    """A survey of spectra of one dataset.

    Attributes
    ----------
    grid : Grid
    states_of : str
        What the packed states mean (for checking that two surveys can be added).
    items : tuple of str
        Names of the items that ``item`` numbers.
    weighted : bool
        Whether events carry weights; if not, sums of weights are the counts and are not kept.
    names : {state: name}
    state, state_events, state_sumw : (s,), (s,), (s, 8)
        Packed states in ascending order; events and exact sum of weights of each.
    of, item : (g,)
        State and item of each spectrum, ascending.
    n, total, low, high, overflow, sumw, sumw2 : (g,) or (g, 8)
    offsets, bins, counts, bin_sumw, bin_sumw2 : (g + 1,), (b,) ...
        Filled bins of spectrum i are ``offsets[i]:offsets[i + 1]``, ascending.  There are millions, so
        they are kept narrow: bins as :attr:`Grid.bin_type`, counts as uint32 until one is too large, sums
        packed (:func:`femtobarn.kernels.exact.packed`).
    kept : list of Kept
    """

    grid: Grid
    states_of: str
    items: tuple[str, ...]
    weighted: bool = False
    names: dict[int, str] = field(default_factory=dict)
    state: Ints = field(default_factory=lambda: _empty("state"))
    state_events: Ints = field(default_factory=lambda: _empty("state_events"))
    state_sumw: Ints = field(default_factory=lambda: _empty("state_sumw"))
    of: Ints = field(default_factory=lambda: _empty("of"))
    item: Ints = field(default_factory=lambda: _empty("item"))
    n: Ints = field(default_factory=lambda: _empty("n"))
    total: Ints = field(default_factory=lambda: _empty("total"))
    low: Floats = field(default_factory=lambda: _empty("low"))
    high: Floats = field(default_factory=lambda: _empty("high"))
    overflow: Ints = field(default_factory=lambda: _empty("overflow"))
    sumw: Ints = field(default_factory=lambda: _empty("sumw"))
    sumw2: Ints = field(default_factory=lambda: _empty("sumw2"))
    offsets: Ints = field(default_factory=lambda: _empty("offsets"))
    bins: NDArray[Any] = field(default_factory=lambda: _empty("bins"))
    counts: NDArray[Any] = field(default_factory=lambda: _empty("counts"))
    bin_sumw: NDArray[np.uint32] = field(default_factory=lambda: _empty("bin_sumw"))
    bin_sumw2: NDArray[np.uint32] = field(default_factory=lambda: _empty("bin_sumw2"))
    kept: list[Kept] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.of)

    def __add__(self, other: Spectra) -> Spectra:
        """Both surveys as one; commutative and associative to the last bit."""
        mine, theirs = ((s.grid, s.states_of, s.items, s.weighted) for s in (self, other))
        if mine != theirs:
            raise ValueError("surveys of other states, items or grids cannot be added")
        if not len(other.state) and not other.kept:
            return self
        if not len(self.state) and not self.kept:
            return other
        kept = sorted((*self.kept, *other.kept), key=lambda item: item.part)
        names = self.names | other.names
        return Spectra(
            self.grid,
            self.states_of,
            self.items,
            self.weighted,
            names=names,
            kept=kept,
            **_states(self, other),
            **_spectra(self, other),
        )

    def events_of_states(self) -> Ints:
        """(s,) events of each state; where only values were known, as many as its largest spectrum has."""
        most = np.zeros(len(self.state), dtype=np.int64)
        np.maximum.at(most, np.searchsorted(self.state, self.of), self.n)
        return np.where(self.state_events > 0, self.state_events, most)

    def same(self, other: Spectra) -> bool:
        """Whether two surveys agree bit for bit."""
        return (self.grid, self.states_of, self.items, self.weighted) == (
            other.grid, other.states_of, other.items, other.weighted,
        ) and all(np.array_equal(getattr(self, name), getattr(other, name)) for name in ARRAYS)  # fmt: skip

    def totals(self) -> Floats:
        """(g,) sums of the values, rounded once."""
        return rounded(self.total)

    def sums_of_weights(self) -> tuple[Floats, Floats]:
        """(g,) sums of weights and of squared weights."""
        if not self.weighted:
            return self.n.astype(np.float64), self.n.astype(np.float64)
        return rounded(self.sumw), rounded(self.sumw2)

    def spectrum(self, index: int, total: float | None = None) -> Spectrum:
        """One spectrum, its sums rounded; ``total`` is that of :meth:`totals`, where it is known already."""
        at = slice(int(self.offsets[index]), int(self.offsets[index + 1]))
        bins, counts = self.bins[at].astype(np.int64), self.counts[at].astype(np.int64)
        if self.weighted:
            values, variances = (rounded(unpacked(sums[at])) for sums in (self.bin_sumw, self.bin_sumw2))
            sumw, sumw2 = float(rounded(self.sumw[index])), float(rounded(self.sumw2[index]))
        else:
            values = variances = counts.astype(np.float64)
            sumw = sumw2 = float(self.n[index])
        return Spectrum(
            int(self.of[index]), int(self.item[index]), int(self.n[index]),
            float(rounded(self.total[index])) if total is None else total,
            float(self.low[index]), float(self.high[index]), int(self.overflow[index]),
            sumw, sumw2, bins, counts, values, variances,
        )  # fmt: skip


def _states(a: Spectra, b: Spectra) -> dict[str, Any]:
    in_a, in_b = pair_rows(a.state, np.zeros_like(a.state), b.state, np.zeros_like(b.state))
    out = {
        "state": np.where(in_a >= 0, _rows(a.state, in_a), _rows(b.state, in_b)),
        "state_events": _rows(a.state_events, in_a) + _rows(b.state_events, in_b),
    }
    if a.weighted:
        out["state_sumw"] = carried(_rows(a.state_sumw, in_a) + _rows(b.state_sumw, in_b))
    return out


def _spectra(a: Spectra, b: Spectra) -> dict[str, Any]:
    in_a, in_b = pair_rows(a.of, a.item, b.of, b.item)
    out: dict[str, Any] = {
        name: np.where(in_a >= 0, _rows(getattr(a, name), in_a), _rows(getattr(b, name), in_b))
        for name in ("of", "item")
    }
    for name in ("n", "overflow", "total", *(("sumw", "sumw2") if a.weighted else ())):
        column = _rows(getattr(a, name), in_a) + _rows(getattr(b, name), in_b)
        out[name] = carried(column) if column.ndim == 2 else column
    out["low"] = np.minimum(_rows(a.low, in_a, np.inf), _rows(b.low, in_b, np.inf))
    out["high"] = np.maximum(_rows(a.high, in_a, -np.inf), _rows(b.high, in_b, -np.inf))
    return out | _bins(a, b, in_a, in_b)


def _bins(a: Spectra, b: Spectra, in_a: Ints, in_b: Ints) -> dict[str, Any]:
    offsets = count_bins(in_a, in_b, a.offsets, a.bins, b.offsets, b.bins)
    number = int(offsets[-1])
    largest = int(a.counts.max(initial=0)) + int(b.counts.max(initial=0))
    sums = (number if a.weighted else 0, DIGITS)
    out = {
        "offsets": offsets,
        "bins": np.empty(number, dtype=a.grid.bin_type),
        "counts": np.zeros(number, dtype=count_type(largest)),
        "bin_sumw": np.zeros(sums, dtype=np.uint32),
        "bin_sumw2": np.zeros(sums, dtype=np.uint32),
    }
    columns = ("offsets", "bins", "counts", "bin_sumw", "bin_sumw2")
    merge_bins(
        in_a, in_b, offsets, *(getattr(s, name) for s in (a, b) for name in columns),
        *(out[name] for name in columns[1:]),
    )  # fmt: skip
    return out


def _rows(column: NDArray[Any], where: Ints, otherwise: float = 0) -> NDArray[Any]:
    """Rows of a column; ``otherwise`` where they are not in it (-1)."""
    found = np.full((len(where), *column.shape[1:]), otherwise, dtype=column.dtype)
    present = where >= 0
    found[present] = column[where[present]]
    return found

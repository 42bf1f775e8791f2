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

from femtobarn.kernels.exact import DIGITS, carried, rounded

__all__ = ["ARRAYS", "Grid", "Kept", "Spectra", "Spectrum"]

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


#: Columns of a survey with their shape and type, as they are stored.
ARRAYS: Final[Mapping[str, tuple[tuple[int, ...], type]]] = {
    "state": ((), np.int64), "state_events": ((), np.int64), "state_sumw": ((DIGITS,), np.int64),
    "of": ((), np.int64), "item": ((), np.int64), "n": ((), np.int64), "total": ((DIGITS,), np.int64),
    "low": ((), np.float64), "high": ((), np.float64), "overflow": ((), np.int64),
    "sumw": ((DIGITS,), np.int64), "sumw2": ((DIGITS,), np.int64),
    "offsets": ((), np.int64), "bins": ((), np.int64), "counts": ((), np.int64),
    "bin_sumw": ((DIGITS,), np.int64), "bin_sumw2": ((DIGITS,), np.int64),
}  # fmt: skip


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
        Filled bins of spectrum i are ``offsets[i]:offsets[i + 1]``, ascending.
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
    bins: Ints = field(default_factory=lambda: _empty("bins"))
    counts: Ints = field(default_factory=lambda: _empty("counts"))
    bin_sumw: Ints = field(default_factory=lambda: _empty("bin_sumw"))
    bin_sumw2: Ints = field(default_factory=lambda: _empty("bin_sumw2"))
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

    def bin_weights(self) -> tuple[Floats, Floats]:
        """(b,) sums of weights and of squared weights of the filled bins."""
        if not self.weighted:
            return self.counts.astype(np.float64), self.counts.astype(np.float64)
        return rounded(self.bin_sumw), rounded(self.bin_sumw2)

    def spectrum(self, index: int, total: float | None = None) -> Spectrum:
        """One spectrum, its sums rounded; ``total`` is that of :meth:`totals`, where it is known already."""
        at = slice(int(self.offsets[index]), int(self.offsets[index + 1]))
        counts = self.counts[at]
        if self.weighted:
            values, variances = rounded(self.bin_sumw[at]), rounded(self.bin_sumw2[at])
            sumw, sumw2 = float(rounded(self.sumw[index])), float(rounded(self.sumw2[index]))
        else:
            values = variances = counts.astype(np.float64)
            sumw = sumw2 = float(self.n[index])
        return Spectrum(
            int(self.of[index]), int(self.item[index]), int(self.n[index]),
            float(rounded(self.total[index])) if total is None else total,
            float(self.low[index]), float(self.high[index]), int(self.overflow[index]),
            sumw, sumw2, self.bins[at], counts, values, variances,
        )  # fmt: skip


def _states(a: Spectra, b: Spectra) -> dict[str, Any]:
    state = np.concatenate([a.state, b.state])
    order = np.argsort(state, kind="stable")
    first = _firsts(state[order])
    joined = {
        name: np.concatenate([getattr(a, name), getattr(b, name)])[order]
        for name in ("state_events", "state_sumw")
        if name != "state_sumw" or a.weighted
    }
    out: dict[str, Any] = {"state": state[order][first]}
    for name, column in joined.items():
        total = np.add.reduceat(column, first) if len(first) else column
        out[name] = carried(total) if name == "state_sumw" else total
    return out


def _spectra(a: Spectra, b: Spectra) -> dict[str, Any]:
    of, item = (np.concatenate([getattr(a, name), getattr(b, name)]) for name in ("of", "item"))
    if not len(of):
        return {}
    order = np.lexsort((item, of))
    first = _firsts(of[order], item[order])
    out: dict[str, Any] = {"of": of[order][first], "item": item[order][first]}
    how: dict[str, Any] = {
        "n": np.add,
        "overflow": np.add,
        "total": np.add,
        "low": np.minimum,
        "high": np.maximum,
    }
    if a.weighted:
        how |= {"sumw": np.add, "sumw2": np.add}
    for name, function in how.items():
        column = function.reduceat(np.concatenate([getattr(a, name), getattr(b, name)])[order], first)
        out[name] = carried(column) if column.ndim == 2 else column
    # Row of the merged table that each spectrum became.
    row = np.empty(len(of), dtype=np.int64)
    row[order] = np.repeat(np.arange(len(first)), np.diff([*first, len(of)]))
    filled = np.concatenate([np.diff(a.offsets), np.diff(b.offsets)])
    owner = np.repeat(row, filled)
    bins = np.concatenate([a.bins, b.bins])
    place = np.lexsort((bins, owner))
    at = _firsts(owner[place], bins[place])
    names = ("counts", "bin_sumw", "bin_sumw2") if a.weighted else ("counts",)
    for name in names:
        column = np.concatenate([getattr(a, name), getattr(b, name)])[place]
        column = np.add.reduceat(column, at) if len(at) else column
        out[name] = carried(column) if column.ndim == 2 else column
    out["bins"] = bins[place][at]
    counts = np.bincount(owner[place][at], minlength=len(first))
    out["offsets"] = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return out


def _firsts(*columns: Ints) -> Ints:
    """Where a new combination begins in sorted columns."""
    length = len(columns[0])
    if not length:
        return np.zeros(0, dtype=np.int64)
    new = np.zeros(length, dtype=np.bool_)
    new[0] = True
    for column in columns:
        new[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(new)

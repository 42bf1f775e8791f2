"""Sums that do not depend on how the events were cut into parts.

Every sum of weights is kept as an unevaluated pair (value, compensation), Knuth's two-sum.  Adding a
million weights in one part or in ten thousand gives the same total to the last bits of float64, and
merging is addition of such pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from femtobarn.hists.spec import HistSpec

__all__ = ["NOMINAL_KEY", "Compensated", "Histogram", "Key"]

Array = NDArray[np.float64]
#: region, process (a dataset until normalisation), variation
Key = tuple[str, str, str]
NOMINAL_KEY = "nominal"


@numba.njit(cache=True)
def _fill(bins: Any, weights: Any, sums: Any) -> None:
    """Add weights (n,) into ``sums`` (4, nbins): sumw, its compensation, sumw2, its compensation."""
    for i in range(bins.shape[0]):
        b = bins[i]
        w = weights[i]
        x = w
        for row in range(0, 4, 2):
            s = sums[row, b]
            t = s + x
            v = t - s
            sums[row + 1, b] += (s - (t - v)) + (x - v)
            sums[row, b] = t
            x = w * w


@numba.njit(cache=True)
def _fill_each(bins: Any, weights: Any, sums: Any) -> None:
    """Add weights (n, k) into ``sums`` (k, 4, nbins); the bins are looked up once for all k."""
    for i in range(bins.shape[0]):
        b = bins[i]
        for k in range(weights.shape[1]):
            x = weights[i, k]
            w = x
            for row in range(0, 4, 2):
                s = sums[k, row, b]
                t = s + x
                v = t - s
                sums[k, row + 1, b] += (s - (t - v)) + (x - v)
                sums[k, row, b] = t
                x = w * w


@numba.njit(cache=True)
def _sum_pairs(values: Any) -> Any:
    """Sum of the values and of their squares, each with its compensation."""
    s, c, s2, c2 = 0.0, 0.0, 0.0, 0.0
    for x in values:
        t = s + x
        v = t - s
        c += (s - (t - v)) + (x - v)
        s = t
        y = x * x
        t = s2 + y
        v = t - s2
        c2 += (s2 - (t - v)) + (y - v)
        s2 = t
    return s, c, s2, c2


def _two_sum(a: Any, b: Any) -> tuple[Any, Any]:
    """A + b as a rounded sum and its exact error (Knuth, The Art of Computer Programming 2, 4.2.2)."""
    s = a + b
    v = s - a
    return s, (a - (s - v)) + (b - v)


def _add(a: Array, b: Array) -> Array:
    """Sum of two arrays of (value, compensation) row pairs."""
    out = np.empty_like(a)
    for row in range(0, len(a), 2):
        total, error = _two_sum(a[row], b[row])
        out[row], out[row + 1] = _two_sum(total, error + (a[row + 1] + b[row + 1]))
    return out


@dataclass(frozen=True, slots=True)
class Compensated:
    """A float that remembers what rounding took away."""

    value: float = 0.0
    compensation: float = 0.0

    @classmethod
    def of(cls, values: NDArray[Any] | float) -> Compensated:
        """The sum of an array."""
        return cls.with_squares(values)[0]

    @classmethod
    def with_squares(cls, values: NDArray[Any] | float) -> tuple[Compensated, Compensated]:
        """The sum of an array and that of its squares."""
        s, c, s2, c2 = _sum_pairs(np.atleast_1d(np.asarray(values, dtype=np.float64)))
        return cls(float(s), float(c)), cls(float(s2), float(c2))

    def __add__(self, other: Compensated) -> Compensated:
        total, error = _two_sum(self.value, other.value)
        return Compensated(*_two_sum(total, error + (self.compensation + other.compensation)))

    def __float__(self) -> float:
        return self.value + self.compensation


class Histogram:
    """Weighted counts of one :class:`HistSpec`, one dense block per (region, process, variation).

    Only categories that were touched take memory; ``+`` merges the union of categories.
    """

    __slots__ = ("blocks", "spec")

    def __init__(self, spec: HistSpec, blocks: dict[Key, Array] | None = None) -> None:
        self.spec = spec
        self.blocks: dict[Key, Array] = blocks or {}

    def block(self, key: Key) -> Array:
        """(4, bins with flow, flattened) pair sums of a category, created empty when new."""
        found = self.blocks.get(key)
        if found is None:
            found = self.blocks[key] = np.zeros((4, int(np.prod(self.spec.shape))))
        return found

    def fill(self, key: Key, *values: NDArray[Any], weight: NDArray[Any] | float = 1.0) -> None:
        """Add events: one array of values an axis, all of one length."""
        bins = self._bins(values)
        weights = np.broadcast_to(np.asarray(weight, dtype=np.float64), bins.shape)
        _fill(bins, weights, self.block(key))

    def fill_each(self, keys: Sequence[Key], *values: NDArray[Any], weights: NDArray[Any]) -> None:
        """Add the same events to several categories at once, with (n, keys) weights.

        The bins are found once: so a weight variation costs an addition an event.
        """
        bins = self._bins(values)
        if weights.shape != (len(bins), len(keys)):
            raise ValueError(f"histogram {self.spec.name!r}: weights must be (events, categories)")
        sums = np.stack([self.block(key) for key in keys])
        _fill_each(bins, np.ascontiguousarray(weights, dtype=np.float64), sums)
        for key, block in zip(keys, sums, strict=True):
            self.blocks[key] = block

    def _bins(self, values: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
        """Flat bin numbers (flow included) of equally long arrays, one an axis."""
        if len(values) != len(self.spec.axes):
            raise ValueError(
                f"histogram {self.spec.name!r} has {len(self.spec.axes)} axes, not {len(values)}"
            )
        length = len(values[0])
        bins = np.zeros(length, dtype=np.int64)
        for axis, array in zip(self.spec.axes, values, strict=True):
            if len(array) != length:
                raise ValueError(f"histogram {self.spec.name!r}: values differ in length")
            bins = bins * (axis.nbins + 2) + axis.index(array)
        return bins

    def fill_binned(self, key: Key, sumw: NDArray[Any], sumw2: NDArray[Any]) -> None:
        """Add an already binned spectrum with flow bins (published histograms)."""
        extra = np.zeros((4, int(np.prod(self.spec.shape))))
        extra[0], extra[2] = np.ravel(sumw), np.ravel(sumw2)
        self.blocks[key] = _add(self.block(key), extra)

    def absorb(self, other: Histogram) -> None:
        """Add another histogram to this one, in place."""
        if self.spec != other.spec:
            raise ValueError(f"histogram {self.spec.name!r}: binnings differ, cannot add")
        for key, block in other.blocks.items():
            self.blocks[key] = _add(self.blocks[key], block) if key in self.blocks else block

    def __add__(self, other: Histogram) -> Histogram:
        total = Histogram(self.spec, dict(self.blocks))
        total.absorb(other)
        return total

    def values(self, key: Key, *, flow: bool = False) -> Array:
        """Sums of weights of a category (zeros if it was never filled)."""
        return self._row(key, 0, flow=flow)

    def variances(self, key: Key, *, flow: bool = False) -> Array:
        """Sums of squared weights of a category."""
        return self._row(key, 2, flow=flow)

    def _row(self, key: Key, row: int, *, flow: bool) -> Array:
        block = self.blocks.get(key)
        shape = self.spec.shape
        array = np.zeros(shape) if block is None else (block[row] + block[row + 1]).reshape(shape)
        return array if flow else array[tuple(slice(1, -1) for _ in shape)]

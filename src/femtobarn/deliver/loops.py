"""Values inside nested lambdas, as arrays: which loops a value varies with, and how values meet.

Every lambda over a sequence opens a loop.  A :class:`Value` is an awkward array whose first dimensions are
the loops it varies with, outermost first; what is left beyond them makes it a sequence.  Two values meet by
spreading each over the loops it lacks, so ``e.jets.Select(lambda j: e.muons.Select(lambda m: j.pt + m.pt))``
pairs every jet with every muon, as the text says.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

__all__ = ["Value", "depth", "mask_at", "meet", "over", "skeleton", "spread", "union"]


@dataclass(frozen=True, slots=True)
class Value:
    """An array and the loops it varies with.

    Attributes
    ----------
    array : awkward array, or a plain constant if ``loops`` is empty and ``stream`` is False
    loops : numbers of loops, outer ones first; they grow inwards
    entries : for a stream of events: their numbers in the file, for messages
    whole : it is a stream of whole events, not yet of columns that the query has named
    """

    array: Any
    loops: tuple[int, ...] = ()
    entries: NDArray[np.int64] | None = None
    whole: bool = False

    @property
    def is_constant(self) -> bool:
        return not isinstance(self.array, ak.Array)

    @property
    def is_sequence(self) -> bool:
        return not self.is_constant and depth(self.array) > len(self.loops)


def depth(array: ak.Array) -> int:
    """Number of dimensions; text counts as one value, a record as one whatever it holds."""
    return int(array.layout.purelist_depth)


def spread(value: Value, loops: tuple[int, ...]) -> Any:
    """The array with a dimension of length one for each loop it lacks."""
    if value.is_constant or value.loops == loops:
        return value.array
    missing = [loop not in value.loops for loop in loops]
    if not value.is_sequence:
        # Plain values broadcast inwards by themselves: only gaps before the last loop matter.
        while missing and missing[-1]:
            missing.pop()
    if not any(missing):
        return value.array
    return value.array[tuple(np.newaxis if gap else slice(None) for gap in missing)]


def union(values: tuple[Value, ...]) -> tuple[int, ...]:
    """All loops that any of the values varies with, outer ones first."""
    return tuple(sorted({loop for value in values for loop in value.loops}))


def meet(function: Callable[..., Any], *values: Value) -> Value:
    """Apply an element-by-element function to values of different loops."""
    loops = union(values)
    result = function(*(spread(value, loops) for value in values))
    return Value(_irregular(result, len(loops)), loops)


def _irregular(array: Any, dimensions: int) -> Any:
    """Loops are lists of any length, also where broadcasting made them regular."""
    if not isinstance(array, ak.Array) or dimensions < 2:
        return array
    for axis in range(1, min(dimensions, depth(array))):
        array = ak.from_regular(array, axis=axis)
    return array


def skeleton(value: Value) -> Value:
    """One number for each turn of a value's loops: what constants are spread over."""
    if len(value.loops) == 1:
        return Value(ak.Array(np.zeros(len(value.array), dtype=np.int8)), value.loops)
    return Value(ak.local_index(value.array, axis=len(value.loops) - 1), value.loops)


def over(value: Value, *others: Value) -> Value:
    """The value with one item for each turn of its own loops and those of the others."""
    loops = union((value, *others))
    if value.loops == loops and not value.is_constant:
        return value
    arrays = [spread(value, loops), *(spread(skeleton(other), loops) for other in others if other.loops)]
    if value.is_constant:
        shape = functools.reduce(np.add, arrays[1:])
        filled = ak.broadcast_arrays(value.array, shape)[0]
        return Value(_irregular(filled, len(loops)), loops)
    found = ak.broadcast_arrays(*arrays, depth_limit=len(loops))[0]
    return Value(_irregular(found, len(loops)), loops)


def mask_at(array: Any, condition: Any, dimensions: int) -> Any:
    """Keep what the condition says in the last of so many dimensions."""
    if dimensions == 1:
        return array[np.asarray(ak.to_numpy(condition), dtype=np.bool_)]
    return array[condition]

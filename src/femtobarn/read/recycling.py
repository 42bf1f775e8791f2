"""Memory of columns that nobody uses any more, for the columns of the next part.

The operating system gives memory page by page, and clears each: for a column that is filled once and dropped
this takes a third of the time of decompressing it.
"""

from __future__ import annotations

import sys
import threading
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Recycler", "recycled"]

#: Smaller arrays are recycled by the C library already.
_SMALL: Final = 1 << 17
#: What a thread keeps at most, in bytes; what is needed beyond it is fresh.
_MOST: Final = 1 << 28


class Recycler:
    """Buffers that are given again as soon as no array lies in them.

    Every view of an array refers to the array that owns the memory, however it was made, so the count of
    references to a buffer tells whether anybody could still look at what is in it.
    """

    def __init__(self) -> None:
        self._buffers: list[NDArray[np.uint8]] = []

    def empty(self, count: int, dtype: Any) -> NDArray[Any]:
        """An array with any content, as of ``np.empty``."""
        size = count * np.dtype(dtype).itemsize
        if size < _SMALL:
            return np.empty(count, dtype)
        numbers = range(len(self._buffers))
        unused = [number for number in numbers if _references(self._buffers, number) == _OWN]
        fitting = [number for number in unused if len(self._buffers[number]) >= size]
        if fitting:
            number = min(fitting, key=lambda number: len(self._buffers[number]))
        else:
            if unused:
                del self._buffers[unused[-1]]
            if sum(map(len, self._buffers)) + size > _MOST:
                return np.empty(count, dtype)
            # The next part may be a little larger.
            number = len(self._buffers)
            self._buffers.append(np.empty(size + size // 16, np.uint8))
        return self._buffers[number][:size].view(dtype)


def _references(buffers: list[NDArray[np.uint8]], number: int) -> int:
    return sys.getrefcount(buffers[number])


#: References to a buffer that only a recycler has.
_OWN: Final = _references([np.empty(0, np.uint8)], 0)

_threads: Final = threading.local()


def recycled(count: int, dtype: Any) -> NDArray[Any]:
    """An array with any content in memory of this thread that nobody uses any more."""
    recycler = getattr(_threads, "recycler", None)
    if recycler is None:
        recycler = _threads.recycler = Recycler()
    found: NDArray[Any] = recycler.empty(count, dtype)
    return found

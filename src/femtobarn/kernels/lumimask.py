"""Certified luminosity sections as sorted ranges, and membership of events in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LumiMask"]


@dataclass(frozen=True, slots=True)
class LumiMask:
    """Ranges of luminosity sections, sorted by run and first section.

    Attributes
    ----------
    runs, first, last : (k,) int64
        Section range ``first..last`` (both included) of a run; ranges of a run do not overlap.
    """

    runs: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]

    def __call__(self, run: NDArray[Any], lumi: NDArray[Any]) -> NDArray[np.bool_]:
        """(n,) whether each event's (run, luminosity section) is certified."""
        if not len(self.runs):
            return np.zeros(len(run), dtype=np.bool_)
        # One sortable number for a (run, section) pair; sections stay far below 2^24.
        starts = (self.runs << 24) + self.first
        wanted = (np.asarray(run, dtype=np.int64) << 24) + np.asarray(lumi, dtype=np.int64)
        at = np.searchsorted(starts, wanted, side="right") - 1
        inside: NDArray[np.bool_] = (
            (at >= 0) & (self.runs[at] == run) & (np.asarray(lumi, dtype=np.int64) <= self.last[at])
        )
        return inside

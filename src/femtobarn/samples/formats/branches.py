"""What a format is made of: branches, the stamp of a dataset, event numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from femtobarn.samples.events import Ints, RecoEvents

__all__ = ["Branches", "EventNumbers", "Format", "Jagged", "Stamp", "number_events"]


@dataclass(frozen=True, slots=True)
class Jagged:
    """A branch with ``counts`` entries an event: (n,) counts and the flat content."""

    counts: Ints
    content: NDArray[np.generic]


Branches = dict[str, NDArray[np.generic] | Jagged]


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a file says about its dataset in every event.

    Attributes
    ----------
    is_data : bool
    number : int
        Dataset identifier (ATLAS DSID); data carry their run number instead.
    xsec : float, pb
        Effective cross-section of the dataset.
    sumw, sumw2 : float
        Sums of the generator weights and of their squares.
    runs : tuple of (run, first section, last section)
        Runs of collision data, in the order taken, with their certified luminosity sections.
    mc_run : int
        Run number of simulated events.
    """

    is_data: bool
    number: int
    xsec: float
    sumw: float
    sumw2: float
    runs: tuple[tuple[int, int, int], ...]
    mc_run: int


@dataclass(frozen=True, slots=True)
class EventNumbers:
    """Run, luminosity section and event number of each event, (n,) int."""

    run: Ints
    section: Ints
    event: Ints


@dataclass(frozen=True, slots=True)
class Format:
    """How one release writes events.

    Attributes
    ----------
    tree : str
        Name of the TTree.
    counter : callable
        Branch name -> name of the branch that counts its entries.
    branches : callable
        Events, stamp and numbers -> branches, in file order.
    """

    tree: str
    counter: Callable[[str], str]
    branches: Callable[[RecoEvents, Stamp, EventNumbers], Branches]


def number_events(rng: np.random.Generator, n: int, stamp: Stamp) -> EventNumbers:
    """Unique event numbers that grow through a file; data are spread over the stamp's runs."""
    event = np.cumsum(rng.integers(1, 4000, n))
    if not stamp.is_data:
        return EventNumbers(np.full(n, stamp.mc_run), 1 + np.arange(n) // 100, event)
    which = np.sort(rng.integers(0, len(stamp.runs), n))
    run, first, last = np.array(stamp.runs, dtype=np.int64)[which].T
    return EventNumbers(run, rng.integers(first, last + 1), event)

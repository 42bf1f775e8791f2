"""Certifications as columns, and what was known before each of them.

A *protocol* says which rows a recommendation may look at and which of them counts as newest.  Every
ranker sees the past through :class:`Past`, so none can look at a later row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from femtobarn.catalog.runrecords import CLASSES, Pair
from femtobarn.errors import UsageError, nearest

__all__ = ["PROTOCOLS", "ClassHistory", "Events", "Past", "Protocol", "Target", "class_histories"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

PROTOCOLS: Final[tuple[str, ...]] = (
    "run-ordered", "run-ordered+express", "embargo", "append", "append-embargo",
)  # fmt: skip
EXPRESS: Final = 0
PROMPT: Final = 1
#: Codes of reconstructions; the first two are evaluated.
_EVALUATED: Final = ("express", "prompt")


@dataclass(frozen=True)
class Protocol:
    """Which rows are the past of an event; ``gap`` is the embargo G."""

    name: str
    gap: int = 0

    def __post_init__(self) -> None:
        if self.name not in PROTOCOLS:
            raise UsageError(f"there is no protocol {self.name!r}", where="--protocol",
                             near=nearest(self.name, PROTOCOLS),
                             action=f"known are {', '.join(PROTOCOLS)}")  # fmt: skip
        if self.gap < 0:
            raise UsageError(f"an embargo of {self.gap} is negative", where="--embargo")
        if self.gap and not self.name.endswith("embargo"):
            raise UsageError(f"the protocol {self.name} takes no embargo", where="--embargo",
                             action="use --protocol embargo or append-embargo")  # fmt: skip

    @property
    def by_order(self) -> bool:
        return self.name.startswith("append")


@dataclass(frozen=True)
class Events:
    """Certifications that are evaluated, a column each, one row an event.

    Attributes
    ----------
    run, reference, order : (n,) int64
    reco : (n,) int64
        0 express, 1 prompt.
    run_class : (n,) int64
        Position in ``CLASSES``.
    dataset : (n,) int64
        Equal numbers mean equal datasets; the numbers themselves mean nothing.
    dropped : {reason: count}
    """

    run: Ints
    reco: Ints
    run_class: Ints
    reference: Ints
    order: Ints
    dataset: Ints
    dropped: dict[str, int]

    def __len__(self) -> int:
        return len(self.run)

    @classmethod
    def from_pairs(cls, pairs: Sequence[Pair], recos: Sequence[str] = _EVALUATED) -> Events:
        """Express and prompt events of a defined class; the others are counted, the class first.

        ``recos`` other than these two is for suggestions alone; a reconstruction's code is its position.
        """
        codes = {name: i for i, name in enumerate(recos)}
        defined = [pair for pair in pairs if pair.run_class in CLASSES]
        kept = [pair for pair in defined if pair.key.reco in codes]
        names: dict[str | None, int] = {}
        rows = [
            (
                pair.key.run, codes[pair.key.reco], CLASSES.index(pair.run_class), pair.reference.run,
                pair.order, names.setdefault(pair.dataset, len(names)),
            )
            for pair in kept
        ]  # fmt: skip
        table = np.array(rows, dtype=np.int64).reshape(-1, 6).T
        dropped = {"undefined_class": len(pairs) - len(defined), "other_reco": len(defined) - len(kept)}
        run, reco, run_class, reference, order, dataset = (np.ascontiguousarray(column) for column in table)
        return cls(run, reco, run_class, reference, order, dataset, dropped)


@dataclass(frozen=True)
class Target:
    """The certification a reference is wanted for.

    ``index`` is its row in the class (None for a run nobody has certified), ``dataset`` -1 if unknown.
    """

    run: int
    reco: int
    order: int
    dataset: int = -1
    index: int | None = None


@dataclass(frozen=True)
class Past:
    """The rows an answer may use, oldest first: the first ones of a history, or chosen positions."""

    history: ClassHistory
    rows: slice | Ints
    target: Target

    def __len__(self) -> int:
        return len(self.codes)

    @cached_property
    def codes(self) -> Ints:
        """(rows,) the references, as positions in ``history.references``."""
        return self.history.code[self.rows]

    @cached_property
    def reco(self) -> Ints:
        return self.history.reco[self.rows]

    @cached_property
    def run(self) -> Ints:
        return self.history.run[self.rows]

    @cached_property
    def same_reco(self) -> Ints:
        """Positions (in this past) of the rows of the target's reconstruction."""
        return np.flatnonzero(self.reco == self.target.reco)

    @cached_property
    def last_any(self) -> Ints:
        """(references,) position of each reference's last use, -1 for none."""
        return last_use(self.codes, np.arange(len(self)), len(self.history.references))

    @cached_property
    def last_same(self) -> Ints:
        """The same among the rows of the target's reconstruction."""
        return last_use(self.codes[self.same_reco], self.same_reco, len(self.history.references))

    @cached_property
    def candidates(self) -> Ints:
        """Codes of the distinct references, ascending."""
        return np.flatnonzero(self.last_any >= 0)


def last_use(codes: Ints, positions: Ints, size: int) -> Ints:
    """(size,) the last of the ascending positions at which each code appears; -1 for none."""
    last = np.full(size, -1, dtype=np.int64)
    last[codes] = positions  # of repeated indices the last assignment stays
    return last


class ClassHistory:
    """The events of one class, sorted as a protocol counts them: oldest first."""

    def __init__(self, events: Events, run_class: int | None, protocol: Protocol) -> None:
        mine = np.arange(len(events)) if run_class is None else np.flatnonzero(events.run_class == run_class)
        run, reco, order = events.run[mine], events.reco[mine], events.order[mine]
        # In one run prompt is newer than express; ties of a damaged order column fall back on that.
        keys = (reco, run, order) if protocol.by_order else (reco, run)
        sorting = np.lexsort(keys)
        self.protocol = protocol
        self.source: Ints = mine[sorting]
        self.run: Ints = run[sorting]
        self.reco: Ints = reco[sorting]
        self.order: Ints = order[sorting]
        self.dataset: Ints = events.dataset[self.source]
        self.references, code = np.unique(events.reference[self.source], return_inverse=True)
        self.code: Ints = code.astype(np.int64).reshape(-1)
        self._row: dict[tuple[int, int], int] = {
            (int(r), int(k)): i for i, (r, k) in enumerate(zip(self.run, self.reco, strict=True))
        }

    def __len__(self) -> int:
        return len(self.run)

    def target(self, row: int) -> Target:
        """An event of this history as a target."""
        return Target(
            int(self.run[row]), int(self.reco[row]), int(self.order[row]), int(self.dataset[row]), row
        )

    def find(self, run: int, reco: int) -> int | None:
        """Row of a run and reconstruction."""
        return self._row.get((run, reco))

    def past(self, target: Target) -> Past:
        """The rows that this protocol shows for a target."""
        name, gap = self.protocol.name, self.protocol.gap
        if self.protocol.by_order:
            last = target.order - gap if name == "append-embargo" else target.order - 1
            stop = int(np.searchsorted(self.order, last, side="right"))
            twins = np.flatnonzero(self.run[:stop] == target.run) if name == "append-embargo" else ()
            rows = np.delete(np.arange(stop), twins) if len(twins) else slice(stop)
            return Past(self, rows, target)
        stop = int(np.searchsorted(self.run, target.run - gap, side="left"))
        if name == "run-ordered+express" and target.reco == PROMPT:
            express = self.find(target.run, EXPRESS)
            if express is not None:
                return Past(self, np.append(np.arange(stop), express), target)
        return Past(self, slice(stop), target)


def class_histories(events: Events, protocol: Protocol) -> Iterator[tuple[str, ClassHistory]]:
    """The histories of all classes that have events."""
    for i, name in enumerate(CLASSES):
        if np.any(events.run_class == i):
            yield name, ClassHistory(events, i, protocol)

"""Event weights: generator weight times scale factors, sign kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from femtobarn.errors import DataError
from femtobarn.read.columns import Events

__all__ = ["FACTS", "GENERATOR", "Book", "event_weight", "generator_weight", "weigh"]

Array = NDArray[np.float64]
GENERATOR = "weight.generator"
#: What events of some releases state about their dataset, as columns ``fact.*``.
FACTS = ("xsec", "filteff", "kfactor", "sumw", "nevts")


class Book(Protocol):
    """Where totals and facts are written: an outcome."""

    def add_sum(self, name: str, values: Array) -> None: ...
    def add_fact(self, name: str, values: Array) -> None: ...


def generator_weight(events: Events, *, is_data: bool) -> Array:
    """(n,) generator weights, 1 for collision data (whatever number their files hold there)."""
    if is_data or GENERATOR not in events:
        return np.ones(len(events))
    weight = events.flat(GENERATOR).astype(np.float64)
    if not np.isfinite(weight).all():
        raise DataError(
            f"{int((~np.isfinite(weight)).sum())} events have a generator weight that is not a number",
            action="leave the file out, or fetch it again",
        )
    return weight


def event_weight(events: Events, factors: Sequence[str], *, is_data: bool) -> Array:
    """(n,) generator weight times the named scale factors; 1 for data.

    Negative weights stay negative: taking sizes biases samples made with subtraction schemes.
    """
    weight = generator_weight(events, is_data=is_data)
    if is_data:
        return weight
    for name in factors:
        if name in events:
            weight = weight * events.flat(name)
    if not np.isfinite(weight).all():
        raise DataError(
            f"{int((~np.isfinite(weight)).sum())} events have a scale factor that is not a number"
        )
    return weight


def weigh(events: Events, factors: Sequence[str], book: Book, *, is_data: bool) -> Array:
    """(n,) event weights, and the bookkeeping that normalisation needs.

    Adds the totals ``sumw`` and ``sumw_abs`` of the generator weights of *all* events, before any cut,
    and the facts that simulated events state about their dataset.
    """
    generated = generator_weight(events, is_data=is_data)
    book.add_sum("sumw", generated)
    book.add_sum("sumw_abs", np.abs(generated))
    for name in FACTS:
        if not is_data and f"fact.{name}" in events:
            book.add_fact(name, events.flat(f"fact.{name}"))
    return event_weight(events, factors, is_data=is_data)

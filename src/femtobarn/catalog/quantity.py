"""A measured value with its unit and origin; a missing one stays missing and says why."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Missing", "Quantity", "absent", "positive"]

Missing = Literal["absent", "not_applicable", "non_positive", "rejected"]


@dataclass(frozen=True, slots=True)
class Quantity:
    """One attribute of a run.

    Attributes
    ----------
    value : number, text, tuple of text or None
        None exactly if ``missing_reason`` is set; never 0, -1 or a mean in its place.
    unit : str
        Empty for counts and texts.
    source : str
        Where it was read (file and column, or the server and resource).
    missing_reason : str or None
        ``absent`` (nobody says), ``not_applicable``, ``non_positive`` (has no logarithm) or
        ``rejected`` (impossible, as a negative number of bunches).
    """

    value: float | int | str | bool | tuple[str, ...] | None
    unit: str = ""
    source: str = ""
    missing_reason: Missing | None = None

    def __post_init__(self) -> None:
        if (self.value is None) != (self.missing_reason is not None):
            raise ValueError(f"a value or a reason why there is none, not {self.value!r} and "
                             f"{self.missing_reason!r}")  # fmt: skip

    @property
    def number(self) -> float | None:
        """The value as a number; None for texts and missing values."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            return None
        return float(self.value)

    def to_json(self) -> dict[str, Any]:
        value = list(self.value) if isinstance(self.value, tuple) else self.value
        return {
            "value": value,
            "unit": self.unit,
            "source": self.source,
            "missing_reason": self.missing_reason,
        }


def absent(unit: str = "", source: str = "", reason: Missing = "absent") -> Quantity:
    """A value that is not there."""
    return Quantity(None, unit, source, reason)


def positive(quantity: Quantity) -> Quantity:
    """The quantity if it has a logarithm, else the same one marked ``non_positive``."""
    number = quantity.number
    if number is None:
        return quantity if quantity.value is None else absent(quantity.unit, quantity.source)
    if not math.isfinite(number) or number <= 0:
        return absent(quantity.unit, quantity.source, "non_positive")
    return quantity

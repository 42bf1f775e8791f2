"""What kind of value each statement of a cabinetry YAML takes, checked before anything is read."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

__all__ = ["wrong_values"]


def _number(value: Any) -> bool:
    """A finite number; YAML 1.1 reads ``1e3`` as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return False
    try:
        return math.isfinite(float(value))
    except ValueError:
        return False


def _text(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _binning(value: Any) -> bool:
    if not isinstance(value, list) or len(value) < 2 or not all(map(_number, value)):
        return False
    return all(a < b for a, b in itertools.pairwise(map(float, value)))


def _names(value: Any) -> bool:
    return _text(value) or (isinstance(value, list) and all(map(_text, value)))


def _fixed(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, dict) and _text(one.get("Name")) and _number(one.get("Value")) for one in value
    )


_Kind = tuple[Callable[[Any], bool], str]
_TEXT: Final[_Kind] = (_text, "a text")
_TEMPLATE: Final[_Kind] = (
    lambda value: isinstance(value, dict),
    "a set of keys such as {VariationPath: _up}",
)
_LIST_OF_NAMES: Final[_Kind] = (_names, "a name or a list of names")
_KINDS: Final[Mapping[str, _Kind]] = {
    "Name": _TEXT,
    "Type": _TEXT,
    "Measurement": _TEXT,
    "InputPath": _TEXT,
    "RegionPath": _TEXT,
    "SamplePath": _TEXT,
    "VariationPath": _TEXT,
    "ModifierName": _TEXT,
    "Regions": _LIST_OF_NAMES,
    "Samples": _LIST_OF_NAMES,
    "Up": _TEMPLATE,
    "Down": _TEMPLATE,
    "Smoothing": _TEMPLATE,
    "Binning": (_binning, "a list of at least two rising numbers"),
    "Bounds": (lambda v: isinstance(v, list) and len(v) == 2 and all(map(_number, v)), "two numbers"),
    "Nominal": (_number, "a number"),
    "Normalization": (_number, "a number"),
    "Fixed": (_fixed, "a list of {Name: ..., Value: number}"),
}
_SECTIONS: Final = ("Regions", "Samples", "Systematics", "NormFactors")


def wrong_values(document: Mapping[str, Any]) -> Iterator[str]:
    """One sentence for each value of a wrong kind; statements that are absent are not looked at."""
    general = document.get("General")
    if general is not None and not isinstance(general, dict):
        yield f"General is not a set of keys but {general!r}"
    elif general:
        yield from _of("General", general)
    for section in _SECTIONS:
        items = document.get(section)
        if items is not None and not isinstance(items, list):
            yield f"{section} is not a list but {items!r}"
            continue
        for number, item in enumerate(items or ()):
            if not isinstance(item, dict):
                yield f"{section}: entry {number + 1} is not a set of keys but {item!r}"
            else:
                yield from _of(f"{section} '{item.get('Name', number + 1)}'", item)


def _of(label: str, item: Mapping[str, Any]) -> Iterator[str]:
    for key, value in item.items():
        kind = _KINDS.get(key)
        # An empty statement is an absent one, except where it is needed.
        if kind is None or (value is None and key not in ("Name", "Measurement", "InputPath")):
            continue
        fits, expected = kind
        if not fits(value):
            yield f"{label}: {key} is not {expected} but {value!r}"
        elif isinstance(value, dict):
            yield from _of(f"{label}: {key}", value)

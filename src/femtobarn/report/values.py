"""Turn plain values into tables a person can read: numbers, errors, nested results."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

__all__ = [
    "Grid",
    "Group",
    "Node",
    "cell",
    "duration",
    "grid",
    "moment",
    "node",
    "number",
    "percent",
    "plus_minus",
    "size",
]

#: Rows of a list inside a result that are shown; the file has all.
_MOST_ROWS: Final = 40
_MOST_COLUMNS: Final = 12
_MOST_INLINE: Final = 8
_NOTHING: Final = "–"
_NO_NUMBER: Final = re.compile(r"\d\.\d+\.\d|\d-\d|\d:\d")
#: Keys that say what a row is about, in the order in which they head it.
_HEADS: Final = ("", "name", "parameter", "label", "dataset", "sample", "mu", "pull", "constraint")
_UNITS: Final = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True, slots=True)
class Grid:
    """A table of texts: the first column heads its row; ``numeric`` columns are right-aligned."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """A titled list of tables and groups."""

    title: str
    items: tuple[Grid | Group, ...]


Node = Grid | Group


def number(value: Any, digits: int = 4) -> str:
    """A number for reading: whole numbers in full, others to some significant digits."""
    if value is None:
        return _NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        text = f"{value:,}".replace(",", "\u202f") if abs(value) >= 10_000 else str(value)
        return text.replace("-", "−")
    if isinstance(value, float):
        if not math.isfinite(value):
            return _NOTHING
        if value.is_integer() and abs(value) < 1e15:
            return number(int(value))
        return _scientific(f"{value:.{digits}g}")
    return str(value)


def _scientific(text: str) -> str:
    """``1.2e-05`` as ``1.2 × 10⁻⁵``, with a real minus sign."""
    mantissa, _, exponent = text.partition("e")
    if exponent:
        raised = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        mantissa += f" × 10{raised}"
    return mantissa.replace("-", "−")


def plus_minus(value: float, up: float, down: float | None = None) -> str:
    """A value with its error to two digits, ``383 ± 188``; asymmetric ones as ``1.00 +0.49 −0.40``."""
    size_of_error = max(abs(up), abs(down or 0.0))
    if not math.isfinite(value) or not math.isfinite(size_of_error) or size_of_error == 0:
        return number(float(value))
    places = max(0, 1 - math.floor(math.log10(size_of_error)))
    if places > 6:
        return f"{number(value)} ± {number(size_of_error, 2)}"
    if down is None:
        return f"{value:.{places}f} ± {abs(up):.{places}f}".replace("-", "−")
    return f"{value:.{places}f} +{abs(up):.{places}f} −{abs(down):.{places}f}".replace("-", "−")


def percent(fraction: float | None) -> str:
    """A fraction in per cent: small losses are not rounded to nothing."""
    if fraction is None:
        return _NOTHING
    if 0 < fraction < 1e-4:
        return "< 0.01 %"
    return f"{100 * fraction:.3g} %"


def size(count: float | None) -> str:
    """A number of bytes."""
    if count is None:
        return _NOTHING
    left = float(count)
    for unit in _UNITS[:-1]:
        if left < 1000:
            return f"{left:.3g} {unit}"
        left /= 1000
    return f"{left:.3g} {_UNITS[-1]}"


def duration(seconds: float | None) -> str:
    """A time span."""
    if seconds is None:
        return _NOTHING
    if seconds < 120:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def moment(text: str) -> str:
    """A time as the manifest writes it (ISO 8601), to the minute."""
    try:
        when = dt.datetime.fromisoformat(text)
    except ValueError:
        return text
    zone = "" if when.tzinfo is None else f" {when.tzname()}"
    return f"{when:%Y-%m-%d %H:%M}{zone}"


def cell(value: Any) -> str | None:
    """The text of anything that fits into one cell; None for what does not."""
    if value is None or isinstance(value, str | bool | int | float):
        return number(value)
    if isinstance(value, Mapping):
        return _estimate(value)
    if isinstance(value, Sequence) and len(value) <= _MOST_INLINE:
        texts = [number(one) for one in value if one is None or isinstance(one, str | int | float)]
        return (", ".join(texts) or "none") if len(texts) == len(value) else None
    return None


def _estimate(value: Mapping[str, Any]) -> str | None:
    """A mapping with a value and its error as one text."""
    centre = value.get("value")
    allowed = {
        "value",
        "error",
        "error_up",
        "error_down",
        "hesse",
        "minos",
        "stat",
        "at_bound",
        "at_limit",
        "fixed",
    }
    if not isinstance(centre, int | float) or isinstance(centre, bool) or not set(value) <= allowed:
        return None
    up, down = value.get("error_up"), value.get("error_down")
    if up is None and isinstance(value.get("minos"), Sequence) and len(value["minos"]) == 2:
        down, up = value["minos"]
    if up is not None and down is not None:
        return plus_minus(float(centre), float(up), float(down))
    error = next((value[key] for key in ("error", "hesse", "stat") if value.get(key) is not None), None)
    return number(centre) if error is None else plus_minus(float(centre), float(error))


def grid(caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, note: str = "") -> Grid:
    """A table that finds out itself which columns hold numbers."""
    held = tuple(tuple(row) for row in rows)
    numeric = tuple(
        i > 0 and any(row[i] != "" for row in held) and all(_looks_numeric(row[i]) for row in held)
        for i in range(len(columns))
    )
    return Grid(caption, tuple(columns), held, numeric, note)


def _looks_numeric(text: str) -> bool:
    """Whether a text reads as a number with or without unit; dates, versions and sentences do not."""
    if text in ("", _NOTHING):
        return True
    return len(text) <= 40 and text.lstrip("−-+< ")[:1].isdigit() and not _NO_NUMBER.search(text)


def node(title: str, value: Any) -> Node | None:
    """Any plain value as tables: scalars in pairs, equal mappings in one table, the rest nested."""
    if isinstance(value, Mapping):
        return _mapping(title, value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return _sequence(title, value)
    return grid(title, ("quantity", "value"), [(title, number(value))])


def _mapping(title: str, value: Mapping[str, Any]) -> Node | None:
    if not value:
        return None
    if all(isinstance(v, Mapping) and v and cell(v) is None for v in value.values()):
        table = _records(title, [{"": key, **one} for key, one in value.items()])
        if table is not None:
            return table
    texts = {key: cell(one) if cell(one) is not None else _long(one) for key, one in value.items()}
    pairs = [(str(key), text) for key, text in texts.items() if text]
    rest = {key: value[key] for key, text in texts.items() if text is None}
    items: list[Node] = [grid(title, ("quantity", "value"), pairs)] if pairs else []
    items += [found for key, one in rest.items() if (found := node(str(key), one)) is not None]
    if len(items) == 1 and isinstance(items[0], Grid) and pairs:
        return items[0]
    return Group(title, tuple(items)) if items else None


def _sequence(title: str, value: Sequence[Any]) -> Node | None:
    if not value:
        return None
    if all(isinstance(one, Mapping) for one in value):
        return _records(title, list(value), flatten=True)
    text = cell(value)
    if text is not None:
        return grid(title, ("quantity", "value"), [(title, text)])
    return grid(title, ("quantity", "value"), [(title, _long(value) or "")])


def _long(value: Any) -> str | None:
    """What stands for a list of plain values, or of lists, that is too long for a page."""
    if (
        not isinstance(value, Sequence)
        or isinstance(value, str)
        or any(isinstance(v, Mapping) for v in value)
    ):
        return None
    return f"{len(value)} values, see fit.json"


def _records(title: str, rows: Sequence[Mapping[str, Any]], *, flatten: bool = False) -> Grid | None:
    """Mappings of cells as the rows of one table; None if that would hide what is in them."""
    flat = [_flat(row) if flatten else dict(row) for row in rows]
    if not flatten and not all(cell(v) is not None for row in flat for v in row.values()):
        return None
    keys = list(dict.fromkeys(key for row in flat for key, v in row.items() if cell(v) is not None))
    # Files have their keys sorted; a reader wants to know first what a row is about.
    keys.sort(key=lambda key: _HEADS.index(key) if key in _HEADS else len(_HEADS))
    shown = keys[:_MOST_COLUMNS]
    notes = []
    if len(rows) > _MOST_ROWS:
        notes.append(f"the first {_MOST_ROWS} of {len(rows)} rows")
    if len(keys) > len(shown):
        notes.append("not all columns")
    body = [[cell(row[key]) or "" if key in row else "" for key in shown] for row in flat[:_MOST_ROWS]]
    note = f"Shown: {', '.join(notes)}; fit.json has everything." if notes else ""
    return grid(title, [key or "name" for key in shown], body, note=note)


def _flat(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys, estimates kept whole."""
    out: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, Mapping) and cell(value) is None:
            out.update(_flat(value, f"{prefix}{key}."))
        else:
            out[f"{prefix}{key}"] = value
    return out

"""Where two outcomes differ, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import numpy as np

from femtobarn.hists import Compensated, Histogram
from femtobarn.outcome import Outcome

__all__ = ["difference", "require"]

#: What another way of adding may change (promise of the engine: sums of weights equal to 1e-12).
_TOLERANCE: Final = 1e-12
#: A sum that cancels has no relative precision; nothing that is counted is this small.
_TINY: Final = 1e-18


def require(kept: bool, message: str) -> None:  # noqa: FBT001 - reads like assert
    """Raise an AssertionError unless a promise is kept (``assert`` itself may be switched off)."""
    if not kept:
        raise AssertionError(message)


def difference(a: Outcome, b: Outcome, *, exact: bool = False, ordered: bool = True) -> str:
    """The first difference of two outcomes in words, empty if there is none.

    ``ordered`` compares rows of tables and the order of cuts, too; ``exact`` allows no rounding.
    """
    tolerance = 0.0 if exact else _TOLERANCE
    differences = _all_differences(a, b, tolerance, ordered=ordered)
    return next(iter(differences), "")


def _all_differences(a: Outcome, b: Outcome, tolerance: float, *, ordered: bool) -> Iterator[str]:
    for name in _either(a.histograms, b.histograms):
        yield from _histograms(name, a.histograms.get(name), b.histograms.get(name), tolerance)
    for dataset in _either(a.cutflows, b.cutflows):
        one, two = a.cutflow(dataset), b.cutflow(dataset)
        names = [[count.cut for count in flow] for flow in (one, two)]
        if names[0] != names[1] and (ordered or sorted(names[0]) != sorted(names[1])):
            yield f"cuts {names[0]} and {names[1]}"
            continue
        other = {count.cut: count for count in two}
        for count in one:
            twin = other[count.cut]
            scale = float(np.sqrt(max(count.sumw2, 0.0)))
            if count.events != twin.events:
                yield f"cut {count.cut!r}: {count.events} and {twin.events} events"
            if not _close(count.sumw, twin.sumw, tolerance, scale) or not _close(
                count.sumw2, twin.sumw2, tolerance
            ):
                yield f"cut {count.cut!r}: sums of weights {count.sumw!r} and {twin.sumw!r}"
    for dataset in _either(a.sums, b.sums):
        one_sums, two_sums = a.sums.get(dataset, {}), b.sums.get(dataset, {})
        for name in _either(one_sums, two_sums):
            values = [float(sums.get(name, Compensated())) for sums in (one_sums, two_sums)]
            if not _close(values[0], values[1], tolerance):
                yield f"sum {name!r}: {values[0]!r} and {values[1]!r}"
    if ordered:
        for name in _either(a.tables, b.tables):
            yield from _tables(name, a.table(name), b.table(name), tolerance)
    if a.facts != b.facts:
        yield f"facts {a.facts} and {b.facts}"
    if set(a.warnings) != set(b.warnings):
        yield f"warnings {sorted(a.warnings)} and {sorted(b.warnings)}"


def _either(one: Iterable[str], two: Iterable[str]) -> list[str]:
    return list(dict.fromkeys((*one, *two)))


def _close(x: float, y: float, tolerance: float, scale: float = 0.0) -> bool:
    """Equal within the tolerance of the larger size or of the scale; nan equals nan."""
    if x == y or (np.isnan(x) and np.isnan(y)):
        return True
    return bool(abs(x - y) <= tolerance * max(abs(x), abs(y), scale) + (_TINY if tolerance else 0.0))


def _histograms(name: str, a: Histogram | None, b: Histogram | None, tolerance: float) -> Iterator[str]:
    if a is None or b is None or a.spec != b.spec:
        yield f"histogram {name!r} is missing or binned differently in one"
        return
    for key in dict.fromkeys((*a.blocks, *b.blocks)):
        scale = np.sqrt(np.maximum(a.variances(key, flow=True), 0.0))
        for what, one, two in (
            ("sums of weights", a.values(key, flow=True), b.values(key, flow=True)),
            ("sums of squared weights", a.variances(key, flow=True), b.variances(key, flow=True)),
        ):
            size = np.maximum(np.maximum(np.abs(one), np.abs(two)), scale)
            wrong = ~((one == two) | (np.abs(one - two) <= tolerance * size))
            if wrong.any():
                where = tuple(int(i) for i in np.argwhere(wrong)[0])
                yield f"histogram {name!r} {key}, bin {where}: {what} {one[where]!r} and {two[where]!r}"


def _tables(name: str, a: Mapping[str, Any], b: Mapping[str, Any], tolerance: float) -> Iterator[str]:
    rows = [len(next(iter(table.values()))) if table else 0 for table in (a, b)]
    if rows[0] != rows[1]:
        yield f"table {name!r}: {rows[0]} and {rows[1]} rows"
        return
    if rows[0] and list(a) != list(b):
        yield f"table {name!r}: columns {list(a)} and {list(b)}"
        return
    for column in a if rows[0] else ():
        one, two = np.asarray(a[column]), np.asarray(b[column])
        if one.dtype.kind == "f" and two.dtype.kind == "f":
            same = np.isclose(one, two, rtol=tolerance, atol=0.0, equal_nan=True)
        else:
            same = np.atleast_1d(one == two)
        if not same.all():
            row = int(np.argmin(same))
            yield f"table {name!r}, row {row}, column {column!r}: {one[row]!r} and {two[row]!r}"

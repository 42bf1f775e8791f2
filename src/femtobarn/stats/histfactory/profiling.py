"""Profile likelihood: intervals, scans in one and two dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from femtobarn.errors import FitError, UsageError
from femtobarn.stats.histfactory.fitting import FitResult, Problem, fit, problem
from femtobarn.stats.minimise import FloatArray, Minimum, conditional, crossing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from femtobarn.stats.histfactory.likelihood import Data
    from femtobarn.stats.histfactory.model import Model

__all__ = [
    "CONTOUR_68",
    "CONTOUR_95",
    "ProfileResult",
    "Scan2DResult",
    "ScanResult",
    "profile",
    "scan",
    "scan2d",
]

#: Rise of -2 log L on the 68 % and 95 % contours of two parameters.
CONTOUR_68 = 2.30
CONTOUR_95 = 5.99


@dataclass(frozen=True, slots=True)
class ProfileResult:
    """Interval of a parameter where -2 log L, minimised over the others, rises by ``level``.

    ``up`` is positive and ``down`` negative, relative to ``value``; None with a reason (``hits_bound`` if the
    parameter's bound comes first).
    """

    parameter: str
    value: float
    level: float
    up: float | None
    down: float | None
    up_reason: str = ""
    down_reason: str = ""

    @property
    def hits_bound(self) -> bool:
        return "hits_bound" in (self.up_reason, self.down_reason)

    def to_json(self) -> dict[str, Any]:
        return {
            "parameter": self.parameter,
            "value": self.value,
            "level": self.level,
            "up": self.up,
            "down": self.down,
            "up_reason": self.up_reason,
            "down_reason": self.down_reason,
        }


@dataclass(frozen=True, slots=True)
class ScanResult:
    """Profile of one parameter: ``points`` of (value, rise of -2 log L); None where the fit failed."""

    parameter: str
    points: tuple[tuple[float, float | None], ...]

    def to_json(self) -> dict[str, Any]:
        return {"parameter": self.parameter, "points": [list(point) for point in self.points]}


@dataclass(frozen=True, slots=True)
class Scan2DResult:
    """Profile of two parameters on a grid.

    Attributes
    ----------
    x, y : (nx,), (ny,) float arrays
    rise : (nx, ny) float array
        Rise of -2 log L above the best fit; nan where a fit failed.
    """

    parameters: tuple[str, str]
    x: FloatArray
    y: FloatArray
    rise: FloatArray
    best: tuple[float, float]

    def to_json(self) -> dict[str, Any]:
        rows = [[None if np.isnan(v) else float(v) for v in row] for row in self.rise]
        return {
            "parameters": list(self.parameters),
            "x": self.x.tolist(),
            "y": self.y.tolist(),
            "delta_twice_nll": rows,
            "best": list(self.best),
            "levels": {"68": CONTOUR_68, "95": CONTOUR_95},
        }


def _prepared(
    model: Model,
    result: FitResult | None,
    data: npt.ArrayLike | Data | None,
    fixed: Mapping[str, float] | None,
) -> tuple[Problem, FitResult]:
    best = (result or fit(model, data=data, fixed=fixed)).require()
    return problem(model, data=data, fixed=fixed, start=best.values), best


def profile(
    model: Model,
    parameter: str,
    *,
    result: FitResult | None = None,
    data: npt.ArrayLike | Data | None = None,
    fixed: Mapping[str, float] | None = None,
    level: float = 1.0,
) -> ProfileResult:
    """Profile interval (MINOS) of a parameter.

    Parameters
    ----------
    result : FitResult, optional
        Best fit of the same data, to save the fit.
    level : float
        Rise of -2 log L; 1 is 68.27 % of one parameter.

    Raises
    ------
    FitError
        If the best fit fails; a fit that fails on the way gives None with the reason.
    """
    setup, best = _prepared(model, result, data, fixed)
    index = model.index(parameter)
    value = float(best.values[index])
    if setup.fixed[index]:
        return ProfileResult(parameter, value, level, None, None, "fixed", "fixed")
    error = float(best.errors[index])
    sides: dict[Literal[-1, 1], tuple[float | None, str]] = {}
    for direction in (1, -1):
        side: Literal[-1, 1] = 1 if direction > 0 else -1
        found = crossing(
            setup.likelihood,
            best.minimum,
            index,
            side,
            lower=setup.lower,
            upper=setup.upper,
            level=level,
            guess=error if np.isfinite(error) else None,
            also=model.init,
        )
        sides[side] = (None if found.value is None else found.value - value, found.reason)
    return ProfileResult(
        parameter=parameter,
        value=value,
        level=level,
        up=sides[1][0],
        down=sides[-1][0],
        up_reason=sides[1][1],
        down_reason=sides[-1][1],
    )


def scan(
    model: Model,
    parameter: str,
    low: float,
    high: float,
    points: int,
    *,
    result: FitResult | None = None,
    data: npt.ArrayLike | Data | None = None,
    fixed: Mapping[str, float] | None = None,
) -> ScanResult:
    """Profile -2 log L of a parameter at equally spaced values."""
    if points < 1 or not np.isfinite([low, high]).all():
        raise UsageError(f"a scan of '{parameter}' needs a finite range and at least one point")
    setup, best = _prepared(model, result, data, fixed)
    index = model.index(parameter)
    values = np.linspace(low, high, points)
    rises: dict[int, float | None] = {}
    # Outwards from the best fit, so that each fit starts beside one that is known.
    start = int(np.argmin(np.abs(values - best.values[index])))
    for chain in (range(start, points), range(start - 1, -1, -1)):
        near = best.minimum
        for k in chain:
            near, rises[k] = _step(setup, near, index, float(values[k]), best)
    return ScanResult(parameter, tuple((float(v), rises[k]) for k, v in enumerate(values)))


def _step(
    setup: Problem, near: Minimum, index: int, value: float, best: FitResult
) -> tuple[Minimum, float | None]:
    found = conditional(setup.likelihood, near, index, value, lower=setup.lower, upper=setup.upper)
    if found.status != "ok":
        found = conditional(
            setup.likelihood, best.minimum, index, value, lower=setup.lower, upper=setup.upper
        )
    if found.status != "ok":
        return near, None
    return found, found.value - best.twice_nll


def scan2d(
    model: Model,
    first: str,
    second: str,
    *,
    ranges: tuple[tuple[float, float], tuple[float, float]] | None = None,
    points: int = 21,
    result: FitResult | None = None,
    data: npt.ArrayLike | Data | None = None,
    fixed: Mapping[str, float] | None = None,
) -> Scan2DResult:
    """Profile -2 log L of two parameters on a grid.

    Parameters
    ----------
    ranges : pair of (low, high), optional
        Three standard deviations around the best fit, inside the bounds, unless given.
    points : int
        Grid points a side.
    """
    setup, best = _prepared(model, result, data, fixed)
    i, j = model.index(first), model.index(second)
    if i == j:
        raise UsageError(f"a two-dimensional scan needs two parameters, not '{first}' twice")
    if setup.fixed[i] or setup.fixed[j]:
        raise FitError(f"'{first if setup.fixed[i] else second}' is fixed and cannot be scanned")
    chosen = ranges or (_around(setup, best, i), _around(setup, best, j))
    x, y = (np.linspace(low, high, points) for low, high in chosen)
    rise = np.full((points, points), np.nan)
    for a, value in enumerate(x):
        row = setup.pinned({i: float(value)})
        near = conditional(
            setup.likelihood, best.minimum, i, float(value), lower=setup.lower, upper=setup.upper
        )
        begin = int(np.argmin(np.abs(y - near.x[j])))
        for chain in (range(begin, points), range(begin - 1, -1, -1)):
            point = near
            for b in chain:
                point, rise[a, b] = _grid_step(row, point, j, float(y[b]), best)
    return Scan2DResult((first, second), x, y, rise, (float(best.values[i]), float(best.values[j])))


def _grid_step(
    row: Problem, near: Minimum, index: int, value: float, best: FitResult
) -> tuple[Minimum, float]:
    found, rise = _step(row, near, index, value, best)
    return found, float("nan") if rise is None else rise


def _around(setup: Problem, best: FitResult, index: int) -> tuple[float, float]:
    value, error = float(best.values[index]), float(best.errors[index])
    width = 3.0 * error if np.isfinite(error) and error > 0.0 else 1.0
    return max(value - width, float(setup.lower[index])), min(value + width, float(setup.upper[index]))

"""Minimisation with exact first and second derivatives inside bounds.

One damped Newton method serves every fit of this room: it needs some ten evaluations where a quasi-Newton
method needs hundreds, and the Hessian at the end is the one the errors are made of.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack

__all__ = [
    "Crossing",
    "FloatArray",
    "Minimum",
    "Objective",
    "conditional",
    "crossing",
    "minimise",
    "solve_positive",
]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
#: Point -> value, gradient, Hessian.  Non-finite values are treated as "too far".
Objective = Callable[[FloatArray], tuple[float, FloatArray, FloatArray]]

_EDM_GOAL: Final = 1e-12
_EDM_OK: Final = 1e-9
_MOST_DAMPING: Final = 1e14
_LEAST_DAMPING: Final = 1e-6
_FIRST_DAMPING: Final = 1e-3
_BELOW_ZERO: Final = 1e-300
_CORNER_SLOPE: Final = 1e-7
_MOST_SIDES: Final = 50
#: Two minima of the objective closer than this are taken for one.
_SAME_DEPTH: Final = 1e-7


@dataclass(frozen=True, slots=True)
class Minimum:
    """Where a minimisation ended.

    Attributes
    ----------
    x, gradient : (p,) float arrays
    hessian : (p, p) float array
        Derivatives of the objective (-2 log L) at ``x``.
    active : (p,) bool array
        Parameters held at a bound by the gradient, or fixed (equal bounds).
    edm : float
        Half the gradient in the metric of the inverse Hessian, in units of the objective.
    """

    x: FloatArray
    value: float
    gradient: FloatArray
    hessian: FloatArray
    active: BoolArray
    status: Literal["ok", "failed"]
    message: str
    iterations: int
    evaluations: int
    edm: float


def solve_positive(matrix: FloatArray, rhs: FloatArray) -> FloatArray | None:
    """Solution of a symmetric positive definite system; None if the matrix is not positive definite."""
    _, solution, info = lapack.dposv(matrix, rhs)
    return np.asarray(solution) if info == 0 else None


def _box_step(
    hessian: FloatArray, gradient: FloatArray, room_down: FloatArray, room_up: FloatArray, free: BoolArray
) -> FloatArray | None:
    """Newton step of a positive definite model inside the box; None if it is not positive definite.

    Components that would leave the box are put on its wall and the others solved again.
    """
    step = np.zeros(gradient.size)
    todo = free.copy()
    while todo.any():
        inner = np.flatnonzero(todo)
        walls = np.flatnonzero(free & ~todo)
        rhs = -gradient[inner]
        if walls.size:
            rhs = rhs - hessian[np.ix_(inner, walls)] @ step[walls]
        trial = solve_positive(hessian[np.ix_(inner, inner)], rhs)
        if trial is None:
            return None
        low, high = room_down[inner], room_up[inner]
        out = (trial < low) | (trial > high)
        if not out.any():
            step[inner] = trial
            return step
        step[inner[out]] = np.clip(trial, low, high)[out]
        todo[inner[out]] = False
    return step


def _edm(hessian: FloatArray, gradient: FloatArray, free: BoolArray) -> float:
    if not free.any():
        return 0.0
    g = gradient[free]
    solution = solve_positive(hessian[np.ix_(free, free)], g)
    return math.inf if solution is None else 0.5 * float(g @ solution)


def _held(x: FloatArray, gradient: FloatArray, lower: FloatArray, upper: FloatArray) -> BoolArray:
    return ((x <= lower) & (gradient >= 0.0)) | ((x >= upper) & (gradient <= 0.0)) | (lower >= upper)


@dataclass(frozen=True, slots=True)
class _Point:
    x: FloatArray
    value: float
    gradient: FloatArray
    hessian: FloatArray


@dataclass(frozen=True, slots=True)
class _Move:
    """One attempt to improve: where it led (None: nowhere) and what it cost."""

    point: _Point | None
    damping: float
    evaluations: int
    gain: float = 0.0
    expected: float = 0.0


def _evaluate(objective: Objective, x: FloatArray) -> _Point:
    return _Point(x, *objective(x))


def _noise(value: float) -> float:
    """Differences of the objective below this are rounding."""
    return 1e-13 * (1.0 + abs(value))


def _improve(
    objective: Objective, point: _Point, lower: FloatArray, upper: FloatArray, damping: float
) -> _Move:
    """Take the longest damped Newton step that lowers the objective about as much as its model says."""
    free = ~_held(point.x, point.gradient, lower, upper)
    scale = np.maximum(np.abs(np.diagonal(point.hessian)), 1e-12)
    noise = _noise(point.value)
    evaluations = 0
    while damping < _MOST_DAMPING:
        model = point.hessian if damping == 0.0 else point.hessian + np.diag(damping * scale)
        step = _box_step(model, point.gradient, lower - point.x, upper - point.x, free)
        if step is not None:
            trial = np.clip(point.x + step, lower, upper)
            moved = trial - point.x
            expected = -float(point.gradient @ moved + 0.5 * moved @ point.hessian @ moved)
            new = _evaluate(objective, trial)
            evaluations += 1
            gain = point.value - new.value if math.isfinite(new.value) else -math.inf
            if gain > 1e-4 * expected > 0.0 or (abs(gain) <= noise and abs(expected) <= 10.0 * noise):
                return _Move(new, damping, evaluations, gain, expected)
        damping = max(10.0 * damping, _FIRST_DAMPING)
    return _Move(None, damping, evaluations)


def minimise(
    objective: Objective,
    start: npt.ArrayLike,
    lower: npt.ArrayLike,
    upper: npt.ArrayLike,
    *,
    max_iterations: int = 200,
) -> Minimum:
    """Minimise a function of known gradient and Hessian inside a box.

    Levenberg-Marquardt damping of the Newton step in the metric of the Hessian's diagonal; a step is taken
    only if it lowers the objective.  Parameters with ``lower == upper`` are fixed.

    Parameters
    ----------
    objective : callable
        ``x -> (value, gradient, hessian)``, -2 log L for the errors to have their meaning.  If it has an
        attribute ``corners``, the places of parameters whose derivative jumps at 0, those are minimised on
        either side of 0 separately.
    start, lower, upper : (p,) array_like
        The start is moved inside the box.

    Returns
    -------
    Minimum
        ``status`` is ``ok`` when the estimated distance to the minimum is below 1e-9.
    """
    lo = np.asarray(lower, dtype=np.float64)
    hi = np.asarray(upper, dtype=np.float64)
    begin = np.clip(np.asarray(start, dtype=np.float64), lo, hi)
    corners = np.asarray(getattr(objective, "corners", ()), dtype=np.intp)
    corners = corners[(lo[corners] < 0.0) & (hi[corners] > 0.0)]
    if corners.size:
        return _minimise_sides(objective, begin, lo, hi, corners=corners, max_iterations=max_iterations)
    return _minimise_smooth(objective, begin, lo, hi, max_iterations)


def _minimise_smooth(
    objective: Objective, start: FloatArray, lo: FloatArray, hi: FloatArray, max_iterations: int
) -> Minimum:
    point = _evaluate(objective, start)
    evaluations, iterations, damping, message = 1, 0, 0.0, "too many iterations"
    while iterations < max_iterations:
        if _edm(point.hessian, point.gradient, ~_held(point.x, point.gradient, lo, hi)) < _EDM_GOAL:
            break
        iterations += 1
        move = _improve(objective, point, lo, hi, damping)
        evaluations += move.evaluations
        if move.point is None:
            message = "no step lowers the likelihood"
            break
        point = move.point
        good = move.gain > 0.5 * move.expected
        damping = 0.0 if move.damping < _LEAST_DAMPING else move.damping * (0.1 if good else 1.0)
        if max(move.gain, move.expected) <= _noise(point.value):
            message = "rounding stops the fit"
            break
    return _finished(point, (lo, hi), iterations=iterations, evaluations=evaluations, message=message)


def _finished(
    point: _Point, box: tuple[FloatArray, FloatArray], *, iterations: int, evaluations: int, message: str
) -> Minimum:
    """Judge the point where the iterations ended."""
    held = _held(point.x, point.gradient, *box)
    edm = _edm(point.hessian, point.gradient, ~held)
    if edm < _EDM_OK and math.isfinite(point.value):
        message = ""
    elif math.isinf(edm):
        message = "the Hessian is not positive definite"
    else:
        message = f"{message}; EDM {edm:.2g}"
    return Minimum(
        x=point.x,
        value=point.value,
        gradient=point.gradient,
        hessian=point.hessian,
        active=held,
        status="failed" if message else "ok",
        message=message,
        iterations=iterations,
        evaluations=evaluations,
        edm=edm,
    )


def _minimise_sides(
    objective: Objective,
    start: FloatArray,
    lo: FloatArray,
    hi: FloatArray,
    *,
    corners: npt.NDArray[np.intp],
    max_iterations: int,
) -> Minimum:
    """Minimise where derivatives jump at 0: on one side of every corner the function is smooth.

    A parameter that ends on its corner changes side if the derivative there points away from it.
    """
    side = np.where(start[corners] < 0.0, -1.0, 1.0)
    x, iterations, evaluations = start, 0, 0
    for _ in range(_MOST_SIDES):
        inner_lo, inner_hi = lo.copy(), hi.copy()
        # Negative sides end just below 0, where the objective still uses its derivative from that side.
        inner_lo[corners[side > 0.0]] = 0.0
        inner_hi[corners[side < 0.0]] = -_BELOW_ZERO
        best = _minimise_smooth(objective, np.clip(x, inner_lo, inner_hi), inner_lo, inner_hi, max_iterations)
        iterations, evaluations = iterations + best.iterations, evaluations + best.evaluations
        x = best.x
        on_corner = corners[np.abs(x[corners]) <= _BELOW_ZERO]
        if best.status != "ok" or not on_corner.size:
            break
        across = x.copy()
        across[on_corner] = np.where(x[on_corner] < 0.0, 0.0, -_BELOW_ZERO)
        slopes = objective(across)[1]
        evaluations += 1
        away = [i for i in on_corner if slopes[i] * (1.0 if across[i] < 0.0 else -1.0) > _CORNER_SLOPE]
        if not away:
            break
        side[np.isin(corners, away)] *= -1.0
    held = _held(best.x, best.gradient, lo, hi)
    return replace(best, active=held, iterations=iterations, evaluations=evaluations)


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where a profiled objective reaches a level: None and a reason when it does not."""

    value: float | None
    reason: str = ""
    evaluations: int = 0


def conditional(
    objective: Objective,
    near: Minimum,
    index: int,
    value: float,
    *,
    lower: FloatArray,
    upper: FloatArray,
    tangent: bool = True,
    also: FloatArray | None = None,
) -> Minimum:
    """Minimum with parameter ``index`` at ``value``, started along the profile's tangent at ``near``.

    Without ``tangent`` the other parameters start where they are: a long step along the tangent can end in
    the basin of another minimum.  ``also`` is a second place to start from; the lower minimum is the answer.
    """
    here = _conditional(objective, near, index, value, lower=lower, upper=upper, tangent=tangent)
    if also is None:
        return here
    there = _from(objective, also, index, value, lower=lower, upper=upper)
    return there if _deeper(there, here) else here


def _from(
    objective: Objective,
    start: FloatArray,
    index: int,
    value: float,
    *,
    lower: FloatArray,
    upper: FloatArray,
) -> Minimum:
    lo, hi = _pinned(lower, upper, index, value)
    return minimise(objective, np.clip(start, lo, hi), lo, hi)


def _deeper(one: Minimum, other: Minimum) -> bool:
    return one.status == "ok" and (other.status != "ok" or one.value < other.value - _SAME_DEPTH)


def _pinned(lower: FloatArray, upper: FloatArray, index: int, value: float) -> tuple[FloatArray, FloatArray]:
    lo, hi = lower.copy(), upper.copy()
    lo[index] = hi[index] = value
    return lo, hi


def _conditional(
    objective: Objective,
    near: Minimum,
    index: int,
    value: float,
    *,
    lower: FloatArray,
    upper: FloatArray,
    tangent: bool,
) -> Minimum:
    lo, hi = _pinned(lower, upper, index, value)
    plain = near.x.copy()
    plain[index] = value
    start = plain.copy()
    free = ~near.active
    free[index] = False
    if tangent and free.any():
        slope = solve_positive(near.hessian[np.ix_(free, free)], near.hessian[free, index])
        if slope is not None:
            start[free] -= slope * (value - near.x[index])
    first = minimise(objective, start, lo, hi)
    if first.status == "ok" or not tangent:
        return first
    second = minimise(objective, plain, lo, hi)
    return second if second.status == "ok" or second.value < first.value else first


def crossing(
    objective: Objective,
    best: Minimum,
    index: int,
    direction: Literal[-1, 1],
    *,
    lower: FloatArray,
    upper: FloatArray,
    level: float = 1.0,
    guess: float | None = None,
    tolerance: float = 1e-6,
    also: FloatArray | None = None,
) -> Crossing:
    """Find where the objective, minimised over all other parameters, has risen by ``level``.

    Newton's method on the square root of the rise, which is nearly linear; the slope of the profile is the
    gradient at the conditional minimum.  A bracket guards it.

    Parameters
    ----------
    index : int
        The parameter profiled.
    direction : -1 or 1
        Side of the best fit.
    guess : float, optional
        First distance to try (the Hessian's error).
    also : float array, optional
        Another start for the fit at the crossing: if it finds a lower minimum there, the search goes on
        from that one.
    """
    wall = float(upper[index] if direction > 0 else lower[index])
    centre = float(best.x[index])
    target = math.sqrt(level)
    sure = guess is not None and math.isfinite(guess) and guess > 0.0
    distance = target * (guess if guess is not None and sure else 0.1 * max(abs(centre), 1.0))
    near, far, value = centre, math.nan, centre + direction * distance
    point, evaluations = best, 0
    for _ in range(60):
        at_wall = (value - wall) * direction >= 0.0
        value = wall if at_wall else value
        point = conditional(objective, point, index, value, lower=lower, upper=upper)
        evaluations += point.evaluations
        if point.status != "ok":
            return Crossing(None, f"the fit at {value:.6g} failed: {point.message}", evaluations)
        height = math.sqrt(max(point.value - best.value, 0.0))
        if abs(height - target) < tolerance * target:
            other = point if also is None else _from(objective, also, index, value, lower=lower, upper=upper)
            evaluations += other.evaluations if other is not point else 0
            if not _deeper(other, point):
                return Crossing(value, "", evaluations)
            point = other
            height = math.sqrt(max(point.value - best.value, 0.0))
        if height < target and at_wall:
            return Crossing(None, "hits_bound", evaluations)
        near, far = (value, far) if height < target else (near, value)
        slope = float(point.gradient[index]) / (2.0 * height) if height > 0.0 else 0.0
        proposal = value + (target - height) / slope if slope * direction > 0.0 else math.nan
        value = _guarded(proposal, near, far, direction * distance)
    return Crossing(None, "no convergence of the crossing", evaluations)


def _guarded(proposal: float, near: float, far: float, stride: float) -> float:
    """Keep the proposal inside the bracket; grow it by strides while there is none (``far`` is nan)."""
    if math.isnan(far):
        ahead = (proposal - near) / stride
        return near + stride * min(ahead, 8.0) if ahead > 0.0 else near + 2.0 * stride
    low, high = min(near, far), max(near, far)
    return proposal if low < proposal < high else 0.5 * (low + high)

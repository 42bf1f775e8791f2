"""Binned Poisson fit of a signal strength: data = mu * signal + background, statistics only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from femtobarn.errors import UsageError
from femtobarn.stats.minimise import FloatArray, Minimum, conditional, crossing, minimise
from femtobarn.stats.tails import log_normal_tail

__all__ = ["Estimate", "ShapeResult", "fit_shape"]

_NO_BOUND: Final = 1e12


@dataclass(frozen=True, slots=True)
class Estimate:
    """A fitted number.  ``error`` is that of the Hessian; the profile errors are positive distances.

    None: not found, because the parameter is at or runs into its bound (0).
    """

    value: float
    error: float | None
    error_up: float | None = None
    error_down: float | None = None

    def to_json(self) -> dict[str, float | None]:
        return {
            "value": self.value,
            "error": self.error,
            "error_up": self.error_up,
            "error_down": self.error_down,
        }


@dataclass(frozen=True, slots=True)
class ShapeResult:
    """Outcome of :func:`fit_shape`.

    Attributes
    ----------
    mu : Estimate
        Signal strength, >= 0.
    q0, z0, log_p0 : float or None
        Discovery test; None where the background is zero in a bin that holds data (then mu = 0 is
        impossible and no finite number describes it).
    bkg_norm, constrained_norm : Estimate or None
        The free and the Gaussian-constrained background norm, where asked for.
    zero_prediction_bins : tuple of int
        Bins with data where signal and background are both zero: no mu can describe them; they are reported
        here and are not part of the fit.
    zero_background_bins : tuple of int
        Bins with data and signal but no background.
    """

    mu: Estimate
    q0: float | None
    z0: float | None
    log_p0: float | None
    twice_nll: float
    status: str
    message: str
    bkg_norm: Estimate | None = None
    constrained_norm: Estimate | None = None
    zero_prediction_bins: tuple[int, ...] = ()
    zero_background_bins: tuple[int, ...] = ()
    unexplained_events: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Strict JSON object: ``mu``, ``q0``, ``Z0``, the norms asked for, and the reported bins."""
        out: dict[str, Any] = {
            "mu": self.mu.to_json(),
            "q0": self.q0,
            "Z0": self.z0,
            "log_p0": self.log_p0,
            "twice_nll": self.twice_nll,
            "status": self.status,
            "message": self.message,
            "zero_prediction_bins": list(self.zero_prediction_bins),
            "zero_background_bins": list(self.zero_background_bins),
            "unexplained_events": self.unexplained_events,
        }
        if self.bkg_norm is not None:
            out["bkg_norm"] = self.bkg_norm.to_json()
        if self.constrained_norm is not None:
            out["constrained_norm"] = self.constrained_norm.to_json()
        return out


@dataclass(frozen=True, slots=True)
class _Problem:
    """-2 log L (constants dropped) of Poisson data around ``templates.T @ x + fixed``."""

    data: FloatArray
    templates: FloatArray  # (parameters, bins)
    fixed: FloatArray
    width: FloatArray  # (parameters,) of the Gaussian constraint around 1; inf: none

    def __call__(self, x: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        nu = x @ self.templates + self.fixed
        seen = self.data > 0.0
        pull = (x - 1.0) / self.width
        if np.any(nu[seen] <= 0.0):
            return math.inf, np.zeros(x.size), np.eye(x.size)
        ratio = np.zeros(nu.size)
        ratio[seen] = self.data[seen] / nu[seen]
        # Written as deviance from the data so that large counts do not cost digits.
        value = 2.0 * float(np.sum(nu - self.data)) - 2.0 * float(
            np.sum(self.data[seen] * np.log(nu[seen] / self.data[seen]))
        )
        gradient = 2.0 * self.templates @ (1.0 - ratio) + 2.0 * pull / self.width
        curvature = np.zeros(nu.size)
        curvature[seen] = ratio[seen] / nu[seen]
        hessian = 2.0 * (self.templates * curvature) @ self.templates.T + np.diag(2.0 / self.width**2)
        return value + float(pull @ pull), gradient, hessian


def _checked(name: str, values: npt.ArrayLike, bins: int | None) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or (bins is not None and array.size != bins):
        raise UsageError(f"{name} has shape {array.shape}, expected ({'n' if bins is None else bins},)")
    if not np.all(np.isfinite(array)) or np.any(array < 0.0):
        raise UsageError(f"{name} holds negative or non-finite bins")
    return array


def fit_shape(
    data: npt.ArrayLike,
    signal: npt.ArrayLike,
    background: npt.ArrayLike,
    *,
    free_background: bool = False,
    constrained: npt.ArrayLike | None = None,
    constraint: float = 0.1,
) -> ShapeResult:
    """Fit ``nu = mu * signal + k * background + t * constrained`` to Poisson counts.

    Parameters
    ----------
    data, signal, background : (bins,) array_like
        Observed events, expected signal alone (mu = 1) and expected background.
    free_background : bool
        Let the norm k of ``background`` float (``bkg_norm``); otherwise k = 1.
    constrained : (bins,) array_like, optional
        A further background, *not* contained in ``background``, whose norm t has a Gaussian constraint
        ``1 +- constraint``.

    Returns
    -------
    ShapeResult
        mu >= 0 with profile errors; q0 = -2 ln L(0)/L(mu-hat) (0 for mu-hat = 0), Z0 = sqrt(q0).
    """
    n = _checked("data", data, None)
    parts = [_checked("signal", signal, n.size)]
    widths = [math.inf]
    bkg = _checked("background", background, n.size)
    fixed = np.zeros(n.size) if free_background else bkg
    if free_background:
        parts.append(bkg)
        widths.append(math.inf)
    other = np.zeros(n.size)
    if constrained is not None:
        other = _checked("constrained", constrained, n.size)
        if not constraint > 0.0:
            raise UsageError(f"the constraint must be a positive width, not {constraint}")
        parts.append(other)
        widths.append(constraint)
    blind = (n > 0.0) & (parts[0] + bkg + other <= 0.0)
    bare = (n > 0.0) & (parts[0] > 0.0) & (bkg + other <= 0.0)
    keep = ~blind
    problem = _Problem(n[keep], np.stack(parts)[:, keep], fixed[keep], np.asarray(widths))
    result = _solve(problem, tested=not np.any(bare))
    norms = result.norms
    return ShapeResult(
        mu=result.mu,
        q0=result.q0,
        z0=None if result.q0 is None else math.sqrt(result.q0),
        log_p0=None if result.q0 is None else log_normal_tail(math.sqrt(result.q0)),
        twice_nll=result.best.value,
        status=result.best.status,
        message=result.best.message if np.any(parts[0] > 0.0) else "the signal template is empty",
        bkg_norm=norms[0] if free_background else None,
        constrained_norm=norms[-1] if constrained is not None else None,
        zero_prediction_bins=tuple(int(i) for i in np.flatnonzero(blind)),
        zero_background_bins=tuple(int(i) for i in np.flatnonzero(bare)),
        unexplained_events=float(n[blind].sum()),
    )


@dataclass(frozen=True, slots=True)
class _Solution:
    best: Minimum
    q0: float | None
    mu: Estimate
    norms: tuple[Estimate, ...]


def _solve(problem: _Problem, *, tested: bool) -> _Solution:
    size = problem.templates.shape[0]
    lower, upper = np.zeros(size), np.full(size, _NO_BOUND)
    acts = problem.templates.sum(axis=1) > 0.0
    lower[~acts] = upper[~acts] = 1.0  # a template without content moves nothing
    best = minimise(problem, np.ones(size), lower, upper)
    q0 = 0.0 if tested else None
    if tested and acts[0] and best.x[0] > 0.0:
        null = conditional(problem, best, 0, 0.0, lower=lower, upper=upper)
        q0 = max(0.0, null.value - best.value)
    estimates = [_estimate(problem, best, i, lower, upper) for i in range(size)]
    return _Solution(best, q0, estimates[0], tuple(estimates[1:]))


def _estimate(problem: _Problem, best: Minimum, index: int, lower: FloatArray, upper: FloatArray) -> Estimate:
    value = float(best.x[index])
    if best.status != "ok" or lower[index] >= upper[index]:
        return Estimate(value, None)
    error = None
    free = ~best.active
    if free[index]:
        covariance = np.linalg.inv(0.5 * best.hessian[np.ix_(free, free)])
        place = int(np.count_nonzero(free[:index]))
        error = math.sqrt(covariance[place, place])
    up = crossing(problem, best, index, 1, lower=lower, upper=upper, guess=error)
    down = crossing(problem, best, index, -1, lower=lower, upper=upper, guess=error)
    return Estimate(
        value,
        error,
        None if up.value is None else up.value - value,
        None if down.value is None else value - down.value,
    )

"""Maximum-likelihood fit of a HistFactory model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import numpy.typing as npt

from femtobarn.errors import FitError, UsageError
from femtobarn.stats.minimise import FloatArray, Minimum, minimise

if TYPE_CHECKING:
    from collections.abc import Mapping

    from femtobarn.stats.histfactory.likelihood import Data, Likelihood
    from femtobarn.stats.histfactory.model import Model

__all__ = ["FitResult", "Problem", "fit", "match_result", "problem"]

BoolArray = npt.NDArray[np.bool_]
_RESTARTS: Final = 6
#: Smallest eigenvalue of the scaled Hessian that is information rather than rounding.
_FLAT: Final = 1e-9


@dataclass(frozen=True, slots=True)
class FitResult:
    """Best fit of a model.

    Attributes
    ----------
    names : tuple of str
    values : (p,) float array
    errors : (p,) float array
        From the inverse of the observed Hessian of -log L; 0 for fixed parameters, nan for those at a bound
        and where the fit failed.
    covariance : (p, p) float array
        Zero rows for fixed parameters.
    status : ``ok`` or ``failed``
        With the reason in ``message``; a failed fit's numbers are where it stopped.
    at_bound, inert : tuple of str
        Parameters that ended on a bound; parameters that change no bin.
    """

    names: tuple[str, ...]
    values: FloatArray
    errors: FloatArray
    covariance: FloatArray
    twice_nll: float
    status: Literal["ok", "failed"]
    message: str
    at_bound: tuple[str, ...]
    inert: tuple[str, ...]
    fixed: BoolArray
    iterations: int
    evaluations: int
    edm: float
    minimum: Minimum = field(repr=False)
    warnings: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return self.status == "ok"

    @property
    def correlation(self) -> FloatArray:
        """Correlation matrix; zero rows for fixed parameters, ones on the diagonal of the others."""
        width = np.sqrt(np.clip(np.diagonal(self.covariance), 0.0, None))
        scale = np.where(width > 0.0, width, 1.0)
        return np.asarray(self.covariance / np.outer(scale, scale))

    def value(self, name: str) -> float:
        return float(self.values[self.names.index(name)])

    def error(self, name: str) -> float:
        return float(self.errors[self.names.index(name)])

    def require(self) -> FitResult:
        """Return itself, or raise if the fit failed.

        Raises
        ------
        FitError
        """
        if not self.ok:
            raise FitError(f"the fit failed: {self.message}")
        return self


@dataclass(frozen=True, slots=True)
class Problem:
    """A likelihood with its box: what every fit, scan and test of one data set minimises."""

    likelihood: Likelihood
    start: FloatArray
    lower: FloatArray
    upper: FloatArray
    fixed: BoolArray
    inert: tuple[str, ...] = ()

    def pinned(self, values: Mapping[int, float]) -> Problem:
        """The same with further parameters held."""
        start, lower, upper = self.start.copy(), self.lower.copy(), self.upper.copy()
        fixed = self.fixed.copy()
        for i, value in values.items():
            start[i] = lower[i] = upper[i] = value
            fixed[i] = True
        return Problem(self.likelihood, start, lower, upper, fixed, self.inert)

    def solve(self, start: FloatArray | None = None) -> Minimum:
        """Minimise from a start (the model's unless given), without restarts."""
        return minimise(self.likelihood, self.start if start is None else start, self.lower, self.upper)


def problem(
    model: Model,
    *,
    data: npt.ArrayLike | Data | None = None,
    fixed: Mapping[str, float] | None = None,
    start: npt.ArrayLike | None = None,
) -> Problem:
    """Set up a minimisation: box, start, fixed parameters."""
    begin = model.init.copy() if start is None else model.point(start).copy()
    held = model.fixed.copy()
    begin[held] = model.init[held]
    for name, value in (fixed or {}).items():
        places = model.indices(name)
        held[places] = True
        begin[places] = value
        if not np.isfinite(value):
            raise UsageError(f"'{name}' cannot be fixed at {value}")
    inert = model.inert()
    idle = np.array([name in set(inert) for name in model.names], dtype=bool) & ~model.constrained & ~held
    begin[idle] = model.init[idle]
    lower, upper = model.lower.copy(), model.upper.copy()
    still = held | idle
    lower[still] = upper[still] = begin[still]
    return Problem(model.likelihood(data), begin, lower, upper, still, inert)


def fit(
    model: Model,
    *,
    fixed: Mapping[str, float] | None = None,
    data: npt.ArrayLike | Data | None = None,
    start: npt.ArrayLike | None = None,
) -> FitResult:
    """Fit a model to data.

    Parameters
    ----------
    fixed : mapping, optional
        Parameter (label, or name of a whole vector) -> value held in the fit.
    data : array_like or Data, optional
        Main counts, optionally followed by auxiliary data; the observation unless given.
    start : (p,) array_like, optional
        The model's ``init`` unless given.

    Returns
    -------
    FitResult
        Check ``status``: nothing is raised when a fit does not converge.
    """
    setup = problem(model, data=data, fixed=fixed, start=start)
    best = setup.solve()
    if best.status != "ok":
        best = _restarted(model, setup, best)
    return _result(model, setup, best)


def _restarted(model: Model, setup: Problem, first: Minimum) -> Minimum:
    """Try other starts: where it stopped with the constrained parameters put back, then spread points."""
    best, evaluations = first, first.evaluations
    back = first.x.copy()
    anchored = model.constrained & ~setup.fixed
    back[anchored] = model.centre[anchored]
    starts = [back]
    generator = np.random.Generator(np.random.Philox(key=20240229))
    for k in range(_RESTARTS):
        point = setup.start.copy()
        shift = generator.uniform(-1.0, 1.0, point.size) * (0.3 + 0.2 * k)
        point[anchored] = (model.centre + shift * model.prefit)[anchored]
        loose = ~model.constrained & ~setup.fixed
        point[loose] = (setup.start * np.exp(shift))[loose]
        starts.append(point)
    for start in starts:
        other = setup.solve(start)
        evaluations += other.evaluations
        if other.status == "ok" and (best.status != "ok" or other.value < best.value - 1e-9):
            best = other
            break
    return Minimum(
        best.x,
        best.value,
        best.gradient,
        best.hessian,
        best.active,
        best.status,
        best.message,
        best.iterations,
        evaluations,
        best.edm,
    )


def _result(model: Model, setup: Problem, best: Minimum) -> FitResult:
    walls = best.active & ~setup.fixed
    covariance, sound = _covariance(best, setup.fixed, walls)
    errors = np.sqrt(np.clip(np.diagonal(covariance), 0.0, None))
    errors[walls] = np.nan
    message, status = best.message, best.status
    if not sound:
        direction = flat_direction(model.names, best.hessian, ~setup.fixed & ~walls)
        message = f"the likelihood is flat along {direction}" if direction else message or "no covariance"
        status = "failed"
    if status == "failed":
        errors = np.where(setup.fixed, 0.0, np.nan)
    return FitResult(
        names=model.names,
        values=best.x,
        errors=errors,
        covariance=covariance,
        twice_nll=best.value,
        status=status,
        message=message,
        at_bound=tuple(model.names[i] for i in np.flatnonzero(walls)),
        inert=setup.inert,
        fixed=setup.fixed,
        iterations=best.iterations,
        evaluations=best.evaluations,
        edm=best.edm,
        minimum=best,
        warnings=_warnings(model, setup, best),
    )


def _warnings(model: Model, setup: Problem, best: Minimum) -> tuple[str, ...]:
    out = []
    bad = model.impossible_bins(best.x, setup.likelihood.data)
    if bad.size:
        out.append(f"nothing is expected in bins {bad.tolist()} that hold data")
    if setup.inert:
        out.append(f"parameters that change no bin: {', '.join(setup.inert)}")
    return tuple(out)


def _covariance(best: Minimum, fixed: BoolArray, walls: BoolArray) -> tuple[FloatArray, bool]:
    """Inverse of half the Hessian of -2 log L over all parameters that are not fixed.

    Parameters at a bound take part, as in a fit with a little more room; where that matrix is not positive
    definite they are held.
    """
    out = np.zeros(best.hessian.shape)
    for free in (~fixed, ~fixed & ~walls):
        inner = np.flatnonzero(free)
        if not inner.size:
            return out, True
        block = 0.5 * best.hessian[np.ix_(inner, inner)]
        scale = np.sqrt(np.abs(np.diagonal(block)))
        if np.any(scale <= 0.0) or not np.all(np.isfinite(block)):
            continue
        scaled = block / np.outer(scale, scale)
        if np.linalg.eigvalsh(scaled)[0] > _FLAT:
            out[np.ix_(inner, inner)] = np.linalg.inv(scaled) / np.outer(scale, scale)
            return out, True
    return out, False


def match_result(result: FitResult, model: Model) -> tuple[FloatArray, FloatArray]:
    """Carry a best fit over to another model by parameter names.

    Returns
    -------
    x : (p,) float array
        Values of shared parameters; the model's ``init`` for the others.
    covariance : (p, p) float array
        Of the shared parameters; the prefit variance for the others.
    """
    x = model.init.copy()
    covariance = np.diag(np.where(model.fixed, 0.0, model.prefit) ** 2)
    places = {name: i for i, name in enumerate(result.names)}
    shared = [
        (i, places[name]) for i, name in enumerate(model.names) if name in places and not model.fixed[i]
    ]
    if shared:
        mine, theirs = (np.array(column, dtype=np.intp) for column in zip(*shared, strict=True))
        x[mine] = result.values[theirs]
        covariance[mine] = covariance[:, mine] = 0.0
        covariance[np.ix_(mine, mine)] = result.covariance[np.ix_(theirs, theirs)]
    return x, covariance


def flat_direction(names: tuple[str, ...], hessian: FloatArray, free: BoolArray) -> str:
    """Name the combination of parameters that the likelihood does not determine; "" if there is none."""
    inner = np.flatnonzero(free)
    block = hessian[np.ix_(inner, inner)]
    if not inner.size or not np.all(np.isfinite(block)):
        return ""
    scale = np.sqrt(np.abs(np.diagonal(block)))
    scale[scale <= 0.0] = 1.0
    values, vectors = np.linalg.eigh(block / np.outer(scale, scale))
    if values[0] > _FLAT:
        return ""
    vector = vectors[:, 0] / scale
    vector /= np.max(np.abs(vector))
    order = np.argsort(-np.abs(vector))
    parts = [f"{vector[k]:+.2g} {names[inner[k]]}" for k in order[:4] if abs(vector[k]) > 0.05]
    return " ".join(parts)

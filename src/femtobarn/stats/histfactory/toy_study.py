"""Pseudo-experiments: pulls, goodness of fit and CLs without asymptotic formulae."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from femtobarn.errors import FitError
from femtobarn.stats.histfactory.fitting import FitResult, fit
from femtobarn.stats.histfactory.likelihood import Data, saturated_twice_nll
from femtobarn.stats.histfactory.testing import Tester

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from femtobarn.stats.histfactory.model import Model
    from femtobarn.stats.minimise import FloatArray

__all__ = ["Pull", "ToyCLs", "ToyStudy", "throw", "toy_goodness", "toy_hypotest", "toys"]


@dataclass(frozen=True, slots=True)
class Pull:
    """Distribution of fitted - true over the toys.

    Attributes
    ----------
    mean, width : float or None
        In units of the error expected at the truth (that of its Asimov data), over all fits that converged.
        At low counts a toy's own error follows its fluctuation, which would shift the mean of an unbiased
        estimate.
    own_mean, own_width : float or None
        In units of each toy's own error, over the ``used`` toys that have one (not at a bound).
    """

    parameter: str
    mean: float | None
    width: float | None
    own_mean: float | None
    own_width: float | None
    used: int

    def to_json(self) -> dict[str, Any]:
        return {
            "parameter": self.parameter,
            "mean": self.mean,
            "width": self.width,
            "own_mean": self.own_mean,
            "own_width": self.own_width,
            "used": self.used,
        }


@dataclass(frozen=True, slots=True)
class ToyStudy:
    """Fits of toys.

    Attributes
    ----------
    truth : (p,) float array
        Point at which the toys were thrown.
    values, errors : (n, p) float arrays
        Fits that converged, in the order of the toys.
    failed : int
        Fits that did not.
    """

    toys: int
    seed: int
    names: tuple[str, ...]
    truth: FloatArray
    values: FloatArray
    errors: FloatArray
    failed: int
    pulls: tuple[Pull, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "n": self.toys,
            "seed": self.seed,
            "failed": self.failed,
            "truth": dict(zip(self.names, (float(v) for v in self.truth), strict=True)),
            "pulls": [pull.to_json() for pull in self.pulls],
        }


@dataclass(frozen=True, slots=True)
class ToyCLs:
    """CLs of a value by counting toys; errors are binomial. None where no background toy was as extreme."""

    mu: float
    q: float
    clsb: float
    clb: float
    cls: float | None
    cls_error: float | None
    toys: int
    failed: int

    def to_json(self) -> dict[str, Any]:
        return {
            "mu": self.mu,
            "q": self.q,
            "clsb": self.clsb,
            "clb": self.clb,
            "cls": self.cls,
            "cls_error": self.cls_error,
            "toys": self.toys,
            "failed": self.failed,
        }


def throw(model: Model, truth: npt.ArrayLike, *, seed: int, number: int) -> Data:
    """One toy: Poisson main data, auxiliary data drawn around the truth.

    The stream depends on (seed, number) alone, so any division of the work gives the same toys.
    """
    key = np.array([seed & 0xFFFFFFFFFFFFFFFF, number], dtype=np.uint64)
    generator = np.random.Generator(np.random.Philox(key=key))
    point = model.point(truth)
    main = generator.poisson(np.maximum(model.expected(point), 0.0)).astype(np.float64)
    c = model.constraints
    aux = np.zeros(model.auxdata.size)
    if c.precision is None:
        aux[c.gauss_aux] = generator.normal(point[c.gauss], c.width)
    else:
        covariance = np.linalg.inv(c.precision)
        aux[c.gauss_aux] = generator.multivariate_normal(point[c.gauss], covariance, method="cholesky")
    aux[c.poisson_aux] = generator.poisson(c.tau * point[c.poisson])
    # What belongs to a fixed parameter is no measurement: it stays, as it does in the data.
    still = np.zeros(model.auxdata.size, dtype=bool)
    still[c.gauss_aux] = model.fixed[c.gauss]
    still[c.poisson_aux] = model.fixed[c.poisson]
    aux[still] = model.auxdata[still]
    return Data(main, aux)


def _fits(
    model: Model, truth: FloatArray, numbers: range, seed: int, fixed: Mapping[str, float] | None
) -> Iterator[tuple[Data, FitResult]]:
    for number in numbers:
        data = throw(model, truth, seed=seed, number=number)
        yield data, fit(model, data=data, fixed=fixed, start=truth)


def toys(
    model: Model,
    n: int,
    *,
    seed: int,
    truth: npt.ArrayLike | None = None,
    fixed: Mapping[str, float] | None = None,
    parameters: Sequence[str] | None = None,
) -> ToyStudy:
    """Throw and fit toys.

    Parameters
    ----------
    truth : (p,) array_like, optional
        The best fit to the observed data unless given.
    parameters : sequence of str, optional
        Labels of the pull table; all floating parameters unless given.
    """
    point = fit(model, fixed=fixed).require().values if truth is None else model.point(truth)
    values: list[FloatArray] = []
    errors: list[FloatArray] = []
    failed = 0
    floating = ~model.fixed
    for _, result in _fits(model, point, range(n), seed, fixed):
        floating = ~result.fixed
        if result.ok:
            values.append(result.values)
            errors.append(result.errors)
        else:
            failed += 1
    size = len(model.names)
    fitted, widths = (np.array(rows).reshape(-1, size) for rows in (values, errors))
    chosen = [model.index(p) for p in parameters] if parameters else list(np.flatnonzero(floating))
    asimov = fit(model, data=model.asimov(point), fixed=fixed, start=point)
    expected = np.sqrt(np.clip(np.diagonal(asimov.covariance), 0.0, None))
    pulls = tuple(
        _pull(model.names[i], fitted[:, i] - point[i], widths[:, i], float(expected[i])) for i in chosen
    )
    return ToyStudy(n, seed, model.names, point, fitted, widths, failed, pulls)


def _moments(values: FloatArray) -> tuple[float | None, float | None]:
    if values.size < 2:
        return None, None
    return float(values.mean()), float(values.std(ddof=1))


def _pull(name: str, shift: FloatArray, error: FloatArray, expected: float) -> Pull:
    mean, width = _moments(shift / expected) if expected > 0.0 else (None, None)
    good = np.isfinite(error) & (error > 0.0)
    own_mean, own_width = _moments(shift[good] / error[good])
    return Pull(name, mean, width, own_mean, own_width, int(np.count_nonzero(good)))


def toy_goodness(
    model: Model, truth: npt.ArrayLike, *, toys: int, seed: int, fixed: Mapping[str, float] | None = None
) -> tuple[FloatArray, int]:
    """Saturated test statistic of toys, and the number of failed fits."""
    values: list[float] = []
    failed = 0
    for data, result in _fits(model, model.point(truth), range(toys), seed, fixed):
        if result.ok:
            values.append(max(0.0, result.twice_nll - saturated_twice_nll(model.likelihood(data))))
        else:
            failed += 1
    return np.array(values), failed


def toy_hypotest(
    model: Model,
    mu: float,
    *,
    toys: int,
    seed: int,
    data: npt.ArrayLike | Data | None = None,
    fixed: Mapping[str, float] | None = None,
) -> ToyCLs:
    """CLs of ``mu`` from toys thrown at the conditional fits at ``mu`` and at 0."""
    tester = Tester(model, data=data, fixed=fixed)
    observed = tester.q_tilde(mu)
    failed = 0
    tails: list[float] = []
    for stream, true in enumerate((mu, 0.0)):
        point = tester.at(true).x
        above = good = 0
        for number in range(toys):
            toy = throw(model, point, seed=seed, number=number + stream * toys)
            try:
                q = Tester(model, data=toy, fixed=fixed, start=point).q_tilde(mu)
            except FitError:
                failed += 1
                continue
            good += 1
            above += q >= observed
        tails.append(above / good if good else 0.0)
    clsb, clb = tails
    cls = clsb / clb if clb > 0.0 else None
    error = None
    if cls is not None and clsb > 0.0:
        error = cls * math.sqrt((1.0 - clsb) / (clsb * toys) + (1.0 - clb) / (clb * toys))
    return ToyCLs(mu, observed, clsb, clb, cls, error, toys, failed)

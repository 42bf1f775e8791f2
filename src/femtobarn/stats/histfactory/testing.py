"""Asymptotic tests of the parameter of interest: q0, q~mu, CLs and upper limits.

Source: G. Cowan, K. Cranmer, E. Gross, O. Vitells, Eur. Phys. J. C 71 (2011) 1554.  All probabilities are
kept as logarithms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from scipy import special

from femtobarn.errors import FitError, UsageError
from femtobarn.stats.histfactory.fitting import FitResult, Problem, fit, problem
from femtobarn.stats.minimise import FloatArray, Minimum, conditional
from femtobarn.stats.tails import log_normal_tail

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from femtobarn.stats.histfactory.likelihood import Data
    from femtobarn.stats.histfactory.model import Model

__all__ = ["BANDS", "Hypotest", "Limit", "Significance", "Tester", "hypotest", "limit", "significance"]

#: Standard deviations of the expected band, in the order of the results.
BANDS: Final = (-2, -1, 0, 1, 2)
#: Below this the Asimov test statistic is rounding: the data cannot tell mu from zero.
_NO_SENSITIVITY: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Hypotest:
    """CLs test of a value of the parameter of interest.

    Attributes
    ----------
    q, q_asimov : float
        q~mu of the data and of the background-only Asimov data.
    log_clsb, log_clb, log_cls : float
        Natural logarithms; ``cls`` is the linear value, which may underflow to 0.
    log_cls_expected : tuple of 5 float
        Expected at -2..+2 standard deviations of the background-only distribution.
    """

    mu: float
    q: float
    q_asimov: float
    log_clsb: float
    log_clb: float
    log_cls: float
    log_cls_expected: tuple[float, ...]

    @property
    def cls(self) -> float:
        return math.exp(self.log_cls)

    @property
    def cls_expected(self) -> tuple[float, ...]:
        return tuple(math.exp(value) for value in self.log_cls_expected)

    def to_json(self) -> dict[str, Any]:
        return {
            "mu": self.mu,
            "q": self.q,
            "q_asimov": self.q_asimov,
            "log_clsb": self.log_clsb,
            "log_clb": self.log_clb,
            "log_cls": self.log_cls,
            "cls": self.cls,
            "log_cls_expected": list(self.log_cls_expected),
            "cls_expected": list(self.cls_expected),
        }


@dataclass(frozen=True, slots=True)
class Limit:
    """Upper limit; None with a reason where CLs does not cross below the parameter's bound.

    ``points`` are the tests of some values from 0 to beyond the limits, if they were asked for.
    """

    cl: float
    observed: float | None
    expected: tuple[float | None, ...]
    reasons: Mapping[str, str]
    points: tuple[Hypotest, ...] = ()

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"cl": self.cl, "observed": self.observed, "expected": list(self.expected)}
        if self.reasons:
            out["reasons"] = dict(self.reasons)
        return out

    def curve(self) -> list[dict[str, Any]]:
        """CLs at ``points``, for a figure."""
        return [{"mu": p.mu, "cls": p.cls, "cls_expected": list(p.cls_expected)} for p in self.points]


@dataclass(frozen=True, slots=True)
class Significance:
    """Discovery test: q0 = 0 where the best fit is not above zero; ``p0`` may underflow, ``log_p0`` not."""

    q0: float
    z0: float
    log_p0: float
    z0_expected: float | None = None

    @property
    def p0(self) -> float:
        return math.exp(self.log_p0)

    def to_json(self) -> dict[str, Any]:
        return {
            "q0": self.q0,
            "z0": self.z0,
            "log_p0": self.log_p0,
            "p0": self.p0,
            "z0_expected": self.z0_expected,
        }


class Tester:
    """Test statistics of one data set: its fits are kept, each new value starts beside a known one."""

    def __init__(
        self,
        model: Model,
        *,
        data: npt.ArrayLike | Data | None = None,
        fixed: Mapping[str, float] | None = None,
        result: FitResult | None = None,
        start: FloatArray | None = None,
    ) -> None:
        self.model = model
        self.poi = model.poi_index()
        best = result or fit(model, data=data, fixed=fixed, start=start)
        self.best = best.require()
        self.fixed = fixed
        self.setup: Problem = problem(model, data=data, fixed=fixed, start=self.best.values)
        if self.setup.fixed[self.poi]:
            raise UsageError(f"the parameter of interest '{model.poi}' is fixed")
        self._known: list[Minimum] = [self.best.minimum]

    def at(self, mu: float) -> Minimum:
        """Best fit of the other parameters with the parameter of interest at ``mu``.

        Raises
        ------
        FitError
        """
        near = min(self._known, key=lambda point: abs(point.x[self.poi] - mu))
        candidates = [near] if near is self.best.minimum else [near, self.best.minimum]
        for begin in candidates:
            found = conditional(
                self.setup.likelihood, begin, self.poi, mu, lower=self.setup.lower, upper=self.setup.upper
            )
            if found.status == "ok":
                self._known.append(found)
                return found
        raise FitError(f"the fit at {self.model.poi} = {mu:g} failed: {found.message}")

    def q_tilde(self, mu: float) -> float:
        """Test statistic for upper limits: 0 if the best fit is above mu, relative to 0 if it is below 0."""
        best = float(self.best.values[self.poi])
        if best > mu:
            return 0.0
        floor = self.at(0.0).value if best < 0.0 else self.best.twice_nll
        return max(0.0, self.at(mu).value - floor)

    def q0(self) -> float:
        """Test statistic for discovery."""
        if self.best.values[self.poi] <= 0.0:
            return 0.0
        return max(0.0, self.at(0.0).value - self.best.twice_nll)

    def asimov(self, mu: float) -> Tester:
        """Tester of the Asimov data of the conditional fit at ``mu``.

        Its best fit starts from the point that made the data, which is its minimum: a blind start can end in
        another, worse one.
        """
        truth = self.at(mu).x
        return Tester(self.model, data=self.model.asimov(truth), fixed=self.fixed, start=truth)


def asymptotic_cls(q: float, q_asimov: float) -> tuple[float, float, float]:
    """Logarithms of CLs+b, CLb and CLs of a q~mu (the formulae of section 3.6 of the source)."""
    root = math.sqrt(q)
    if q_asimov <= _NO_SENSITIVITY:
        tail = log_normal_tail(root)
        return tail, tail, 0.0
    width = math.sqrt(q_asimov)
    if root <= width:
        clsb, clb = log_normal_tail(root), log_normal_tail(root - width)
    else:
        clsb = log_normal_tail((q + q_asimov) / (2.0 * width))
        clb = log_normal_tail((q - q_asimov) / (2.0 * width))
    return clsb, clb, clsb - clb


def expected_log_cls(q_asimov: float, sigma: float) -> float:
    """Logarithm of CLs at ``sigma`` standard deviations of the background-only distribution.

    ``Phi(sigma - sqrt(q_A)) / Phi(sigma)``: an upward fluctuation makes it larger.
    """
    if q_asimov <= _NO_SENSITIVITY:
        return 0.0
    return log_normal_tail(math.sqrt(q_asimov) - sigma) - float(special.log_ndtr(sigma))


def hypotest(
    model: Model,
    mu: float,
    *,
    data: npt.ArrayLike | Data | None = None,
    fixed: Mapping[str, float] | None = None,
    result: FitResult | None = None,
) -> Hypotest:
    """CLs of ``mu`` with q~mu, observed and expected for background only.

    Raises
    ------
    FitError
        If a fit fails; a number is never nan.
    """
    tester = Tester(model, data=data, fixed=fixed, result=result)
    return _hypotest(tester, tester.asimov(0.0), mu)


def _hypotest(tester: Tester, asimov: Tester, mu: float) -> Hypotest:
    poi, model = tester.poi, tester.model
    if not model.lower[poi] <= mu <= model.upper[poi]:
        raise UsageError(
            f"{model.poi} = {mu:g} is outside its bounds {model.lower[poi]:g} to {model.upper[poi]:g}"
        )
    q, q_asimov = tester.q_tilde(mu), asimov.q_tilde(mu)
    clsb, clb, cls = asymptotic_cls(q, q_asimov)
    expected = tuple(expected_log_cls(q_asimov, float(sigma)) for sigma in BANDS)
    return Hypotest(mu, q, q_asimov, clsb, clb, cls, expected)


def significance(
    model: Model,
    *,
    data: npt.ArrayLike | Data | None = None,
    fixed: Mapping[str, float] | None = None,
    result: FitResult | None = None,
    expected: bool = True,
) -> Significance:
    """Discovery significance, and that expected from the Asimov data of mu = 1."""
    tester = Tester(model, data=data, fixed=fixed, result=result)
    if model.lower[tester.poi] > 0.0:
        raise UsageError(
            f"'{model.poi}' cannot be tested against 0: its lower bound is {model.lower[tester.poi]:g}"
        )
    q0 = tester.q0()
    z0 = math.sqrt(q0)
    z_expected = None
    if expected and model.lower[tester.poi] <= 1.0 <= model.upper[tester.poi]:
        z_expected = math.sqrt(tester.asimov(1.0).q0())
    return Significance(q0, z0, log_normal_tail(z0), z_expected)


def limit(
    model: Model,
    *,
    cl: float = 0.95,
    data: npt.ArrayLike | Data | None = None,
    fixed: Mapping[str, float] | None = None,
    result: FitResult | None = None,
    points: int = 0,
) -> Limit:
    """CLs upper limit, observed and expected at -2..+2 standard deviations, by root finding on log CLs.

    Parameters
    ----------
    points : int
        Also test so many values between 0 and 1.2 times the largest limit, for a figure.
    """
    if not 0.0 < cl < 1.0:
        raise UsageError(f"a confidence level lies between 0 and 1, not {cl}")
    tester = Tester(model, data=data, fixed=fixed, result=result)
    asimov = tester.asimov(0.0)
    goal = math.log1p(-cl)
    top = float(model.upper[tester.poi])
    best = max(0.0, float(tester.best.values[tester.poi]))
    width = float(tester.best.errors[tester.poi])
    first = best + 2.0 * width if math.isfinite(width) and width > 0.0 else 0.5 * (best + top)
    reasons: dict[str, str] = {}

    def solve(name: str, log_cls: Callable[[float], float], low: float, guess: float) -> float | None:
        found = _crossing(lambda mu: log_cls(mu) - goal, low, min(max(guess, low + 1e-6), top), top)
        if found is None:
            reasons[name] = f"CLs stays above {1.0 - cl:.3g} up to the bound {top:g}"
        return found

    def observed(mu: float) -> float:
        return asymptotic_cls(tester.q_tilde(mu), asimov.q_tilde(mu))[2]

    def band(sigma: float) -> Callable[[float], float]:
        return lambda mu: expected_log_cls(asimov.q_tilde(mu), sigma)

    upper = solve("observed", observed, best, first)
    expected: list[float | None] = []
    guess = first
    for sigma in BANDS:
        found = solve(f"expected_{sigma:+d}", band(float(sigma)), 0.0, guess)
        expected.append(found)
        guess = found or guess
    known = [value for value in (upper, *expected) if value is not None]
    high = min(1.2 * max(known), top) if len(known) == 1 + len(BANDS) else top
    steps = [high * k / (points - 1) for k in range(points)] if points > 1 else []
    return Limit(cl, upper, tuple(expected), reasons, _curve(tester, asimov, steps))


def _curve(tester: Tester, asimov: Tester, values: list[float]) -> tuple[Hypotest, ...]:
    """Tests of some values; one whose fit fails is left out."""
    out: list[Hypotest] = []
    for mu in values:
        try:
            out.append(_hypotest(tester, asimov, mu))
        except FitError:
            continue
    return tuple(out)


def _crossing(function: Callable[[float], float], low: float, guess: float, top: float) -> float | None:
    """Root of a falling function between ``low`` and ``top``; None if it is still positive at ``top``.

    ``low`` itself is known to be on the positive side and is not evaluated.
    """
    near, far = low, guess
    value = function(far)
    while value > 0.0:
        if far >= top:
            return None
        near, far = far, min(top, far + 2.0 * max(far - near, 0.05 * abs(far), 1e-3))
        value = function(far)
    from scipy import optimize

    start = _positive_side(function, low, far) if near == low else near
    if start is None:
        return low
    return float(optimize.brentq(function, start, far, xtol=1e-7 * max(1.0, abs(far)), rtol=1e-8))


def _positive_side(function: Callable[[float], float], low: float, far: float) -> float | None:
    """A point between low and far where the function is positive, approaching low."""
    gap = far - low
    for _ in range(60):
        gap *= 0.5
        if function(low + gap) > 0.0:
            return low + gap
    return None

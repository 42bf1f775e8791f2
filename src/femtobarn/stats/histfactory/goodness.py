"""Goodness of fit against the saturated model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import special

from femtobarn.stats.histfactory.fitting import FitResult, fit
from femtobarn.stats.histfactory.likelihood import saturated_twice_nll
from femtobarn.stats.histfactory.toy_study import toy_goodness

if TYPE_CHECKING:
    from collections.abc import Mapping

    from femtobarn.stats.histfactory.likelihood import Data
    from femtobarn.stats.histfactory.model import Model

__all__ = ["Goodness", "goodness_of_fit", "log_chi2_tail"]


@dataclass(frozen=True, slots=True)
class Goodness:
    """``q`` = -2 log L - saturated, and its p-value from chi-squared of ``ndof`` or from toys.

    ``log_p`` is None for toys without any above the data (then p < 1/n); ``failed`` counts failed toy fits.
    """

    method: Literal["saturated", "toys"]
    q: float
    ndof: int
    p_value: float | None
    log_p: float | None
    toys: int | None = None
    failed: int | None = None

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {
            "method": self.method,
            "q": self.q,
            "ndof": self.ndof,
            "p_value": self.p_value,
            "log_p": self.log_p,
        }
        if self.toys is not None:
            out |= {"toys": self.toys, "failed": self.failed}
        return out


def log_chi2_tail(q: float, ndof: int) -> float:
    """Natural logarithm of the chi-squared tail beyond q; finite where the probability underflows."""
    half, x = 0.5 * ndof, 0.5 * q
    p = float(special.gammaincc(half, x))
    if p > 0.5:
        return math.log1p(-float(special.gammainc(half, x)))
    if p > 1e-280:
        return math.log(p)
    # Continued by the leading asymptotic term of the incomplete gamma function, with two corrections.
    series = 1.0 + (half - 1.0) / x + (half - 1.0) * (half - 2.0) / x**2
    return (half - 1.0) * math.log(x) - x - float(special.gammaln(half)) + math.log(series)


def goodness_of_fit(
    model: Model,
    *,
    data: npt.ArrayLike | Data | None = None,
    fixed: Mapping[str, float] | None = None,
    result: FitResult | None = None,
    method: Literal["saturated", "toys"] = "saturated",
    toys: int = 500,
    seed: int = 1,
) -> Goodness:
    """Compare the best fit with the saturated model.

    Parameters
    ----------
    method : str
        ``saturated``: chi-squared with bins minus free, unconstrained parameters; ``toys``: the distribution
        of q in toys thrown at the best fit.
    """
    best = (result or fit(model, data=data, fixed=fixed)).require()
    q = max(0.0, best.twice_nll - saturated_twice_nll(model.likelihood(data)))
    ndof = int(model.observed.size - np.count_nonzero(~best.fixed & ~model.constrained))
    if method == "toys":
        values, failed = toy_goodness(model, best.values, toys=toys, seed=seed, fixed=fixed)
        above = int(np.count_nonzero(values >= q))
        p = above / values.size if values.size else None
        return Goodness("toys", q, ndof, p, math.log(p) if p else None, toys, failed)
    if ndof <= 0:
        return Goodness("saturated", q, ndof, None, None)
    log_p = log_chi2_tail(q, ndof)
    return Goodness("saturated", q, ndof, math.exp(log_p), log_p)

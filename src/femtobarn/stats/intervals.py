"""Classical intervals for counts and efficiencies."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import special

__all__ = ["ONE_SIGMA", "clopper_pearson", "garwood", "weighted_efficiency"]

FloatArray = npt.NDArray[np.float64]

#: Probability inside one standard deviation of a Gaussian, erf(1/sqrt 2) = 68.27 %.
ONE_SIGMA: Final = float(special.erf(1.0 / np.sqrt(2.0)))


def _tail(level: float) -> float:
    if not 0.0 < level < 1.0:
        raise ValueError(f"the confidence level must lie between 0 and 1, not {level}")
    return 0.5 * (1.0 - level)


def garwood(counts: npt.ArrayLike, *, level: float = ONE_SIGMA) -> tuple[FloatArray, FloatArray]:
    """Central interval of a Poisson mean (F. Garwood, Biometrika 28 (1936) 437).

    Parameters
    ----------
    counts : (...) array_like
        Observed counts; real values are allowed (scaled counts), negative ones give nan.
    level : float
        Confidence level; 68.27 % unless told.

    Returns
    -------
    low, high : (...) float arrays
        For ``n = 0`` the interval is 0 to 1.841.
    """
    tail = _tail(level)
    n = np.asarray(counts, dtype=np.float64)
    valid = n >= 0.0
    safe = np.where(valid, n, 0.0)
    low = np.where(safe > 0.0, special.gammaincinv(np.where(safe > 0.0, safe, 1.0), tail), 0.0)
    high = special.gammainccinv(safe + 1.0, tail)
    return np.where(valid, low, np.nan), np.where(valid, high, np.nan)


def clopper_pearson(
    passed: npt.ArrayLike, total: npt.ArrayLike, *, level: float = ONE_SIGMA
) -> tuple[FloatArray, FloatArray]:
    """Central interval of a binomial probability (Clopper, Pearson, Biometrika 26 (1934) 404).

    Parameters
    ----------
    passed, total : (...) array_like
        Numbers of successes and trials.  Real values are allowed: the beta function continues the
        binomial sum, which is how an effective number of weighted events is treated.
    level : float
        Confidence level; 68.27 % unless told.

    Returns
    -------
    low, high : (...) float arrays
        nan where there were no trials or the numbers are not ``0 <= passed <= total``.
    """
    tail = _tail(level)
    k, n = np.broadcast_arrays(np.asarray(passed, dtype=np.float64), np.asarray(total, dtype=np.float64))
    valid = (n > 0.0) & (k >= 0.0) & (k <= n)
    some = valid & (k > 0.0)
    missed = valid & (k < n)
    low = np.zeros(n.shape)
    high = np.ones(n.shape)
    low[some] = special.betaincinv(k[some], n[some] - k[some] + 1.0, tail)
    high[missed] = special.betainccinv(k[missed] + 1.0, n[missed] - k[missed], tail)
    low[~valid] = np.nan
    high[~valid] = np.nan
    return low, high


def weighted_efficiency(
    passed: npt.ArrayLike,
    failed: npt.ArrayLike,
    passed_variance: npt.ArrayLike,
    failed_variance: npt.ArrayLike,
    *,
    level: float = ONE_SIGMA,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Efficiency of weighted events with the Clopper-Pearson interval of their effective number.

    The variance of ``e = Wp / (Wp + Wf)`` is ``((1-e)^2 S2p + e^2 S2f) / (Wp + Wf)^2``; the effective
    number ``e (1-e) / variance`` is what a binomial of that variance would have, and
    ``(sum w)^2 / sum w^2`` where e is 0 or 1.  A common factor on all weights changes nothing.

    Parameters
    ----------
    passed, failed : (...) array_like
        Sums of weights.
    passed_variance, failed_variance : (...) array_like
        Sums of squared weights.

    Returns
    -------
    efficiency, low, high, n_eff : (...) float arrays
        nan where the bin is empty or a sum is negative.
    """
    wp, wf, s2p, s2f = np.broadcast_arrays(
        *(np.asarray(x, dtype=np.float64) for x in (passed, failed, passed_variance, failed_variance))
    )
    total = wp + wf
    square = s2p + s2f
    valid = (wp >= 0.0) & (wf >= 0.0) & (total > 0.0) & (square > 0.0)
    safe = np.where(valid, total, 1.0)
    eff = np.where(valid, wp / safe, np.nan)
    variance = ((1.0 - eff) ** 2 * s2p + eff**2 * s2f) / safe**2
    inside = valid & (eff > 0.0) & (eff < 1.0) & (variance > 0.0)
    n_eff = np.where(valid, safe**2 / np.where(valid, square, 1.0), np.nan)
    n_eff = np.where(inside, eff * (1.0 - eff) / np.where(inside, variance, 1.0), n_eff)
    low, high = clopper_pearson(np.where(valid, eff * n_eff, 0.0), np.where(valid, n_eff, 0.0), level=level)
    return eff, low, high, n_eff

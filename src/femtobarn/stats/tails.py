"""p-values and significances in logarithms, so that 74 standard deviations are a number."""

from __future__ import annotations

import math

from scipy import special

__all__ = ["log_normal_tail", "normal_quantile", "poisson_log_tail"]


def log_normal_tail(z: float) -> float:
    """Natural logarithm of the Gaussian tail probability beyond z."""
    return float(special.log_ndtr(-z))


def normal_quantile(log_p: float) -> float | None:
    """The z whose Gaussian tail probability is ``exp(log_p)``; None for p = 0 and p = 1 exactly."""
    if math.isnan(log_p) or log_p in (0.0, -math.inf):
        return None
    return -float(special.ndtri_exp(log_p))


def poisson_log_tail(n: float, mean: float) -> float:
    """Natural logarithm of P(N >= n | mean), finite for any mean > 0.

    Equals the regularised lower incomplete gamma function P(n, mean).  Where that underflows, its
    series ``mean^n e^-mean / n! * sum_k mean^k n! / (n+k)!`` is used, which converges fast for mean < n.
    """
    if n <= 0.0:
        return 0.0
    if mean <= 0.0:
        return -math.inf
    p = float(special.gammainc(n, mean))
    if p > 1e-280:
        return math.log1p(-float(special.gammaincc(n, mean))) if p > 0.5 else math.log(p)
    total = term = 1.0
    k = 1.0
    while term > 1e-17 * total:
        term *= mean / (n + k)
        total += term
        k += 1.0
    return n * math.log(mean) - mean - float(special.gammaln(n + 1.0)) + math.log(total)

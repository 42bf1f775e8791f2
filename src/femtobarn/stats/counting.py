"""The counting experiment: n events seen where b are expected."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from scipy import special

from femtobarn.stats.tails import normal_quantile, poisson_log_tail

__all__ = ["CountingResult", "asimov_significance", "count", "observed_significance"]


@dataclass(frozen=True, slots=True)
class CountingResult:
    """Outcome of a counting experiment in one window.

    Attributes
    ----------
    n : float
        Observed events.
    b, s : float
        Expected background and signal alone.
    p0 : float
        P(N >= n | b); ``log_p0`` is its natural logarithm and stays finite where p0 underflows.
    z : float or None
        Normal quantile of p0 (negative for a deficit); None when b = 0 and n > 0.
    z_expected : float or None
        Median significance expected for s + b, ``sqrt(2((s+b) ln(1+s/b) - s))``.
    b_error : float or None
        Uncertainty of b, where given; then the two profiled numbers are filled.
    z_profiled, z_expected_profiled : float or None
        The same with b profiled under a Poisson side measurement of relative error ``b_error/b``
        (Cowan, "Discovery sensitivity for a counting experiment with background uncertainty", 2012).
    """

    n: float
    b: float
    s: float
    p0: float
    log_p0: float
    z: float | None
    z_expected: float | None
    b_error: float | None = None
    z_profiled: float | None = None
    z_expected_profiled: float | None = None

    def to_json(self) -> dict[str, float | None]:
        """The numbers under the keys of the Higgs tables; absent where they were not asked for."""
        numbers = asdict(self)
        out = {key: numbers[key] for key in ("n", "b", "s", "p0", "log_p0")}
        out |= {"Z": self.z, "Z_expected": self.z_expected}
        if self.b_error is not None:
            out |= {
                "b_error": self.b_error,
                "Z_profiled": self.z_profiled,
                "Z_expected_profiled": self.z_expected_profiled,
            }
        return out


def asimov_significance(s: float, b: float, b_error: float = 0.0) -> float | None:
    """Median significance of s + b over b for a counting experiment.

    Source: Cowan, Cranmer, Gross, Vitells, Eur. Phys. J. C 71 (2011) 1554, eq. 97; with a background
    error, Cowan's note of 2012, eq. 20.  It is the observed form at ``n = s + b``.

    Returns
    -------
    float or None
        None where b = 0 (no finite answer).
    """
    return observed_significance(s + b, b, b_error)


def observed_significance(n: float, b: float, b_error: float = 0.0) -> float | None:
    """Significance ``sqrt(q0)`` of n events over b, with b profiled if it has an error.

    The side measurement is a Poisson count m = tau b with ``tau = b / b_error^2``; a deficit gives 0.

    Returns
    -------
    float or None
        None where b = 0 (no finite answer).
    """
    if b <= 0.0:
        return 0.0 if n <= 0.0 else None
    if n <= b:
        return 0.0
    if b_error <= 0.0:
        return math.sqrt(max(0.0, 2.0 * (n * math.log(n / b) - (n - b))))
    tau = b / b_error**2
    shift = (n - b) / (1.0 + tau)  # the background that fits both counts without signal is b + shift
    both = b + shift
    q0 = 2.0 * (n * math.log(n / both) + tau * b * math.log1p(-shift / both))
    return math.sqrt(max(0.0, q0))


def count(n: float, b: float, s: float = 0.0, *, b_error: float | None = None) -> CountingResult:
    """Evaluate a counting experiment.

    Parameters
    ----------
    n : float
        Observed events (a whole number for data; real values are continued by the gamma function).
    b, s : float
        Expected background and signal (signal alone), events.
    b_error : float, optional
        Absolute uncertainty of b.
    """
    if min(n, b, s) < 0.0 or (b_error is not None and b_error < 0.0):
        raise ValueError("counts, expectations and errors of a counting experiment cannot be negative")
    log_p0 = poisson_log_tail(n, b)
    profiled: tuple[float | None, float | None] = (None, None)
    if b_error is not None:
        profiled = (observed_significance(n, b, b_error), asimov_significance(s, b, b_error))
    return CountingResult(
        n=n,
        b=b,
        s=s,
        p0=float(special.gammainc(n, b)) if n > 0.0 else 1.0,
        log_p0=log_p0,
        z=normal_quantile(log_p0),
        z_expected=asimov_significance(s, b),
        b_error=b_error,
        z_profiled=profiled[0],
        z_expected_profiled=profiled[1],
    )

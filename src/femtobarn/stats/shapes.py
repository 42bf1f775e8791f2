"""Probability shapes on a mass axis: exact integrals over bins, densities at points, first derivatives.

A shape is known by its cumulative integral and its density, each with the derivatives by its parameters.
Neither needs to be normalised: :func:`probabilities` divides by the integral over the fit range, so that a
yield is always the number of events inside that range.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import numpy.typing as npt
from scipy import special

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Cells",
    "DoubleCrystalBall",
    "Exponential",
    "Gaussian",
    "Parameter",
    "PowerLaw",
    "Shape",
    "bernstein_basis",
    "probabilities",
]

FloatArray = npt.NDArray[np.float64]
#: Values (n,) and their derivatives by the shape's parameters (k, n).
Values = tuple[FloatArray, FloatArray]

_SQRT_2PI: Final = math.sqrt(2.0 * math.pi)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A fit parameter: where it starts and where it may go (equal bounds: fixed)."""

    name: str
    start: float
    lower: float = -math.inf
    upper: float = math.inf

    @property
    def fixed(self) -> bool:
        return self.lower >= self.upper

    def fix(self, value: float) -> Parameter:
        return Parameter(self.name, value, value, value)


class Shape(Protocol):
    """What a fit asks of a shape; ``p`` holds the parameters in the order of ``names``."""

    @property
    def names(self) -> tuple[str, ...]: ...

    def cumulative(self, x: FloatArray, p: FloatArray) -> Values: ...

    def density(self, x: FloatArray, p: FloatArray) -> Values: ...


@dataclass(frozen=True, slots=True)
class Cells:
    """Where a fit looks: the bins between ``edges``, or single points (unbinned) inside ``low``-``high``.

    Attributes
    ----------
    edges : (n + 1,) float array or None
        Bin edges of a binned fit.
    points : (n,) float array or None
        Event masses of an unbinned fit.
    """

    low: float
    high: float
    edges: FloatArray | None = None
    points: FloatArray | None = None

    @classmethod
    def bins(cls, edges: npt.ArrayLike) -> Cells:
        array = np.asarray(edges, dtype=np.float64)
        if array.ndim != 1 or array.size < 2 or np.any(np.diff(array) <= 0.0):
            raise ValueError("bin edges must be at least two rising numbers")
        return cls(float(array[0]), float(array[-1]), edges=array)

    @classmethod
    def events(cls, points: npt.ArrayLike, low: float, high: float) -> Cells:
        array = np.asarray(points, dtype=np.float64)
        return cls(low, high, points=array[(array >= low) & (array <= high)])


def probabilities(shape: Shape, cells: Cells, p: FloatArray) -> Values:
    """Probability of each bin, or density at each point, of a shape normalised over the fit range."""
    ends, d_ends = shape.cumulative(np.array([cells.low, cells.high]), p)
    norm, d_norm = ends[1] - ends[0], d_ends[:, 1] - d_ends[:, 0]
    if cells.edges is not None:
        steps, d_steps = shape.cumulative(cells.edges, p)
        values, gradient = np.diff(steps), np.diff(d_steps, axis=1)
    else:
        assert cells.points is not None  # noqa: S101 - one of the two is set by both constructors
        values, gradient = shape.density(cells.points, p)
    values = values / norm
    return values, (gradient - values * d_norm[:, None]) / norm


@dataclass(frozen=True, slots=True)
class Gaussian:
    """Normal distribution of mean ``mass`` and width ``sigma``."""

    names: tuple[str, ...] = ("mass", "sigma")

    def cumulative(self, x: FloatArray, p: FloatArray) -> Values:
        z = (x - p[0]) / p[1]
        height = np.exp(-0.5 * z**2) / (_SQRT_2PI * p[1])
        return special.ndtr(z), np.stack([-height, -z * height])

    def density(self, x: FloatArray, p: FloatArray) -> Values:
        z = (x - p[0]) / p[1]
        height = np.exp(-0.5 * z**2) / (_SQRT_2PI * p[1])
        return height, np.stack([height * z / p[1], height * (z**2 - 1.0) / p[1]])


@dataclass(frozen=True, slots=True)
class DoubleCrystalBall:
    """Gaussian core with a power-law tail on either side.

    Tails ``A (B -+ z)^-n`` beyond ``alpha_low`` and ``alpha_high`` widths, joined with equal value and slope
    (J. Gaiser, SLAC-R-255 (1982), appendix F, on both sides).
    """

    names: tuple[str, ...] = ("mass", "sigma", "alpha_low", "n_low", "alpha_high", "n_high")

    def cumulative(self, x: FloatArray, p: FloatArray) -> Values:
        z = (x - p[0]) / p[1]
        height, slope = _dcb_height(z, p[2:])
        del slope
        tails = _by_differences(lambda t: _dcb_integral(z, t), p[2:])
        moved = np.stack([-height / p[1], -z * height / p[1]])
        return _dcb_integral(z, p[2:]), np.concatenate([moved, tails])

    def density(self, x: FloatArray, p: FloatArray) -> Values:
        z = (x - p[0]) / p[1]
        height, slope = _dcb_height(z, p[2:])
        tails = _by_differences(lambda t: _dcb_height(z, t)[0], p[2:]) / p[1]
        moved = np.stack([-slope / p[1] ** 2, -(height + z * slope) / p[1] ** 2])
        return height / p[1], np.concatenate([moved, tails])


def _by_differences(function: Callable[[FloatArray], FloatArray], p: FloatArray) -> FloatArray:
    """Central differences, accurate to about 1e-10 for parameters of order one."""
    rows = []
    for k in range(p.size):
        h = 1e-5 * max(1.0, abs(float(p[k])))
        up, down = p.copy(), p.copy()
        up[k] += h
        down[k] -= h
        rows.append((function(up) - function(down)) / (2.0 * h))
    return np.stack(rows)


def _dcb_height(z: FloatArray, tails: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Height (1 at the peak) and its derivative by z."""
    a_low, n_low, a_high, n_high = tails
    height = np.exp(-0.5 * z**2)
    slope = -z * height
    for out, a, n, sign in ((z < -a_low, a_low, n_low, -1.0), (z > a_high, a_high, n_high, 1.0)):
        if not out.any():
            continue
        # u = 1 where the tail begins; height = exp(-a^2/2) u^-n.
        u = 1.0 + a / n * (sign * z[out] - a)
        height[out] = math.exp(-0.5 * a**2) * u**-n
        slope[out] = -sign * a * height[out] / u
    return height, slope


def _dcb_integral(z: FloatArray, tails: FloatArray) -> FloatArray:
    """Integral of the height from the beginning of the low tail's join to z (any constant cancels)."""
    a_low, n_low, a_high, n_high = tails
    start = special.ndtr(-a_low)
    inner = np.clip(z, -a_low, a_high)
    total = _SQRT_2PI * (special.ndtr(inner) - start)
    for out, a, n, sign in ((z < -a_low, a_low, n_low, -1.0), (z > a_high, a_high, n_high, 1.0)):
        if out.any():
            u = 1.0 + a / n * (sign * z[out] - a)
            total[out] += sign * math.exp(-0.5 * a**2) * n / a * _power_integral(u, n)
    return np.asarray(total)


def _power_integral(u: FloatArray, n: float) -> FloatArray:
    """Integral of t^-n from 1 to u; the logarithm at n = 1."""
    return np.asarray(np.log(u) * special.exprel((1.0 - n) * np.log(u)))


@dataclass(frozen=True, slots=True)
class Exponential:
    """``exp(-slope (x - origin))``; the origin only keeps numbers near one."""

    origin: float
    names: tuple[str, ...] = ("slope",)

    def cumulative(self, x: FloatArray, p: FloatArray) -> Values:
        return _exponential_integral(x - self.origin, float(p[0]))

    def density(self, x: FloatArray, p: FloatArray) -> Values:
        t = x - self.origin
        height = np.exp(-p[0] * t)
        return height, (-t * height)[None, :]


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """``(x / origin)^-power``."""

    origin: float
    names: tuple[str, ...] = ("power",)

    def cumulative(self, x: FloatArray, p: FloatArray) -> Values:
        # With t = ln(x/origin) the integral is origin * int exp(-(power-1) t) dt.
        values, gradient = _exponential_integral(np.log(x / self.origin), float(p[0]) - 1.0)
        return self.origin * values, self.origin * gradient

    def density(self, x: FloatArray, p: FloatArray) -> Values:
        t = np.log(x / self.origin)
        height = np.exp(-p[0] * t)
        return height, (-t * height)[None, :]


def _exponential_integral(t: FloatArray, slope: float) -> Values:
    """Integral of exp(-slope s) from 0 to t and its derivative by the slope, stable at slope 0."""
    y = -slope * t
    values = t * special.exprel(y)
    # d/dy exprel(y) = (exp(y) - exprel(y)) / y, by its series near 0.
    small = np.abs(y) < 1e-4
    safe = np.where(small, 1.0, y)
    d = np.where(small, 0.5 + y / 3.0 + y**2 / 8.0, (np.exp(safe) - special.exprel(safe)) / safe)
    return values, (-(t**2) * d)[None, :]


def bernstein_basis(cells: Cells, degree: int) -> FloatArray:
    """Bernstein polynomials of a degree as probabilities of the cells.

    Returns
    -------
    (degree + 1, n) float array
        Row k is ``(degree + 1) C(degree, k) u^k (1-u)^(degree-k)`` with u from 0 to 1 over the range,
        integrated over each bin (exactly) or taken at each point as a density; each row integrates to one.
    """
    width = cells.high - cells.low
    k = np.arange(degree + 1, dtype=np.float64)[:, None]
    if cells.edges is not None:
        u = np.clip((cells.edges - cells.low) / width, 0.0, 1.0)
        # The integral of a Bernstein polynomial is a regularised incomplete beta function.
        return np.diff(special.betainc(k + 1.0, degree - k + 1.0, u[None, :]), axis=1)
    assert cells.points is not None  # noqa: S101 - one of the two is set by both constructors
    u = np.clip((cells.points - cells.low) / width, 0.0, 1.0)[None, :]
    return np.asarray((degree + 1) * special.comb(degree, k) * u**k * (1.0 - u) ** (degree - k) / width)

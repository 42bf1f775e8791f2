"""Probability shapes on a mass axis: exact integrals over bins, densities at points, first derivatives.

A shape is known by its cumulative integral and its density, each with the derivatives by its parameters.
Neither needs to be normalised: :func:`probabilities` divides by the integral over the fit range, so that a
yield is always the number of events inside that range.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
from scipy import special

__all__ = [
    "Cells",
    "DoubleCrystalBall",
    "Exponential",
    "Gaussian",
    "Parameter",
    "PowerLaw",
    "Shape",
    "Values",
    "bernstein_basis",
    "columns",
    "differences",
    "neighbours",
    "normalised",
    "probabilities",
]

FloatArray = npt.NDArray[np.float64]
#: Values (n,) and their derivatives by the shape's parameters (k, n).
Values = tuple[FloatArray, FloatArray]

_SQRT_2PI: Final = math.sqrt(2.0 * math.pi)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A fit parameter: where it starts and where it may go (equal bounds: fixed).

    ``weak`` is the width of a Gaussian constraint around the start, for parameters that the data may know
    nothing about: too wide to matter where they do.
    """

    name: str
    start: float
    lower: float = -math.inf
    upper: float = math.inf
    weak: float = math.inf

    @property
    def fixed(self) -> bool:
        return self.lower >= self.upper

    def fix(self, value: float) -> Parameter:
        return Parameter(self.name, value, value, value)


class Shape(Protocol):
    """What a fit asks of a shape; ``p`` holds the parameters in the order of ``names``.

    ``p`` is one point (k,) or a batch of points (k, m); values are then (m, n), derivatives (k, m, n).
    """

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


def columns(p: FloatArray) -> tuple[Any, ...]:
    """The parameters one by one: numbers of a point (k,), or columns (m, 1) of a batch of points (k, m)."""
    return tuple(p) if p.ndim == 1 else tuple(p[..., None])


def probabilities(shape: Shape, cells: Cells, p: FloatArray) -> Values:
    """Probability of each bin, or density at each point, of a shape normalised over the fit range.

    Parameters
    ----------
    p : (k,) float array, or (k, m) for m points at once

    Returns
    -------
    values : (n,) or (m, n) float array
    gradient : (k, n) or (k, m, n) float array
    """
    if cells.edges is not None:
        return normalised(*shape.cumulative(cells.edges, p))
    assert cells.points is not None  # noqa: S101 - one of the two is set by both constructors
    ends, d_ends = shape.cumulative(np.array([cells.low, cells.high]), p)
    return _over(*shape.density(cells.points, p), *(np.diff(a)[..., 0] for a in (ends, d_ends)))


def normalised(steps: FloatArray, d_steps: FloatArray) -> Values:
    """Probabilities of bins from a cumulative integral (..., n + 1) at their edges, and their derivatives."""
    norms = (a[..., -1] - a[..., 0] for a in (steps, d_steps))
    return _over(np.diff(steps), np.diff(d_steps), *norms)


def _over(values: FloatArray, gradient: FloatArray, norm: FloatArray, d_norm: FloatArray) -> Values:
    """Quotient of values (..., n) and a norm (...), with its derivatives."""
    values = values / norm[..., None]
    return values, (gradient - values * d_norm[..., None]) / norm[..., None]


def neighbours(p: FloatArray, free: npt.NDArray[np.bool_] | None = None) -> tuple[FloatArray, FloatArray]:
    """A point and its neighbours a small step up and down in each (free) parameter.

    Returns
    -------
    batch : (k, 1 + 2 f) float array
        The point itself, then all steps up, then all steps down.
    steps : (f,) float array
    """
    places = np.arange(p.size) if free is None else np.flatnonzero(free)
    h = 1e-5 * np.maximum(1.0, np.abs(p[places]))
    batch = np.repeat(p[:, None], 1 + 2 * places.size, axis=1)
    columns_up = 1 + np.arange(places.size)
    batch[places, columns_up] += h
    batch[places, columns_up + places.size] -= h
    return batch, h


def differences(
    gradients: FloatArray, steps: FloatArray, free: npt.NDArray[np.bool_] | None = None
) -> FloatArray:
    """Second derivatives (k, k) from first ones (k, 1 + 2 f) at :func:`neighbours`; good to about 1e-9."""
    k, f = gradients.shape[0], steps.size
    places = np.arange(k) if free is None else np.flatnonzero(free)
    out = np.zeros((k, k))
    out[:, places] = (gradients[:, 1 : 1 + f] - gradients[:, 1 + f :]) / (2.0 * steps)
    both = np.ones(k, dtype=np.bool_) if free is None else free
    # A parameter that was not moved knows its second derivatives from the other's side.
    out[np.ix_(places, ~both)] = out[np.ix_(~both, places)].T
    return np.asarray(0.5 * (out + out.T))


@dataclass(frozen=True, slots=True)
class Gaussian:
    """Normal distribution of mean ``mass`` and width ``sigma``."""

    names: tuple[str, ...] = ("mass", "sigma")

    def cumulative(self, x: FloatArray, p: FloatArray) -> Values:
        mass, sigma = columns(p)
        z = (x - mass) / sigma
        height = np.exp(-0.5 * z**2) / (_SQRT_2PI * sigma)
        return special.ndtr(z), np.stack([-height, -z * height])

    def density(self, x: FloatArray, p: FloatArray) -> Values:
        mass, sigma = columns(p)
        z = (x - mass) / sigma
        height = np.exp(-0.5 * z**2) / (_SQRT_2PI * sigma)
        return height, np.stack([height * z / sigma, height * (z**2 - 1.0) / sigma])


@dataclass(frozen=True, slots=True)
class DoubleCrystalBall:
    """Gaussian core with a power-law tail on either side.

    Tails ``A (B -+ z)^-n`` beyond ``alpha_low`` and ``alpha_high`` widths, joined with equal value and slope
    (J. Gaiser, SLAC-R-255 (1982), appendix F, on both sides).
    """

    names: tuple[str, ...] = ("mass", "sigma", "alpha_low", "n_low", "alpha_high", "n_high")

    def cumulative(self, x: FloatArray, p: FloatArray) -> Values:
        from femtobarn.kernels.peaks import double_crystal_ball_integral

        points = np.ascontiguousarray(p.reshape(p.shape[0], -1))
        values, slopes = double_crystal_ball_integral(np.ascontiguousarray(x), points)
        return (values[0], slopes[:, 0]) if p.ndim == 1 else (values, slopes)

    def density(self, x: FloatArray, p: FloatArray) -> Values:
        mass, sigma, *tails = columns(p)
        z = (x - mass) / sigma
        height, slope = _dcb_height(z, tails)
        moved = [-slope / sigma**2, -(height + z * slope) / sigma**2]
        return height / sigma, np.stack([*moved, *(d / sigma for d in _dcb_by_tails(z, tails))])


#: For the low and the high tail: sign of z in it, and places of its alpha and n.
_TAILS: Final = ((-1.0, 0, 1), (1.0, 2, 3))


def _dcb_height(z: FloatArray, tails: Sequence[Any]) -> tuple[FloatArray, FloatArray]:
    """Height (1 at the peak) and its derivative by z."""
    height = np.exp(-0.5 * z**2)
    slope = -z * height
    for sign, i, j in _TAILS:
        a, n = tails[i], tails[j]
        out = sign * z > a
        # u = 1 where the tail begins; height = exp(-a^2/2) u^-n.
        u = np.where(out, 1.0 + a / n * (sign * z - a), 1.0)
        fallen = np.exp(-0.5 * a**2) * u**-n
        height = np.where(out, fallen, height)
        slope = np.where(out, -sign * a * fallen / u, slope)
    return height, slope


def _dcb_by_tails(z: FloatArray, tails: Sequence[Any]) -> list[FloatArray]:
    """Derivatives of the height by the four parameters of the tails."""
    found: list[FloatArray] = []
    for sign, i, j in _TAILS:
        a, n = tails[i], tails[j]
        out = sign * z > a
        u = np.where(out, 1.0 + a / n * (sign * z - a), 1.0)
        fallen = np.where(out, np.exp(-0.5 * a**2) * u**-n, 0.0)
        found.append(fallen * (-a - (sign * z - 2.0 * a) / u))
        found.append(fallen * ((u - 1.0) / u - np.log(u)))
    return found


@dataclass(frozen=True, slots=True)
class Exponential:
    """``exp(-slope (x - origin))``; the origin only keeps numbers near one."""

    origin: float
    names: tuple[str, ...] = ("slope",)

    def cumulative(self, x: FloatArray, p: FloatArray) -> Values:
        return _exponential_integral(x - self.origin, columns(p)[0])

    def density(self, x: FloatArray, p: FloatArray) -> Values:
        t = x - self.origin
        height = np.exp(-columns(p)[0] * t)
        return height, (-t * height)[None]


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """``(x / origin)^-power``."""

    origin: float
    names: tuple[str, ...] = ("power",)

    def cumulative(self, x: FloatArray, p: FloatArray) -> Values:
        # With t = ln(x/origin) the integral is origin * int exp(-(power-1) t) dt.
        values, gradient = _exponential_integral(np.log(x / self.origin), columns(p)[0] - 1.0)
        return self.origin * values, self.origin * gradient

    def density(self, x: FloatArray, p: FloatArray) -> Values:
        t = np.log(x / self.origin)
        height = np.exp(-columns(p)[0] * t)
        return height, (-t * height)[None]


def _exponential_integral(t: FloatArray, slope: Any) -> Values:
    """Integral of exp(-slope s) from 0 to t and its derivative by the slope, stable at slope 0."""
    y = -slope * t
    return t * special.exprel(y), (-(t**2) * _exprel_slope(y))[None]


def _exprel_slope(y: FloatArray) -> FloatArray:
    """Derivative of exprel(y) = (exp(y) - 1) / y, by its series near 0."""
    small = np.abs(y) < 1e-4
    safe = np.where(small, 1.0, y)
    return np.where(small, 0.5 + y / 3.0 + y**2 / 8.0, (np.exp(safe) - special.exprel(safe)) / safe)


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

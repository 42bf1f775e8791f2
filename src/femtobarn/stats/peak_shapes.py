"""Further shapes for resonance fits: Voigt, the falling-with-threshold CMS shape, Chebyshev polynomials."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import special

from femtobarn.stats.shapes import Cells, FloatArray, Values

__all__ = ["CmsShape", "Voigt", "chebyshev_basis"]

_SQRT_PI: Final = math.sqrt(math.pi)
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)


def _integrated(density: Callable[[FloatArray], Values], x: FloatArray, step: float) -> Values:
    """Integral from the first point to each point by Gauss-Legendre rules of 16 nodes.

    Intervals are cut to at most ``step``, about the scale on which the density changes, where such a rule is
    exact to rounding.
    """
    pieces = [max(1, math.ceil(float(width) / step)) for width in np.diff(x)]
    cuts = np.concatenate(
        [np.linspace(a, b, n, endpoint=False) for a, b, n in zip(x[:-1], x[1:], pieces, strict=True)]
        + [x[-1:]]
    )
    half = 0.5 * np.diff(cuts)
    points = (cuts[:-1] + half)[:, None] + half[:, None] * _NODES
    values, gradient = density(points.ravel())
    weights = half[:, None] * _WEIGHTS
    parts = (values.reshape(points.shape) * weights).sum(axis=1)
    d_parts = (gradient.reshape(-1, *points.shape) * weights).sum(axis=2)
    ends = np.concatenate([[0], np.cumsum(pieces)])
    total = np.concatenate([[0.0], np.cumsum(parts)])
    d_total = np.concatenate([np.zeros((gradient.shape[0], 1)), np.cumsum(d_parts, axis=1)], axis=1)
    return total[ends], d_total[:, ends]


@dataclass(frozen=True, slots=True)
class Voigt:
    """Breit-Wigner of full width ``gamma`` folded with a Gaussian of width ``sigma``.

    The density is ``Re w(z) / (sigma sqrt(2 pi))`` with ``z = (x - mass + i gamma / 2) / (sigma sqrt 2)`` and
    the Faddeeva function w.
    """

    names: tuple[str, ...] = ("mass", "sigma", "gamma")

    def density(self, x: FloatArray, p: FloatArray) -> Values:
        mass, sigma, gamma = p
        scale = sigma * math.sqrt(2.0)
        z = ((x - mass) + 0.5j * gamma) / scale
        w = special.wofz(z)
        slope = -2.0 * z * w + 2.0j / _SQRT_PI  # dw/dz
        norm = 1.0 / (scale * _SQRT_PI)
        by_mass = -norm * slope.real / scale
        by_sigma = -norm * (w + slope * z).real / sigma
        by_gamma = -0.5 * norm * slope.imag / scale
        return norm * w.real, np.stack([by_mass, by_sigma, by_gamma])

    def cumulative(self, x: FloatArray, p: FloatArray) -> Values:
        return _integrated(lambda t: self.density(t, p), x, float(p[1] + 0.5 * p[2]))


@dataclass(frozen=True, slots=True)
class CmsShape:
    """``erfc(-beta (x - loc)) exp(-gamma (x - loc))``: a threshold times a falling exponential."""

    names: tuple[str, ...] = ("loc", "beta", "gamma")

    def density(self, x: FloatArray, p: FloatArray) -> Values:
        loc, beta, gamma = p
        t = x - loc
        threshold = special.erfc(-beta * t)
        fall = np.exp(-gamma * t)
        bell = 2.0 / _SQRT_PI * np.exp(-((beta * t) ** 2))
        value = threshold * fall
        by_loc = (gamma * threshold - beta * bell) * fall
        return value, np.stack([by_loc, t * bell * fall, -t * value])

    def cumulative(self, x: FloatArray, p: FloatArray) -> Values:
        step = 1.0 / max(abs(float(p[1])), abs(float(p[2])), 1e-6)
        return _integrated(lambda t: self.density(t, p), x, step)


def chebyshev_basis(cells: Cells, degree: int) -> FloatArray:
    """Chebyshev polynomials T_0..T_degree over the cells.

    Returns
    -------
    (degree + 1, n) float array
        ``T_k(u) / width`` with u from -1 to 1 over the range, integrated over each bin (exactly) or taken at
        each point; row 0 is the flat probability.
    """
    width = cells.high - cells.low
    if cells.edges is not None:
        u = 2.0 * (cells.edges - cells.low) / width - 1.0
        # Integral of T_k over u, times du/dx = 2/width and 1/width of the definition.
        steps = [np.polynomial.chebyshev.Chebyshev.basis(k).integ()(u) / 2.0 for k in range(degree + 1)]
        return np.stack([np.diff(step) for step in steps])
    points = cells.points if cells.points is not None else np.zeros(0)
    u = 2.0 * (points - cells.low) / width - 1.0
    return np.stack([np.polynomial.chebyshev.Chebyshev.basis(k)(u) / width for k in range(degree + 1)])

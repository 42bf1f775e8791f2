"""Further shapes for resonance fits: Voigt, the falling-with-threshold CMS shape, Chebyshev polynomials."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy import special

from femtobarn.stats.shapes.basic import Cells, FloatArray, Values, columns

__all__ = ["CmsShape", "Voigt", "chebyshev_basis"]

_SQRT_PI: Final = math.sqrt(math.pi)
#: Interval in steps from which a rule is used, and the rule's nodes and weights.
_RULES: Final = tuple(
    (least, np.polynomial.legendre.leggauss(n)) for least, n in ((0.5, 16), (0.2, 9), (0.0, 6))
)


def _rule(x: FloatArray, step: float) -> tuple[int, FloatArray, FloatArray]:
    """Pieces an interval and the nodes and weights of a Gauss-Legendre rule for them.

    Intervals are cut to at most ``step``, about the scale on which the density changes, where a rule of 16
    nodes is exact to rounding; shorter ones need fewer.
    """
    widest = float(np.diff(x).max())
    pieces = max(1, math.ceil(widest / step))
    nodes, weights = next(rule for least, rule in _RULES if widest / pieces >= least * step)
    return pieces, nodes, weights


def _batched(integral: Callable[..., Values], x: FloatArray, p: FloatArray, *rule: Any) -> Values:
    """Call a kernel for one point of parameters or a batch of them."""
    values, slopes = integral(np.ascontiguousarray(x), np.ascontiguousarray(p.reshape(p.shape[0], -1)), *rule)
    return (values[0], slopes[:, 0]) if p.ndim == 1 else (values, slopes)


@dataclass(frozen=True, slots=True)
class Voigt:
    """Breit-Wigner of full width ``gamma`` folded with a Gaussian of width ``sigma``.

    The density is ``Re w(z) / (sigma sqrt(2 pi))`` with ``z = (x - mass + i gamma / 2) / (sigma sqrt 2)`` and
    the Faddeeva function w.
    """

    names: tuple[str, ...] = ("mass", "sigma", "gamma")

    def density(self, x: FloatArray, p: FloatArray) -> Values:
        mass, sigma, gamma = columns(p)
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
        from femtobarn.kernels.peaks import voigt_integral

        return _batched(voigt_integral, x, p, *_rule(x, float(np.min(p[1] + 0.5 * p[2]))))


@dataclass(frozen=True, slots=True)
class CmsShape:
    """``erfc(-beta (x - loc)) exp(-gamma (x - loc))``: a threshold times a falling exponential."""

    names: tuple[str, ...] = ("loc", "beta", "gamma")

    def density(self, x: FloatArray, p: FloatArray) -> Values:
        loc, beta, gamma = columns(p)
        t = x - loc
        threshold = special.erfc(-beta * t)
        fall = np.exp(-gamma * t)
        bell = 2.0 / _SQRT_PI * np.exp(-((beta * t) ** 2))
        value = threshold * fall
        by_loc = (gamma * threshold - beta * bell) * fall
        return value, np.stack([by_loc, t * bell * fall, -t * value])

    def cumulative(self, x: FloatArray, p: FloatArray) -> Values:
        from femtobarn.kernels.peaks import cms_integral

        step = 1.0 / max(float(np.abs(p[1:]).max()), 1e-6)
        return _batched(cms_integral, x, p, *_rule(x, step))


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

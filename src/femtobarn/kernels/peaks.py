"""Integrals of peak and threshold shapes at many points of parameters at once, with exact derivatives.

What a fit of a mass spectrum evaluates most: the integral up to each edge of its bins.  ``p`` holds one
column of parameters a point (k, m); values are (m, n), derivatives (k, m, n).
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numba import njit

__all__ = ["cms_integral", "double_crystal_ball_integral", "voigt_integral"]

_SQRT_2PI: Final = math.sqrt(2.0 * math.pi)
_SQRT_2: Final = math.sqrt(2.0)
_SQRT_PI: Final = math.sqrt(math.pi)


def _weideman(terms: int) -> tuple[float, Any]:
    """Scale and coefficients (highest power first) of a rational approximation of the Faddeeva function.

    J. A. C. Weideman, SIAM J. Numer. Anal. 31 (1994) 1497; 40 terms are good to 1e-13 above the axis.
    """
    scale = math.sqrt(terms / math.sqrt(2.0))
    m = 2 * terms
    theta = np.arange(-m + 1, m) * math.pi / m
    t = scale * np.tan(0.5 * theta)
    f = np.concatenate([[0.0], np.exp(-(t**2)) * (scale**2 + t**2)])
    coefficients = np.real(np.fft.fft(np.fft.fftshift(f))) / (2 * m)
    return scale, np.ascontiguousarray(coefficients[1 : terms + 1][::-1])


_L, _C = _weideman(40)


@njit(cache=True)
def _faddeeva(z: Any) -> Any:
    below = _L - 1j * z
    ratio = (_L + 1j * z) / below
    total = complex(_C[0], 0.0)
    for c in _C[1:]:
        total = total * ratio + c
    return 2.0 * total / (below * below) + 1.0 / (_SQRT_PI * below)


@njit(cache=True)
def _exprel(y: float) -> Any:
    """(exp(y) - 1) / y and its derivative."""
    if abs(y) < 1e-4:
        return 1.0 + y / 2.0 + y * y / 6.0, 0.5 + y / 3.0 + y * y / 8.0
    value = math.expm1(y) / y
    return value, (math.exp(y) - value) / y


@njit(cache=True)
def double_crystal_ball_integral(x: Any, p: Any) -> Any:
    """Gaussian core with power-law tails (see :class:`femtobarn.stats.shapes.basic.DoubleCrystalBall`).

    Parameters
    ----------
    x : (n,) float64, rising
    p : (6, m) float64
        mass, sigma, alpha_low, n_low, alpha_high, n_high.

    Returns
    -------
    (m, n) and (6, m, n) float64
        Integral in units of sigma, up to a constant, and its derivatives.
    """
    m, n = p.shape[1], x.size
    values, slopes = np.empty((m, n)), np.zeros((6, m, n))
    for j in range(m):
        mass, sigma, a_low, a_high = p[0, j], p[1, j], p[2, j], p[4, j]
        join_low, join_high = math.exp(-0.5 * a_low * a_low), math.exp(-0.5 * a_high * a_high)
        start = math.erfc(a_low / _SQRT_2)
        for i in range(n):
            z = (x[i] - mass) / sigma
            inner = min(max(z, -a_low), a_high)
            total = 0.5 * _SQRT_2PI * (math.erfc(-inner / _SQRT_2) - start)
            height = math.exp(-0.5 * z * z)
            if z > -a_low:
                slopes[2, j, i] = join_low
            if z > a_high:
                slopes[4, j, i] = join_high
            if z < -a_low or z > a_high:
                low = z < -a_low
                sign = -1.0 if low else 1.0
                a, power = (a_low, p[3, j]) if low else (a_high, p[5, j])
                join, at = (join_low, 2) if low else (join_high, 4)
                u = 1.0 + a / power * (sign * z - a)
                log_u = math.log(u)
                edge = math.exp(-power * log_u)
                height = join * edge
                rel, d_rel = _exprel((1.0 - power) * log_u)
                area, scale = log_u * rel, sign * join * power / a
                total += scale * area
                slopes[at, j, i] += scale * (-(a + 1.0 / a) * area + edge * (sign * z - 2.0 * a) / power)
                slopes[at + 1, j, i] = scale * (
                    area / power - edge * (u - 1.0) / power - log_u * log_u * d_rel
                )
            values[j, i] = total
            slopes[0, j, i] = -height / sigma
            slopes[1, j, i] = -z * height / sigma
    return values, slopes


@njit(cache=True)
def cms_integral(x: Any, p: Any, pieces: int, nodes: Any, weights: Any) -> Any:
    """``erfc(-beta (x - loc)) exp(-gamma (x - loc))`` from the first point on, by Gauss-Legendre rules.

    Parameters
    ----------
    x : (n,) float64, rising
    p : (3, m) float64
        loc, beta, gamma.
    pieces : int
        Into which every interval is cut.
    nodes, weights : (q,) float64
        Of the rule on [-1, 1].
    """
    m, n = p.shape[1], x.size
    values, slopes = np.zeros((m, n)), np.zeros((3, m, n))
    for j in range(m):
        loc, beta, gamma = p[0, j], p[1, j], p[2, j]
        for i in range(n - 1):
            half = 0.5 * (x[i + 1] - x[i]) / pieces
            total = d_loc = d_beta = d_gamma = 0.0
            for piece in range(pieces):
                centre = x[i] + (2 * piece + 1) * half - loc
                for q in range(nodes.size):
                    t = centre + half * nodes[q]
                    fall = weights[q] * math.exp(-gamma * t)
                    value = math.erfc(-beta * t) * fall
                    bell = 2.0 / _SQRT_PI * math.exp(-beta * beta * t * t) * fall
                    total += value
                    d_loc += gamma * value - beta * bell
                    d_beta += t * bell
                    d_gamma -= t * value
            values[j, i + 1] = values[j, i] + half * total
            slopes[0, j, i + 1] = slopes[0, j, i] + half * d_loc
            slopes[1, j, i + 1] = slopes[1, j, i] + half * d_beta
            slopes[2, j, i + 1] = slopes[2, j, i] + half * d_gamma
    return values, slopes


@njit(cache=True)
def voigt_integral(x: Any, p: Any, pieces: int, nodes: Any, weights: Any) -> Any:
    """Breit-Wigner folded with a Gaussian, from the first point on; p = (mass, sigma, gamma), as above."""
    m, n = p.shape[1], x.size
    values, slopes = np.zeros((m, n)), np.zeros((3, m, n))
    for j in range(m):
        mass, sigma, gamma = p[0, j], p[1, j], p[2, j]
        scale = sigma * _SQRT_2
        norm = 1.0 / (scale * _SQRT_PI)
        for i in range(n - 1):
            half = 0.5 * (x[i + 1] - x[i]) / pieces
            total = d_mass = d_sigma = d_gamma = 0.0
            for piece in range(pieces):
                centre = x[i] + (2 * piece + 1) * half - mass
                for q in range(nodes.size):
                    z = complex(centre + half * nodes[q], 0.5 * gamma) / scale
                    w = _faddeeva(z)
                    slope = -2.0 * z * w + 2.0j / _SQRT_PI
                    total += weights[q] * w.real
                    d_mass -= weights[q] * slope.real / scale
                    d_sigma -= weights[q] * (w + slope * z).real / sigma
                    d_gamma -= weights[q] * 0.5 * slope.imag / scale
            factor = norm * half
            values[j, i + 1] = values[j, i] + factor * total
            slopes[0, j, i + 1] = slopes[0, j, i] + factor * d_mass
            slopes[1, j, i + 1] = slopes[1, j, i] + factor * d_sigma
            slopes[2, j, i + 1] = slopes[2, j, i] + factor * d_gamma
    return values, slopes

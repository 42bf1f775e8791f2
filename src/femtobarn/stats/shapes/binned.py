"""Shapes as probabilities of the bins of a fit: mixtures, polynomials, phase space, folded templates.

All take one point of parameters (k,) or a batch of points (k, m), see :mod:`femtobarn.stats.shapes.basic`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
from scipy import special

from femtobarn.errors import UsageError
from femtobarn.stats.shapes.basic import (
    Cells,
    FloatArray,
    Shape,
    Values,
    bernstein_basis,
    columns,
    normalised,
    probabilities,
)

__all__ = [
    "BinShape",
    "CrystalTail",
    "Folded",
    "Kernel",
    "Mixture",
    "PhaseSpace",
    "Polynomial",
    "Smeared",
    "Smooth",
    "breit_wigner",
]

_SQRT_2PI: Final = math.sqrt(2.0 * math.pi)


class BinShape(Protocol):
    """Probabilities of the bins of one fit range, with derivatives by the parameters ``names``."""

    @property
    def names(self) -> tuple[str, ...]: ...

    def bins(self, p: FloatArray) -> Values: ...


@dataclass(frozen=True, slots=True)
class Smooth:
    """A shape with a cumulative integral, in bins."""

    shape: Shape
    cells: Cells

    @property
    def names(self) -> tuple[str, ...]:
        return self.shape.names

    def bins(self, p: FloatArray) -> Values:
        return probabilities(self.shape, self.cells, p)


@dataclass(frozen=True)
class Mixture:
    """``fraction`` of a first shape, the rest of a second; they share their first parameter (the mass)."""

    first: BinShape
    second: BinShape
    names: tuple[str, ...]

    def bins(self, p: FloatArray) -> Values:
        k = len(self.first.names)
        one, d_one = _once(self.first, p[:k])
        two, d_two = _once(self.second, np.concatenate([p[:1], p[k:-1]]))
        share = columns(p)[-1]
        gradient = [
            share * d_one[0] + (1.0 - share) * d_two[0],
            *(share * d_one[1:]),
            *((1.0 - share) * d_two[1:]),
            one - two,
        ]
        return share * one + (1.0 - share) * two, np.stack(gradient)


def _once(shape: BinShape, p: FloatArray) -> Values:
    """The bins of a batch in which points repeat: each is evaluated once."""
    if p.ndim == 1:
        return shape.bins(p)
    points, place = np.unique(p, axis=1, return_inverse=True)
    values, gradient = shape.bins(points)
    return values[place.ravel()], gradient[:, place.ravel()]


@dataclass(frozen=True)
class Polynomial:
    """A straight line or a parabola over the range.

    ``lin``: 1 + slope u with u from -1 to 1.  ``cheb``: 1 + c1 T1(u) + c2 T2(u), which may turn negative (the
    fit then rejects the point).  ``bpoly``: Bernstein polynomials of degree two whose shares are
    ``first``, ``(1 - first) middle``, ``(1 - first)(1 - middle)``: positive for parameters from 0 to 1.
    """

    kind: str
    rows: FloatArray = field(repr=False)  # (terms, n), each a probability (Bernstein) or a change of it
    names: tuple[str, ...]

    @classmethod
    def make(cls, kind: str, cells: Cells) -> Polynomial:
        if kind == "bpoly":
            return cls(kind, bernstein_basis(cells, 2), ("first", "middle"))
        from femtobarn.stats.shapes.peaks import chebyshev_basis

        degree = {"lin": 1, "cheb": 2}[kind]
        return cls(kind, chebyshev_basis(cells, degree), ("slope",) if degree == 1 else ("c1", "c2"))

    def bins(self, p: FloatArray) -> Values:
        c = columns(p)
        if self.kind == "bpoly":
            b0, b1, b2 = self.rows
            first, middle = c
            rest = middle * b1 + (1.0 - middle) * b2
            slopes = np.broadcast_arrays(b0 - rest, (1.0 - first) * (b1 - b2))
            return first * b0 + (1.0 - first) * rest, np.stack(slopes)
        values = self.rows[0] + sum((ck * row for ck, row in zip(c, self.rows[1:], strict=True)), 0.0)
        # T2 alone has an integral: the norm depends on its coefficient.
        sums = self.rows.sum(axis=1)
        norm = sums[0] + sum((ck * s for ck, s in zip(c, sums[1:], strict=True)), 0.0)
        values = values / norm
        return values, np.stack(
            [(row - values * s) / norm for row, s in zip(self.rows[1:], sums[1:], strict=True)]
        )


@dataclass(frozen=True)
class PhaseSpace:
    """``(x - low)^a (high - x)^b``: bins are differences of incomplete beta functions."""

    cells: Cells
    names: tuple[str, ...] = ("a", "b")

    def bins(self, p: FloatArray) -> Values:
        edges = self.cells.edges if self.cells.edges is not None else np.zeros(2)
        u = (edges - self.cells.low) / (self.cells.high - self.cells.low)
        a, b = columns(p)

        def content(a: Any, b: Any) -> FloatArray:
            return np.diff(special.betainc(a + 1.0, b + 1.0, u))

        h = 1e-4
        slopes = [
            (content(a + h, b) - content(a - h, b)) / (2.0 * h),
            (content(a, b + h) - content(a, b - h)) / (2.0 * h),
        ]
        return content(a, b), np.stack(slopes)


class Kernel(Protocol):
    """A resolution: the second integral of its density (up to a constant factor) and its derivatives."""

    @property
    def names(self) -> tuple[str, ...]: ...

    def second_integral(self, t: FloatArray, p: FloatArray) -> Values: ...


@dataclass(frozen=True, slots=True)
class Smeared:
    """Gaussian resolution of width ``sigma`` that also moves by ``shift``."""

    names: tuple[str, ...] = ("shift", "sigma")

    def second_integral(self, t: FloatArray, p: FloatArray) -> Values:
        shift, sigma = columns(p)
        z = (t - shift) / sigma
        below = special.ndtr(z)
        height = np.exp(-0.5 * z**2) / _SQRT_2PI
        return sigma * (z * below + height), np.stack([-below, height])


@dataclass(frozen=True, slots=True)
class CrystalTail:
    """Gaussian resolution with an exponential tail at low masses, beyond ``alpha`` widths.

    The density is ``exp(-z^2/2)`` for z > -alpha and ``exp(alpha^2/2 + alpha z)`` below.
    """

    names: tuple[str, ...] = ("shift", "sigma", "alpha")

    def second_integral(self, t: FloatArray, p: FloatArray) -> Values:
        shift, sigma, alpha = columns(p)
        z = (t - shift) / sigma
        low = z < -alpha
        tail = np.exp(np.where(low, 0.5 * alpha**2 + alpha * z, 0.0))
        join, past = np.exp(-0.5 * alpha**2), z + alpha
        inside = special.ndtr(z) - special.ndtr(-alpha)
        bells = np.exp(-0.5 * z**2) - join
        first = np.where(low, tail / alpha, join / alpha + _SQRT_2PI * inside)
        core = join * (1.0 / alpha**2 + past / alpha) + bells
        core = core + _SQRT_2PI * (z * special.ndtr(z) + (alpha - past) * special.ndtr(-alpha))
        second = np.where(low, tail / alpha**2, core)
        by_alpha = np.where(
            low, tail * (past / alpha**2 - 2.0 / alpha**3), -join * (2.0 / alpha**3 + past / alpha**2)
        )
        return second, np.stack([-first / sigma, -z * first / sigma, by_alpha])


@dataclass(frozen=True)
class Folded:
    """A histogram (flat inside its bins) folded with a resolution, in the bins of the fit; exact.

    The integral of a bin's share up to an edge e is a difference of the kernel's second integral at
    ``e - t`` for the ends t of the bin, so that all edges need it on one common set of distances.
    """

    kernel: Kernel
    distances: FloatArray = field(repr=False)
    weights: FloatArray = field(repr=False)  # (edges, distances)

    @classmethod
    def make(cls, cells: Cells, template_edges: FloatArray, content: FloatArray, kernel: Kernel) -> Folded:
        """Prepare the folding of ``content`` (n,) in bins of ``template_edges`` (n + 1,)."""
        if not np.any(content > 0.0):
            raise UsageError("the signal template is empty in the fit range")
        height = np.concatenate([[0.0], np.maximum(content, 0.0) / np.diff(template_edges), [0.0]])
        jumps = np.diff(height) / np.maximum(content, 0.0).sum()
        edges = cells.edges if cells.edges is not None else np.zeros(2)
        distance = edges[:, None] - template_edges[None, :]
        known, place = np.unique(np.round(distance, 9).ravel(), return_inverse=True)
        weights = np.zeros((edges.size, known.size))
        np.add.at(weights, (np.repeat(np.arange(edges.size), jumps.size), place), np.tile(jumps, edges.size))
        return cls(kernel, known, weights)

    @property
    def names(self) -> tuple[str, ...]:
        return self.kernel.names

    def bins(self, p: FloatArray) -> Values:
        values, gradient = self.kernel.second_integral(self.distances, p)
        return normalised(values @ self.weights.T, gradient @ self.weights.T)


def breit_wigner(
    mass: float, width: float, low: float, high: float, step: float
) -> tuple[FloatArray, FloatArray]:
    """A generated resonance in fine bins: edges (n + 1,) and content (n,).

    ``m / ((m^2 - M^2)^2 + m^4 width^2 / M^2)``: relativistic with a width that grows with the mass (D.
    Bardin et al., Phys. Lett. B 206 (1988) 539), times the fall of the parton luminosity, about 1/s.
    """
    edges = np.asarray(low + step * np.arange(max(2, round((high - low) / step)) + 1), dtype=np.float64)
    m = 0.5 * (edges[1:] + edges[:-1])
    height = m / ((m**2 - mass**2) ** 2 + (m**2 * width / mass) ** 2)
    return edges, np.asarray(height, dtype=np.float64)

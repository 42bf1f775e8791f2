"""The extended likelihood of signal plus background that :mod:`femtobarn.stats.masses.fit` minimises."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, Protocol

import numpy as np
import numpy.typing as npt

from femtobarn.errors import UsageError, nearest
from femtobarn.stats.minimise import FloatArray, Minimum, minimise
from femtobarn.stats.shapes.basic import (
    Cells,
    Exponential,
    Parameter,
    PowerLaw,
    Shape,
    bernstein_basis,
    differences,
    neighbours,
    probabilities,
)

__all__ = ["Background", "BackgroundModel", "MassModel", "background_model"]

Background = Literal["polynomial", "bernstein", "exponential", "power"]
BoolArray = npt.NDArray[np.bool_]
_BACKGROUNDS: Final = ("polynomial", "bernstein", "exponential", "power")


class BackgroundModel(Protocol):
    """Expected background in the cells of a fit, with derivatives by its parameters."""

    @property
    def parameters(self) -> tuple[Parameter, ...]: ...

    def expectation(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Events per bin (or per GeV at each point) and their derivatives (k, n)."""
        ...

    def total(self, x: FloatArray) -> tuple[float, FloatArray]: ...

    def integral(self, x: FloatArray, low: float, high: float) -> tuple[float, FloatArray]:
        """Events between two masses and the derivatives (k,)."""
        ...

    def curvature(self, x: FloatArray, ratio: FloatArray) -> FloatArray:
        """Second derivatives (k, k) of the expectation, summed over the cells with weights ``ratio``."""
        ...

    def on(self, cells: Cells) -> BackgroundModel:
        """The same background looked at in other cells of the same range."""
        ...


@dataclass(frozen=True)
class _Bernstein:
    cells: Cells
    degree: int
    events: float
    lower: float

    @cached_property
    def basis(self) -> FloatArray:
        return bernstein_basis(self.cells, self.degree)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        share = self.events / (self.degree + 1)
        return tuple(Parameter(f"b{k}", share, self.lower) for k in range(self.degree + 1))

    def expectation(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        return x @ self.basis, self.basis

    def total(self, x: FloatArray) -> tuple[float, FloatArray]:
        return float(x.sum()), np.ones(x.size)

    def integral(self, x: FloatArray, low: float, high: float) -> tuple[float, FloatArray]:
        edges = np.unique([self.cells.low, low, high, self.cells.high])
        rows = bernstein_basis(Cells.bins(edges), self.degree)
        column = rows[:, int(np.searchsorted(edges, low))]
        return float(x @ column), column

    def curvature(self, x: FloatArray, ratio: FloatArray) -> FloatArray:  # noqa: ARG002 - linear
        return np.zeros((x.size, x.size))

    def on(self, cells: Cells) -> BackgroundModel:
        return _Bernstein(cells, self.degree, self.events, self.lower)


@dataclass(frozen=True)
class _Sum:
    """Sum of falling shapes, each with a yield and one parameter."""

    cells: Cells
    shape: Shape
    starts: tuple[tuple[float, float], ...]  # (yield, shape parameter)
    limits: tuple[float, float]

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        out: list[Parameter] = []
        for k, (share, value) in enumerate(self.starts, 1):
            out.append(Parameter(f"n_bkg{k}", share, 0.0))
            out.append(Parameter(f"{self.shape.names[0]}{k}", value, *self.limits))
        return tuple(out)

    def _evaluate(self, x: FloatArray, cells: Cells) -> tuple[FloatArray, FloatArray]:
        rows: list[FloatArray] = []
        for k in range(len(self.starts)):
            p, dp = probabilities(self.shape, cells, x[2 * k + 1 : 2 * k + 2])
            rows += [p, x[2 * k] * dp[0]]
        gradient = np.stack(rows)
        return x[::2] @ gradient[::2], gradient

    def expectation(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        return self._evaluate(x, self.cells)

    def total(self, x: FloatArray) -> tuple[float, FloatArray]:
        gradient = np.zeros(x.size)
        gradient[::2] = 1.0
        return float(x[::2].sum()), gradient

    def integral(self, x: FloatArray, low: float, high: float) -> tuple[float, FloatArray]:
        edges = np.unique([self.cells.low, low, high, self.cells.high])
        values, gradient = self._evaluate(x, Cells.bins(edges))
        place = int(np.searchsorted(edges, low))
        return float(values[place]), gradient[:, place]

    def curvature(self, x: FloatArray, ratio: FloatArray) -> FloatArray:
        out = np.zeros((x.size, x.size))
        for k in range(len(self.starts)):
            place = slice(2 * k, 2 * k + 2)
            out[place, place] = _own_curvature(
                self.shape, self.cells, float(x[2 * k]), x[2 * k + 1 : 2 * k + 2], ratio=ratio
            )
        return out

    def on(self, cells: Cells) -> BackgroundModel:
        return _Sum(cells, self.shape, self.starts, self.limits)


def _own_curvature(
    shape: Shape,
    cells: Cells,
    events: float,
    p: FloatArray,
    *,
    ratio: FloatArray,
    free: BoolArray | None = None,
) -> FloatArray:
    """Second derivatives of ``events * probability`` by (events, shape parameters), weighted by ``ratio``.

    The shape's own block is a central difference of its exact first derivatives, good to about 1e-9.
    """
    batch, steps = neighbours(p, free)
    slopes = probabilities(shape, cells, batch)[1] @ ratio
    out = np.zeros((p.size + 1, p.size + 1))
    out[0, 1:] = out[1:, 0] = slopes[:, 0]
    out[1:, 1:] = events * differences(slopes, steps, free)
    return out


def background_model(
    name: str, order: int, cells: Cells, events: float, *, guarded: bool = True
) -> BackgroundModel:
    """Build a background by name.

    Parameters
    ----------
    name : str
        ``polynomial`` and ``bernstein`` are the same curves in the Bernstein basis; the second (and the first
        if ``guarded``) keeps its coefficients non-negative, which keeps the curve positive.
    order : int
        Degree, or number of terms of ``exponential`` and ``power``.
    """
    if name not in _BACKGROUNDS:
        raise UsageError(f"unknown background '{name}'", near=nearest(name, _BACKGROUNDS))
    if order < (0 if name in {"polynomial", "bernstein"} else 1):
        raise UsageError(f"order {order} makes no {name} background")
    if name in {"polynomial", "bernstein"}:
        return _Bernstein(cells, order, events, 0.0 if guarded or name == "bernstein" else -math.inf)
    width = cells.high - cells.low
    share = events / order
    if name == "exponential":
        starts = tuple((share, 3.0 * (k + 1) / (order + 1) * 2.0 / width) for k in range(order))
        return _Sum(cells, Exponential(cells.low), starts, (-50.0 / width, 50.0 / width))
    if cells.low <= 0.0:
        raise UsageError("a power law needs a mass range above zero")
    starts = tuple((share, 3.0 * (k + 1)) for k in range(order))
    return _Sum(cells, PowerLaw(cells.low), starts, (-50.0, 50.0))


@dataclass(frozen=True)
class MassModel:
    """-2 log L = 2 (total - sum of weights * log(expectation)), up to a constant of the data.

    The same expression serves bins (weights: counts, expectation: events per bin) and single events
    (weights: 1, expectation: events per GeV).  Parameters: ``n_sig``, the signal shape's, the background's.
    """

    cells: Cells
    weights: FloatArray
    signal: Shape
    signal_parameters: tuple[Parameter, ...]
    background: BackgroundModel
    least_signal: float = -math.inf

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        return (
            Parameter("n_sig", 0.0, self.least_signal),
            *self.signal_parameters,
            *self.background.parameters,
        )

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(p.name for p in self.parameters)

    @property
    def n_signal(self) -> int:
        return 1 + len(self.signal_parameters)

    @cached_property
    def lower(self) -> FloatArray:
        return np.array([p.lower for p in self.parameters])

    @cached_property
    def upper(self) -> FloatArray:
        return np.array([p.upper for p in self.parameters])

    def expectation(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Fitted total and background in the cells."""
        s, _ = probabilities(self.signal, self.cells, x[1 : self.n_signal])
        b, _ = self.background.expectation(x[self.n_signal :])
        return x[0] * s + b, b

    @cached_property
    def reference(self) -> FloatArray:
        """What the expectation is compared with in the logarithm: a constant that keeps its digits."""
        if self.cells.edges is not None:
            return np.where(self.weights > 0.0, self.weights, 1.0)
        flat = float(self.weights.sum()) / (self.cells.high - self.cells.low)
        return np.full(self.weights.size, flat)

    def __call__(self, x: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """-2 log L, gradient and Hessian; infinite where the expectation is not positive."""
        k = self.n_signal
        s, ds = probabilities(self.signal, self.cells, x[1:k])
        b, db = self.background.expectation(x[k:])
        nu = x[0] * s + b
        if not np.all(nu > 0.0):
            return math.inf, np.zeros(x.size), np.eye(x.size)
        total, d_total = self.background.total(x[k:])
        ratio = self.weights / nu
        seen = float(self.weights.sum())
        value = 2.0 * (total + x[0] - seen) - 2.0 * float(self.weights @ np.log(nu / self.reference))
        jacobian = np.concatenate([s[None, :], x[0] * ds, db])
        gradient = -2.0 * (jacobian @ ratio)
        gradient[0] += 2.0
        gradient[k:] += 2.0 * d_total
        hessian = 2.0 * (jacobian * (ratio / nu)) @ jacobian.T
        free = (self.lower < self.upper)[1:k]
        hessian[:k, :k] -= 2.0 * _own_curvature(
            self.signal, self.cells, float(x[0]), x[1:k], ratio=ratio, free=free
        )
        hessian[k:, k:] -= 2.0 * self.background.curvature(x[k:], ratio)
        return value, gradient, hessian

    def minimise_without_signal(self) -> Minimum:
        """Background alone: n_sig = 0 and the signal shape fixed."""
        low, high = self.lower.copy(), self.upper.copy()
        start = np.array([p.start for p in self.parameters])
        k = self.n_signal
        low[0] = high[0] = start[0] = 0.0
        low[1:k] = high[1:k] = start[1:k]
        return minimise(self, start, low, high)

    def minimise_from(self, bare: Minimum, mass: float) -> Minimum:
        """Signal and background, started at a mass with the yield first fitted alone there."""
        low, high = self.lower.copy(), self.upper.copy()
        start = bare.x.copy()
        k = self.n_signal
        start[1] = min(max(mass, low[1]), high[1])
        low[1:k] = high[1:k] = start[1:k]
        first = minimise(self, start, low, high)
        return minimise(self, first.x if first.status == "ok" else start, self.lower, self.upper)

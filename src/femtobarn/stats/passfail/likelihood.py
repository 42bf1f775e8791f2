"""Simultaneous likelihood of passing and failing probes: signal of a common yield, backgrounds apart.

pass = N eps S_p + B_p b_p, fail = N (1 - eps) S_f + B_f b_f in the bins of a mass spectrum.  Weighted spectra
follow the scaled Poisson distribution: counts and expectations divided by ``sum w^2 / sum w`` (G. Bohm, G.
Zech, Nucl. Instrum. Meth. A 748 (2014) 1), so that errors come from the weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from femtobarn.errors import DataError
from femtobarn.stats.minimise import FloatArray
from femtobarn.stats.passfail.models import Component
from femtobarn.stats.shapes.basic import Parameter, differences, neighbours

__all__ = ["FLOOR", "N_COMMON", "Expected", "PassFailModel", "Spectra"]

#: Efficiency, signal yield, background yields: the parameters before those of the shapes.
N_COMMON: Final = 4
#: Effective events a bin below everything: data where the model has nothing are unlikely, not impossible.
FLOOR: Final = 1e-6


@dataclass(frozen=True)
class Spectra:
    """Mass spectra of passing and failing probes: edges (n + 1,), contents and variances (2, n)."""

    edges: FloatArray
    counts: FloatArray
    variances: FloatArray

    def __post_init__(self) -> None:
        n = self.edges.size - 1
        if self.counts.shape != (2, n) or self.variances.shape != (2, n):
            raise DataError(f"contents of shape {self.counts.shape} do not fit {n + 1} edges")
        if not (np.all(np.isfinite(self.counts)) and np.all(np.isfinite(self.variances))):
            raise DataError("a spectrum holds contents that are not finite")

    def within(self, low: float, high: float) -> Spectra:
        """The bins that lie inside a range (GeV)."""
        tolerance = 1e-6 * float(np.diff(self.edges).min())
        inside = (self.edges[:-1] >= low - tolerance) & (self.edges[1:] <= high + tolerance)
        places = np.flatnonzero(inside)
        if places.size < 2:
            raise DataError(
                f"fewer than two bins of the spectrum ({self.edges[0]:g}-{self.edges[-1]:g}) lie in "
                f"{low:g}-{high:g} GeV",
                action="give a fit range that overlaps the histograms",
            )
        part = slice(places[0], places[-1] + 1)
        return Spectra(self.edges[places[0] : places[-1] + 2], self.counts[:, part], self.variances[:, part])

    def rebinned(self, factor: int) -> Spectra:
        """Neighbouring bins added; a rest at the end is left out."""
        n = (self.edges.size - 1) // factor * factor
        counts, variances = (
            a[:, :n].reshape(2, -1, factor).sum(axis=2) for a in (self.counts, self.variances)
        )
        return Spectra(self.edges[: n + 1 : factor], counts, variances)

    @property
    def totals(self) -> FloatArray:
        """Sums of weights of passing and failing probes."""
        return np.asarray(self.counts.sum(axis=1))

    @cached_property
    def effective(self) -> FloatArray:
        """(2,) numbers of unweighted probes that know as much as the weighted ones."""
        squares = self.variances.sum(axis=1)
        return np.asarray(np.divide(self.totals**2, squares, out=np.zeros(2), where=squares > 0.0))

    @cached_property
    def scales(self) -> FloatArray:
        """(2, n) ``sum w^2 / sum w`` of each bin; the category's own mean where a bin is empty."""
        totals, squares = self.totals, self.variances.sum(axis=1)
        mean = np.divide(squares, totals, out=np.ones(2), where=(totals > 0.0) & (squares > 0.0))
        some = (self.counts > 0.0) & (self.variances > 0.0)
        local = np.divide(self.variances, self.counts, out=np.zeros(self.counts.shape), where=some)
        return np.where(some, local, mean[:, None])

    @cached_property
    def observed(self) -> FloatArray:
        """(2, n) contents without the negative ones that weights can leave in nearly empty bins."""
        return np.maximum(self.counts, 0.0)


@dataclass(frozen=True, slots=True)
class Expected:
    """(2, n) fitted events, and the background among them."""

    total: FloatArray
    background: FloatArray


@dataclass(frozen=True)
class PassFailModel:
    """-2 log L of both spectra, with gradient and Hessian, for :func:`femtobarn.stats.minimise.minimise`.

    Parameters: ``efficiency``, ``n_signal``, ``n_background_p``, ``n_background_f``; then the signal shape
    of passing and failing probes (``_p``, ``_f``) and the backgrounds'.  The width of failing probes' signal
    is ``sigma_ratio`` times the passing ones'.

    Attributes
    ----------
    signals : (pass, fail)
        The same object twice: one signal shape for both (``shared_shape``).
    common : 4 parameters
    ratio : Parameter
    """

    spectra: Spectra
    signals: tuple[Component, Component]
    backgrounds: tuple[Component, Component]
    common: tuple[Parameter, ...]
    ratio: Parameter

    @property
    def shared(self) -> bool:
        return self.signals[0] is self.signals[1]

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        out = list(self.common)
        for k, part in enumerate(self.signals[:1] if self.shared else self.signals):
            for i, p in enumerate(part.parameters):
                scaled = k == 1 and i == part.scaled
                suffix = "" if self.shared else ("_p", "_f")[k]
                out.append(self.ratio if scaled else _suffixed(p, suffix))
        for k, part in enumerate(self.backgrounds):
            out += [_suffixed(p, ("_bkg_p", "_bkg_f")[k]) for p in part.parameters]
        return tuple(out)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(p.name for p in self.parameters)

    @cached_property
    def lower(self) -> FloatArray:
        return np.array([p.lower for p in self.parameters])

    @cached_property
    def upper(self) -> FloatArray:
        return np.array([p.upper for p in self.parameters])

    @cached_property
    def start(self) -> FloatArray:
        return np.array([p.start for p in self.parameters])

    @cached_property
    def precision(self) -> FloatArray:
        """(p, p) inverse covariance of the weak constraints, and of what ties failing to passing probes."""
        out = np.diag([p.weak**-2 for p in self.parameters])
        if not self.shared:
            for place, width in self.signals[1].tied:
                i, j = (self.places[k][place] for k in (0, 1))
                out[[i, j], [i, j]] += width**-2
                out[[i, j], [j, i]] -= width**-2
        return out

    @cached_property
    def places(self) -> tuple[npt.NDArray[np.intp], ...]:
        """Where the shape parameters stand: signal of passing and failing probes, backgrounds of both."""
        out: list[npt.NDArray[np.intp]] = []
        at = N_COMMON
        for k, part in enumerate((*self.signals, *self.backgrounds)):
            size = len(part.parameters)
            if k == 1 and self.shared:
                out.append(out[0])
                continue
            out.append(np.arange(at, at + size))
            at += size
        return tuple(out)

    def shape_points(self, x: FloatArray) -> tuple[FloatArray, ...]:
        """Parameters of the four shapes as the shapes take them."""
        points = [x[place].copy() for place in self.places]
        i = self.signals[1].scaled
        if not self.shared and i is not None:
            points[1][i] *= points[0][i]
        return tuple(points)

    def expected(self, x: FloatArray) -> Expected:
        """Fitted events a bin."""
        p = self.shape_points(x)
        shapes = [
            part.shape.bins(q)[0] for part, q in zip((*self.signals, *self.backgrounds), p, strict=True)
        ]
        yields = (x[0] * x[1], (1.0 - x[0]) * x[1])
        background = np.stack([x[2] * shapes[2], x[3] * shapes[3]])
        return Expected(np.stack([yields[0] * shapes[0], yields[1] * shapes[1]]) + background, background)

    def __call__(self, x: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """-2 log L (0 for a perfect description), gradient and Hessian."""
        points = self.shape_points(x)
        value, gradient, hessian = 0.0, np.zeros(x.size), np.zeros((x.size, x.size))
        for k in (0, 1):
            found = self._category(k, x, points, gradient, hessian)
            if not math.isfinite(found):
                return math.inf, np.zeros(x.size), np.eye(x.size)
            value += found
        away = x - self.start
        pull = self.precision @ away
        return value + float(away @ pull), gradient + 2.0 * pull, hessian + 2.0 * self.precision

    def slopes(self, k: int, x: FloatArray) -> FloatArray:
        """(p, n) derivatives of one category's expected events by the parameters."""
        points = self.shape_points(x)
        (s, ds), (b, db) = (
            part.shape.bins(points[i]) for i, part in ((k, self.signals[k]), (2 + k, self.backgrounds[k]))
        )
        share, sign = (x[0], 1.0) if k == 0 else (1.0 - x[0], -1.0)
        out = np.zeros((x.size, s.size))
        out[0], out[1], out[2 + k] = sign * x[1] * s, share * s, b
        out[self.places[k]] += share * x[1] * ds
        out[self.places[2 + k]] += x[2 + k] * db
        i = self.signals[k].scaled
        if k == 1 and not self.shared and i is not None:
            ratio, width = self.places[1][i], self.places[0][i]
            by_width = out[ratio].copy()
            out[ratio], out[width] = x[width] * by_width, x[ratio] * by_width
        return out

    def _category(
        self, k: int, x: FloatArray, points: tuple[FloatArray, ...], gradient: FloatArray, hessian: FloatArray
    ) -> float:
        """Add one category's part to gradient and Hessian; returns its -2 log L."""
        sign = 1.0 if k == 0 else -1.0
        share = x[0] if k == 0 else 1.0 - x[0]
        events, n_background = share * x[1], x[2 + k]
        batches = [neighbours(points[i]) for i in (k, 2 + k)]
        (s, ds), (b, db) = (
            part.shape.bins(batch[0])
            for part, batch in zip((self.signals[k], self.backgrounds[k]), batches, strict=True)
        )
        if np.any(b[0] < 0.0):
            return math.inf
        w, scale = self.spectra.observed[k], self.spectra.scales[k]
        nu = events * s[0] + n_background * b[0] + FLOOR * scale
        log = np.log(nu / np.where(w > 0.0, w, 1.0))
        value = 2.0 * float(np.sum((nu - w - w * log) / scale))
        slope, curvature = 2.0 * (1.0 - w / nu) / scale, 2.0 * w / (nu**2 * scale)
        # Derivatives of nu by what it is made of: (share, N, B, signal shape, background shape).
        rows = np.concatenate(
            [
                (sign * x[1] * s[0])[None],
                (share * s[0])[None],
                b[:1],
                events * ds[:, 0],
                n_background * db[:, 0],
            ]
        )
        inner = (rows * curvature) @ rows.T
        n = ds.shape[0]
        ps, pb = slice(3, 3 + n), slice(3 + n, 3 + n + db.shape[0])
        d_signal, d_background = ds @ slope, db @ slope
        inner[0, 1] += sign * float(s[0] @ slope)
        inner[0, ps] += sign * x[1] * d_signal[:, 0]
        inner[1, ps] += share * d_signal[:, 0]
        inner[2, pb] += d_background[:, 0]
        upper = np.triu(inner, 1)
        inner = upper + upper.T + np.diag(np.diagonal(inner))
        inner[ps, ps] += events * differences(d_signal, batches[0][1])
        inner[pb, pb] += n_background * differences(d_background, batches[1][1])
        self._spread(k, x, rows @ slope, inner, gradient, hessian)
        return value

    def _spread(
        self, k: int, x: FloatArray, d: FloatArray, dd: FloatArray, gradient: FloatArray, hessian: FloatArray
    ) -> None:
        """From a category's own parameters to those of the fit (the ratio of widths mixes two)."""
        own = np.concatenate([[0, 1, 2 + k], self.places[k], self.places[2 + k]])
        i = self.signals[k].scaled
        if k == 0 or self.shared or i is None:
            gradient[own] += d
            hessian[np.ix_(own, own)] += dd
            return
        at, ratio, width = 3 + i, self.places[1][i], self.places[0][i]
        jacobian = np.zeros((own.size, x.size))
        jacobian[np.arange(own.size), own] = 1.0
        jacobian[at, ratio], jacobian[at, width] = x[width], x[ratio]
        gradient += jacobian.T @ d
        hessian += jacobian.T @ dd @ jacobian
        hessian[ratio, width] += d[at]
        hessian[width, ratio] += d[at]


def _suffixed(p: Parameter, suffix: str) -> Parameter:
    return Parameter(p.name + suffix, p.start, p.lower, p.upper, p.weak)

"""A smooth background of a counting spectrum: exp(polynomial), fitted by the Poisson likelihood.

mu_i = exp(sum_k c_k P_k(x_i)) with Legendre polynomials of the position scaled to [-1, 1] in the logarithm
of the mass.  The likelihood is concave in c, so Newton's method finds the maximum from a sensible start;
many spectra on the same bins (toys) are fitted at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, xlogy

__all__ = ["Background", "basis", "choose_background", "deviance", "fit_many", "fit_with_bump"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

#: Orders of the polynomial that are tried.
ORDERS: Final = (2, 5)
_ITERATIONS: Final = 60
_TOLERANCE: Final = 1e-9
#: exp() of more than this is no prediction of events.
_STEEPEST: Final = 40.0


@dataclass(frozen=True, slots=True)
class Background:
    """A fitted background.

    Attributes
    ----------
    order : int
    coefficients : (order + 1,) float64
    expected : (n,) float64
    deviance : float
        2 (ln L of the data - ln L), over the fitted bins.
    dof : int
    """

    order: int
    coefficients: Floats
    expected: Floats
    deviance: float
    dof: int

    @property
    def chi2_ndf(self) -> float:
        return self.deviance / max(self.dof, 1)


def basis(edges: Floats, order: int) -> Floats:
    """(n, order + 1) Legendre polynomials at the bin centres; logarithmic where the range allows it."""
    centres = (edges[1:] + edges[:-1]) / 2
    x = np.log(centres) if centres[0] > 0 else centres
    x = 2 * (x - x[0]) / (x[-1] - x[0]) - 1 if len(x) > 1 else np.zeros(1)
    return np.polynomial.legendre.legvander(x, order)


def deviance(counts: Floats, expected: Floats, use: Mask | None = None) -> Floats:
    """(...) 2 sum(mu - n + n ln(n / mu)) along the last axis."""
    terms = expected - counts + xlogy(counts, counts / np.maximum(expected, 1e-300))
    if use is not None:
        terms = np.where(use, terms, 0.0)
    return np.asarray(2 * terms.sum(axis=-1))


def fit_many(
    counts: Floats, design: Floats, use: Mask | None = None, start: Floats | None = None
) -> tuple[Floats, Mask]:
    """Maximum-likelihood coefficients of many spectra on the same bins.

    Parameters
    ----------
    counts : (t, n) float64
    design : (n, k) float64
    use : (n,) bool, optional
        Bins to fit.
    start : (t, k) or (k,), optional

    Returns
    -------
    coefficients : (t, k) float64
    converged : (t,) bool
    """
    weight = np.ones(len(design)) if use is None else use.astype(np.float64)
    t, k = len(counts), design.shape[1]
    if start is None:
        # Least squares on the logarithm, weighted by the counts.
        smooth = np.log(counts + 0.5)
        w = weight * (counts + 0.5)
        left = np.einsum("tn,ni,nj->tij", w, design, design)
        right = np.einsum("tn,ni->ti", w * smooth, design)
        c = np.linalg.solve(left + 1e-9 * np.eye(k), right[..., None])[..., 0]
    else:
        c = np.array(np.broadcast_to(start, (t, k)))
    ridge = 1e-10 * np.eye(k)
    value = _objective(counts, design, weight, c)
    converged = np.zeros(t, dtype=np.bool_)
    for _ in range(_ITERATIONS):
        mu = np.exp(np.clip(c @ design.T, -_STEEPEST, _STEEPEST))
        gradient = ((counts - mu) * weight) @ design
        hessian = np.einsum("tn,ni,nj->tij", mu * weight, design, design)
        scale = np.trace(hessian, axis1=1, axis2=2)[:, None, None] / k
        step = np.linalg.solve(hessian + ridge * np.maximum(scale, 1e-12), gradient[..., None])[..., 0]
        length = np.ones(t)
        for _ in range(12):
            tried = c + length[:, None] * step
            new = _objective(counts, design, weight, tried)
            worse = ~(new >= value - 1e-12 * np.abs(value))
            if not worse.any():
                break
            length = np.where(worse, length / 3, length)
        better = new >= value - 1e-12 * np.abs(value)
        c = np.where(better[:, None], tried, c)
        gain = np.where(better, new - value, 0.0)
        value = np.where(better, new, value)
        converged = (gain < _TOLERANCE * (1 + np.abs(value))) & np.isfinite(value)
        if converged.all():
            break
    return c, converged


def _objective(counts: Floats, design: Floats, weight: Floats, c: Floats) -> Floats:
    eta = np.clip(c @ design.T, -_STEEPEST, _STEEPEST)
    return np.asarray(((counts * eta - np.exp(eta)) * weight).sum(axis=-1))


def choose_background(
    counts: Floats, edges: Floats, use: Mask | None = None, *, level: float = 0.05
) -> Background | None:
    """The lowest order that a higher one does not improve on significantly; None if no fit converges.

    Orders are compared by the likelihood ratio of one and of two more terms.  The highest order stays low
    compared with the number of bins, so that no background bends around a narrow bump.
    """
    bins = len(counts) if use is None else int(use.sum())
    highest = min(ORDERS[1], max(bins // 8, 1))
    fits = [_one(counts, edges, use, order) for order in range(min(ORDERS[0], highest), highest + 1)]
    found = [item for item in fits if item is not None]
    if not found:
        return None
    for i, fit in enumerate(found):
        improved = any(
            chdtrc(other.order - fit.order, max(fit.deviance - other.deviance, 0.0)) < level
            for other in found[i + 1 : i + 3]
        )
        if not improved:
            return fit
    return found[-1]


def _one(counts: Floats, edges: Floats, use: Mask | None, order: int) -> Background | None:
    design = basis(edges, order)
    c, converged = fit_many(counts[None, :], design, use)
    if not converged[0]:
        return None
    expected = np.exp(np.clip(design @ c[0], -_STEEPEST, _STEEPEST))
    bins = len(counts) if use is None else int(use.sum())
    return Background(order, c[0], expected, float(deviance(counts, expected, use)), bins - order - 1)


def fit_with_bump(
    counts: Floats, design: Floats, shapes: Floats, start: Floats, use: Mask | None = None
) -> tuple[Floats, Floats, Mask]:
    """Fit background and one bump for each of many bump shapes.

    Parameters
    ----------
    counts : (n,) float64
    design : (n, k) float64
    shapes : (s, n) float64
        Bumps, each with unit area.
    start : (k,) float64
        Coefficients of the background alone.

    Returns
    -------
    q : (s,) float64
        2 (ln L with bump - ln L without), positive.
    events : (s,) float64
        Fitted size of the bump; may be negative.
    converged : (s,) bool
    """
    weight = np.ones(len(counts)) if use is None else use.astype(np.float64)
    s, k = len(shapes), design.shape[1]
    c = np.tile(start, (s, 1))
    size = np.zeros(s)
    floor = 1e-9

    def objective(c: Floats, size: Floats) -> tuple[Floats, Floats, Floats]:
        smooth = np.exp(np.clip(c @ design.T, -_STEEPEST, _STEEPEST))
        mu = smooth + size[:, None] * shapes
        good = (mu > floor).all(axis=1)
        value = ((xlogy(counts, np.maximum(mu, floor)) - mu) * weight).sum(axis=1)
        return np.where(good, value, -np.inf), smooth, mu

    value, smooth, mu = objective(c, size)
    base = value.copy()
    converged = np.zeros(s, dtype=np.bool_)
    for _ in range(_ITERATIONS):
        # Derivatives of mu: smooth x design for the coefficients, the shape for the bump.
        rows = np.concatenate([smooth[:, :, None] * design[None], shapes[:, :, None]], axis=2)
        gradient = np.einsum("sn,sni->si", (counts / mu - 1) * weight, rows)
        # Expected information: positive definite, and exact enough near the maximum.
        hessian = np.einsum("sn,sni,snj->sij", weight / mu, rows, rows)
        scale = np.maximum(np.einsum("sii->si", hessian), 1e-12)
        norm = np.sqrt(scale)
        hessian = hessian / (norm[:, :, None] * norm[:, None, :]) + 1e-10 * np.eye(k + 1)
        step = np.linalg.solve(hessian, (gradient / norm)[..., None])[..., 0] / norm
        length = np.ones(s)
        for _ in range(14):
            tried = objective(c + length[:, None] * step[:, :k], size + length * step[:, k])
            worse = ~(tried[0] >= value)
            if not worse.any():
                break
            length = np.where(worse, length / 2, length)
        better = tried[0] >= value
        gain = np.where(better, tried[0] - value, 0.0)
        moved = np.where(better, length, 0.0)
        c = c + moved[:, None] * step[:, :k]
        size = size + moved * step[:, k]
        value, smooth, mu = objective(c, size)
        converged = gain < 1e-7
        if converged.all():
            break
    return np.maximum(2 * (value - base), 0.0), size, converged

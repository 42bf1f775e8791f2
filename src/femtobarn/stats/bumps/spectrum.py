"""A smooth background of a counting spectrum: exp(polynomial), fitted by the Poisson likelihood.

mu_i = exp(sum_k c_k P_k(x_i)) with Legendre polynomials of the position scaled to [-1, 1] in the logarithm
of the mass.  The likelihood is concave in c, so Newton's method finds the maximum from a sensible start;
many spectra on the same bins (toys) are fitted at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, xlogy

__all__ = ["Background", "basis", "choose_background", "deviance", "fit_many", "fit_order", "fit_with_bump"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

#: Orders of the polynomial that are tried; a spectrum of more bins than this may fall by more and need more.
ORDERS: Final = (2, 5)
_LONG: Final = 80
_MOST: Final = 7
_ITERATIONS: Final = 60
_TOLERANCE: Final = 1e-9
#: exp() of more than this is no prediction of events.
_STEEPEST: Final = 40.0
#: A prediction below this is none.
_LEAST: Final = 1e-20
#: Gain of ln L below which a fit with a bump has ended, and how often its step is halved.
_BUMP_TOLERANCE: Final = 1e-7
_HALVINGS: Final = 14
#: Smallest eigenvalue of the normalised information of a fit with a bump that a Newton step is made with.
_LEAST_CURVATURE: Final = 1e-6


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
    products = (design[:, :, None] * design[:, None, :]).reshape(len(design), k * k)
    value, mu = _objective(counts, design, weight, c)
    converged = np.zeros(t, dtype=np.bool_)
    active = np.arange(t)
    for _ in range(_ITERATIONS):
        n, at, before, m = counts[active], c[active], value[active], mu[active] * weight
        gradient = (n * weight - m) @ design
        hessian = (m @ products).reshape(-1, k, k)
        scale = np.trace(hessian, axis1=1, axis2=2)[:, None, None] / k
        step = np.linalg.solve(hessian + ridge * np.maximum(scale, 1e-12), gradient[..., None])[..., 0]
        length = np.ones(len(active))
        for _ in range(12):
            tried = at + length[:, None] * step
            new, predicted = _objective(n, design, weight, tried)
            worse = ~(new >= before - 1e-12 * np.abs(before))
            if not worse.any():
                break
            length = np.where(worse, length / 3, length)
        took = active[~worse]
        c[took], value[took], mu[took] = tried[~worse], new[~worse], predicted[~worse]
        gain = np.where(worse, 0.0, new - before)
        ended = (gain < _TOLERANCE * (1 + np.abs(value[active]))) & np.isfinite(value[active])
        converged[active[ended]] = True
        active = active[~ended]
        if not len(active):
            break
    return c, converged


def predicted(c: Floats, design: Floats) -> Floats:
    """(t, n) expected events of coefficients (t, k)."""
    return np.exp(np.clip(c @ design.T, -_STEEPEST, _STEEPEST))


def _objective(counts: Floats, design: Floats, weight: Floats, c: Floats) -> tuple[Floats, Floats]:
    """Log-likelihood (t,) without its constant, and the prediction (t, n)."""
    eta = np.clip(c @ design.T, -_STEEPEST, _STEEPEST)
    mu = np.exp(eta)
    return np.asarray((counts * eta - mu) @ weight), mu


def choose_background(
    counts: Floats, edges: Floats, use: Mask | None = None, *, level: float = 0.05
) -> Background | None:
    """The lowest order that a higher one does not improve on significantly; None if no fit converges.

    Orders are compared by the likelihood ratio of one and of two more terms.  The highest order stays low
    compared with the number of bins, so that no background bends around a narrow bump.
    """
    bins = len(counts) if use is None else int(use.sum())
    highest = min(_MOST if bins > _LONG else ORDERS[1], max(bins // 8, 1))
    lowest = min(ORDERS[0], highest)
    fits: dict[int, Background | None] = {}

    def fit(order: int) -> Background | None:
        if order not in fits:
            fits[order] = fit_order(counts, edges, use, order)
        return fits[order]

    found = None
    for order in range(lowest, highest + 1):
        this = fit(order)
        if this is None:
            continue
        found = this
        # The next two that have a fit.
        above = (other for other in map(fit, range(order + 1, highest + 1)) if other is not None)
        if not any(_improves(other, this, level) for other in islice(above, 2)):
            break
    return found


def _improves(other: Background, fit: Background, level: float) -> bool:
    return bool(chdtrc(other.order - fit.order, max(fit.deviance - other.deviance, 0.0)) < level)


def fit_order(counts: Floats, edges: Floats, use: Mask | None, order: int) -> Background | None:
    """The background of one order; None if its fit does not converge."""
    design = basis(edges, order)
    c, converged = fit_many(counts[None, :], design, use)
    if not converged[0]:
        return None
    expected = predicted(c, design)[0]
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
        Coefficients of the background alone, at their maximum of the likelihood.

    Returns
    -------
    q : (s,) float64
        2 (ln L with bump - ln L without), positive; 0 where the data ask for a deficit, which is not fitted.
    events : (s,) float64
        Fitted size of the bump.
    converged : (s,) bool
    """
    weight = np.ones(len(counts)) if use is None else use.astype(np.float64)
    s, k = len(shapes), design.shape[1]
    q, events, converged = np.zeros(s), np.zeros(s), np.ones(s, dtype=np.bool_)
    smooth = np.exp(np.clip(design @ start, -_STEEPEST, _STEEPEST))
    # With the background at its maximum, the slope in the size of the bump alone tells excess from deficit.
    active = np.flatnonzero(shapes @ ((counts / smooth - 1) * weight) > 0)
    parameters = np.zeros((s, k + 1))
    parameters[:, :k] = start
    value = np.full(s, float(_bump_likelihood(counts, design, weight, shapes[:1], parameters[:1])[0][0]))
    base = value.copy()
    for _ in range(_ITERATIONS):
        if not len(active):
            break
        moved, gain = _bump_step(counts, design, weight, shapes[active], parameters[active], value[active])
        parameters[active] = moved
        value[active] += gain
        active = active[gain >= _BUMP_TOLERANCE]
    converged[active] = False
    q, events = np.maximum(2 * (value - base), 0.0), parameters[:, k]
    return q, events, converged


def _bump_likelihood(
    counts: Floats, design: Floats, weight: Floats, shapes: Floats, parameters: Floats
) -> tuple[Floats, Floats, Floats]:
    """Log-likelihood (s,) without its constant (-inf where none is positive), smooth part, prediction."""
    smooth = np.exp(np.clip(parameters[:, :-1] @ design.T, -_STEEPEST, _STEEPEST))
    mu = smooth + parameters[:, -1:] * shapes
    good = (mu > _LEAST).all(axis=1)
    filled = counts > 0
    logs = np.log(np.maximum(mu[:, filled], _LEAST)) @ (counts * weight)[filled]
    return np.where(good, logs - mu @ weight, -np.inf), smooth, mu


def _bump_step(
    counts: Floats, design: Floats, weight: Floats, shapes: Floats, parameters: Floats, value: Floats
) -> tuple[Floats, Floats]:
    """One damped Newton step of each fit: new parameters (s, k + 1), and what ln L gained (s,)."""
    _, smooth, mu = _bump_likelihood(counts, design, weight, shapes, parameters)
    # Derivatives of mu: smooth x design for the coefficients, the shape for the bump.
    rows = np.concatenate([smooth[:, :, None] * design[None], shapes[:, :, None]], axis=2)
    residual = (counts / mu - 1) * weight
    gradient = np.matmul(residual[:, None, :], rows)[:, 0]
    columns = rows.transpose(0, 2, 1)
    expected = np.matmul(columns * (weight / mu)[:, None, :], rows)
    observed = np.matmul(columns * (weight * counts / mu**2)[:, None, :], rows)
    observed[:, :-1, :-1] -= np.matmul(design.T * (residual * smooth)[:, None, :], design)
    norm = np.sqrt(np.maximum(np.einsum("sii->si", expected), 1e-12))
    scale = norm[:, :, None] * norm[:, None, :]
    # Far from the maximum the observed information may have another sign; the expected never has.
    curved = np.linalg.eigvalsh(observed / scale)[:, 0] > _LEAST_CURVATURE
    hessian = np.where(curved[:, None, None], observed, expected) / scale + 1e-10 * np.eye(norm.shape[1])
    step = np.linalg.solve(hessian, (gradient / norm)[..., None])[..., 0] / norm
    best, at = value.copy(), parameters.copy()
    left, gained = np.arange(len(value)), np.zeros(len(value), dtype=np.bool_)
    length = 1.0
    for _ in range(_HALVINGS):
        tried = parameters[left] + length * step[left]
        new = _bump_likelihood(counts, design, weight, shapes[left], tried)[0]
        better = new >= best[left]
        best[left[better]], at[left[better]] = new[better], tried[better]
        gained[left[better]] = True
        # Half of a step that gains may gain more: where few events decide, whole steps overshoot.
        left = left if length == 1.0 else np.flatnonzero(~gained)
        if not len(left):
            break
        length /= 2
    return at, best - value

"""What to think of a fit of passing and failing probes: its goodness, its errors, reasons to doubt it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import special

from femtobarn.stats.minimise import Crossing, FloatArray, Minimum, solve_positive
from femtobarn.stats.passfail.likelihood import FLOOR, PassFailModel

__all__ = ["Gof", "at_limit", "covariance_of", "doubts", "goodness", "missing_curvature"]

#: Fits with a smaller p-value are not good.
LEAST_P_VALUE: Final = 1e-3
#: Fewer (effective) probes in either category make no good fit.
FEWEST_PROBES: Final = 20
#: Bins are merged until this many events are expected, so that chi2 is distributed like one.
_LEAST_EXPECTED: Final = 5.0
#: Parameters closer to a bound than this share of their range are at it.
_AT_BOUND: Final = 1e-5


@dataclass(frozen=True, slots=True)
class Gof:
    """Pearson's chi2 of both spectra, bins merged until 5 events are expected; None without freedom."""

    chi2: float
    ndof: int
    p_value: float | None


def at_limit(model: PassFailModel, x: FloatArray) -> frozenset[str]:
    """Names of free parameters at one of their bounds."""
    span = np.minimum(model.upper - model.lower, 1e3 * np.maximum(np.abs(x), 1.0))
    near = np.minimum(x - model.lower, model.upper - x) <= _AT_BOUND * span
    return frozenset(np.array(model.names)[near & (span > 0.0)].tolist())


def goodness(model: PassFailModel, x: FloatArray) -> Gof:
    """Chi2 of both spectra at a point."""
    expected = model.expected(x).total
    scales = model.spectra.scales
    chi2, bins = 0.0, 0
    for k in (0, 1):
        # In units of effective events.
        seen, nu = model.spectra.counts[k] / scales[k], expected[k] / scales[k]
        group = _groups(nu)
        if group.size:
            n, m = np.add.reduceat(seen, group), np.add.reduceat(nu, group)
            chi2 += float(np.sum((n - m) ** 2 / np.maximum(m, 1e-9)))
            bins += group.size
    ndof = bins - int(np.count_nonzero(model.lower < model.upper))
    return Gof(chi2, ndof, float(special.chdtrc(ndof, chi2)) if ndof > 0 else None)


def _groups(expected: FloatArray) -> np.ndarray:
    """First bins of groups of neighbours that expect at least 5 events each."""
    starts, total = [0], 0.0
    for i, value in enumerate(expected):
        if total >= _LEAST_EXPECTED:
            starts.append(i)
            total = 0.0
        total += float(value)
    if total < _LEAST_EXPECTED and len(starts) > 1:
        starts.pop()
    return np.array(starts)


def missing_curvature(model: PassFailModel, best: Minimum) -> float | None:
    """p-value of the fitted backgrounds against ones with a further bend (Rao's score test).

    Each background is multiplied by ``1 + a T2(u)`` with u from -1 to 1 over the range; how much -2 log L
    would gain by the two a follows from its derivatives at a = 0.  None without background.
    """
    x, edges = best.x, model.spectra.edges
    u = (edges[1:] + edges[:-1] - edges[0] - edges[-1]) / (edges[-1] - edges[0])
    bend = 2.0 * u**2 - 1.0
    free = np.flatnonzero(~best.active)
    expected = model.expected(x)
    known = 2.0 * model.precision[np.ix_(free, free)]
    extra: list[tuple[float, float, FloatArray]] = []
    for k in (0, 1):
        w, scale = model.spectra.observed[k], model.spectra.scales[k]
        nu = expected.total[k] + FLOOR * scale
        # The expected information throughout: always positive, and the same for all parameters.
        rows, information = model.slopes(k, x)[free], 2.0 / (nu * scale)
        known = known + (rows * information) @ rows.T
        if x[2 + k] > 1e-3 * x[1]:
            bent = expected.background[k] * bend
            score = float(bent @ (2.0 * (1.0 - w / nu) / scale))
            extra.append((score, float(bent**2 @ information), rows @ (bent * information)))
    if not extra:
        return None
    score_of, own, cross = (np.array(column) for column in zip(*extra, strict=True))
    rest = solve_positive(known, np.ascontiguousarray(cross.T))
    inner = None if rest is None else solve_positive(np.diag(own) - cross @ rest, score_of)
    return (
        None if inner is None else float(special.chdtrc(len(extra), max(0.5 * float(score_of @ inner), 0.0)))
    )


def covariance_of(best: Minimum) -> FloatArray | None:
    """Inverse of half the Hessian over the free parameters; None if it is not positive."""
    free = np.flatnonzero(~best.active)
    out = np.zeros(best.hessian.shape)
    block = 0.5 * best.hessian[np.ix_(free, free)]
    scale = np.sqrt(np.maximum(np.diagonal(block), 1e-300))
    try:
        np.linalg.cholesky(block / np.outer(scale, scale))
        inverse = np.linalg.inv(block / np.outer(scale, scale)) / np.outer(scale, scale)
    except np.linalg.LinAlgError:
        return None
    out[np.ix_(free, free)] = inverse
    return out


def doubts(
    model: PassFailModel,
    best: Minimum,
    limits: frozenset[str],
    gof: Gof,
    ends: tuple[Crossing, Crossing] | None,
    *,
    positive: bool,
) -> tuple[list[str], list[str]]:
    """Why a fit failed, and why it is suspect."""
    failed = [] if best.status == "ok" else [f"the fit did not converge: {best.message}"]
    if not positive:
        failed.append("the covariance is not positive")
    suspect = []
    if gof.p_value is not None and gof.p_value < LEAST_P_VALUE:
        suspect.append(
            f"chi2/ndof = {gof.chi2:.1f}/{gof.ndof}: p-value {gof.p_value:.2g} < {LEAST_P_VALUE:g}"
        )
    bend = missing_curvature(model, best) if best.status == "ok" else None
    if bend is not None and bend < LEAST_P_VALUE:
        suspect.append(f"the background wants another bend: p-value {bend:.2g} < {LEAST_P_VALUE:g}")
    if limits:
        suspect.append(f"parameter at bound: {', '.join(n for n in model.names if n in limits)}")
    for side, probes in zip(("passing", "failing"), model.spectra.effective, strict=True):
        if probes < FEWEST_PROBES:
            suspect.append(f"fewer than {FEWEST_PROBES} {side} probes ({probes:.3g})")
    if ends is not None:
        for name, end in zip(("lower", "upper"), ends, strict=True):
            if end.value is None:
                why = "the bound comes first" if end.reason == "hits_bound" else end.reason
                suspect.append(f"Minos is one-sided: no {name} end ({why})")
    return failed, suspect

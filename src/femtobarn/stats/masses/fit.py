"""Signal on a smooth background in a mass spectrum, H -> gamma gamma style: extended, binned or unbinned."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from femtobarn.errors import FitError, UsageError
from femtobarn.stats.masses.model import Background, MassModel, background_model
from femtobarn.stats.minimise import FloatArray, Minimum, crossing, minimise
from femtobarn.stats.shapes.basic import Cells, DoubleCrystalBall, Gaussian, Parameter
from femtobarn.stats.strength import Estimate
from femtobarn.stats.tails import log_normal_tail

__all__ = ["MassFitOptions", "MassFitResult", "fit_mass", "fit_mass_counts"]

#: Tail parameters of the double-sided Crystal Ball: typical of H -> gamma gamma
#: analyses; to be set from simulation where that is at hand.
_DCB_TAILS = (("alpha_low", 1.5), ("n_low", 5.0), ("alpha_high", 1.6), ("n_high", 10.0))


@dataclass(frozen=True, slots=True)
class MassFitOptions:
    """How a mass spectrum is fitted (GeV).

    Attributes
    ----------
    background : str
        ``polynomial``, ``bernstein``, ``exponential`` or ``power``.
    order : int
        Degree of a polynomial; number of terms of the other two.
    signal : str
        ``gaussian`` or ``dcb`` (double-sided Crystal Ball with fixed tails).
    mass, width : float
        Start values, or the values if fixed.
    mass_window, width_window : (float, float)
        Where they may go if free.
    expected : float or None
        Signal events expected for mu = 1.
    """

    background: Background = "polynomial"
    order: int = 4
    signal: Literal["gaussian", "dcb"] = "gaussian"
    mass: float = 125.0
    width: float = 1.7
    fix_mass: bool = False
    fix_width: bool = False
    mass_window: tuple[float, float] = (115.0, 135.0)
    width_window: tuple[float, float] = (0.8, 4.0)
    tails: tuple[tuple[str, float], ...] = _DCB_TAILS
    expected: float | None = None


@dataclass(frozen=True, slots=True)
class MassFitResult:
    """Outcome of a mass fit; see :meth:`to_json` for the meaning of the keys.

    Attributes
    ----------
    edges, data, fitted_background, fitted_total : float arrays
        The spectrum (an unbinned fit is shown in 1 GeV bins) and the fitted events per bin, for plots.
    covariance : (p, p) float array
        In the order of ``parameters``; zero rows for fixed parameters and those at a bound.
    """

    options: MassFitOptions
    method: Literal["binned", "unbinned"]
    parameters: dict[str, Estimate]
    covariance: FloatArray
    n_sig: Estimate
    mu: Estimate | None
    n_bkg_2sigma: Estimate
    q0: float | None
    z0: float | None
    log_p0: float | None
    chi2: float
    ndf: int
    twice_nll: float
    status: str
    message: str
    edges: FloatArray
    data: FloatArray
    fitted_background: FloatArray
    fitted_total: FloatArray
    warnings: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Strict JSON object: signal, mass, width, background under the peak, test and quality of the fit."""
        empty = Estimate(self.options.mass, None)
        return {
            "method": self.method,
            "background": {"name": self.options.background, "order": self.options.order},
            "signal": self.options.signal,
            "n_sig": self.n_sig.to_json(),
            "mu": None if self.mu is None else self.mu.to_json(),
            "m_h": self.parameters.get("mass", empty).to_json(),
            "sigma": self.parameters.get("sigma", empty).to_json(),
            "n_bkg_2sigma": self.n_bkg_2sigma.to_json(),
            "q0": self.q0,
            "Z0": self.z0,
            "log_p0": self.log_p0,
            "chi2": self.chi2,
            "ndf": self.ndf,
            "twice_nll": self.twice_nll,
            "status": self.status,
            "message": self.message,
            "parameters": {name: value.to_json() for name, value in self.parameters.items()},
            "covariance": self.covariance.tolist(),
            "warnings": list(self.warnings),
        }


def fit_mass_counts(
    counts: npt.ArrayLike, edges: npt.ArrayLike, options: MassFitOptions | None = None
) -> MassFitResult:
    """Binned extended fit of a mass histogram; see :func:`fit_mass`.

    Parameters
    ----------
    counts : (n,) array_like
        Events per bin (real values are allowed: Asimov data).
    edges : (n + 1,) array_like, GeV
    """
    cells = Cells.bins(edges)
    data = np.asarray(counts, dtype=np.float64)
    if cells.edges is None or data.shape != (cells.edges.size - 1,):
        raise UsageError(f"{data.size} counts do not fit {np.size(edges)} edges")
    if np.any(data < 0.0) or not np.all(np.isfinite(data)):
        raise UsageError("a mass histogram holds negative or non-finite bins")
    return _fit(cells, data, cells, data, options or MassFitOptions())


def fit_mass(
    masses: npt.ArrayLike,
    *,
    window: tuple[float, float],
    binning: float | None = None,
    options: MassFitOptions | None = None,
) -> MassFitResult:
    """Extended maximum-likelihood fit of ``n_sig * signal + background`` to masses.

    Parameters
    ----------
    masses : (n,) array_like, GeV
        Events outside the window are left out.
    window : (float, float), GeV
        Fit range.
    binning : float, optional
        Bin width of a binned fit; None is unbinned.

    Returns
    -------
    MassFitResult
        ``status`` is ``ok`` or ``failed`` with the reason in ``message``.
    """
    low, high = window
    values = np.asarray(masses, dtype=np.float64)
    values = values[(values >= low) & (values <= high)]
    width = binning or 1.0
    edges = np.linspace(low, high, max(2, round((high - low) / width)) + 1)
    counts = np.histogram(values, edges)[0].astype(np.float64)
    shown = Cells.bins(edges)
    if binning is not None:
        return _fit(shown, counts, shown, counts, options or MassFitOptions())
    cells = Cells.events(values, low, high)
    return _fit(cells, np.ones(values.size), shown, counts, options or MassFitOptions())


def _signal_parameters(options: MassFitOptions, cells: Cells) -> list[Parameter]:
    low, high = options.mass_window
    mass = Parameter("mass", options.mass, max(low, cells.low), min(high, cells.high))
    width = Parameter("sigma", options.width, *options.width_window)
    parameters = [
        mass.fix(options.mass) if options.fix_mass else mass,
        width.fix(options.width) if options.fix_width else width,
    ]
    if options.signal == "dcb":
        parameters += [Parameter(name, value, value, value) for name, value in options.tails]
    return parameters


def _build(
    cells: Cells, weights: FloatArray, options: MassFitOptions, *, guarded: bool, positive: bool
) -> MassModel:
    return MassModel(
        cells=cells,
        weights=weights,
        signal=Gaussian() if options.signal == "gaussian" else DoubleCrystalBall(),
        signal_parameters=tuple(_signal_parameters(options, cells)),
        background=background_model(
            options.background, options.order, cells, float(weights.sum()), guarded=guarded
        ),
        least_signal=0.0 if positive else -math.inf,
    )


def _best(model: MassModel, picture: MassModel, options: MassFitOptions) -> Minimum:
    """Best of several starts: the mass is scanned because a likelihood has a minimum on each fluctuation.

    The scan is made in bins (``picture``); an unbinned fit only polishes the best of them.
    """
    scanned = _scan(picture, options)
    if model is picture:
        return scanned
    return minimise(model, scanned.x, model.lower, model.upper)


def _scan(model: MassModel, options: MassFitOptions) -> Minimum:
    bare = model.minimise_without_signal()
    starts = [options.mass]
    if not options.fix_mass:
        low, high = options.mass_window
        starts += [float(m) for m in np.linspace(low, high, 9)[1:-1]]
    found = [model.minimise_from(bare, mass) for mass in starts]
    good = [m for m in found if m.status == "ok"] or found
    return min(good, key=lambda m: m.value)


def _guarded_solve(
    cells: Cells, weights: FloatArray, shown: Cells, counts: FloatArray, options: MassFitOptions
) -> tuple[MassModel, MassModel, Minimum, list[str]]:
    """Fit freely; where that runs into a negative expectation, with what keeps it positive."""
    attempts = [(options.background != "polynomial", False, "")]
    if options.background == "polynomial":
        text = "the polynomial touches zero; its Bernstein coefficients were kept non-negative"
        attempts.append((True, False, text))
    attempts.append((True, True, "the expectation touches zero; n_sig was kept non-negative"))
    found: list[tuple[MassModel, MassModel, Minimum, list[str]]] = []
    for guarded, positive, text in attempts:
        picture = _build(shown, counts, options, guarded=guarded, positive=positive)
        model = picture
        if cells is not shown:
            model = _build(cells, weights, options, guarded=guarded, positive=positive)
        best = _best(model, picture, options)
        found.append((model, picture, best, [text] if text else []))
        if best.status == "ok":
            return found[-1]
    return found[0]


def _fit(
    cells: Cells, weights: FloatArray, shown: Cells, counts: FloatArray, options: MassFitOptions
) -> MassFitResult:
    if counts.sum() <= 0.0:
        raise FitError(
            "there are no events in the fit range", action="widen the range or loosen the selection"
        )
    model, picture, best, warnings = _guarded_solve(cells, weights, shown, counts, options)
    total, background = picture.expectation(best.x)
    chi2 = float(np.sum((counts - total) ** 2 / np.maximum(total, 1e-12)))
    covariance = _covariance(best)
    names = model.names
    estimates = {name: _estimate(model, best, covariance, i) for i, name in enumerate(names)}
    q0 = _discovery(model, best)
    return MassFitResult(
        options=options,
        method="binned" if cells.edges is not None else "unbinned",
        parameters=estimates,
        covariance=covariance,
        n_sig=estimates["n_sig"],
        mu=_scaled(estimates["n_sig"], options.expected),
        n_bkg_2sigma=_under_the_peak(model, best.x, covariance),
        q0=q0,
        z0=None if q0 is None else math.sqrt(q0),
        log_p0=None if q0 is None else log_normal_tail(math.sqrt(q0)),
        chi2=chi2,
        ndf=counts.size - sum(not p.fixed for p in model.parameters),
        twice_nll=best.value,
        status=best.status,
        message=best.message,
        edges=shown.edges if shown.edges is not None else np.zeros(0),
        data=counts,
        fitted_background=background,
        fitted_total=total,
        warnings=tuple(warnings),
    )


def _covariance(best: Minimum) -> FloatArray:
    free = np.flatnonzero(~best.active)
    out = np.zeros(best.hessian.shape)
    if free.size and best.status == "ok":
        out[np.ix_(free, free)] = np.linalg.inv(0.5 * best.hessian[np.ix_(free, free)])
    return out


def _estimate(model: MassModel, best: Minimum, covariance: FloatArray, index: int) -> Estimate:
    value = float(best.x[index])
    variance = float(covariance[index, index])
    if variance <= 0.0:
        return Estimate(value, None)
    error = math.sqrt(variance)
    if model.names[index] not in {"n_sig", "mass", "sigma"}:
        return Estimate(value, error)
    low, high = model.lower, model.upper
    up = crossing(model, best, index, 1, lower=low, upper=high, guess=error, tolerance=1e-4)
    down = crossing(model, best, index, -1, lower=low, upper=high, guess=error, tolerance=1e-4)
    return Estimate(
        value,
        error,
        None if up.value is None else up.value - value,
        None if down.value is None else value - down.value,
    )


def _scaled(estimate: Estimate, expected: float | None) -> Estimate | None:
    if not expected or expected <= 0.0:
        return None
    parts = (estimate.value, estimate.error, estimate.error_up, estimate.error_down)
    value, error, up, down = (None if x is None else x / expected for x in parts)
    return Estimate(float(value or 0.0), error, up, down)


def _discovery(model: MassModel, best: Minimum) -> float | None:
    """q0 at the fitted mass (local); 0 for a fitted deficit, None if a fit failed."""
    if best.status != "ok":
        return None
    if best.x[0] <= 0.0:
        return 0.0
    null = model.minimise_without_signal()
    return max(0.0, null.value - best.value) if null.status == "ok" else None


def _under_the_peak(model: MassModel, x: FloatArray, covariance: FloatArray) -> Estimate:
    """Background events within two widths of the mass, with the error of all background parameters."""
    mass, sigma = float(x[1]), float(x[2])
    low, high = max(model.cells.low, mass - 2.0 * sigma), min(model.cells.high, mass + 2.0 * sigma)
    values, gradient = model.background.on(model.cells).integral(x[model.n_signal :], low, high)
    block = covariance[model.n_signal :, model.n_signal :]
    variance = float(gradient @ block @ gradient)
    return Estimate(values, math.sqrt(variance) if variance > 0.0 else None)

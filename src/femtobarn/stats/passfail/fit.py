"""Fits of passing and failing probes: starts from the data, best of several, a verdict with reasons."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from femtobarn.stats.minimise import Crossing, FloatArray, Minimum, crossing, minimise
from femtobarn.stats.passfail.building import PassFailOptions, build_model
from femtobarn.stats.passfail.likelihood import PassFailModel, Spectra
from femtobarn.stats.passfail.models import Template
from femtobarn.stats.passfail.verdict import Gof, at_limit, covariance_of, doubts, goodness

__all__ = ["PassFailFit", "Status", "fit_pass_fail"]

Status = Literal["good", "suspect", "failed"]

#: A first fit that describes the data this well, away from all bounds, needs no other start.
_CONTENT: Final = 0.02


@dataclass(frozen=True)
class PassFailFit:
    """A fit and the verdict on it.

    Attributes
    ----------
    efficiency, hesse : float or None
    minos : (low, high) ends of the profile interval, each None where it was not found
    values, errors : {parameter: value}; the error is None at a bound
    covariance : (p, p), zero rows for parameters at a bound
    """

    efficiency: float | None
    hesse: float | None
    minos: tuple[float | None, float | None]
    names: tuple[str, ...]
    values: Mapping[str, float]
    errors: Mapping[str, float | None]
    at_limit: frozenset[str]
    covariance: FloatArray
    yields: Mapping[str, float]
    gof: Gof
    status: Status
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    cpu_s: float
    evaluations: int

    def to_json(self) -> dict[str, Any]:
        """The keys of a fit in ``fit.json`` that the fit itself knows."""
        low, high = self.minos
        parameters = {
            name: {
                "value": self.values[name],
                "hesse": self.errors[name],
                "minos": [low, high] if name == "efficiency" else None,
                "at_limit": name in self.at_limit,
            }
            for name in self.names
        }
        return {
            "efficiency": {"value": self.efficiency, "hesse": self.hesse, "minos": [low, high]},
            "parameters": parameters,
            "covariance": {"names": list(self.names), "matrix": self.covariance.tolist()},
            "yields": dict(self.yields),
            "gof": {"chi2": self.gof.chi2, "ndof": self.gof.ndof, "p_value": self.gof.p_value},
            "status": self.status,
            "reasons": list(self.reasons),
            "notes": list(self.notes),
            "cpu_s": self.cpu_s,
        }


def fit_pass_fail(
    spectra: Spectra,
    options: PassFailOptions | None = None,
    *,
    templates: tuple[Template, Template] | None = None,
    minos: bool = True,
) -> PassFailFit:
    """Fit the efficiency in one bin.

    Parameters
    ----------
    spectra : Spectra
        All bins of the histograms; the fit range is cut out here.
    templates : (pass, fail), optional
        For the signal ``tmpl``; generated lineshapes for ``genz`` and ``genzcb``.
    minos : bool
        Profile interval of the efficiency.
    """
    began = time.process_time()
    asked = options or PassFailOptions()
    inside = spectra.rebinned(asked.rebin).within(*asked.range)
    if inside.observed.sum() <= 0.0:
        return _empty(build_model(_flat(inside), asked, templates=templates), began)
    model = build_model(inside, asked, templates=templates)
    best, evaluations = _best(model)
    notes: list[str] = []
    gone = [k for k in (0, 1) if best.x[2 + k] <= 1e-6 * best.x[1]] if asked.pure else []
    if gone:
        model = build_model(inside, asked, templates=templates, without=gone)
        best, more = _best(model)
        evaluations += more
        sides = " and ".join(("passing", "failing")[k] for k in gone)
        notes.append(f"no background among {sides} probes of this simulation: left out")
    if np.any(inside.counts < 0.0):
        notes.append("bins with negative contents count as empty")
    return _judged(model, best, minos=minos, began=began, evaluations=evaluations, notes=tuple(notes))


def _flat(spectra: Spectra) -> Spectra:
    """Spectra a model can be built on: flat ones in place of empty ones (only names and starts are asked)."""
    return Spectra(spectra.edges, np.ones(spectra.counts.shape), np.ones(spectra.counts.shape))


def _empty(model: PassFailModel, began: float) -> PassFailFit:
    size = len(model.names)
    return PassFailFit(
        None, None, (None, None), model.names, dict(zip(model.names, model.start.tolist(), strict=True)),
        dict.fromkeys(model.names), frozenset(), np.zeros((size, size)),
        {"signal": 0.0, "background_pass": 0.0, "background_fail": 0.0}, Gof(0.0, 0, None), "failed",
        ("no probes in the fit range",), (), time.process_time() - began, 0,
    )  # fmt: skip


def _best(model: PassFailModel) -> tuple[Minimum, int]:
    """Best of several starts; the others are tried if the first does not describe the data well."""
    first = minimise(model, model.start, model.lower, model.upper)
    evaluations = first.evaluations
    p_value = goodness(model, first.x).p_value
    if first.status == "ok" and (p_value or 0.0) > _CONTENT and not at_limit(model, first.x):
        return first, evaluations
    found = [first]
    for start in _other_starts(model):
        found.append(minimise(model, start, model.lower, model.upper))
        evaluations += found[-1].evaluations
    good = [one for one in found if one.status == "ok"]
    return min(good or found, key=lambda one: one.value), evaluations


def _other_starts(model: PassFailModel) -> list[FloatArray]:
    """Wider and narrower signals on less and more background."""
    out = []
    for width, share, fall in ((1.5, 0.5, 0.5), (0.7, 1.4, 1.5), (1.2, 0.1, 2.0)):
        x = model.start.copy()
        x[2:4] *= share
        x[1] += float(((1.0 - share) * model.start[2:4]).sum())
        for i, name in enumerate(model.names):
            if name.startswith("sigma_p") or name == "sigma":
                x[i] *= width
            elif name.startswith(("slope_bkg", "gamma_bkg")):
                x[i] *= fall
        out.append(np.clip(x, model.lower, model.upper))
    return out


def _judged(
    model: PassFailModel,
    best: Minimum,
    *,
    minos: bool,
    began: float,
    evaluations: int,
    notes: tuple[str, ...],
) -> PassFailFit:
    """Errors, quality and verdict of a minimum."""
    covariance = covariance_of(best)
    limits = at_limit(model, best.x)
    gof = goodness(model, best.x)
    error = math.sqrt(covariance[0, 0]) if covariance is not None and covariance[0, 0] > 0.0 else None
    ends: tuple[Crossing, Crossing] | None = None
    if minos and best.status == "ok":
        ends = _minos(model, best, error)
        evaluations += sum(end.evaluations for end in ends)
    matrix = covariance if covariance is not None else np.zeros(best.hessian.shape)
    diagonal = np.diagonal(matrix)
    failed, suspect = doubts(model, best, limits, gof, ends, positive=covariance is not None)
    return PassFailFit(
        efficiency=float(best.x[0]),
        hesse=error,
        minos=(None, None) if ends is None else (ends[0].value, ends[1].value),
        names=model.names,
        values=dict(zip(model.names, best.x.tolist(), strict=True)),
        errors={
            name: math.sqrt(v) if v > 0.0 else None for name, v in zip(model.names, diagonal, strict=True)
        },
        at_limit=limits,
        covariance=matrix,
        yields={
            "signal": float(best.x[1]),
            "background_pass": float(best.x[2]),
            "background_fail": float(best.x[3]),
        },
        gof=gof,
        status="failed" if failed else "suspect" if suspect else "good",
        reasons=(*failed, *suspect),
        notes=notes,
        cpu_s=time.process_time() - began,
        evaluations=evaluations,
    )


def _minos(model: PassFailModel, best: Minimum, error: float | None) -> tuple[Crossing, Crossing]:
    """Where -2 log L, minimised over all else, has risen by 1 on either side of the efficiency."""
    box = {"lower": model.lower, "upper": model.upper}
    down, up = (
        crossing(model, best, 0, side, guess=error, tolerance=1e-3, **box)  # type: ignore[arg-type]
        for side in (-1, 1)
    )
    return down, up

"""Fits of passing and failing probes: starts from the data, best of several, a verdict with reasons."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
from scipy import special

from femtobarn.errors import UsageError, nearest
from femtobarn.stats.minimise import (
    Crossing,
    FloatArray,
    Minimum,
    crossing,
    minimise,
    solve_positive,
)
from femtobarn.stats.passfail.likelihood import FLOOR, PassFailModel, Spectra
from femtobarn.stats.passfail.models import (
    RESONANCES,
    Component,
    Resonance,
    Template,
    background,
    parse_model,
    signal,
)
from femtobarn.stats.shapes.basic import Cells, Parameter

__all__ = [
    "Gof",
    "PassFailFit",
    "PassFailOptions",
    "Status",
    "build_model",
    "fit_pass_fail",
    "missing_curvature",
]

Status = Literal["good", "suspect", "failed"]

#: Fits with a smaller p-value are not good.
LEAST_P_VALUE: Final = 1e-3
#: Fewer (effective) probes in either category make no good fit.
FEWEST_PROBES: Final = 20
#: A first fit that describes the data this well, away from all bounds, needs no other start.
_CONTENT: Final = 0.02
#: Bins are merged until this many events are expected, so that chi2 is distributed like one.
_LEAST_EXPECTED: Final = 5.0
#: Parameters closer to a bound than this share of their range are at it.
_AT_BOUND: Final = 1e-5


@dataclass(frozen=True)
class PassFailOptions:
    """How one bin is fitted.

    Attributes
    ----------
    model : str
        ``SIGNAL_BACKGROUND``, see :mod:`femtobarn.stats.passfail.models`.
    window : (float, float) or None
        Fit range in GeV; None is the resonance's.
    shared_shape : bool
        One signal shape for passing and failing probes.
    rebin : int
        So many bins of the histogram make one of the fit.
    starts : {parameter: (start, low, high)}
        In place of our own; low and high may be None.
    pure : bool
        The sample is simulated signal: a background that the fit finds to be nothing is left out.
    """

    model: str = "dcb_cms"
    resonance: str = "Z"
    window: tuple[float, float] | None = None
    shared_shape: bool = False
    rebin: int = 1
    starts: Mapping[str, tuple[float, float | None, float | None]] = field(default_factory=dict)
    pure: bool = False

    @property
    def expected(self) -> Resonance:
        if self.resonance not in RESONANCES:
            raise UsageError(
                f"unknown resonance {self.resonance!r}",
                near=nearest(self.resonance, RESONANCES),
                action=f"choose {', '.join(RESONANCES)}",
            )
        return RESONANCES[self.resonance]

    @property
    def range(self) -> tuple[float, float]:
        return self.window or self.expected.window


@dataclass(frozen=True, slots=True)
class Gof:
    """Pearson's chi2 of both spectra, bins merged until 5 events are expected; None without freedom."""

    chi2: float
    ndof: int
    p_value: float | None


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


def build_model(
    spectra: Spectra,
    options: PassFailOptions,
    *,
    templates: tuple[Template, Template] | None = None,
    without: Sequence[int] = (),
) -> PassFailModel:
    """The likelihood of two spectra (already cut to the fit range).

    Parameters
    ----------
    templates : (pass, fail), optional
        Simulated spectra (``tmpl``) or generated lineshapes (``genz``, ``genzcb``).
    without : categories (0 pass, 1 fail) that get no background
    """
    signal_name, background_name = parse_model(options.model)
    cells = Cells.bins(spectra.edges)
    first = _Guess.of(spectra, 0, options.expected)
    second = first if options.shared_shape else _Guess.of(spectra, 1, options.expected)
    signals: list[Component] = []
    for k, guess in enumerate((first, first if second.signal < 50.0 * second.unit else second)):
        template = templates[k] if templates is not None else None
        same = k == 1 and options.shared_shape
        signals.append(
            signals[0]
            if same
            else signal(signal_name, cells, options.expected, peak=guess.peak, template=template)
        )
    guesses = (first, _Guess.of(spectra, 1, options.expected))
    backgrounds = tuple(background(background_name, cells, guess.fall) for guess in guesses)
    made = PassFailModel(
        spectra, (signals[0], signals[1]), (backgrounds[0], backgrounds[1]),
        _common(spectra, guesses, without), Parameter("sigma_ratio", 1.15, 0.8, 3.0, 1.0),
    )  # fmt: skip
    return _started(made, options.starts) if options.starts else made


@dataclass(frozen=True, slots=True)
class _Guess:
    """What a spectrum looks like: where it peaks, and what its sidebands say."""

    peak: float
    signal: float
    background: float
    unit: float
    fall: float

    @classmethod
    def of(cls, spectra: Spectra, k: int, resonance: Resonance) -> _Guess:
        # In effective events, so that a common weight changes nothing.
        unit = float(spectra.scales[k].mean())
        edges, counts = spectra.edges, spectra.observed[k] / unit
        centres = 0.5 * (edges[1:] + edges[:-1])
        width, total = edges[-1] - edges[0], float(counts.sum())
        near = np.abs(centres - resonance.mass) < 2.5 * resonance.resolution
        smooth = np.convolve(counts, np.ones(3), mode="same")
        peak = float(centres[near][np.argmax(smooth[near])]) if near.any() else resonance.mass
        n = max(1, round(0.15 * counts.size))
        left, right = float(counts[:n].mean()), float(counts[-n:].mean())
        # An exponential through both sidebands, half of which is taken to be the signal's tails.
        fall = math.log((left + 1.0) / (right + 1.0)) / (0.85 * width)
        height = math.sqrt((left + 0.1) * (right + 0.1)) * counts.size
        under = min(0.7 * height, 0.9 * total)
        return cls(
            peak,
            unit * max(total - under, 0.0),
            unit * under,
            unit,
            min(max(fall, -2.0 / width), 8.0 / width),
        )


def _common(
    spectra: Spectra, guesses: tuple[_Guess, _Guess], without: Sequence[int]
) -> tuple[Parameter, ...]:
    n = max(guesses[0].signal + guesses[1].signal, guesses[0].unit)
    efficiency = min(max(guesses[0].signal / n, 0.02), 0.98)
    most = 1.5 * float(spectra.observed.sum()) + 50.0 * float(spectra.scales.mean())
    levels = [
        Parameter(f"n_background_{side}", 0.0, 0.0, 0.0)
        if k in without
        else Parameter(f"n_background_{side}", max(guess.background, 1e-3 * n), 0.0, most)
        for k, (side, guess) in enumerate(zip("pf", guesses, strict=True))
    ]
    return Parameter("efficiency", efficiency, 0.0, 1.0), Parameter("n_signal", n, 0.0, most), *levels


def _started(
    model: PassFailModel, starts: Mapping[str, tuple[float, float | None, float | None]]
) -> PassFailModel:
    """The model with starts and limits that were asked for."""
    wrong = [name for name in starts if name not in model.names]
    if wrong:
        raise UsageError(
            f"the fit has no parameter {wrong[0]!r}", near=nearest(wrong[0], model.names),
            action=f"its parameters: {', '.join(model.names)}",
        )  # fmt: skip
    asked = dict(starts)
    places = iter(model.parameters)

    def take(own: Parameter) -> Parameter:
        name = next(places).name
        if name not in asked:
            return own
        value, low, high = asked[name]
        low, high = (own.lower if low is None else low), (own.upper if high is None else high)
        if not low <= value <= high:
            raise UsageError(f"--start {name}: {value:g} is not between {low:g} and {high:g}")
        return dataclasses.replace(own, start=value, lower=low, upper=high)

    common = tuple(take(p) for p in model.common)
    ratio = model.ratio
    signals = []
    for k, part in enumerate(model.signals[:1] if model.shared else model.signals):
        new = []
        for i, p in enumerate(part.parameters):
            if k == 1 and i == part.scaled:
                ratio = take(ratio)
                new.append(p)
            else:
                new.append(take(p))
        signals.append(dataclasses.replace(part, parameters=tuple(new)))
    backgrounds = tuple(
        dataclasses.replace(part, parameters=tuple(take(p) for p in part.parameters))
        for part in model.backgrounds
    )
    pair = (signals[0], signals[0]) if model.shared else (signals[0], signals[1])
    return PassFailModel(model.spectra, pair, (backgrounds[0], backgrounds[1]), common, ratio)


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
        return _empty(build_model(spectra_or_flat(inside), asked, templates=templates), began)
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


def spectra_or_flat(spectra: Spectra) -> Spectra:
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
    p_value = _gof(model, first.x).p_value
    if first.status == "ok" and (p_value or 0.0) > _CONTENT and not _at_limit(model, first.x):
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


def _at_limit(model: PassFailModel, x: FloatArray) -> frozenset[str]:
    """Names of free parameters at one of their bounds."""
    span = np.minimum(model.upper - model.lower, 1e3 * np.maximum(np.abs(x), 1.0))
    near = np.minimum(x - model.lower, model.upper - x) <= _AT_BOUND * span
    return frozenset(np.array(model.names)[near & (span > 0.0)].tolist())


def _gof(model: PassFailModel, x: FloatArray) -> Gof:
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


def _covariance(best: Minimum) -> FloatArray | None:
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
    covariance = _covariance(best)
    limits = _at_limit(model, best.x)
    gof = _gof(model, best.x)
    error = math.sqrt(covariance[0, 0]) if covariance is not None and covariance[0, 0] > 0.0 else None
    ends: tuple[Crossing, Crossing] | None = None
    if minos and best.status == "ok":
        ends = _minos(model, best, error)
        evaluations += sum(end.evaluations for end in ends)
    matrix = covariance if covariance is not None else np.zeros(best.hessian.shape)
    diagonal = np.diagonal(matrix)
    failed, suspect = _reasons(model, best, limits, gof, ends, positive=covariance is not None)
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


def _reasons(
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

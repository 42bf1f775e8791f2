"""From the spectra of one bin to the likelihood that is fitted: starts and limits from the data."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from femtobarn.errors import UsageError, nearest
from femtobarn.stats.passfail.likelihood import PassFailModel, Spectra
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

__all__ = ["PassFailOptions", "build_model"]


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

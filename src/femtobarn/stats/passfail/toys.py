"""Closure of pass/fail fits: toys from a model of known efficiency, fitted like data.

The tails of a signal have weak constraints in the fit, which stand for what is known of them beforehand.
As with any such knowledge, the truth of each toy differs from it by as much as it claims: tails are drawn
anew for every toy.  Were they the constraints' own centres each time, errors would look too large.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from femtobarn.errors import UsageError
from femtobarn.stats.minimise import FloatArray
from femtobarn.stats.passfail.building import PassFailOptions, build_model
from femtobarn.stats.passfail.fit import fit_pass_fail
from femtobarn.stats.passfail.likelihood import PassFailModel, Spectra
from femtobarn.stats.passfail.models import Template, breit_wigner

__all__ = ["ToyResult", "ToyTruth", "closure_summary", "fit_toy", "truth"]

#: Events of a toy: signal, background among passing and failing probes.
_SIGNAL: Final = 20_000
_BACKGROUND: Final = (1_000, 3_000)
#: Parameters of tails.
_TAIL: Final = re.compile(r"(alpha|n_low|n_high|n_[pf]$|n$|gamma2?(_[pf])?$)")


@dataclass(frozen=True)
class ToyTruth:
    """What toys are drawn from: a model, and the centre ``x`` of its parameters."""

    options: PassFailOptions
    model: PassFailModel
    x: FloatArray
    templates: tuple[Template, Template] | None = None

    @property
    def efficiency(self) -> float:
        return float(self.x[0])

    def draw(self, rng: np.random.Generator) -> FloatArray:
        """(2, n) counts of a toy with tails of its own."""
        x = self.x.copy()
        places = [i for i, name in enumerate(self.model.names) if _TAIL.match(name)]
        if places:
            covariance = np.linalg.inv(self.model.precision[np.ix_(places, places)])
            moved = x[places] + np.linalg.cholesky(covariance) @ rng.standard_normal(len(places))
            low, high = self.model.lower[places], self.model.upper[places]
            # A little inside the limits: a truth at a bound has no interval of two sides.
            x[places] = np.clip(moved, 1.3 * low, high)
        return rng.poisson(self.model.expected(x).total).astype(np.float64)


@dataclass(frozen=True, slots=True)
class ToyResult:
    """One fitted toy."""

    number: int
    value: float | None
    error: float | None
    low: float | None
    high: float | None
    status: str
    cpu_s: float


def truth(model: str, efficiency: float, *, resonance: str = "Z") -> ToyTruth:
    """A made bin: 20 000 signal events, 1 000 and 3 000 background, shapes at the model's own starts."""
    if not 0.0 < efficiency < 1.0:
        raise UsageError(f"--efficiency must lie between 0 and 1, not {efficiency:g}")
    options = PassFailOptions(model=model, resonance=resonance)
    about = options.expected
    low, high = options.range
    n = 60
    edges = np.linspace(low, high, n + 1)
    templates = None
    if model.startswith("tmpl_"):
        fine, content = breit_wigner(
            about.mass, max(about.width, about.resolution), low, high, (high - low) / 300
        )
        templates = (Template(fine, 1e6 * content / content.sum()),) * 2
    made = build_model(_picture(edges, about.mass, about.resolution), options, templates=templates)
    x = made.start.copy()
    x[:4] = efficiency, _SIGNAL, *_BACKGROUND
    return ToyTruth(options, made, x, templates)


def _picture(edges: FloatArray, mass: float, width: float) -> Spectra:
    """A spectrum that looks like the toys will, for the starts of the model's shapes."""
    centres = 0.5 * (edges[1:] + edges[:-1])
    peak = np.exp(-0.5 * ((centres - mass) / width) ** 2)
    fall = np.exp(-2.0 * (centres - edges[0]) / (edges[-1] - edges[0]))
    counts = np.stack([2000.0 * peak + 40.0 * fall, 400.0 * peak + 110.0 * fall])
    return Spectra(edges, counts, counts)


def fit_toy(true: ToyTruth, seed: int, number: int) -> ToyResult:
    """Draw one toy (its numbers depend on seed and number alone) and fit it."""
    counts = true.draw(np.random.default_rng([seed, number]))
    spectra = Spectra(true.model.spectra.edges, counts, counts)
    found = fit_pass_fail(spectra, true.options, templates=true.templates)
    low, high = found.minos
    return ToyResult(number, found.efficiency, found.hesse, low, high, found.status, found.cpu_s)


def closure_summary(true: ToyTruth, toys: Sequence[ToyResult]) -> Mapping[str, Any]:
    """The row of ``tables/closure.json``: pulls use the profile error on the side of the truth."""
    pulls = [pull for toy in toys if (pull := _pull(toy, true.efficiency)) is not None]
    inside = [pull for pull in pulls if abs(pull) <= 1.0]
    n = len(pulls)
    return {
        "model": true.options.model,
        "toys": len(toys),
        "failed": sum(toy.status == "failed" for toy in toys),
        "suspect": sum(toy.status == "suspect" for toy in toys),
        "efficiency_true": true.efficiency,
        "pull_mean": float(np.mean(pulls)) if n else None,
        "pull_width": float(np.std(pulls, ddof=1)) if n > 1 else None,
        "coverage68": len(inside) / n if n else None,
        "cpu_s": math.fsum(toy.cpu_s for toy in toys),
    }


def _pull(toy: ToyResult, true: float) -> float | None:
    if toy.value is None or toy.status == "failed":
        return None
    side = toy.low if toy.value > true else toy.high
    error = abs(toy.value - side) if side is not None else toy.error
    return (toy.value - true) / error if error else None

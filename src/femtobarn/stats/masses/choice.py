"""Choosing a background for a mass fit: F-test for the order, spurious signal for the bias."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from scipy import special

from femtobarn.errors import FitError
from femtobarn.stats.masses.fit import MassFitOptions, fit_mass_counts
from femtobarn.stats.masses.model import Background, MassModel, background_model
from femtobarn.stats.shapes.basic import Cells, Gaussian, Parameter

if TYPE_CHECKING:
    from femtobarn.stats.minimise import FloatArray

__all__ = [
    "BackgroundFit",
    "OrderChoice",
    "SpuriousSignal",
    "choose_order",
    "fit_background",
    "spurious_signal",
]

#: Orders tried by the F-test, lowest first.
_ORDERS: Final[dict[Background, tuple[int, ...]]] = {
    "polynomial": (1, 2, 3, 4, 5, 6),
    "bernstein": (1, 2, 3, 4, 5, 6),
    "exponential": (1, 2, 3),
    "power": (1, 2, 3),
}


@dataclass(frozen=True, slots=True)
class BackgroundFit:
    """Background alone: ``deviance`` is -2 log L relative to the saturated model."""

    name: Background
    order: int
    deviance: float
    parameters: int
    expected: FloatArray
    status: str


@dataclass(frozen=True, slots=True)
class OrderChoice:
    """The lowest order that the next one does not improve significantly.

    ``steps`` lists (order, next order, F, p-value) of each comparison made.
    """

    name: Background
    order: int
    steps: tuple[tuple[int, int, float, float], ...]

    def to_json(self) -> dict[str, Any]:
        keys = ("order", "next", "f", "p_value")
        return {
            "name": self.name,
            "order": self.order,
            "steps": [dict(zip(keys, step, strict=True)) for step in self.steps],
        }


@dataclass(frozen=True, slots=True)
class SpuriousSignal:
    """Signal that a background model finds in a spectrum of another model without any.

    Attributes
    ----------
    sources : dict
        Alternative background -> fitted signal events in its Asimov spectrum.
    events : float
        The largest in magnitude.
    relative : float or None
        Divided by the statistical error of the signal.
    """

    sources: dict[str, float]
    events: float
    relative: float | None

    def to_json(self) -> dict[str, Any]:
        return {"sources": dict(self.sources), "events": self.events, "relative": self.relative}


def fit_background(
    counts: npt.ArrayLike, edges: npt.ArrayLike, name: Background, order: int
) -> BackgroundFit:
    """Fit a background alone to a histogram (binned, extended)."""
    cells = Cells.bins(edges)
    data = np.asarray(counts, dtype=np.float64)
    middle = 0.5 * (cells.low + cells.high)
    pinned = (Parameter("mass", middle).fix(middle), Parameter("sigma", 1.0).fix(1.0))
    model = MassModel(
        cells, data, Gaussian(), pinned, background_model(name, order, cells, float(data.sum()))
    )
    best = model.minimise_without_signal()
    expected = model.expectation(best.x)[1]
    free = len(model.background.parameters)
    return BackgroundFit(name, order, best.value, free, expected, best.status)


def choose_order(
    counts: npt.ArrayLike, edges: npt.ArrayLike, name: Background, *, threshold: float = 0.05
) -> OrderChoice:
    """Raise the order while an F-test says that the fit improves.

    ``F = ((D1 - D2) / (k2 - k1)) / (D2 / (n - k2))`` with the Poisson deviances D (S. Baker, R. Cousins,
    NIM 221 (1984) 437) and numbers of parameters k; the next order is taken if its p-value is below
    ``threshold``.
    """
    bins = np.size(counts)
    orders = _ORDERS[name]
    current = fit_background(counts, edges, name, orders[0])
    if current.status != "ok":
        raise FitError(f"the {name} background of order {orders[0]} does not fit")
    steps: list[tuple[int, int, float, float]] = []
    for order in orders[1:]:
        after = fit_background(counts, edges, name, order)
        more, left = after.parameters - current.parameters, bins - after.parameters
        if after.status != "ok" or left <= 0:
            break
        f = max(0.0, (current.deviance - after.deviance) / more / max(after.deviance / left, 1e-300))
        p = float(special.fdtrc(more, left, f))
        steps.append((current.order, order, float(f), p))
        if p > threshold:
            break
        current = after
    return OrderChoice(name, current.order, tuple(steps))


def spurious_signal(
    counts: npt.ArrayLike,
    edges: npt.ArrayLike,
    options: MassFitOptions,
    *,
    alternatives: tuple[tuple[Background, int], ...] = (("exponential", 2), ("power", 2), ("bernstein", 4)),
) -> SpuriousSignal:
    """Bias of the chosen background: fit it with a signal to spectra of other backgrounds.

    Each alternative is fitted to the data without signal and its expectation becomes the spectrum; mass and
    width are held at their values in ``options``.
    """
    fixed = replace(options, fix_mass=True, fix_width=True)
    found: dict[str, float] = {}
    relative: dict[str, float] = {}
    for name, order in alternatives:
        if (name, order) == (options.background, options.order):
            continue
        source = fit_background(counts, edges, name, order)
        if source.status != "ok":
            continue
        result = fit_mass_counts(source.expected, edges, fixed)
        if result.status == "ok":
            label = f"{name}{order}"
            found[label] = result.n_sig.value
            if result.n_sig.error:
                relative[label] = result.n_sig.value / result.n_sig.error
    if not found:
        raise FitError("no alternative background could be fitted")
    worst = max(found, key=lambda label: abs(found[label]))
    share = relative.get(worst)
    return SpuriousSignal(found, found[worst], share if share is None or math.isfinite(share) else None)

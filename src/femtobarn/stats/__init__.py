"""The statistics room: intervals, counting, shape and mass fits, and the HistFactory engine."""

from __future__ import annotations

from femtobarn.stats.counting import CountingResult, asimov_significance, count
from femtobarn.stats.intervals import ONE_SIGMA, clopper_pearson, garwood, weighted_efficiency
from femtobarn.stats.mass_choice import choose_order, spurious_signal
from femtobarn.stats.mass_fit import MassFitOptions, MassFitResult, fit_mass, fit_mass_counts
from femtobarn.stats.shape import Estimate, ShapeResult, fit_shape

__all__ = [
    "ONE_SIGMA",
    "CountingResult",
    "Estimate",
    "MassFitOptions",
    "MassFitResult",
    "ShapeResult",
    "asimov_significance",
    "choose_order",
    "clopper_pearson",
    "count",
    "fit_mass",
    "fit_mass_counts",
    "fit_shape",
    "garwood",
    "spurious_signal",
    "weighted_efficiency",
]

"""The statistics room: intervals, counting, shape and mass fits, and the HistFactory engine."""

from __future__ import annotations

from femtobarn.stats.counting import CountingResult, asimov_significance, count
from femtobarn.stats.intervals import ONE_SIGMA, clopper_pearson, garwood, weighted_efficiency
from femtobarn.stats.shape import Estimate, ShapeResult, fit_shape

__all__ = [
    "ONE_SIGMA",
    "CountingResult",
    "Estimate",
    "ShapeResult",
    "asimov_significance",
    "clopper_pearson",
    "count",
    "fit_shape",
    "garwood",
    "weighted_efficiency",
]

"""The statistics room: intervals, counting, shape and mass fits, and the HistFactory engine."""

from __future__ import annotations

from femtobarn.stats.counting import CountingResult, asimov_significance, count
from femtobarn.stats.fitting import FitResult, fit
from femtobarn.stats.goodness import Goodness, goodness_of_fit
from femtobarn.stats.impacts import GroupImpacts, Impact, group_impacts, ranking
from femtobarn.stats.intervals import ONE_SIGMA, clopper_pearson, garwood, weighted_efficiency
from femtobarn.stats.likelihood import Data
from femtobarn.stats.mass_choice import choose_order, spurious_signal
from femtobarn.stats.mass_fit import MassFitOptions, MassFitResult, fit_mass, fit_mass_counts
from femtobarn.stats.model import Model, read_workspace
from femtobarn.stats.profiling import ProfileResult, Scan2DResult, ScanResult, profile, scan, scan2d
from femtobarn.stats.shape import Estimate, ShapeResult, fit_shape
from femtobarn.stats.testing import Hypotest, Limit, Significance, hypotest, limit, significance
from femtobarn.stats.toy_study import ToyCLs, ToyStudy, throw, toy_hypotest, toys
from femtobarn.stats.workspace import Workspace, write_workspace

__all__ = [
    "ONE_SIGMA",
    "CountingResult",
    "Data",
    "Estimate",
    "FitResult",
    "Goodness",
    "GroupImpacts",
    "Hypotest",
    "Impact",
    "Limit",
    "MassFitOptions",
    "MassFitResult",
    "Model",
    "ProfileResult",
    "Scan2DResult",
    "ScanResult",
    "ShapeResult",
    "Significance",
    "ToyCLs",
    "ToyStudy",
    "Workspace",
    "asimov_significance",
    "choose_order",
    "clopper_pearson",
    "count",
    "fit",
    "fit_mass",
    "fit_mass_counts",
    "fit_shape",
    "garwood",
    "goodness_of_fit",
    "group_impacts",
    "hypotest",
    "limit",
    "profile",
    "ranking",
    "read_workspace",
    "scan",
    "scan2d",
    "significance",
    "spurious_signal",
    "throw",
    "toy_hypotest",
    "toys",
    "weighted_efficiency",
    "write_workspace",
]

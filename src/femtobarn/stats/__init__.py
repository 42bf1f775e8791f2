"""The statistics room: intervals, counting, shape and mass fits, and the HistFactory engine."""

from __future__ import annotations

from femtobarn.stats.build import (
    BuildResult,
    ChannelSpec,
    NormFactorSpec,
    SampleSpec,
    SystematicSpec,
    WorkspaceSpec,
    build_workspace,
)
from femtobarn.stats.counting import CountingResult, asimov_significance, count
from femtobarn.stats.fitting import FitResult, fit, match_result
from femtobarn.stats.goodness import Goodness, goodness_of_fit
from femtobarn.stats.impacts import GroupImpacts, Impact, group_impacts, ranking
from femtobarn.stats.intervals import ONE_SIGMA, clopper_pearson, garwood, weighted_efficiency
from femtobarn.stats.likelihood import Data
from femtobarn.stats.mass_choice import choose_order, spurious_signal
from femtobarn.stats.mass_fit import MassFitOptions, MassFitResult, fit_mass, fit_mass_counts
from femtobarn.stats.model import Model, read_workspace
from femtobarn.stats.profiling import ProfileResult, Scan2DResult, ScanResult, profile, scan, scan2d
from femtobarn.stats.run_fit import FitOptions, FitOutcome, fit_workspace, load_model, prepare, run_fit
from femtobarn.stats.shape import Estimate, ShapeResult, fit_shape
from femtobarn.stats.testing import Hypotest, Limit, Significance, hypotest, limit, significance
from femtobarn.stats.toy_study import ToyCLs, ToyStudy, throw, toy_hypotest, toys
from femtobarn.stats.workspace import Workspace, write_workspace

__all__ = [
    "ONE_SIGMA",
    "BuildResult",
    "ChannelSpec",
    "CountingResult",
    "Data",
    "Estimate",
    "FitOptions",
    "FitOutcome",
    "FitResult",
    "Goodness",
    "GroupImpacts",
    "Hypotest",
    "Impact",
    "Limit",
    "MassFitOptions",
    "MassFitResult",
    "Model",
    "NormFactorSpec",
    "ProfileResult",
    "SampleSpec",
    "Scan2DResult",
    "ScanResult",
    "ShapeResult",
    "Significance",
    "SystematicSpec",
    "ToyCLs",
    "ToyStudy",
    "Workspace",
    "WorkspaceSpec",
    "asimov_significance",
    "build_workspace",
    "choose_order",
    "clopper_pearson",
    "count",
    "fit",
    "fit_mass",
    "fit_mass_counts",
    "fit_shape",
    "fit_workspace",
    "garwood",
    "goodness_of_fit",
    "group_impacts",
    "hypotest",
    "limit",
    "load_model",
    "match_result",
    "prepare",
    "profile",
    "ranking",
    "read_workspace",
    "run_fit",
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

"""The statistics room: intervals, counting, shape and mass fits, and the HistFactory engine.

Names are loaded on first use, so that a module which needs one interval does not pay for the whole room.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
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
    from femtobarn.stats.full_fit import FitOptions, FitOutcome, fit_workspace, load_model, prepare, run_fit
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

#: Public name -> module of this package that defines it.
_HOME: Final = {
    "ONE_SIGMA": "intervals",
    "BuildResult": "build",
    "ChannelSpec": "build",
    "CountingResult": "counting",
    "Data": "likelihood",
    "Estimate": "shape",
    "FitOptions": "full_fit",
    "FitOutcome": "full_fit",
    "FitResult": "fitting",
    "Goodness": "goodness",
    "GroupImpacts": "impacts",
    "Hypotest": "testing",
    "Impact": "impacts",
    "Limit": "testing",
    "MassFitOptions": "mass_fit",
    "MassFitResult": "mass_fit",
    "Model": "model",
    "NormFactorSpec": "build",
    "ProfileResult": "profiling",
    "SampleSpec": "build",
    "Scan2DResult": "profiling",
    "ScanResult": "profiling",
    "ShapeResult": "shape",
    "Significance": "testing",
    "SystematicSpec": "build",
    "ToyCLs": "toy_study",
    "ToyStudy": "toy_study",
    "Workspace": "workspace",
    "WorkspaceSpec": "build",
    "asimov_significance": "counting",
    "build_workspace": "build",
    "choose_order": "mass_choice",
    "clopper_pearson": "intervals",
    "count": "counting",
    "fit": "fitting",
    "fit_mass": "mass_fit",
    "fit_mass_counts": "mass_fit",
    "fit_shape": "shape",
    "fit_workspace": "full_fit",
    "garwood": "intervals",
    "goodness_of_fit": "goodness",
    "group_impacts": "impacts",
    "hypotest": "testing",
    "limit": "testing",
    "load_model": "full_fit",
    "match_result": "fitting",
    "prepare": "full_fit",
    "profile": "profiling",
    "ranking": "impacts",
    "read_workspace": "model",
    "run_fit": "full_fit",
    "scan": "profiling",
    "scan2d": "profiling",
    "significance": "testing",
    "spurious_signal": "mass_choice",
    "throw": "toy_study",
    "toy_hypotest": "toy_study",
    "toys": "toy_study",
    "weighted_efficiency": "intervals",
    "write_workspace": "workspace",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

"""The statistics room: intervals, counting, shape and mass fits, and the HistFactory engine.

Names are loaded on first use, so that a module which needs one interval does not pay for the whole room.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from femtobarn.stats.counting import CountingResult, asimov_significance, count
    from femtobarn.stats.histfactory.build import (
        BuildResult,
        ChannelSpec,
        NormFactorSpec,
        SampleSpec,
        SystematicSpec,
        WorkspaceSpec,
        build_workspace,
    )
    from femtobarn.stats.histfactory.fitting import FitResult, fit, match_result
    from femtobarn.stats.histfactory.full_fit import (
        FitOptions,
        FitOutcome,
        fit_workspace,
        load_model,
        prepare,
        run_fit,
    )
    from femtobarn.stats.histfactory.goodness import Goodness, goodness_of_fit
    from femtobarn.stats.histfactory.impacts import GroupImpacts, Impact, group_impacts, ranking
    from femtobarn.stats.histfactory.likelihood import Data
    from femtobarn.stats.histfactory.model import Model, read_workspace
    from femtobarn.stats.histfactory.profiling import (
        ProfileResult,
        Scan2DResult,
        ScanResult,
        profile,
        scan,
        scan2d,
    )
    from femtobarn.stats.histfactory.testing import (
        Hypotest,
        Limit,
        Significance,
        hypotest,
        limit,
        significance,
    )
    from femtobarn.stats.histfactory.toy_study import ToyCLs, ToyStudy, throw, toy_hypotest, toys
    from femtobarn.stats.histfactory.workspace import Workspace, write_workspace
    from femtobarn.stats.intervals import ONE_SIGMA, clopper_pearson, garwood, weighted_efficiency
    from femtobarn.stats.masses.choice import choose_order, spurious_signal
    from femtobarn.stats.masses.fit import MassFitOptions, MassFitResult, fit_mass, fit_mass_counts
    from femtobarn.stats.strength import Estimate, ShapeResult, fit_shape

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
    "BuildResult": "histfactory.build",
    "ChannelSpec": "histfactory.build",
    "CountingResult": "counting",
    "Data": "histfactory.likelihood",
    "Estimate": "strength",
    "FitOptions": "histfactory.full_fit",
    "FitOutcome": "histfactory.full_fit",
    "FitResult": "histfactory.fitting",
    "Goodness": "histfactory.goodness",
    "GroupImpacts": "histfactory.impacts",
    "Hypotest": "histfactory.testing",
    "Impact": "histfactory.impacts",
    "Limit": "histfactory.testing",
    "MassFitOptions": "masses.fit",
    "MassFitResult": "masses.fit",
    "Model": "histfactory.model",
    "NormFactorSpec": "histfactory.build",
    "ProfileResult": "histfactory.profiling",
    "SampleSpec": "histfactory.build",
    "Scan2DResult": "histfactory.profiling",
    "ScanResult": "histfactory.profiling",
    "ShapeResult": "strength",
    "Significance": "histfactory.testing",
    "SystematicSpec": "histfactory.build",
    "ToyCLs": "histfactory.toy_study",
    "ToyStudy": "histfactory.toy_study",
    "Workspace": "histfactory.workspace",
    "WorkspaceSpec": "histfactory.build",
    "asimov_significance": "counting",
    "build_workspace": "histfactory.build",
    "choose_order": "masses.choice",
    "clopper_pearson": "intervals",
    "count": "counting",
    "fit": "histfactory.fitting",
    "fit_mass": "masses.fit",
    "fit_mass_counts": "masses.fit",
    "fit_shape": "strength",
    "fit_workspace": "histfactory.full_fit",
    "garwood": "intervals",
    "goodness_of_fit": "histfactory.goodness",
    "group_impacts": "histfactory.impacts",
    "hypotest": "histfactory.testing",
    "limit": "histfactory.testing",
    "load_model": "histfactory.full_fit",
    "match_result": "histfactory.fitting",
    "prepare": "histfactory.full_fit",
    "profile": "histfactory.profiling",
    "ranking": "histfactory.impacts",
    "read_workspace": "histfactory.model",
    "run_fit": "histfactory.full_fit",
    "scan": "histfactory.profiling",
    "scan2d": "histfactory.profiling",
    "significance": "histfactory.testing",
    "spurious_signal": "masses.choice",
    "throw": "histfactory.toy_study",
    "toy_hypotest": "histfactory.toy_study",
    "toys": "histfactory.toy_study",
    "weighted_efficiency": "intervals",
    "write_workspace": "histfactory.workspace",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

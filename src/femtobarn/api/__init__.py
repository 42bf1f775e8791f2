"""Every verb as one function: plain inputs, typed results.  ``cli`` and ``web`` call this, nothing deeper.

Importing it is light: a function's own needs are loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from femtobarn.api.bumpnet import check_bumpnet
    from femtobarn.api.checking import Checked, analysis_of, check, run_schema
    from femtobarn.api.demos import Demos, demo
    from femtobarn.api.export_targets import target_names
    from femtobarn.api.exporting import Exported, export
    from femtobarn.api.files import Probed, data_files, data_fileset, data_probe
    from femtobarn.api.fitting import fit, fit_directory
    from femtobarn.api.inputs import Request
    from femtobarn.api.results import OpenRun, open_run, plot, report
    from femtobarn.api.runs import Finished, merge, plan, resume, run, status
    from femtobarn.api.samples import MadeSamples, data_list, data_make
    from femtobarn.api.searching import search_bumps
    from femtobarn.api.starter import new
    from femtobarn.api.surveys import (
        SurveyPlan,
        SurveyRequest,
        is_later_only,
        later_steps,
        survey,
        survey_again,
        survey_plan,
    )

_WHERE: Final = {
    "Checked": "checking",
    "Demos": "demos",
    "Exported": "exporting",
    "Finished": "runs",
    "MadeSamples": "samples",
    "OpenRun": "results",
    "Probed": "files",
    "Request": "inputs",
    "SurveyPlan": "surveys",
    "SurveyRequest": "surveys",
    "analysis_of": "checking",
    "check": "checking",
    "check_bumpnet": "bumpnet",
    "data_files": "files",
    "data_fileset": "files",
    "data_list": "samples",
    "data_make": "samples",
    "data_probe": "files",
    "demo": "demos",
    "export": "exporting",
    "fit": "fitting",
    "fit_directory": "fitting",
    "is_later_only": "surveys",
    "later_steps": "surveys",
    "merge": "runs",
    "new": "starter",
    "open_run": "results",
    "plan": "runs",
    "plot": "results",
    "report": "results",
    "resume": "runs",
    "run": "runs",
    "run_schema": "checking",
    "search_bumps": "searching",
    "status": "runs",
    "survey": "surveys",
    "survey_again": "surveys",
    "survey_plan": "surveys",
    "target_names": "export_targets",
}

__all__ = [
    "Checked",
    "Demos",
    "Exported",
    "Finished",
    "MadeSamples",
    "OpenRun",
    "Probed",
    "Request",
    "SurveyPlan",
    "SurveyRequest",
    "analysis_of",
    "check",
    "check_bumpnet",
    "data_files",
    "data_fileset",
    "data_list",
    "data_make",
    "data_probe",
    "demo",
    "export",
    "fit",
    "fit_directory",
    "is_later_only",
    "later_steps",
    "merge",
    "new",
    "open_run",
    "plan",
    "plot",
    "report",
    "resume",
    "run",
    "run_schema",
    "search_bumps",
    "status",
    "survey",
    "survey_again",
    "survey_plan",
    "target_names",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"femtobarn.api.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)

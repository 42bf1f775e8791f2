"""Every verb as one function: plain inputs, typed results.  ``cli`` and ``web`` call this, nothing deeper.

Importing it is light: a function's own needs are loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from femtobarn.api.benchmark import TtbarBench, ttbar_bench
    from femtobarn.api.bumpnet import check_bumpnet
    from femtobarn.api.caching import CacheRoom, cache_list, cache_prune, cache_verify
    from femtobarn.api.checking import Checked, analysis_of, check, run_schema
    from femtobarn.api.delivering import Delivered, DeliveryOptions, brings_code, deliver, explain_delivery
    from femtobarn.api.demos import Demos, demo
    from femtobarn.api.export_targets import target_names
    from femtobarn.api.exporting import Exported, export
    from femtobarn.api.fetching import (
        Fetched,
        Lookup,
        data_fetch,
        data_fetch_datasets,
        data_find,
        data_query,
        data_snapshot,
        use_network,
    )
    from femtobarn.api.files import (
        Preprocessed,
        Probed,
        data_files,
        data_fileset,
        data_preprocess,
        data_probe,
    )
    from femtobarn.api.fitting import fit, fit_directory
    from femtobarn.api.inputs import Request
    from femtobarn.api.refrun import (
        JobDone,
        SuggestRequest,
        refrun_evaluate,
        refrun_promote,
        refrun_suggest,
    )
    from femtobarn.api.refrun_fetching import refrun_fetch
    from femtobarn.api.refrun_records import RecordSources
    from femtobarn.api.results import OpenRun, open_run, plot, report
    from femtobarn.api.runs import Finished, merge, plan, resume, run, status
    from femtobarn.api.samples import MadeSamples, data_list, data_make
    from femtobarn.api.searching import search_bumps
    from femtobarn.api.serving import serve, serve_servicex
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
    from femtobarn.api.ttbar import TtbarFileset, Validated, ttbar_fileset, ttbar_validate

_WHERE: Final = {
    "Lookup": "fetching",
    "use_network": "fetching",
    "Checked": "checking",
    "Delivered": "delivering",
    "DeliveryOptions": "delivering",
    "Demos": "demos",
    "Exported": "exporting",
    "Finished": "runs",
    "JobDone": "refrun",
    "MadeSamples": "samples",
    "OpenRun": "results",
    "Probed": "files",
    "RecordSources": "refrun_records",
    "Request": "inputs",
    "TtbarBench": "benchmark",
    "TtbarFileset": "ttbar",
    "Validated": "ttbar",
    "SuggestRequest": "refrun",
    "SurveyPlan": "surveys",
    "SurveyRequest": "surveys",
    "analysis_of": "checking",
    "brings_code": "delivering",
    "check": "checking",
    "CacheRoom": "caching",
    "cache_list": "caching",
    "cache_prune": "caching",
    "cache_verify": "caching",
    "Fetched": "fetching",
    "data_fetch": "fetching",
    "data_fetch_datasets": "fetching",
    "data_find": "fetching",
    "data_query": "fetching",
    "data_snapshot": "fetching",
    "Preprocessed": "files",
    "data_preprocess": "files",
    "check_bumpnet": "bumpnet",
    "data_files": "files",
    "data_fileset": "files",
    "data_list": "samples",
    "data_make": "samples",
    "data_probe": "files",
    "deliver": "delivering",
    "demo": "demos",
    "explain_delivery": "delivering",
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
    "refrun_evaluate": "refrun",
    "refrun_fetch": "refrun_fetching",
    "refrun_promote": "refrun",
    "refrun_suggest": "refrun",
    "report": "results",
    "resume": "runs",
    "run": "runs",
    "run_schema": "checking",
    "serve": "serving",
    "serve_servicex": "serving",
    "search_bumps": "searching",
    "status": "runs",
    "survey": "surveys",
    "survey_again": "surveys",
    "survey_plan": "surveys",
    "target_names": "export_targets",
    "ttbar_bench": "benchmark",
    "ttbar_fileset": "ttbar",
    "ttbar_validate": "ttbar",
}

__all__ = [
    "CacheRoom",
    "Checked",
    "Delivered",
    "DeliveryOptions",
    "Demos",
    "Exported",
    "Fetched",
    "Finished",
    "JobDone",
    "Lookup",
    "MadeSamples",
    "OpenRun",
    "Preprocessed",
    "Probed",
    "RecordSources",
    "Request",
    "SuggestRequest",
    "SurveyPlan",
    "SurveyRequest",
    "TtbarBench",
    "TtbarFileset",
    "Validated",
    "analysis_of",
    "brings_code",
    "cache_list",
    "cache_prune",
    "cache_verify",
    "check",
    "check_bumpnet",
    "data_fetch",
    "data_fetch_datasets",
    "data_files",
    "data_fileset",
    "data_find",
    "data_list",
    "data_make",
    "data_preprocess",
    "data_probe",
    "data_query",
    "data_snapshot",
    "deliver",
    "demo",
    "explain_delivery",
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
    "refrun_evaluate",
    "refrun_fetch",
    "refrun_promote",
    "refrun_suggest",
    "report",
    "resume",
    "run",
    "run_schema",
    "search_bumps",
    "serve",
    "serve_servicex",
    "status",
    "survey",
    "survey_again",
    "survey_plan",
    "target_names",
    "ttbar_bench",
    "ttbar_fileset",
    "ttbar_validate",
    "use_network",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"femtobarn.api.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)

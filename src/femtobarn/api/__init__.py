"""Every verb as one function: plain inputs, typed results.  ``cli`` and ``web`` call this, nothing deeper.

Importing it is light: a function's own needs are loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from femtobarn.api.batch import Submitted, resubmit, submit
    from femtobarn.api.caching import CacheRoom, cache_list, cache_prune, cache_verify
    from femtobarn.api.checking import Checked, analysis_of, check, run_schema
    from femtobarn.api.closing import Finished
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
    from femtobarn.api.notebook import bar
    from femtobarn.api.opened import OpenRun, Picture, open, open_run  # noqa: A004 - the name users know
    from femtobarn.api.refrun.fetching import refrun_fetch
    from femtobarn.api.refrun.records import RecordSources
    from femtobarn.api.refrun.verbs import (
        JobDone,
        SuggestRequest,
        refrun_evaluate,
        refrun_promote,
        refrun_suggest,
    )
    from femtobarn.api.results import plot, report
    from femtobarn.api.runs import estimated, merge, plan, resume, run
    from femtobarn.api.samples import MadeSamples, data_list, data_make
    from femtobarn.api.serving import serve, serve_servicex
    from femtobarn.api.starter import new
    from femtobarn.api.surveys.bumpnet import check_bumpnet
    from femtobarn.api.surveys.request import SurveyRequest, shows_progress, stage_of
    from femtobarn.api.surveys.searching import search_bumps
    from femtobarn.api.surveys.verbs import (
        SurveyPlan,
        later_steps,
        survey,
        survey_again,
        survey_parsing,
        survey_plan,
        survey_submit,
    )
    from femtobarn.api.tagprobe.closure import tnp_closure
    from femtobarn.api.tagprobe.fitted import is_probe_run
    from femtobarn.api.tagprobe.fitter import run_fitter
    from femtobarn.api.tagprobe.fitting import fit_probes, probe_copy, refit_bin
    from femtobarn.api.tagprobe.querying import dataset_query
    from femtobarn.api.tagprobe.tools import merge_parquet, migrate_pickle, prepare_histograms, unprocessed
    from femtobarn.api.tagprobe.verbs import (
        Resources,
        TnpPlan,
        TnpRequest,
        tnp,
        tnp_columns,
        tnp_plan,
        tnp_values,
        trigger_workflow,
    )
    from femtobarn.api.ttbar.benchmark import TtbarBench, ttbar_bench
    from femtobarn.api.ttbar.branch_sizes import TtbarSurvey, ttbar_survey
    from femtobarn.api.ttbar.training import TtbarTrained, ttbar_train
    from femtobarn.api.ttbar.verbs import (
        TtbarFileset,
        Validated,
        ttbar_fileset,
        ttbar_models,
        ttbar_validate,
    )
    from femtobarn.api.watching import status

_WHERE: Final = {
    "Lookup": "fetching",
    "use_network": "fetching",
    "Checked": "checking",
    "Delivered": "delivering",
    "DeliveryOptions": "delivering",
    "Demos": "demos",
    "Exported": "exporting",
    "Finished": "closing",
    "JobDone": "refrun.verbs",
    "MadeSamples": "samples",
    "OpenRun": "opened",
    "Picture": "opened",
    "Probed": "files",
    "RecordSources": "refrun.records",
    "Request": "inputs",
    "Resources": "tagprobe.verbs",
    "TnpPlan": "tagprobe.verbs",
    "TnpRequest": "tagprobe.verbs",
    "TtbarBench": "ttbar.benchmark",
    "TtbarSurvey": "ttbar.branch_sizes",
    "TtbarTrained": "ttbar.training",
    "TtbarFileset": "ttbar.verbs",
    "Validated": "ttbar.verbs",
    "SuggestRequest": "refrun.verbs",
    "SurveyPlan": "surveys.verbs",
    "SurveyRequest": "surveys.request",
    "Submitted": "batch",
    "analysis_of": "checking",
    "bar": "notebook",
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
    "check_bumpnet": "surveys.bumpnet",
    "data_files": "files",
    "data_fileset": "files",
    "data_list": "samples",
    "data_make": "samples",
    "data_probe": "files",
    "dataset_query": "tagprobe.querying",
    "deliver": "delivering",
    "demo": "demos",
    "explain_delivery": "delivering",
    "estimated": "runs",
    "export": "exporting",
    "fit": "fitting",
    "fit_directory": "fitting",
    "stage_of": "surveys.request",
    "survey_parsing": "surveys.verbs",
    "fit_probes": "tagprobe.fitting",
    "is_probe_run": "tagprobe.fitted",
    "probe_copy": "tagprobe.fitting",
    "refit_bin": "tagprobe.fitting",
    "run_fitter": "tagprobe.fitter",
    "tnp_closure": "tagprobe.closure",
    "later_steps": "surveys.verbs",
    "merge": "runs",
    "merge_parquet": "tagprobe.tools",
    "migrate_pickle": "tagprobe.tools",
    "new": "starter",
    "open": "opened",
    "open_run": "opened",
    "plan": "runs",
    "plot": "results",
    "prepare_histograms": "tagprobe.tools",
    "refrun_evaluate": "refrun.verbs",
    "refrun_fetch": "refrun.fetching",
    "refrun_promote": "refrun.verbs",
    "refrun_suggest": "refrun.verbs",
    "report": "results",
    "resubmit": "batch",
    "resume": "runs",
    "run": "runs",
    "run_schema": "checking",
    "serve": "serving",
    "serve_servicex": "serving",
    "search_bumps": "surveys.searching",
    "status": "watching",
    "shows_progress": "surveys.request",
    "survey": "surveys.verbs",
    "survey_again": "surveys.verbs",
    "survey_plan": "surveys.verbs",
    "survey_submit": "surveys.verbs",
    "submit": "batch",
    "target_names": "export_targets",
    "tnp": "tagprobe.verbs",
    "tnp_columns": "tagprobe.verbs",
    "tnp_plan": "tagprobe.verbs",
    "tnp_values": "tagprobe.verbs",
    "trigger_workflow": "tagprobe.verbs",
    "ttbar_bench": "ttbar.benchmark",
    "ttbar_survey": "ttbar.branch_sizes",
    "ttbar_train": "ttbar.training",
    "ttbar_fileset": "ttbar.verbs",
    "ttbar_models": "ttbar.verbs",
    "ttbar_validate": "ttbar.verbs",
    "unprocessed": "tagprobe.tools",
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
    "Picture",
    "Preprocessed",
    "Probed",
    "RecordSources",
    "Request",
    "Resources",
    "Submitted",
    "SuggestRequest",
    "SurveyPlan",
    "SurveyRequest",
    "TnpPlan",
    "TnpRequest",
    "TtbarBench",
    "TtbarFileset",
    "TtbarSurvey",
    "TtbarTrained",
    "Validated",
    "analysis_of",
    "bar",
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
    "dataset_query",
    "deliver",
    "demo",
    "estimated",
    "explain_delivery",
    "export",
    "fit",
    "fit_directory",
    "fit_probes",
    "is_probe_run",
    "later_steps",
    "merge",
    "merge_parquet",
    "migrate_pickle",
    "new",
    "open",
    "open_run",
    "plan",
    "plot",
    "prepare_histograms",
    "probe_copy",
    "refit_bin",
    "refrun_evaluate",
    "refrun_fetch",
    "refrun_promote",
    "refrun_suggest",
    "report",
    "resubmit",
    "resume",
    "run",
    "run_fitter",
    "run_schema",
    "search_bumps",
    "serve",
    "serve_servicex",
    "shows_progress",
    "stage_of",
    "status",
    "submit",
    "survey",
    "survey_again",
    "survey_parsing",
    "survey_plan",
    "survey_submit",
    "target_names",
    "tnp",
    "tnp_closure",
    "tnp_columns",
    "tnp_plan",
    "tnp_values",
    "trigger_workflow",
    "ttbar_bench",
    "ttbar_fileset",
    "ttbar_models",
    "ttbar_survey",
    "ttbar_train",
    "ttbar_validate",
    "unprocessed",
    "use_network",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"femtobarn.api.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)

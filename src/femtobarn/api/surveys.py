"""The verb ``survey``: the predecessor's configuration and arguments, ending in the house's ``run``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from femtobarn.api.inputs import Request
from femtobarn.api.results import finish, plot
from femtobarn.api.runs import Finished, merge, plan, run
from femtobarn.config.parameters import read_parameters
from femtobarn.config.survey import TASKS, SurveyConfig, read_survey_config
from femtobarn.errors import LossError, UsageError, nearest
from femtobarn.run.directory import RunDirectory
from femtobarn.run.engine import Progress
from femtobarn.run.files import write_json
from femtobarn.run.plan import Plan

__all__ = ["SurveyPlan", "SurveyRequest", "survey", "survey_again", "survey_plan"]

log: Final = logging.getLogger("femtobarn.api")

_ANALYSIS: Final = "survey"
#: What a worker process holds while it fills spectra (measured on 200 000 events a part).
_WORKER_MB: Final = 600


@dataclass(frozen=True, kw_only=True)
class SurveyRequest:
    """What a user asks the survey for; flags win over the configuration.

    Attributes
    ----------
    config : path of the configuration
    files : ``DATASET=GLOB``; always processed, whatever the configuration says about simulation
    fileset : coffea fileset JSON
    run_dir : run directory
    slice : (i, n), optional
        Only this share of the events, kept for merging.
    tasks : names, optional
        Instead of those the configuration switches on.
    schema : str, optional
    """

    config: str = "config.yaml"
    files: Sequence[str] = ()
    fileset: str | None = None
    run_dir: str | None = None
    slice: tuple[int, int] | None = None
    tasks: Sequence[str] | None = None
    schema: str | None = None
    parse_mc: bool | None = None
    settings: Sequence[str] = ()
    executor: str | None = None
    workers: int | None = None
    part_events: int | None = None
    max_files: int | None = None
    max_events: int | None = None
    allow_missing: bool = False
    fresh: bool = False
    command: Sequence[str] = ()


@dataclass(frozen=True)
class SurveyPlan:
    """What a survey would do."""

    plan: Plan
    combinations: int
    notes: tuple[str, ...]


def survey_plan(request: SurveyRequest) -> SurveyPlan:
    """Check a configuration and its inputs; reads metadata only and writes nothing."""
    config = _config(request)
    resolved, planned = plan(_house(request, config))
    return SurveyPlan(planned, len(resolved.parameters.combination_list()), config.notes)


def shows_progress(request: SurveyRequest) -> bool:
    """Whether the configuration wants a progress bar."""
    return _config(request).show_progress


def survey(
    request: SurveyRequest, *, progress: Callable[[Plan], Progress] | None = None
) -> tuple[Finished, tuple[str, ...]]:
    """Run a survey, a slice of one, or the later steps of one; with what must be known about it.

    Raises
    ------
    ConfigError, UsageError
        The configuration or the arguments are wrong.
    DataError
        No event was classified, or no histogram came out though asked for; tables are written.
    """
    config = _config(request)
    house = _house(request, config)
    part = request.slice or config.slice
    try:
        finished = _with_retries(house, config, part, progress)
    finally:
        _note(Path(house.out or ""), config.notes)
    if part is not None:
        write_json(
            finished.path / "logs" / f"batch_{part[0]}_stats.json",
            {"schema_version": 1, "slice": list(part), **finished.result.summary.to_json()},
        )
    return finished, config.notes


def _with_retries(
    house: Request, config: SurveyConfig, part: tuple[int, int] | None,
    progress: Callable[[Plan], Progress] | None,
) -> Finished:  # fmt: skip
    """Run; try parts that failed again, as often as the configuration says. What is done stays done."""
    for tries in range(config.retries + 1):
        try:
            return run(replace(house, fresh=house.fresh and not tries), part=part, progress=progress)
        except LossError as error:
            if tries == config.retries:
                raise
            log.warning(
                "%s; trying again (%d of %d)", error.what.split("\n", 1)[0], tries + 1, config.retries
            )
    raise AssertionError("unreachable")


def survey_again(run_dir: str | Path, *, merge_only: bool) -> Finished | list[Path]:
    """Merge the slices of a run directory, or draw its figures again."""
    return merge([run_dir]) if merge_only else plot(run_dir)


def later_steps(run_dir: str | Path) -> str:
    """Repeat post-processing and histograms of a finished survey; its headline."""
    from femtobarn.analysis import find_analysis

    folder = RunDirectory(Path(run_dir))
    name = folder.manifest()["config"]["analysis"]
    if name != _ANALYSIS:
        raise UsageError(f"is a run of {name}, not of the survey", where=str(run_dir))
    return finish(folder, find_analysis(name))


def _note(path: Path, notes: Sequence[str]) -> None:
    folder = RunDirectory(path)
    if notes and folder.manifest_path.exists():
        folder.note(warnings=notes)


def _config(request: SurveyRequest) -> SurveyConfig:
    config = read_survey_config(Path(request.config))
    if request.tasks is not None:
        for task in request.tasks:
            if task not in TASKS:
                raise UsageError(
                    f"unknown task {task!r}", near=nearest(task, TASKS), action="tasks: " + ", ".join(TASKS)
                )
        parameters = dict(config.parameters) | {"histograms": "histogram_creation" in request.tasks}
        if "post_processing" not in request.tasks:
            parameters["post_processing"] = "none"
        config = replace(
            config, tasks=tuple(task for task in TASKS if task in request.tasks), parameters=parameters
        )
    return config


def is_later_only(request: SurveyRequest) -> bool:
    """Whether only steps that follow the pass over the events are asked for.

    Raises
    ------
    UsageError
        Reading without calculating, or the reverse: one pass does both and keeps nothing in between.
    """
    tasks = _config(request).tasks
    first = {"parsing", "mass_calculating"} & set(tasks)
    if len(first) == 1:
        other = ({"parsing", "mass_calculating"} - first).pop()
        raise UsageError(
            f"the task {first.pop()} cannot run without {other}: events are read and combined in one pass",
            action="name both, or only post_processing and histogram_creation",
        )
    return not first


def _house(request: SurveyRequest, config: SurveyConfig) -> Request:
    """The same as a request of the house."""
    from femtobarn.analyses.survey import SurveyParameters

    values: dict[str, Any] = dict(config.parameters)
    if request.schema is not None:
        values["schemas"] = [request.schema]
    parameters = read_parameters(
        SurveyParameters, values, list(request.settings), where=lambda path: _where(config, path)
    )
    if not request.files and not request.fileset:
        wanted = (
            ", ".join([*config.releases, *(f"record {item}" for item in config.records)]) or "all releases"
        )
        if any("evgen" in name for name in config.releases):
            raise UsageError("evgen releases hold HepMC text, not ROOT files", where=config.file,
                             action="choose a release of reconstructed events")  # fmt: skip
        raise UsageError(
            f"no input files were named: looking up {wanted} is not supported",
            where=config.file,
            action="download them and use --files DATASET=GLOB",
        )
    if parameters.deduplicate and parameters.duplicates is None:
        parameters = parameters.model_copy(update={"duplicates": _duplicates(request, config, parameters)})
    return Request(
        what=_ANALYSIS, files=request.files, fileset=request.fileset,
        parameters=parameters.model_dump(mode="json"), out=request.run_dir or _default_directory(config),
        executor=request.executor, workers=_workers(request, config), part_events=request.part_events,
        part_bytes=config.part_bytes, max_files=_least(request.max_files, config.max_files),
        max_events=request.max_events, allow_missing=request.allow_missing, fresh=request.fresh,
        command=request.command,
    )  # fmt: skip


def _duplicates(request: SurveyRequest, config: SurveyConfig, parameters: Any) -> str:
    """Look for repeated events in all files; where the list is kept."""
    from femtobarn.analyses.survey import schemas
    from femtobarn.api.inputs import datasets_of
    from femtobarn.catalog.duplicates import find_duplicates, write_duplicates

    datasets = datasets_of(request.files, request.fileset)
    most = _least(request.max_files, config.max_files)
    used = {} if most is None else {dataset.name: most for dataset in datasets}
    return str(write_duplicates(find_duplicates(datasets, schemas(parameters), used)))


def _where(config: SurveyConfig, path: Sequence[Any]) -> str:
    """``file:line`` of a parameter: the longest known beginning of its path."""
    names = [str(item) for item in path]
    for length in range(len(names), 0, -1):
        found = config.where.get(".".join(names[:length]))
        if found is not None:
            return found
    return config.file


def _workers(request: SurveyRequest, config: SurveyConfig) -> int | None:
    """An upper limit in the configuration counts only where it is one."""
    import os

    if request.workers is not None:
        return request.workers
    cores = os.cpu_count() or 1
    limits = [cores, config.processes or cores]
    if config.memory_mb is not None:
        limits.append(max(int(config.memory_mb / _WORKER_MB), 1))
    return min(limits) if min(limits) < cores else None


def _least(*values: int | None) -> int | None:
    given = [value for value in values if value is not None]
    return min(given) if given else None


def _default_directory(config: SurveyConfig) -> str:
    import datetime as dt

    now = dt.datetime.now().astimezone()
    return str(Path(config.base_output_dir) / f"{config.run_name}_{now:%Y%m%d_%H%M%S}")

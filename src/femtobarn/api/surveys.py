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
from femtobarn.catalog import resolve_address
from femtobarn.catalog.atlas import ATLAS_RELEASES, release_name
from femtobarn.config.parameters import read_parameters
from femtobarn.config.survey import TASKS, SurveyConfig, read_survey_config
from femtobarn.errors import UsageError, nearest
from femtobarn.run.directory import RunDirectory
from femtobarn.run.engine import Progress
from femtobarn.run.files import write_json
from femtobarn.run.plan import Plan

__all__ = ["SurveyPlan", "SurveyRequest", "survey", "survey_again", "survey_plan"]

log: Final = logging.getLogger("femtobarn.api")

_ANALYSIS: Final = "survey"


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
        finished = run(house, part=part, progress=progress)
    finally:
        _note(Path(house.out or ""), config.notes)
    if part is not None:
        write_json(
            finished.path / "logs" / f"batch_{part[0]}_stats.json",
            {"schema_version": 1, "slice": list(part), **finished.result.summary.to_json()},
        )
    return finished, config.notes


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
    files = request.files
    if not request.files and not request.fileset:
        parse_mc = config.parse_mc if request.parse_mc is None else request.parse_mc
        files = _sources(config, parse_mc=parse_mc)
    return Request(
        what=_ANALYSIS, files=files, fileset=request.fileset,
        parameters=parameters.model_dump(mode="json"), out=request.run_dir or _default_directory(config),
        executor=request.executor, workers=_workers(request, config), part_events=request.part_events,
        part_bytes=config.part_bytes, max_files=_least(request.max_files, config.max_files),
        max_events=request.max_events, allow_missing=request.allow_missing, fresh=request.fresh,
        command=request.command,
    )  # fmt: skip


def _sources(config: SurveyConfig, *, parse_mc: bool) -> list[str]:
    """Addresses of the configured releases and records; simulation is a dataset of its own, or left out."""
    releases = config.releases
    if not releases and not config.records:
        releases = tuple(name for name in ATLAS_RELEASES if "evgen" not in name)
    files = []
    for release in releases:
        name = release_name(release, config.file)
        if "evgen" in name:
            raise UsageError("evgen releases hold HepMC text, not ROOT files", where=config.file,
                             action="choose a release of reconstructed events")  # fmt: skip
        files.append(f"{name}=atlas://{name}/data")
        if parse_mc:
            files.append(f"{name}_mc=atlas://{name}/mc")
    for record in config.records:
        address = f"cernopendata://{record}"
        if not parse_mc and all(d.metadata.get("kind") == "mc" for d in resolve_address(address)):
            log.warning("%s is simulation and is left out (parse_mc is false)", address)
            continue
        files.append(address)
    if not files:
        raise UsageError("nothing is left to process: all records are simulation", where=config.file,
                         action="set parse_mc: true")  # fmt: skip
    return files


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

    if request.workers is not None or config.processes is None:
        return request.workers
    return config.processes if config.processes < (os.cpu_count() or 1) else None


def _least(*values: int | None) -> int | None:
    given = [value for value in values if value is not None]
    return min(given) if given else None


def _default_directory(config: SurveyConfig) -> str:
    import datetime as dt

    now = dt.datetime.now().astimezone()
    return str(Path(config.base_output_dir) / f"{config.run_name}_{now:%Y%m%d_%H%M%S}")

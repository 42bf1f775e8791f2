"""The verb ``survey``: the predecessor's configuration and arguments, ending in the house's ``run``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from femtobarn.api.batch import Submitted, submit
from femtobarn.api.inputs import Request
from femtobarn.api.results import finish, plot
from femtobarn.api.runs import Finished, merge, plan, run
from femtobarn.api.surveys.parsed import PARSED_FOLDER, parsed_files, write_parsed
from femtobarn.catalog import resolve_address
from femtobarn.catalog.atlas import ATLAS_RELEASES, release_name
from femtobarn.config.parameters import read_parameters
from femtobarn.config.survey import TASKS, SurveyConfig, read_survey_config
from femtobarn.errors import LossError, UsageError, nearest
from femtobarn.net import NetSettings, net_settings, use_network
from femtobarn.run.directory import RunDirectory
from femtobarn.run.engine import Progress
from femtobarn.run.files import write_json
from femtobarn.run.plan import Plan
from femtobarn.run.resources import Resources

__all__ = ["SurveyPlan", "SurveyRequest", "survey", "survey_again", "survey_plan", "survey_submit"]

Stage = Literal["all", "parsing", "parsed", "arrays", "later"]

log: Final = logging.getLogger("femtobarn.api")

_ANALYSIS: Final = "survey"
_NOTHING_ASKED: Final = Resources()
#: What a worker process holds while it fills spectra (measured on 200 000 events a part).
_WORKER_MB: Final = 600
#: Share of failed files above which more is wrong than a file.
_MANY: Final = 0.2


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
    stage_input : ``STAGE:PATH``
        Where a later task finds what it continues, ours or the predecessor's.
    schema : str, optional
    site, resources
        Of the batch system that :func:`survey_submit` hands the slices to, or of a Dask cluster.
    """

    config: str = "config.yaml"
    files: Sequence[str] = ()
    fileset: str | None = None
    run_dir: str | None = None
    slice: tuple[int, int] | None = None
    tasks: Sequence[str] | None = None
    stage_input: Sequence[str] = ()
    schema: str | None = None
    parse_mc: bool | None = None
    settings: Sequence[str] = ()
    executor: str | None = None
    site: str | None = None
    resources: Resources = _NOTHING_ASKED
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
    _note(finished.path, _failed_files(finished.path))
    if config.write_parsed and part is not None:
        log.warning("a slice writes no parsed_data: use --tasks parsing for all events")
    elif config.write_parsed and stage_of(request) == "all":
        resolved, planned = plan(house)
        write_parsed(finished.path, resolved.analysis, resolved.parameters, planned)
    if part is not None:
        write_json(
            finished.path / "logs" / f"batch_{part[0]}_stats.json",
            {"schema_version": 1, "slice": list(part), **finished.result.summary.to_json()},
        )
    return finished, config.notes


def survey_submit(request: SurveyRequest, *, dry_run: bool = False) -> tuple[Submitted, tuple[str, ...]]:
    """Hand a survey to a batch system as an array of slices, with a merge that verifies them.

    Raises
    ------
    UsageError
        No batch system was named, or the configuration asks for what slices do not do.
    """
    config = _config(request)
    if request.slice or config.slice:
        raise UsageError(
            "a slice cannot be cut into slices",
            action="leave out --batch-job-index, and batch_job_index of the configuration",
        )
    if config.write_parsed:
        raise UsageError("jobs write no parsed_data", action="write it first with --tasks parsing")
    done = submit(_house(request, config), dry_run=dry_run)
    _note(done.path, config.notes)
    return done, config.notes


def _failed_files(path: Path) -> list[str]:
    """A warning where more than a fifth of the files failed, which somebody allowed."""
    inputs, failures = (RunDirectory(path).manifest()[name] for name in ("inputs", "failures"))
    failed = sorted({item["file"] for item in failures})
    if len(failed) <= _MANY * len(inputs):
        return []
    return [f"{len(failed)} of {len(inputs)} files failed, first {failed[0]}: fetch them again and resume"]


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


def stage_of(request: SurveyRequest) -> Stage:
    """What the tasks ask for.

    ``all``: read and combine in one pass, then the rest.  ``parsing``: only write the selected events.
    ``parsed``: combine events that were written before.  ``arrays``: later steps on masses that were kept.
    ``later``: later steps of a finished run.
    """
    tasks = set(_config(request).tasks)
    given = _stage_inputs(request)
    if "mass_calculating" in tasks:
        return "all" if "parsing" in tasks else "parsed"
    if "parsing" in tasks:
        if tasks != {"parsing"}:
            raise UsageError(
                "the tasks " + ", ".join(sorted(tasks)) + " leave out mass_calculating, which joins them",
                action="add it",
            )
        return "parsing"
    return "arrays" if given else "later"


def survey_parsing(request: SurveyRequest) -> dict[str, int]:
    """Only write the selected events to ``parsed_data/``; events by dataset.

    Raises
    ------
    LossError
        A file cannot be read.
    """
    config = _config(request)
    house = _house(request, config)
    resolved, planned = plan(house)
    if planned.bad and not request.allow_missing:
        raise LossError(
            f"{len(planned.bad)} of {len(planned.files)} files cannot be read: {planned.bad[0].error}",
            action="mend the inputs, or accept the loss with --allow-missing",
        )
    return write_parsed(Path(house.out or ""), resolved.analysis, resolved.parameters, planned)


#: Tasks whose input can be named, and the folder of a run where it lies else.
_INPUTS: Final = {
    "mass_calculating": PARSED_FOLDER, "post_processing": "im_arrays",
    "histogram_creation": "im_arrays_processed",
}  # fmt: skip


def _stage_inputs(request: SurveyRequest) -> dict[str, Path]:
    """``--stage-input STAGE:PATH``, understood."""
    found = {}
    for text in request.stage_input:
        stage, colon, path = text.partition(":")
        if not colon or stage not in _INPUTS:
            raise UsageError(
                f"--stage-input: {text!r} is not STAGE:PATH", near=nearest(stage, _INPUTS),
                action="stages: " + ", ".join(_INPUTS),
            )  # fmt: skip
        if not Path(path).is_dir():
            raise UsageError("is no folder", where=f"--stage-input {text}")
        found[stage] = Path(path).absolute()
    return found


def _stage_files(request: SurveyRequest, stage: Stage) -> tuple[list[str], dict[str, Any]]:
    """Input files of a run that begins with a later task, and the parameters that follow from that."""
    given = _stage_inputs(request)
    if stage == "parsed":
        folder = given.get("mass_calculating", Path(request.run_dir or ".") / PARSED_FOLDER)
        files = [f"{path.stem}={path.absolute()}" for path in parsed_files(folder)]
        # The events were chosen when they were written.
        changes: dict[str, Any] = {
            "trigger": {}, "golden_json": None, "deduplicate": False, "trees": [], "selection": {},
            "overlap_removal": False,
        }  # fmt: skip
        return _some(files, folder, "*.root"), changes
    stage_name = "post_processing" if "post_processing" in given else "histogram_creation"
    folder = given[stage_name]
    names = sorted(path for path in folder.glob("*.npy"))
    changes = {"schemas": ["survey-arrays"], "trees": [], "keep_arrays": False}
    if stage_name == "histogram_creation":
        # Cut already: what is main stays as it is.
        config = _config(request)
        wanted = ("_main",) if config.parameters.get("exclude_outliers", True) else ("_main", "_outliers")
        names = [path for path in names if path.stem.endswith(wanted)]
        changes |= {"post_processing": "none", "min_events": 0, "resonances": "none"}
    return _some([f"arrays={path}" for path in names], folder, "*.npy"), changes


def _some(files: list[str], folder: Path, pattern: str) -> list[str]:
    if not files:
        raise UsageError(f"holds no {pattern} of the preceding task", where=str(folder),
                         action="run that task first, or name its folder with --stage-input")  # fmt: skip
    return files


def _house(request: SurveyRequest, config: SurveyConfig) -> Request:
    """The same as a request of the house."""
    from femtobarn.analyses.survey import SurveyParameters

    values: dict[str, Any] = dict(config.parameters)
    if config.threads is not None and net_settings().per_host == NetSettings().per_host:
        use_network(per_host=config.threads)
    stage = stage_of(request)
    if stage in ("parsed", "arrays"):
        files, changes = _stage_files(request, stage)
        values |= changes
        request = replace(request, files=files, fileset=None)
    if request.schema is not None:
        values["schemas"] = [request.schema]
    parameters = read_parameters(
        SurveyParameters, values, list(request.settings), where=lambda path: _where(config, path)
    )
    files = list(request.files)
    if not request.files and not request.fileset:
        parse_mc = config.parse_mc if request.parse_mc is None else request.parse_mc
        files = _sources(config, parse_mc=parse_mc)
    if parameters.deduplicate and parameters.duplicates is None:
        found = _duplicates(replace(request, files=files), config, parameters)
        parameters = parameters.model_copy(update={"duplicates": found})
    return Request(
        what=_ANALYSIS, files=files, fileset=request.fileset,
        parameters=parameters.model_dump(mode="json"), out=request.run_dir or _default_directory(config),
        executor=request.executor, site=request.site, resources=request.resources,
        workers=_workers(request, config), part_events=request.part_events,
        part_bytes=config.part_bytes, max_files=_least(request.max_files, config.max_files),
        max_events=request.max_events, allow_missing=request.allow_missing, fresh=request.fresh,
        command=request.command,
    )  # fmt: skip


def _duplicates(request: SurveyRequest, config: SurveyConfig, parameters: Any) -> str:
    """Look for repeated events in all files; where the list is kept."""
    from femtobarn.analyses.survey import schemas
    from femtobarn.api.inputs import datasets_of
    from femtobarn.catalog.repeats import find_duplicates, write_duplicates

    datasets = datasets_of(request.files, request.fileset)
    most = _least(request.max_files, config.max_files)
    used = {} if most is None else {dataset.name: most for dataset in datasets}
    return str(write_duplicates(find_duplicates(datasets, schemas(parameters), used)))


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

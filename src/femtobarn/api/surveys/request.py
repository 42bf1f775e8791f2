"""What a user asks the survey for, and with which of its tasks it begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from femtobarn.api.surveys.parsed import PARSED_FOLDER, parsed_files
from femtobarn.config.survey import TASKS, SurveyConfig, read_survey_config
from femtobarn.errors import UsageError, nearest
from femtobarn.run.resources import Resources

__all__ = ["SurveyRequest", "config_of", "shows_progress", "stage_files", "stage_of"]

Stage = Literal["all", "parsing", "parsed", "arrays", "later"]

_NOTHING_ASKED: Final = Resources()


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


def config_of(request: SurveyRequest) -> SurveyConfig:
    """The configuration, with the tasks that were asked for instead of its own."""
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


def shows_progress(request: SurveyRequest) -> bool:
    """Whether the configuration wants a progress bar."""
    return config_of(request).show_progress


def stage_of(request: SurveyRequest) -> Stage:
    """What the tasks ask for.

    ``all``: read and combine in one pass, then the rest.  ``parsing``: only write the selected events.
    ``parsed``: combine events that were written before.  ``arrays``: later steps on masses that were kept.
    ``later``: later steps of a finished run.
    """
    tasks = set(config_of(request).tasks)
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


def stage_files(request: SurveyRequest, stage: Stage) -> tuple[list[str], dict[str, Any]]:
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
        config = config_of(request)
        wanted = ("_main",) if config.parameters.get("exclude_outliers", True) else ("_main", "_outliers")
        names = [path for path in names if path.stem.endswith(wanted)]
        changes |= {"post_processing": "none", "min_events": 0, "resonances": "none"}
    return _some([f"arrays={path}" for path in names], folder, "*.npy"), changes


def _some(files: list[str], folder: Path, pattern: str) -> list[str]:
    if not files:
        raise UsageError(f"holds no {pattern} of the preceding task", where=str(folder),
                         action="run that task first, or name its folder with --stage-input")  # fmt: skip
    return files

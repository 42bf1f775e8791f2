"""The verb ``survey``: the predecessor's configuration and arguments, ending in the house's ``run``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from femtobarn.api.batch import Submitted, submit
from femtobarn.api.inputs import Request
from femtobarn.api.results import finish, plot
from femtobarn.api.runs import Finished, merge, plan, run
from femtobarn.api.surveys.inputs import ANALYSIS, house_request
from femtobarn.api.surveys.parsed import write_parsed
from femtobarn.api.surveys.request import SurveyRequest, config_of, stage_of
from femtobarn.catalog.atlas import service
from femtobarn.config.survey import SurveyConfig
from femtobarn.errors import LossError, UsageError
from femtobarn.run.directory import RunDirectory
from femtobarn.run.engine import Progress
from femtobarn.run.files import write_json
from femtobarn.run.plan import Plan

__all__ = [
    "SurveyPlan", "later_steps", "survey", "survey_again", "survey_parsing", "survey_plan", "survey_submit",
]  # fmt: skip

log: Final = logging.getLogger("femtobarn.api")

#: Share of failed files above which more is wrong than a file.
_MANY: Final = 0.2


@dataclass(frozen=True)
class SurveyPlan:
    """What a survey would do."""

    plan: Plan
    combinations: int
    notes: tuple[str, ...]


def survey_plan(request: SurveyRequest) -> SurveyPlan:
    """Check a configuration and its inputs; reads metadata only and writes nothing."""
    config = config_of(request)
    resolved, planned = plan(house_request(request, config))
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
    config = config_of(request)
    house = house_request(request, config)
    part = request.slice or config.slice
    try:
        finished = _with_retries(house, config, part, progress)
    finally:
        _note(Path(house.out or ""), config.notes)
    _note(finished.path, _failed_files(finished.path))
    if not request.files and not request.fileset and stage_of(request) == "all":
        _keep_answer(finished.path, house)
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
    config = config_of(request)
    if request.slice or config.slice:
        raise UsageError(
            "a slice cannot be cut into slices",
            action="leave out --batch-job-index, and batch_job_index of the configuration",
        )
    if config.write_parsed:
        raise UsageError("jobs write no parsed_data", action="write it first with --tasks parsing")
    done = submit(house_request(request, config), dry_run=dry_run)
    _note(done.path, config.notes)
    return done, config.notes


def _keep_answer(path: Path, house: Request) -> None:
    """``metadata_cache.json``: what was looked up, and the files that were the answer."""
    answer: dict[str, list[str]] = {}
    for item in RunDirectory(path).manifest()["inputs"]:
        answer.setdefault(item["dataset"], []).append(item["path"])
    asked = {"addresses": list(house.files), "service": service(), "max_files": house.max_files}
    write_json(path / "metadata_cache.json", {"schema_version": 1, "request": asked, "files": answer})


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
    """Run; try parts that failed again, as often as the configuration says. What is done stays done.

    A file on disk that fails twice in the same words will do so a third time.
    """
    before = ""
    for tries in range(config.retries + 1):
        try:
            return run(replace(house, fresh=house.fresh and not tries), part=part, progress=progress)
        except LossError as error:
            final = error.what == before and "://" not in error.what
            if final or tries == config.retries:
                raise
            before = error.what
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
    if name != ANALYSIS:
        raise UsageError(f"is a run of {name}, not of the survey", where=str(run_dir))
    return finish(folder, find_analysis(name))


def _note(path: Path, notes: Sequence[str]) -> None:
    folder = RunDirectory(path)
    if notes and folder.manifest_path.exists():
        folder.note(warnings=notes)


def survey_parsing(request: SurveyRequest) -> dict[str, int]:
    """Only write the selected events to ``parsed_data/``; events by dataset.

    Raises
    ------
    LossError
        A file cannot be read.
    """
    config = config_of(request)
    house = house_request(request, config)
    resolved, planned = plan(house)
    if planned.bad and not request.allow_missing:
        raise LossError(
            f"{len(planned.bad)} of {len(planned.files)} files cannot be read: {planned.bad[0].error}",
            action="mend the inputs, or accept the loss with --allow-missing",
        )
    return write_parsed(Path(house.out or ""), resolved.analysis, resolved.parameters, planned)

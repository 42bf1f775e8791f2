"""The survey's ``config.yaml``, as its predecessor reads it, turned into our parameters.

Every key is known or an error; what has no effect here is said.  Keys of our own sit in the block
``femtobarn``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from femtobarn.config.located import load_file
from femtobarn.config.problems import shown
from femtobarn.config.survey_keys import TASKS
from femtobarn.config.survey_sections import Sections
from femtobarn.config.survey_selection import read_cuts, read_objects, read_selection
from femtobarn.errors import nearest

__all__ = ["TASKS", "SurveyConfig", "read_survey_config"]


@dataclass(frozen=True)
class SurveyConfig:
    """A configuration, understood.

    Attributes
    ----------
    parameters : mapping
        Of the analysis ``survey``.
    tasks : tuple of str
        Switched on, in order.
    releases, records : tuple
        What to look up.
    parse_mc : bool
    run_name, base_output_dir : str
    slice : (i, n) or None
    max_files : int or None
        Per dataset.
    processes : int or None
        Upper limit of worker processes.
    memory_mb : float or None
        What all processes together may hold; limits their number.
    threads : int or None
        Requests to one server at a time.
    metadata_s : int or None
        Time limit of a request for metadata.
    retries : int
        How often files that failed are tried again.
    show_progress : bool
    notes : tuple of str
        What a reader must know: keys without effect, units that were guessed.
    where : {parameter: file:line}
    """

    parameters: Mapping[str, Any]
    tasks: tuple[str, ...]
    file: str
    releases: tuple[str, ...] = ()
    records: tuple[Any, ...] = ()
    parse_mc: bool = False
    run_name: str = "pipeline_run"
    base_output_dir: str = "./output"
    slice: tuple[int, int] | None = None
    max_files: int | None = None
    processes: int | None = None
    part_bytes: int | None = None
    memory_mb: float | None = None
    threads: int | None = None
    metadata_s: int | None = None
    retries: int = 3
    write_parsed: bool = False
    show_progress: bool = True
    skipped_bins: float = 0.0
    notes: tuple[str, ...] = ()
    where: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def read_survey_config(path: Path) -> SurveyConfig:
    """Read a configuration file of the survey or of its predecessor.

    Raises
    ------
    ConfigError
        Every unknown key and wrong value at once, ``file:line: section.key: message``.
    """
    return _Adapter(load_file(path)).config()


class _Adapter(Sections):
    """One file on its way to a configuration."""

    def config(self) -> SurveyConfig:
        self.check_keys()
        self.problems.raise_if_any()
        tasks = self._tasks()
        self.plain()
        read_objects(self)
        read_cuts(self)
        self._histograms(tasks)
        self._own(tasks)
        run, parsing = self.sections.get("run_metadata", {}), self.sections.get("parsing_task_config", {})
        testing = self.sections.get("testing_config", {})
        limit = testing.get("limit_files_per_year") if testing.get("is_on") else None
        max_files = [item for item in (parsing.get("max_files_to_process"), limit) if item is not None]
        numbers = self._slice(run)
        self._limit_combinations(testing)
        retries = parsing.get("count_retries_failed_files")
        if retries is not None and (not isinstance(retries, int) or isinstance(retries, bool) or retries < 0):
            path = ("parsing_task_config", "count_retries_failed_files")
            self.problems.add(f"must be a number of times, not {shown(retries)}", path=path)
        processes = [
            self.number(section, key)
            for section, key in (
                ("mass_calculation_task_config", "parallel_processes"),
                ("parsing_task_config", "parallel_processes"),
            )
            if self.sections.get(section, {}).get(key) is not None
        ]
        self.problems.raise_if_any()
        if self.ignored:
            self.notes.append("these keys have no effect: " + ", ".join(self.ignored))
        return SurveyConfig(
            parameters=self.parameters,
            tasks=tasks,
            file=self.located.file,
            releases=tuple(map(str, parsing.get("release_years") or ())),
            records=tuple(parsing.get("specific_record_ids") or ()),
            parse_mc=bool(parsing.get("parse_mc", False)),
            run_name=str(run.get("run_name") or "pipeline_run"),
            base_output_dir=str(run.get("base_output_dir") or "./output"),
            slice=numbers,
            max_files=min(max_files) if max_files else None,
            processes=int(min(processes)) if processes else None,
            part_bytes=parsing.get("chunk_yield_threshold_bytes"),
            memory_mb=parsing.get("env_threshold_memory_mb"),
            threads=self._limit("threads"),
            metadata_s=self._limit("fetching_metadata_timeout"),
            retries=3 if retries is None else int(retries),
            show_progress=parsing.get("show_progress_bar") is not False,
            write_parsed=bool(self.sections.get("femtobarn", {}).get("write_parsed")),
            skipped_bins=float(self.parameters.get("skipped_bins", 0.0)),
            notes=tuple(self.notes),
            where=MappingProxyType(self.where),
        )

    def _limit(self, key: str) -> int | None:
        """A positive number of the parsing section; None where nothing is said."""
        section = "parsing_task_config"
        return None if self.sections.get(section, {}).get(key) is None else self.number(section, key)

    def _tasks(self) -> tuple[str, ...]:
        flags = self.sections.get("tasks", {})
        found = tuple(task for task, (flag, _) in TASKS.items() if flags.get(flag))
        if not found:
            self.problems.add(
                "no task is switched on",
                path=("tasks",),
                action="set one of " + ", ".join(flag for flag, _ in TASKS.values()) + " to true",
            )
        for task in found:
            section = TASKS[task][1]
            if section not in self.sections:
                self.problems.add(
                    f"{TASKS[task][0]} needs the section {section}", path=("tasks", TASKS[task][0])
                )
        return found

    def _histograms(self, tasks: tuple[str, ...]) -> None:
        section = self.sections.get("histogram_creation_task_config", {})
        widths = section.get("bin_width_gev")
        if widths is not None:
            values = widths if isinstance(widths, list) else [widths]
            self.put("widths", values, ("histogram_creation_task_config", "bin_width_gev"))
        own = self.sections.get("femtobarn", {}).get("naming")
        if own is not None:
            self.put("naming", own, ("femtobarn", "naming"))
        elif section.get("use_bumpnet_naming") is False:
            self.put("naming", "plain", ("histogram_creation_task_config", "use_bumpnet_naming"))
        self.parameters["histograms"] = "histogram_creation" in tasks
        trees = self.sections.get("parsing_task_config", {}).get("possible_data_tree_names")
        if trees:
            # PHYSLITE of later years is the same content in an RNTuple of another name.
            also = ["EventData"] if "CollectionTree" in trees else []
            self.put("trees", [*trees, *also], ("parsing_task_config", "possible_data_tree_names"))

    def _own(self, tasks: tuple[str, ...]) -> None:
        own = self.sections.get("femtobarn", {})
        if own.get("schema") is not None:
            value = own["schema"]
            self.put("schemas", value if isinstance(value, list) else [value], ("femtobarn", "schema"))
        grid = own.get("grid") or {}
        for key in grid:
            if key not in ("width_gev", "max_gev"):
                self.problems.add(
                    "unknown key",
                    path=("femtobarn", "grid", key),
                    near=nearest(str(key), ("width_gev", "max_gev")),
                )
        for key, name in (("width_gev", "grid_width"), ("max_gev", "grid_max")):
            if grid.get(key) is not None:
                self.put(name, grid[key], ("femtobarn", "grid", key))
        self._arrays(own)
        cuts = own.get("bumpnet_cuts") or {}
        for key in cuts:
            if key != "skipped_bins":
                self.problems.add(
                    "unknown key",
                    path=("femtobarn", "bumpnet_cuts", key),
                    near=nearest(str(key), ("skipped_bins",)),
                )
        if "skipped_bins" in cuts:
            self.put("skipped_bins", cuts["skipped_bins"], ("femtobarn", "bumpnet_cuts", "skipped_bins"))
        read_selection(self, own.get("selection") or {})
        if "post_processing" not in tasks and "post_processing" not in self.parameters:
            self.parameters["post_processing"] = "none"

    def _arrays(self, own: Mapping[str, Any]) -> None:
        arrays = own.get("arrays")
        arrays = "none" if arrays is None else str(arrays)
        if arrays not in ("none", "npy", "parquet"):
            self.problems.add(
                f"{shown(own['arrays'])} is not none, npy or parquet", path=("femtobarn", "arrays")
            )
        legacy = own.get("post_processing") == "legacy"
        if legacy and arrays == "none":
            self.notes.append("post_processing: legacy needs the masses themselves: arrays are written")
        self.parameters["keep_arrays"] = arrays in ("npy", "parquet") or legacy
        if arrays == "parquet":
            self.put("arrays_format", arrays, ("femtobarn", "arrays"))

    def _limit_combinations(self, testing: Mapping[str, Any]) -> None:
        """Limits of the testing section count only where it is switched on."""
        path = ("testing_config", "limit_combinations")
        limit = testing.get("limit_combinations")
        if limit is None:
            return
        if testing.get("is_on"):
            self.put("combinations.limit", limit, path)
        else:
            self.ignored.append("testing_config.limit_combinations (is_on is false)")

    def _slice(self, run: Mapping[str, Any]) -> tuple[int, int] | None:
        index, total = run.get("batch_job_index"), run.get("total_batch_jobs")
        if index is None and total is None:
            return None
        if not isinstance(index, int) or not isinstance(total, int) or not 1 <= index <= total:
            self.problems.add(
                f"batch_job_index {shown(index)} of total_batch_jobs {shown(total)} is no slice",
                path=("run_metadata",),
                action="both are needed, the index from 1",
            )
            return None
        return index, total

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

from femtobarn.config.located import Located, load_file
from femtobarn.config.problems import Problems, shown
from femtobarn.config.survey_keys import ANCHORS, KEYS, TASKS, TYPE_NAMES
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


class _Adapter:
    """One file on its way to parameters."""

    def __init__(self, located: Located) -> None:
        self._located = located
        self._problems = Problems(where=located.where)
        self._sections: dict[str, dict[str, Any]] = {}
        self._parameters: dict[str, Any] = {}
        self._where: dict[str, str] = {}
        self._ignored: list[str] = []
        self._notes: list[str] = []

    def config(self) -> SurveyConfig:
        self._check_keys()
        self._problems.raise_if_any()
        tasks = self._tasks()
        self._plain()
        self._objects()
        self._cuts()
        self._histograms(tasks)
        self._own(tasks)
        run, parsing = self._sections.get("run_metadata", {}), self._sections.get("parsing_task_config", {})
        testing = self._sections.get("testing_config", {})
        limit = testing.get("limit_files_per_year") if testing.get("is_on") else None
        max_files = [item for item in (parsing.get("max_files_to_process"), limit) if item is not None]
        numbers = self._slice(run)
        self._limit_combinations(testing)
        retries = parsing.get("count_retries_failed_files")
        if retries is not None and (not isinstance(retries, int) or isinstance(retries, bool) or retries < 0):
            path = ("parsing_task_config", "count_retries_failed_files")
            self._problems.add(f"must be a number of times, not {shown(retries)}", path=path)
        processes = [
            self._number(section, key)
            for section, key in (
                ("mass_calculation_task_config", "parallel_processes"),
                ("parsing_task_config", "parallel_processes"),
            )
            if self._sections.get(section, {}).get(key) is not None
        ]
        self._problems.raise_if_any()
        if self._ignored:
            self._notes.append("these keys have no effect: " + ", ".join(self._ignored))
        return SurveyConfig(
            parameters=self._parameters,
            tasks=tasks,
            file=self._located.file,
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
            threads=None
            if parsing.get("threads") is None
            else self._number("parsing_task_config", "threads"),
            retries=3 if retries is None else int(retries),
            show_progress=parsing.get("show_progress_bar") is not False,
            write_parsed=bool(self._sections.get("femtobarn", {}).get("write_parsed")),
            skipped_bins=float(self._parameters.get("skipped_bins", 0.0)),
            notes=tuple(self._notes),
            where=MappingProxyType(self._where),
        )

    def _check_keys(self) -> None:
        value = self._located.value
        if not isinstance(value, dict):
            self._problems.add("must be a table of sections", action="see the survey's tutorial")
            return
        for name, section in value.items():
            if name in ANCHORS:
                continue
            if name not in KEYS:
                self._problems.add(
                    "unknown section", path=(name,), near=nearest(str(name), [*KEYS, *ANCHORS])
                )
                continue
            if section is None:
                continue
            if not isinstance(section, dict):
                self._problems.add(f"must be a table, not {shown(section)}", path=(name,))
                continue
            self._sections[name] = section
            for key, item in section.items():
                if key not in KEYS[name]:
                    self._problems.add("unknown key", path=(name, key), near=nearest(str(key), KEYS[name]))
                elif KEYS[name][key] == "-" and item is not None:
                    self._ignored.append(f"{name}.{key}")

    def _tasks(self) -> tuple[str, ...]:
        flags = self._sections.get("tasks", {})
        found = tuple(task for task, (flag, _) in TASKS.items() if flags.get(flag))
        if not found:
            self._problems.add(
                "no task is switched on",
                path=("tasks",),
                action="set one of " + ", ".join(flag for flag, _ in TASKS.values()) + " to true",
            )
        for task in found:
            section = TASKS[task][1]
            if section not in self._sections:
                self._problems.add(
                    f"{TASKS[task][0]} needs the section {section}", path=("tasks", TASKS[task][0])
                )
        return found

    def _put(self, name: str, value: Any, path: tuple[str, ...]) -> None:
        """Set a parameter, remembering where it was said."""
        head, _, rest = name.partition(".")
        where = self._located.where(path)
        if rest:
            table = dict(self._parameters.get(head, {}))
            table[rest] = value
            self._parameters[head] = table
            self._where[f"{head}.{rest}"] = where
        else:
            self._parameters[name] = value
        self._where.setdefault(head, where)

    def _plain(self) -> None:
        """Keys that are parameters under another name; an empty value means the default."""
        for section, keys in KEYS.items():
            for key, target in keys.items():
                value = self._sections.get(section, {}).get(key)
                if target not in ("-", "!") and value is not None:
                    self._put(target, value, (section, key))

    def _objects(self) -> None:
        chosen = self._sections.get("mass_calculation_task_config", {}).get("objects_to_calculate")
        if chosen is None:
            return
        path = ("mass_calculation_task_config", "objects_to_calculate")
        if not isinstance(chosen, list) or not chosen:
            self._problems.add(f"must be a list of types, not {shown(chosen)}", path=path)
            return
        names = []
        for i, item in enumerate(chosen):
            name = str(item).lower().replace("b_jets", "bjets").replace("-", "")
            if name not in TYPE_NAMES:
                self._problems.add(
                    f"unknown type {shown(item)}",
                    path=(*path, i),
                    near=nearest(str(item), [kind.capitalize() for kind in TYPE_NAMES]),
                )
            names.append(name)
        self._put("objects", names, path)

    def _cuts(self) -> None:
        parsing = self._sections.get("parsing_task_config", {})
        scale = self._cut_scale(parsing.get("kinematic_cuts") or {})
        for key in ("particle_counts", "kinematic_cuts"):
            table = parsing.get(key)
            if table is None:
                continue
            if not isinstance(table, dict):
                self._problems.add(f"must be a table, not {shown(table)}", path=("parsing_task_config", key))
                continue
            for kind in table:
                if kind not in TYPE_NAMES:
                    self._problems.add(
                        "unknown type",
                        path=("parsing_task_config", key, kind),
                        near=nearest(str(kind), TYPE_NAMES),
                    )
            made = {
                kind: dict(limits or {}) for kind, limits in table.items() if isinstance(limits or {}, dict)
            }
            if key == "kinematic_cuts":
                for limits in made.values():
                    for name in ("pt_min", "pt_max"):
                        if isinstance(limits.get(name), int | float):
                            limits[name] *= scale
            self._put(key, made, ("parsing_task_config", key))
        isolation = parsing.get("rel_isolation_max")
        if isolation is not None:
            values = (
                isolation if isinstance(isolation, dict) else {"electrons": isolation, "muons": isolation}
            )
            self._put("selection.isolation", values, ("parsing_task_config", "rel_isolation_max"))
        thresholds = parsing.get("jet_btagging_thresholds")
        if thresholds is not None and parsing.get("jet_btag_threshold") is None:
            self._threshold(thresholds)
        combined = parsing.get("combined_particle_counts")
        if combined is not None:
            self._combined(combined)

    def _threshold(self, thresholds: Any) -> None:
        path = ("parsing_task_config", "jet_btagging_thresholds")
        if (
            isinstance(thresholds, dict)
            and len(thresholds) == 1
            and isinstance(next(iter(thresholds.values())), int | float)
        ):
            self._put("tagging.threshold", next(iter(thresholds.values())), path)
        elif isinstance(thresholds, int | float):
            self._put("tagging.threshold", thresholds, path)
        else:
            self._problems.add(
                "several thresholds leave open which one counts",
                path=path,
                action="set jet_btag_threshold to the one you want",
            )

    def _combined(self, combined: Any) -> None:
        path = ("parsing_task_config", "combined_particle_counts")
        entries = list(combined.items()) if isinstance(combined, dict) else list(enumerate(combined or ()))
        made = []
        for name, entry in entries:
            if not isinstance(entry, dict):
                self._problems.add(
                    f"must be a table of types, min and max, not {shown(entry)}", path=(*path, name)
                )
                continue
            # Without a list of types the name holds them: electrons_muons or electrons+muons.
            types = entry.get("types") or entry.get("particles") or str(name).replace("+", "_").split("_")
            types = [str(item).lower() for item in types]
            for kind in types:
                if kind not in TYPE_NAMES:
                    self._problems.add(
                        f"unknown type {kind!r}", path=(*path, name), near=nearest(kind, TYPE_NAMES)
                    )
            made.append({"types": types, "min": entry.get("min"), "max": entry.get("max")})
        self._put("combined_counts", made, path)

    def _cut_scale(self, cuts: Any) -> float:
        """0.001 for a file in MeV, else 1."""
        path = ("parsing_task_config", "kinematic_cuts")
        unit = self._sections.get("femtobarn", {}).get("cut_unit")
        if unit is not None:
            if unit not in ("GeV", "MeV"):
                self._problems.add(f"{shown(unit)} is not GeV or MeV", path=("femtobarn", "cut_unit"))
            return 1e-3 if unit == "MeV" else 1.0
        values = [
            limits[name]
            for limits in (cuts.values() if isinstance(cuts, dict) else ())
            if isinstance(limits, dict)
            for name in ("pt_min", "pt_max")
            if isinstance(limits.get(name), int | float) and limits[name] > 0
        ]
        large = [value >= 1000 for value in values]
        if values and all(large):
            self._notes.append(
                "all pt cuts are 1000 or more: taken as MeV (femtobarn.cut_unit: GeV if they are not)"
            )
            return 1e-3
        if any(large):
            self._problems.add(
                "some pt cuts look like GeV and some like MeV",
                path=path,
                action="write all in GeV, or say femtobarn: {cut_unit: GeV|MeV}",
            )
        return 1.0

    def _histograms(self, tasks: tuple[str, ...]) -> None:
        section = self._sections.get("histogram_creation_task_config", {})
        widths = section.get("bin_width_gev")
        if widths is not None:
            values = widths if isinstance(widths, list) else [widths]
            self._put("widths", values, ("histogram_creation_task_config", "bin_width_gev"))
        own = self._sections.get("femtobarn", {}).get("naming")
        if own is not None:
            self._put("naming", own, ("femtobarn", "naming"))
        elif section.get("use_bumpnet_naming") is False:
            self._put("naming", "plain", ("histogram_creation_task_config", "use_bumpnet_naming"))
        self._parameters["histograms"] = "histogram_creation" in tasks
        trees = self._sections.get("parsing_task_config", {}).get("possible_data_tree_names")
        if trees:
            # PHYSLITE of later years is the same content in an RNTuple of another name.
            also = ["EventData"] if "CollectionTree" in trees else []
            self._put("trees", [*trees, *also], ("parsing_task_config", "possible_data_tree_names"))

    def _own(self, tasks: tuple[str, ...]) -> None:
        own = self._sections.get("femtobarn", {})
        if own.get("schema") is not None:
            value = own["schema"]
            self._put("schemas", value if isinstance(value, list) else [value], ("femtobarn", "schema"))
        grid = own.get("grid") or {}
        for key in grid:
            if key not in ("width_gev", "max_gev"):
                self._problems.add(
                    "unknown key",
                    path=("femtobarn", "grid", key),
                    near=nearest(str(key), ("width_gev", "max_gev")),
                )
        for key, name in (("width_gev", "grid_width"), ("max_gev", "grid_max")):
            if grid.get(key) is not None:
                self._put(name, grid[key], ("femtobarn", "grid", key))
        self._arrays(own)
        cuts = own.get("bumpnet_cuts") or {}
        for key in cuts:
            if key != "skipped_bins":
                self._problems.add(
                    "unknown key",
                    path=("femtobarn", "bumpnet_cuts", key),
                    near=nearest(str(key), ("skipped_bins",)),
                )
        if "skipped_bins" in cuts:
            self._put("skipped_bins", cuts["skipped_bins"], ("femtobarn", "bumpnet_cuts", "skipped_bins"))
        self._selection(own.get("selection") or {})
        if "post_processing" not in tasks and "post_processing" not in self._parameters:
            self._parameters["post_processing"] = "none"

    def _arrays(self, own: Mapping[str, Any]) -> None:
        arrays = own.get("arrays")
        arrays = "none" if arrays is None else str(arrays)
        if arrays not in ("none", "npy", "parquet"):
            self._problems.add(
                f"{shown(own['arrays'])} is not none, npy or parquet", path=("femtobarn", "arrays")
            )
        legacy = own.get("post_processing") == "legacy"
        if legacy and arrays == "none":
            self._notes.append("post_processing: legacy needs the masses themselves: arrays are written")
        self._parameters["keep_arrays"] = arrays in ("npy", "parquet") or legacy
        if arrays == "parquet":
            self._put("arrays_format", arrays, ("femtobarn", "arrays"))

    def _selection(self, selection: Any) -> None:
        path = ("femtobarn", "selection")
        if not isinstance(selection, dict):
            self._problems.add(f"must be a table, not {shown(selection)}", path=path)
            return
        for key, value in selection.items():
            if key in ("ids", "isolation"):
                self._put(f"selection.{key}", value, (*path, key))
            elif key == "deduplicate":
                self._put("deduplicate", value, (*path, key))
            else:
                self._problems.add(
                    "unknown key",
                    path=(*path, key),
                    near=nearest(str(key), ("ids", "isolation", "deduplicate")),
                )

    def _limit_combinations(self, testing: Mapping[str, Any]) -> None:
        """Limits of the testing section count only where it is switched on."""
        path = ("testing_config", "limit_combinations")
        limit = testing.get("limit_combinations")
        if limit is None:
            return
        if testing.get("is_on"):
            self._put("combinations.limit", limit, path)
        else:
            self._ignored.append("testing_config.limit_combinations (is_on is false)")

    def _slice(self, run: Mapping[str, Any]) -> tuple[int, int] | None:
        index, total = run.get("batch_job_index"), run.get("total_batch_jobs")
        if index is None and total is None:
            return None
        if not isinstance(index, int) or not isinstance(total, int) or not 1 <= index <= total:
            self._problems.add(
                f"batch_job_index {shown(index)} of total_batch_jobs {shown(total)} is no slice",
                path=("run_metadata",),
                action="both are needed, the index from 1",
            )
            return None
        return index, total

    def _number(self, section: str, key: str) -> int:
        value = self._sections[section][key]
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            self._problems.add(f"must be a positive integer, not {shown(value)}", path=(section, key))
            return 1
        return value

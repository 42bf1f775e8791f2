"""Explaining a run file line by line, or saying everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from femtobarn.analysis import Analysis, find_analysis
from femtobarn.catalog import datasets_from_files, read_fileset
from femtobarn.config import (
    Execution,
    ParameterHelp,
    RunFile,
    describe,
    json_schema,
    read_parameters,
    read_run_file,
    resolve_files,
    resolve_path,
)
from femtobarn.config.describe import typed
from femtobarn.errors import FemtobarnError, UsageError
from femtobarn.records import Dataset, FileRef
from femtobarn.run.plan import Plan, Sizing, make_plan

__all__ = ["Checked", "ExplainedInput", "ExplainedLine", "FoundProblem", "analysis_of", "check", "run_schema"]

T = TypeVar("T")

#: Settings of a run file that are shown on lines of their own, before parameters and execution.
_PLAIN: Final = ("analysis", "release", "fileset", "model", "out")


@dataclass(frozen=True, slots=True)
class ExplainedLine:
    """One setting: its line in the file (None for a default), name, value and meaning."""

    line: int | None
    setting: str
    value: str
    meaning: str


@dataclass(frozen=True, slots=True)
class ExplainedInput:
    """One dataset as found; ``entries`` is None for remote files, which are not opened."""

    dataset: str
    kind: str
    process: str
    files: int
    entries: int | None
    schema: str


@dataclass(frozen=True, slots=True)
class FoundProblem:
    """One thing (or several lines of them) that is wrong, and what its exit code would be."""

    text: str
    exit_code: int


@dataclass(frozen=True, slots=True)
class Checked:
    """A run file as understood, and what is wrong with it."""

    file: str
    title: str = ""
    lines: tuple[ExplainedLine, ...] = ()
    inputs: tuple[ExplainedInput, ...] = ()
    unused: tuple[str, ...] = ()
    problems: tuple[FoundProblem, ...] = ()

    @property
    def exit_code(self) -> int:
        """0, 1 for files that cannot be used, 2 for mistakes in what was written."""
        return max((problem.exit_code for problem in self.problems), default=0)

    def to_json(self) -> dict[str, Any]:
        """As a JSON value."""
        return asdict(self)


def check(path: str | Path) -> Checked:
    """Read a run file, its analysis and the metadata of its (local) inputs; nothing is processed.

    Problems are in the result, all of them, never raised.
    """
    return _Checker(str(path)).checked()


def analysis_of(path: str | Path) -> str:
    """The analysis a run file names: an installed one's name, or its Python file."""
    return _source(read_run_file(path))


def run_schema(analysis: str | None = None) -> dict[str, Any]:
    """JSON schema of run files for editors; with an analysis, its parameters are part of it."""
    schema = json_schema()
    if analysis is not None:
        own = find_analysis(analysis).parameters.model_json_schema(ref_template="#/$defs/{model}")
        schema["$defs"] |= own.pop("$defs", {})
        schema["properties"]["parameters"] = {
            **own, "title": f"Parameters of {analysis}", "description": "The analysis' parameters.",
        }  # fmt: skip
    return schema


class _Checker:
    """Goes through a run file step by step, collecting what is wrong."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.problems: list[FoundProblem] = []

    def checked(self) -> Checked:
        file = self._attempt(lambda: read_run_file(self.path))
        if file is None:
            return Checked(self.path, problems=tuple(self.problems))
        analysis = self._attempt(lambda: find_analysis(_source(file)), file.where(("analysis",)))
        parameters = None if analysis is None else self._attempt(lambda: _parameters(file, analysis))
        datasets = self._datasets(file)
        inputs: tuple[ExplainedInput, ...] = ()
        unused: tuple[str, ...] = ()
        if analysis is not None and parameters is not None and datasets and not self.problems:
            inputs, unused = self._inputs(file, analysis, parameters, datasets)
        return Checked(
            self.path,
            title="" if analysis is None else f"{analysis.name}: {analysis.title}".removesuffix(": "),
            lines=tuple(_explain(file, analysis, parameters)),
            inputs=inputs,
            unused=unused,
            problems=tuple(self.problems),
        )

    def _attempt(self, step: Callable[[], T], where: str = "") -> T | None:
        try:
            return step()
        except FemtobarnError as error:
            self._note(error, where)
        return None

    def _note(self, error: FemtobarnError, where: str = "") -> None:
        """Keep an error; the line of the run file stands before what it says about another file."""
        text = str(error)
        if where and not text.startswith(where.rpartition(":")[0]):
            text = f"{where}: {text}"
        self.problems.append(FoundProblem(text, error.exit_code))

    def _datasets(self, file: RunFile) -> tuple[Dataset, ...]:
        """The datasets the file names; every path that leads nowhere is a problem of its own."""
        if file.fileset is not None:
            place = Path(resolve_path(file.fileset, file.folder))
            return self._attempt(lambda: read_fileset(place), file.where(("fileset",))) or ()
        found: list[Dataset] = []
        for name, paths in resolve_files(file.files, file.folder).items():
            refs: list[FileRef] = []
            metadata: dict[str, Any] = {}
            for path in paths:
                for here in self._attempt(partial(_expand, name, path), file.where(("files", name))) or ():
                    refs += here.files
                    metadata |= here.metadata
            found.append(Dataset(name, tuple(refs), metadata))
        return tuple(found)

    def _inputs(
        self, file: RunFile, analysis: Analysis, parameters: Any, datasets: Sequence[Dataset]
    ) -> tuple[tuple[ExplainedInput, ...], tuple[str, ...]]:
        """What a plan finds in the inputs; remote files are not opened."""
        given = "fileset" if file.fileset is not None else "files"
        remote = [ref.url for dataset in datasets for ref in dataset.files if "://" in ref.url]
        if remote:
            prepared = self._attempt(
                lambda: _prepare(analysis, tuple(datasets), parameters), file.where((given,))
            )
            found, unused = prepared or ((), {})
            rows = [ExplainedInput(d.name, d.kind, d.process, len(d.files), None, "") for d in found]
            return tuple(rows), tuple(f"{url}: {reason}" for url, reason in unused.items())
        plan = self._attempt(
            lambda: make_plan(analysis, parameters, datasets, _sizing(file)), file.where((given,))
        )
        if plan is None:
            return (), ()
        for bad in plan.bad:
            where = file.where((given, bad.dataset) if given == "files" else (given,))
            self.problems.append(FoundProblem(f"{where}: {bad.error}", 1))
        return tuple(_found(plan)), tuple(f"{url}: {reason}" for url, reason in plan.unused.items())


def _source(file: RunFile) -> str:
    """The analysis' name, or its file as it is from here or from the run file's folder."""
    return resolve_path(file.analysis, file.folder) if file.analysis.endswith(".py") else file.analysis


def _parameters(file: RunFile, analysis: Analysis) -> Any:
    given = dict(file.parameters)
    if file.release is not None:
        if "release" not in analysis.parameters.model_fields:
            raise UsageError(f"{analysis.name} has no releases to choose from",
                             where=file.where(("release",)), action="leave 'release' out")  # fmt: skip
        given["release"] = file.release

    def where(path: tuple[Any, ...]) -> str:
        top = path[:1] == ("release",) and file.release is not None
        return file.where(("release",)) if top else file.where_parameter(path)

    return read_parameters(analysis.parameters, given, where=where)


def _expand(name: str, path: str) -> tuple[Dataset, ...]:
    return datasets_from_files([f"{name}={path}"])


def _prepare(
    analysis: Analysis, datasets: tuple[Dataset, ...], parameters: Any
) -> tuple[tuple[Dataset, ...], dict[str, str]]:
    if analysis.prepare is None:
        return datasets, {}
    prepared, unused = analysis.prepare(datasets, parameters)
    return prepared, dict(unused)


def _sizing(file: RunFile) -> Sizing:
    execution = file.execution
    wanted = Sizing(
        part_events=execution.part_events, max_files=execution.max_files, max_events=execution.max_events
    )
    return wanted if execution.part_bytes is None else replace(wanted, part_bytes=execution.part_bytes)


def _found(plan: Plan) -> Iterator[ExplainedInput]:
    for dataset in plan.datasets:
        files = [file for file in plan.files if file.dataset == dataset.name]
        schemas = sorted({file.schema for file in files if file.schema})
        yield ExplainedInput(
            dataset.name,
            dataset.kind,
            dataset.process,
            len(files),
            plan.totals[dataset.name],
            "+".join(schemas),
        )


# ---------------------------------------------------------------- the file in words


def _explain(file: RunFile, analysis: Analysis | None, parameters: Any) -> list[ExplainedLine]:
    """Given settings in the order of the file, then the defaults."""
    lines = [*_plain_lines(file), *_file_lines(file), *_execution_lines(file)]
    if analysis is not None:
        lines += _parameter_lines(file, analysis, parameters)
    given = sorted((line for line in lines if line.line is not None), key=lambda line: line.line or 0)
    return [*given, *(line for line in lines if line.line is None)]


def _plain_lines(file: RunFile) -> Iterator[ExplainedLine]:
    fields = RunFile.model_fields
    for name in _PLAIN:
        value = getattr(file, name)
        if name == "release" and value is None:
            continue  # its default is the parameter's
        if name == "fileset" and value is None and file.files is not None:
            continue
        if name == "fileset" and value is None:
            yield ExplainedLine(None, "inputs", "none", "No files here: name them with --files or --fileset.")
            continue
        line = None if value is None else _number(file.where((name,)))
        yield ExplainedLine(
            line, name, "none" if value is None else typed(value), str(fields[name].description)
        )


def _file_lines(file: RunFile) -> Iterator[ExplainedLine]:
    for name, paths in (file.files or {}).items():
        kind = Dataset(name, ()).kind
        what = "collision data, by its name" if kind == "data" else "simulation, or what metadata say"
        yield ExplainedLine(_number(file.where(("files", name))), f"files.{name}", ", ".join(paths),
                            f"Files of the dataset {name!r} ({what}).")  # fmt: skip


def _execution_lines(file: RunFile) -> Iterator[ExplainedLine]:
    for name, field in Execution.model_fields.items():
        value = getattr(file.execution, name)
        given = name in file.execution.model_fields_set
        line = _number(file.where(("execution", name))) if given else None
        yield ExplainedLine(
            line, f"execution.{name}", "none" if value is None else typed(value), str(field.description)
        )


def _parameter_lines(file: RunFile, analysis: Analysis, parameters: Any) -> Iterator[ExplainedLine]:
    for item in describe(analysis.parameters):
        if item.name == "release" and file.release is not None:
            continue
        path = tuple(item.name.split("."))
        where = file.where_parameter(path)
        dotted = [name for name in file.parameters if str(name).startswith(f"{item.name}.")]
        where = where or next((file.where_parameter((name,)) for name in dotted), "")
        value = item.default if parameters is None else _shown(parameters, path)
        yield ExplainedLine(
            _number(where) if where else None, f"parameters.{item.name}",
            f"{value or 'none'} {item.unit if value else ''}".strip(), _meaning(item),
        )  # fmt: skip


def _shown(parameters: Any, path: Sequence[str]) -> str:
    value = parameters
    for name in path:
        value = getattr(value, name)
    return "" if value is None or value == {} else typed(value)


def _meaning(item: ParameterHelp) -> str:
    takes = ", ".join(filter(None, (item.type, item.bounds)))
    return f"{item.help or item.name} ({takes})"


def _number(where: str) -> int | None:
    line = where.rpartition(":")[2]
    return int(line) if line.isdecimal() else None

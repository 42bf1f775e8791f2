"""From what the user asked for to frozen objects: analysis, parameters, datasets, sizing."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from femtobarn.analysis import Analysis, find_analysis
from femtobarn.catalog import RELEASES, datasets_from_files, read_fileset
from femtobarn.catalog.addresses import is_address, split_name
from femtobarn.config.parameters import read_parameters
from femtobarn.config.runfile import Execution, RunFile, read_run_file, resolve_files, resolve_path
from femtobarn.errors import UsageError, nearest
from femtobarn.records import Dataset
from femtobarn.run.directory import RunSettings
from femtobarn.run.plan import Plan, Sizing
from femtobarn.run.planfile import read_plan
from femtobarn.run.resources import Resources

__all__ = ["Request", "Resolved", "by_release", "datasets_of", "resolve", "takes_request"]

P = ParamSpec("P")
R = TypeVar("R")

_NOTHING_ASKED: Final = Resources()
_RUN_FILE: Final = (".yaml", ".yml", ".json")
#: What may be kept for the next run besides the outcomes of parts.
CACHES: Final = ("outcomes", "columns")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a user asks to be run; flags win over the run file, the run file over defaults.

    Attributes
    ----------
    what : str
        An analysis' name, ``FILE.py`` or ``RUN.yaml``.
    files : sequence of str
        ``DATASET=GLOB`` or a bare path.
    fileset : path or None
        coffea fileset JSON.
    plan : path or None
        A plan that was made before, instead of files: it says what is processed, and in which parts.
    settings : sequence of str
        ``NAME=VALUE`` for declared parameters.
    """

    what: str
    files: Sequence[str] = ()
    fileset: str | None = None
    plan: str | None = None
    release: str | None = None
    settings: Sequence[str] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    out: str | None = None
    executor: str | None = None
    workers: int | None = None
    site: str | None = None
    resources: Resources = _NOTHING_ASKED
    voms: str | None = None
    part_events: int | None = None
    part_bytes: int | None = None
    max_files: int | None = None
    max_events: int | None = None
    steps_per_part: int | None = None
    allow_missing: bool = False
    fresh: bool = False
    cache: str | None = None
    command: Sequence[str] = ()


@dataclass(frozen=True)
class Resolved:
    """A request, understood.  ``plan`` is one that is fixed already."""

    analysis: Analysis
    source: str
    parameters: Any
    datasets: tuple[Dataset, ...]
    sizing: Sizing
    settings: RunSettings
    executor: str
    workers: int | None
    site: str | None
    resources: Resources
    voms: str | None
    out: str | None
    allow_missing: bool
    fresh: bool
    plan: Plan | None = None
    cache: str = "outcomes"
    command: tuple[str, ...] = field(default=())


def takes_request(verb: Callable[Concatenate[Request, P], R]) -> Callable[Concatenate[Request | str, ...], R]:
    """A verb whose first argument is a request, or the name of an analysis and the request's fields.

    ``run("h4l", release="atlas-2020", files={"data": "data_*.root"}, out="RUN")`` is short for
    ``run(Request(what="h4l", release="atlas-2020", files=["data=data_*.root"], out="RUN"))``.
    """
    shown = inspect.signature(verb)
    first, *others = shown.parameters.values()
    own = [item.name for item in others]

    @functools.wraps(verb)
    def asked(request: Request | str, *arguments: Any, **given: Any) -> R:
        options = {name: given.pop(name) for name in own if name in given}
        return verb(_request(request, given), *arguments, **options)

    rest = inspect.Parameter("fields_of_request", inspect.Parameter.VAR_KEYWORD, annotation="Any")
    parameters = [first.replace(annotation="Request | str"), *others, rest]
    asked.__signature__ = shown.replace(parameters=parameters)  # type: ignore[attr-defined]
    return asked


def _request(what: Request | str, given: Mapping[str, Any]) -> Request:
    """A request from what was written in Python."""
    names = [item.name for item in fields(Request) if item.name != "what"]
    for name in given:
        if name not in names:
            raise UsageError(f"there is no argument {name!r}", near=nearest(name, names),
                             action="arguments: " + ", ".join(names))  # fmt: skip
    values = dict(given)
    if "files" in values:
        values["files"] = _listed(values["files"])
    for name in ("fileset", "plan", "out"):
        if isinstance(values.get(name), Path):
            values[name] = str(values[name])
    return replace(what, **values) if isinstance(what, Request) else Request(what=what, **values)


def _listed(files: Any) -> list[str]:
    """``--files`` as Python has them: one path, several, or {dataset: path or paths}."""
    if isinstance(files, Mapping):
        return [f"{name}={path}" for name, paths in files.items() for path in _listed(paths)]
    return [str(files)] if isinstance(files, str | Path) else [str(path) for path in files]


def resolve(request: Request, known: tuple[Plan, Mapping[str, Any]] | None = None) -> Resolved:
    """Understand a request, or say everything that is wrong with it.

    ``known`` is a plan that fixes the files already, and how they were named: jobs elsewhere must not
    look for files again.
    """
    if known is None and request.plan is not None:
        known = _planned(request, Path(request.plan))
    file, folder = _run_file(request.what)
    source = file.analysis if file is not None else request.what
    if folder is not None and source.endswith(".py") and not Path(source).exists():
        source = str(folder / source)
    if source.endswith(".py"):
        source = str(Path(source).absolute())
    analysis = find_analysis(source)
    parameters = _parameters(analysis, request, file)
    if known is not None:
        datasets, inputs = known[0].datasets, known[1]
        _check_schemas(known[0], analysis, parameters)
    else:
        datasets, inputs = _datasets(request, file, folder, analysis, parameters)
    execution = file.execution if file is not None else None

    def pick(flag: Any, name: str) -> Any:
        return flag if flag is not None else getattr(execution, name, None)

    sizing = Sizing(
        part_events=pick(request.part_events, "part_events"),
        part_bytes=pick(request.part_bytes, "part_bytes") or Sizing().part_bytes,
        max_files=pick(request.max_files, "max_files"),
        max_events=pick(request.max_events, "max_events"),
        steps_per_part=request.steps_per_part,
    )
    settings = RunSettings(
        analysis=source,
        parameters=parameters.model_dump(mode="json"),
        inputs=inputs,
        sizing={"part_events": sizing.part_events, "part_bytes": sizing.part_bytes,
                "max_files": sizing.max_files, "max_events": sizing.max_events,
                "steps_per_part": sizing.steps_per_part},
        model=dict(file.model or {}) if file is not None else dict(request.model),
    )  # fmt: skip
    return Resolved(
        analysis=analysis,
        source=source,
        parameters=parameters,
        datasets=datasets,
        sizing=sizing,
        settings=settings,
        executor=pick(request.executor, "executor") or "auto",
        workers=pick(request.workers, "workers"),
        site=_whole_path(pick(request.site, "site")),
        resources=request.resources.over(_resources(execution)),
        voms=pick(request.voms, "voms"),
        out=request.out or (file.out if file is not None else None),
        allow_missing=request.allow_missing or bool(getattr(execution, "allow_missing", False)),
        fresh=request.fresh or bool(getattr(execution, "fresh", False)),
        plan=None if known is None else known[0],
        cache=_cache(pick(request.cache, "cache")),
        command=tuple(request.command),
    )


def _planned(request: Request, path: Path) -> tuple[Plan, Mapping[str, Any]]:
    """The plan that a request names, and how it is told from others."""
    asked = ("part_events", "part_bytes", "max_files", "max_events")
    said = [name for name in ("files", "fileset") if getattr(request, name)]
    said += [name for name in asked if getattr(request, name) is not None]
    if said:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in said)
        raise UsageError(
            f"--plan fixes files and parts already; {flags} cannot change them",
            action="leave that out, or make another plan: femtobarn plan ... --out PLAN.json",
        )
    found = read_plan(path)
    return found, {"plan": found.digest[:16]}


def _check_schemas(plan: Plan, analysis: Analysis, parameters: Any) -> None:
    """A plan made for another analysis, or for another release, names formats that are not read here."""
    wanted = analysis.schemas(parameters)
    for file in plan.files:
        if file.schema and wanted and file.schema not in wanted:
            raise UsageError(
                f"the plan says {file.schema}; {analysis.name} reads {', '.join(wanted)}",
                where=file.ref.url,
                action="make the plan with this analysis and release",
            )


def _whole_path(site: str | None) -> str | None:
    """The file of a site is found again from another folder."""
    return str(Path(site).absolute()) if site is not None and site.endswith((".yaml", ".yml")) else site


def _cache(kind: str | None) -> str:
    if kind not in (None, *CACHES):
        raise UsageError(f"there is no cache {kind!r}", near=nearest(str(kind), CACHES),
                         action="choose one of " + ", ".join(CACHES))  # fmt: skip
    return kind or "outcomes"


def datasets_of(files: Sequence[str], fileset: str | None, *, shared: bool = False) -> tuple[Dataset, ...]:
    """The datasets behind ``--files`` or ``--fileset`` (``shared``: which may have files in common)."""
    return read_fileset(Path(fileset), shared=shared) if fileset else datasets_from_files(files)


def _resources(execution: Execution | None) -> Resources:
    """What the run file asks for."""
    names = [item.name for item in fields(Resources)]
    return Resources(**{name: getattr(execution, name, None) for name in names})


def _absolute(option: str) -> str:
    """``NAME=PATH`` or a bare path with the path made absolute; addresses stay."""
    name, path = split_name(option)
    head = f"{name}=" if name else ""
    if path.startswith("fileset:"):
        inside = path.removeprefix("fileset:").removeprefix("//")
        return f"{head}fileset:{Path(inside).expanduser().absolute()}"
    if "://" in path or is_address(path):
        return option
    return f"{head}{Path(path).expanduser().absolute()}"


def _run_file(what: str) -> tuple[RunFile | None, Path | None]:
    if not what.endswith(_RUN_FILE):
        return None, None
    path = Path(what)
    return read_run_file(path), path.parent


def _parameters(analysis: Analysis, request: Request, file: RunFile | None) -> Any:
    given: dict[str, Any] = dict(file.parameters) if file is not None else dict(request.parameters)
    release = request.release or (file.release if file is not None else None)
    if release is not None:
        if "release" not in analysis.parameters.model_fields:
            raise UsageError(f"{analysis.name} has no releases to choose from", action="leave --release out")
        given["release"] = release
    where = file.where_parameter if file is not None else None
    return read_parameters(analysis.parameters, given, list(request.settings), where=where)


def _datasets(
    request: Request, file: RunFile | None, folder: Path | None, analysis: Analysis, parameters: Any
) -> tuple[tuple[Dataset, ...], Mapping[str, Any]]:
    """The input datasets, and how they were named (for comparing runs)."""
    fileset, files = request.fileset, list(request.files)
    if not fileset and not files and file is not None and folder is not None:
        fileset = resolve_path(file.fileset, folder) if file.fileset else None
        files = [
            f"{name}={path}" for name, paths in resolve_files(file.files, folder).items() for path in paths
        ]
    if fileset and files:
        raise UsageError("--files and --fileset exclude each other", action="put all files into the fileset")
    # Absolute, so that the run can be resumed from anywhere and its parts be processed by any machine.
    if fileset:
        fileset = str(Path(fileset).absolute())
        return datasets_of((), fileset, shared=analysis.shared_files), {"fileset": fileset}
    if files:
        files = [_absolute(option) for option in files]
        return datasets_of(files, None), {"files": files}
    sources = analysis.sources(parameters)
    if sources:
        release = str(getattr(parameters, "release", ""))
        return by_release(datasets_from_files(sources), release), {"files": list(sources)}
    raise UsageError(
        "no input files were named",
        action="use --files DATASET=GLOB or --fileset FILE.json; 'femtobarn data make' writes synthetic ones",
    )


def by_release(datasets: Sequence[Dataset], release: str) -> tuple[Dataset, ...]:
    """Datasets of a release's own catalogue, normalised by the release's sample table where it has them.

    Cross-section and sum of weights belong together: they are taken from one place, the published table.
    """
    table = RELEASES[release].samples if release in RELEASES else {}
    own = ("xsec", "kfactor", "filteff", "sumw")
    return tuple(
        Dataset(d.name, d.files, {k: v for k, v in d.metadata.items() if k not in own})
        if d.name in table else d
        for d in datasets
    )  # fmt: skip

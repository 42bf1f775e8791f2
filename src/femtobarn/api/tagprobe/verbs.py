"""The verb ``tnp``: the predecessor's JSON files and arguments, ending in the house's ``run``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from femtobarn.api.inputs import Request, Resolved
from femtobarn.api.runs import Finished, plan, run
from femtobarn.config.parameters import read_parameters
from femtobarn.config.tagprobe import TnpConfig, read_tnp_config, trigger_workflow
from femtobarn.errors import UsageError, nearest
from femtobarn.run.directory import RunDirectory
from femtobarn.run.engine import Progress
from femtobarn.run.plan import Plan
from femtobarn.run.resources import Resources

__all__ = [
    "Resources",
    "TnpPlan",
    "TnpRequest",
    "tnp",
    "tnp_columns",
    "tnp_plan",
    "tnp_values",
    "trigger_workflow",
]

_ANALYSIS: Final = "tagprobe"
_NONE: Final = Resources()
#: What the predecessor's executors are here.
_EXECUTORS: Final[Mapping[str, tuple[str, str | None]]] = {
    "threads": ("processes", None), "threading": ("processes", None), "processes": ("processes", None),
    "multiprocessing": ("processes", None), "sync": ("serial", None), "synchronous": ("serial", None),
    "single-threaded": ("serial", None), "serial": ("serial", None), "auto": ("auto", None),
    "distributed": ("dask", None), "dask": ("dask", None),
    "dask/lxplus": ("dask", "lxplus"),
    "dask/slurm": ("dask", "slurm"), "dask/condor": ("dask", "htcondor"),
    "slurm": ("slurm", None), "htcondor": ("htcondor", None), "pbs": ("pbs", None),
}  # fmt: skip
#: Executors that work in this process or in processes of this machine.
_HERE: Final = (None, "auto", "serial", "processes")
#: Clusters that only their own site can start.
_ELSEWHERE: Final[Mapping[str, str]] = {
    "dask/lpc": "workers at the LPC live in a container that lpcjobqueue starts",
    "dask/casa": "coffea-casa starts a scheduler with each session",
}


@dataclass(frozen=True, kw_only=True)
class TnpRequest:
    """What a user asks of tag and probe.

    Attributes
    ----------
    config, settings, binning : paths of the runner, settings and binning JSON
    fileset : path of the fileset JSON
    output : run directory; a ``simplecache::`` before it is dropped
    limit : first files of each dataset
    repartition : join so many steps of the fileset into one part
    """

    config: str
    fileset: str
    settings: str | None = None
    binning: str | None = None
    output: str | None = None
    values: Sequence[str] = ()
    executor: str | None = None
    workers: int | None = None
    resources: Resources = _NONE
    limit: int | None = None
    repartition: int | None = None
    part_events: int | None = None
    max_events: int | None = None
    allow_missing: bool = False
    fresh: bool = False
    command: Sequence[str] = ()


@dataclass(frozen=True)
class TnpPlan:
    """What a run would do, and where each value comes from."""

    resolved: Resolved
    plan: Plan
    config: TnpConfig
    notes: tuple[str, ...] = field(default=())


def tnp(
    request: TnpRequest,
    *,
    pages: bool = True,
    progress: Callable[[Plan], Progress] | None = None,
) -> tuple[Finished, tuple[str, ...]]:
    """Run tag and probe; with what must be known about the inputs.

    Raises
    ------
    ConfigError, UsageError
        The JSON files or the arguments are wrong.
    LossError
        Parts failed and that was not allowed.
    """
    config = _config(request)
    house = _house(request, config)
    notes = (*config.notes, *_unused(house))
    try:
        finished = run(house, pages=pages, progress=progress)
    finally:
        folder = RunDirectory(Path(house.out or ""))
        if notes and folder.manifest_path.exists():
            folder.note(warnings=notes)
    return finished, notes


def tnp_plan(request: TnpRequest) -> TnpPlan:
    """What would run; metadata is read, nothing is written."""
    config = _config(request)
    house = _house(request, config)
    resolved, planned = plan(house)
    return TnpPlan(resolved, planned, config, (*config.notes, *_unused(house)))


def tnp_values(request: TnpRequest) -> list[tuple[str, Any, str]]:
    """(parameter, value, origin) of everything that counts; nothing is read but the JSON files."""
    config = _config(request)
    parameters = _parameters(request, config)
    given = {item.partition("=")[0].partition(".")[0] for item in request.values}
    rows = []
    for name, value in parameters.model_dump(mode="json").items():
        origin = "--set" if name in given else config.origins.get(name, "default")
        rows.append((name, value, origin))
    return rows


def tnp_columns(request: TnpRequest) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Columns that a run reads: {dataset: (needed, optional)}."""
    made = tnp_plan(request)
    return {name: (columns.needed, columns.optional) for name, columns in made.plan.columns.items()}


def _config(request: TnpRequest) -> TnpConfig:
    return read_tnp_config(
        Path(request.config),
        Path(request.settings) if request.settings else None,
        Path(request.binning) if request.binning else None,
    )


def _parameters(request: TnpRequest, config: TnpConfig) -> Any:
    from femtobarn.analyses.tagprobe import TagProbeParameters

    return read_parameters(
        TagProbeParameters,
        dict(config.parameters),
        list(request.values),
        where=lambda path: _where(config, path),
    )


def _where(config: TnpConfig, path: Sequence[Any]) -> str:
    names = [str(item) for item in path]
    for length in range(len(names), 0, -1):
        found = config.origins.get(".".join(names[:length]))
        if found is not None:
            return found
    return config.file


def _house(request: TnpRequest, config: TnpConfig) -> Request:
    """The same as a request of the house."""
    if request.limit is not None and request.limit < 1:
        raise UsageError(f"--limit must be at least 1, not {request.limit}")
    parameters = _parameters(request, config)
    executor, site = _executor(request.executor)
    return Request(
        what=_ANALYSIS, fileset=request.fileset, parameters=parameters.model_dump(mode="json"),
        out=(request.output or "").removeprefix("simplecache::") or _default_out(), executor=executor,
        workers=request.workers, site=site, resources=request.resources, part_events=request.part_events,
        max_files=request.limit, steps_per_part=request.repartition, max_events=request.max_events,
        allow_missing=request.allow_missing or config.allow_missing, fresh=request.fresh,
        command=request.command,
    )  # fmt: skip


def _unused(house: Request) -> tuple[str, ...]:
    """What was asked of a cluster's workers, where none are started."""
    asked = [name for name, value in asdict(house.resources).items() if value not in (None, False)]
    if not asked or house.executor not in _HERE:
        return ()
    names = ", ".join(name.replace("_", "-") for name in asked)
    return (f"{names}: not used by the executor {house.executor or 'auto'}, which starts no cluster",)


def _default_out() -> str:
    from femtobarn.run.task import default_out

    return str(default_out(_ANALYSIS))


def _executor(name: str | None) -> tuple[str | None, str | None]:
    """Our executor and site for one of the predecessor's."""
    if name is None:
        return None, None
    for scheme in ("tcp://", "tls://", "ucx://"):
        if name.startswith(scheme):
            return f"dask://{name.removeprefix('tcp://')}" if scheme == "tcp://" else f"dask://{name}", None
    if name.startswith("dask://"):
        return name, None
    if name in _ELSEWHERE:
        raise UsageError(
            f"{name} is not started from here: {_ELSEWHERE[name]}",
            action="give the scheduler's address: --executor tcp://HOST:PORT (or tls://)",
        )
    if name not in _EXECUTORS:
        raise UsageError(f"unknown executor {name!r}", near=nearest(name, _EXECUTORS),
                         action="executors: " + ", ".join(_EXECUTORS) + ", tcp://HOST:PORT")  # fmt: skip
    return _EXECUTORS[name]

"""Options that several verbs share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from femtobarn.errors import UsageError

if TYPE_CHECKING:
    from femtobarn.api import Request
    from femtobarn.run.resources import Resources

__all__ = [
    "Adaptive",
    "AllowMissing",
    "Cache",
    "CacheRemote",
    "Copy",
    "Cores",
    "DashboardAddress",
    "Disk",
    "Executor",
    "Files",
    "Fileset",
    "Fresh",
    "Json",
    "LogDirectory",
    "MaxAge",
    "MaxEvents",
    "MaxFiles",
    "Memory",
    "Out",
    "PartBytes",
    "PartEvents",
    "PerHost",
    "PlanFile",
    "ProcessOnly",
    "Queue",
    "Refresh",
    "Release",
    "Scaleout",
    "Selection",
    "Settings",
    "Site",
    "Snapshot",
    "Voms",
    "Walltime",
    "What",
    "Workers",
    "command_line",
    "parse_bytes",
    "parse_slice",
    "request",
    "resources",
]

What = Annotated[str, typer.Argument(metavar="ANALYSIS|FILE.py|RUN.yaml", help="what to run")]
Files = Annotated[
    list[str] | None,
    typer.Option("--files", metavar="DATASET=GLOB", help="input files, URLs or query addresses; repeatable"),
]
Fileset = Annotated[str | None, typer.Option(metavar="F.json", help="coffea fileset JSON")]
PlanFile = Annotated[
    str | None,
    typer.Option("--plan", metavar="PLAN.json", help="a plan made before (plan --out), instead of files"),
]
Release = Annotated[str | None, typer.Option(help="short for --set release=")]
Selection = Annotated[str | None, typer.Option(help="short for --set selection=")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="a declared parameter; repeatable")
]
Copy = Annotated[str | None, typer.Option("--out", metavar="DIR", help="leave the run alone; work in a copy")]
Out = Annotated[str | None, typer.Option(metavar="RUN", help="run directory")]
Executor = Annotated[
    str | None,
    typer.Option(help="auto, serial, threads, processes, dask, dask://HOST:PORT, slurm, htcondor or pbs"),
]
Workers = Annotated[int | None, typer.Option(help="number of workers")]
Site = Annotated[
    str | None, typer.Option(metavar="NAME|FILE.yaml", help="where jobs go: a site that comes along or yours")
]
Cores = Annotated[int | None, typer.Option(help="cores of a job")]
Memory = Annotated[str | None, typer.Option(help="memory of a job, as 2GiB")]
Disk = Annotated[str | None, typer.Option(help="scratch disk of a job, as 2GiB")]
Walltime = Annotated[str | None, typer.Option(help="time limit of a job, as 04:00:00")]
Queue = Annotated[str | None, typer.Option(help="partition, queue or job flavour")]
Scaleout = Annotated[int | None, typer.Option(help="number of jobs")]
Adaptive = Annotated[bool | None, typer.Option("--adaptive/--no-adaptive", help="ask for jobs as work comes")]
LogDirectory = Annotated[str | None, typer.Option(help="where jobs log")]
DashboardAddress = Annotated[str | None, typer.Option(metavar="[HOST:]PORT", help="of the Dask dashboard")]
Voms = Annotated[str | None, typer.Option(metavar="VO", help="the grid proxy must be of this VO")]
PartEvents = Annotated[
    int | None, typer.Option("--part-events", "--chunk-size", help="at most this many events a part")
]
PartBytes = Annotated[str | None, typer.Option(help="at most this many needed bytes a part, as 64MiB")]
MaxFiles = Annotated[int | None, typer.Option(help="only the first N files of each dataset")]
MaxEvents = Annotated[int | None, typer.Option(help="only the first N events of each dataset")]
ProcessOnly = Annotated[
    bool, typer.Option("--process-only", help="stop after the raw results: no fit, plots or report")
]
AllowMissing = Annotated[
    bool, typer.Option("--allow-missing", help="go on with what is there; every result says so")
]
Fresh = Annotated[bool, typer.Option("--fresh", help="use nothing cached, replace an earlier run")]
Cache = Annotated[
    str | None, typer.Option("--cache", metavar="columns", help="keep columns uncompressed for the next pass")
]


def _network(name: str) -> Callable[[Any], Any]:
    """Apply a setting of the network as soon as it is read; worker processes inherit it."""

    def apply(value: Any) -> Any:
        if value is not None and value is not False:
            from femtobarn.api import use_network

            use_network(**{name: value})
        return value

    return apply


CacheRemote = Annotated[
    str | None,
    typer.Option(metavar="none|columns|files", callback=_network("cache_remote"),
                 help="what to keep of remote files on this disk"),
]  # fmt: skip
PerHost = Annotated[
    int | None,
    typer.Option(min=1, callback=_network("per_host"), help="requests to one server at a time (8)"),
]
Snapshot = Annotated[
    str | None,
    typer.Option(
        metavar="R.json", callback=_network("snapshot"), help="a saved release instead of the network"
    ),
]
Refresh = Annotated[
    bool, typer.Option("--refresh", callback=_network("refresh"), help="ask servers again, remembered or not")
]
MaxAge = Annotated[
    float | None,
    typer.Option(
        metavar="S", min=0, callback=_network("max_age"), help="seconds an answer is remembered (a day)"
    ),
]
Json = Annotated[bool, typer.Option("--json", help="print JSON alone")]

_SIZES = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}


def request(context: typer.Context) -> Request:
    """What a verb's flags ask to be run; flags that it does not have, or that were not given, are silent."""
    from femtobarn.api import Request

    given = context.params
    fields = Request.__dataclass_fields__
    asked = {name: value for name, value in given.items() if name in fields and value not in (None, [], ())}
    selection = [f"selection={given['selection']}"] if given.get("selection") else []
    more = {
        "settings": [*(given.get("settings") or ()), *selection],
        "part_bytes": parse_bytes(given.get("part_bytes")),
        "resources": resources(context),
        "command": command_line(),
    }
    return Request(**{**asked, **more})


def resources(context: typer.Context) -> Resources:
    """What the flags ask for, of a verb that has them."""
    from femtobarn.run.resources import Resources

    names = Resources.__dataclass_fields__
    return Resources(**{name: context.params.get(name) for name in names})


def parse_bytes(text: str | None, option: str = "--part-bytes") -> int | None:
    """``64MiB`` as a number."""
    if text is None:
        return None
    number = text.rstrip("aAbBgGiIkKmM")
    unit = text[len(number) :].lower() or "b"
    try:
        return int(float(number) * _SIZES[unit])
    except (ValueError, KeyError) as error:
        raise UsageError(f"{option}: {text!r} is not a size", action="write it as 64MiB") from error


def parse_slice(text: str | None) -> tuple[int, int] | None:
    """``2/5`` as (2, 5)."""
    if text is None:
        return None
    try:
        index, count = (int(item) for item in text.split("/"))
    except ValueError as error:
        raise UsageError(f"--part: {text!r} is not of the form i/n", action="write it as 1/4") from error
    if not 1 <= index <= count:
        raise UsageError(f"there is no slice {index} of {count}", action="use --part 1/N to N/N")
    return index, count


def command_line() -> list[str]:
    """The command as typed, for the manifest."""
    return ["femtobarn", *sys.argv[1:]]

"""Options that several verbs share."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from femtobarn.errors import UsageError

if TYPE_CHECKING:
    from femtobarn.run.resources import Resources

__all__ = [
    "Adaptive",
    "AllowMissing",
    "Cores",
    "DashboardAddress",
    "Disk",
    "Executor",
    "Files",
    "Fileset",
    "Fresh",
    "Json",
    "LogDirectory",
    "MaxEvents",
    "MaxFiles",
    "Memory",
    "Out",
    "PartBytes",
    "PartEvents",
    "Queue",
    "Release",
    "Scaleout",
    "Settings",
    "Site",
    "Voms",
    "Walltime",
    "What",
    "Workers",
    "command_line",
    "parse_bytes",
    "parse_slice",
    "resources",
]

What = Annotated[str, typer.Argument(metavar="ANALYSIS|FILE.py|RUN.yaml", help="what to run")]
Files = Annotated[
    list[str] | None, typer.Option("--files", metavar="DATASET=GLOB", help="input files; repeatable")
]
Fileset = Annotated[str | None, typer.Option(metavar="F.json", help="coffea fileset JSON")]
Release = Annotated[str | None, typer.Option(help="short for --set release=")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="a declared parameter; repeatable")
]
Out = Annotated[str | None, typer.Option(metavar="RUN", help="run directory")]
Executor = Annotated[
    str | None,
    typer.Option(help="auto, serial, processes, dask, dask://HOST:PORT, slurm, htcondor or pbs"),
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
AllowMissing = Annotated[
    bool, typer.Option("--allow-missing", help="go on with what is there; every result says so")
]
Fresh = Annotated[bool, typer.Option("--fresh", help="use nothing cached, replace an earlier run")]
Json = Annotated[bool, typer.Option("--json", help="print JSON alone")]

_SIZES = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}


def resources(context: typer.Context) -> Resources:
    """What the flags ask for, of a verb that has them."""
    from femtobarn.run.resources import Resources

    names = Resources.__dataclass_fields__
    return Resources(**{name: context.params.get(name) for name in names})


def parse_bytes(text: str | None) -> int | None:
    """``64MiB`` as a number."""
    if text is None:
        return None
    number = text.rstrip("aAbBgGiIkKmM")
    unit = text[len(number) :].lower() or "b"
    try:
        return int(float(number) * _SIZES[unit])
    except (ValueError, KeyError) as error:
        raise UsageError(f"--part-bytes: {text!r} is not a size", action="write it as 64MiB") from error


def parse_slice(text: str | None) -> tuple[int, int] | None:
    """``2/5`` as (2, 5)."""
    if text is None:
        return None
    try:
        index, count = (int(item) for item in text.split("/"))
    except ValueError as error:
        raise UsageError(f"--part: {text!r} is not of the form i/n", action="write it as 1/4") from error
    return index, count


def command_line() -> list[str]:
    """The command as typed, for the manifest."""
    return ["femtobarn", *sys.argv[1:]]

"""Which executor a name means: on this machine, on a Dask cluster, on one that a batch system provides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from femtobarn.errors import UsageError, nearest
from femtobarn.run import on_dask
from femtobarn.run.executors import Executor, processors, run_in_processes, run_serially
from femtobarn.run.resources import Resources, Site, find_site
from femtobarn.run.threads import run_in_threads

__all__ = ["EXECUTORS", "choose", "site_of"]

EXECUTORS: Final = ("auto", "serial", "threads", "processes", "dask", "slurm", "htcondor", "pbs")
#: Fewer events than this are processed sooner than a worker process has started.
_WORTH_A_WORKER: Final = 300_000
#: Beyond this a job lasts long enough to be kept apart from what may end a process.
_MOST_IN_THREADS: Final = 20_000_000
_ADDRESS: Final = "dask://"
#: ``dask/SITE``, as older tools write it.
_SITE: Final = "dask/"
#: What the same roads are called elsewhere.
_ALSO: Final = {"futures": "processes", "iterative": "serial", "local": "processes"}
#: On this machine, whatever site is named.
_HERE: Final = ("serial", "threads", "processes", *_ALSO)


def site_of(name: str, site: str | None, resources: Resources) -> Site | None:
    """The site on whose cluster an executor runs; None for this machine's processes and for addresses.

    A site beats the plain names ``slurm``, ``htcondor`` and ``pbs``, which are sites themselves.

    Raises
    ------
    UsageError
        There is no such executor or site.
    ConfigError
        The site's file, or what is asked of it, cannot be understood.
    """
    if name not in EXECUTORS and name not in _ALSO and not name.startswith((_ADDRESS, _SITE)):
        raise UsageError(f"unknown executor {name!r}", near=nearest(name, EXECUTORS),
                         action=f"choose one of {', '.join(EXECUTORS)}, dask://HOST:PORT")  # fmt: skip
    if name.startswith(_SITE):
        site, name = site or name.removeprefix(_SITE), "dask"
    if name in _HERE or name.startswith(_ADDRESS) or (name == "auto" and site is None):
        return None
    return find_site(site or ("local" if name == "dask" else name), resources)


def choose(
    name: str,
    place: Site | None = None,
    *,
    workers: int | None,
    parts: int,
    events: int,
    threads: bool = False,
    exports: Sequence[str] = (),
    record: Path | None = None,
) -> tuple[str, Executor]:
    """The executor of this name for a plan of so many parts and events.

    ``auto`` stays in this process when starting workers would take longer than the work, and for jobs of
    some seconds whose parts run side by side in threads.

    Parameters
    ----------
    name, workers
        As asked for.
    place : Site, optional
        Where the executor runs, by :func:`site_of`.
    parts, events : int
        Of the plan.
    threads : bool
        Whether the analysis gains from threads.
    exports : lines of shell
        More of them for jobs of a cluster to begin with.
    record : Path, optional
        Where to note the jobs of a cluster, for the case that nobody is left to end them.
    """
    if name.startswith(_ADDRESS):
        address = f"tcp://{name.removeprefix(_ADDRESS)}"
        return name, lambda job, tasks: on_dask.run_on_address(job, tasks, address)
    if place is not None:
        return name, _on_site(replace(place, setup=(*place.setup, *exports)), workers, record)
    name = _ALSO.get(name, name)
    count = min(workers or processors(), max(parts, 1))
    small = workers is None and (count == 1 or events < _WORTH_A_WORKER)
    if name == "serial" or (name == "auto" and small):
        return "serial", run_serially
    if name == "threads" or (name == "auto" and threads and events <= _MOST_IN_THREADS):
        return "threads", lambda job, tasks: run_in_threads(job, tasks, workers=count)
    return "processes", lambda job, tasks: run_in_processes(job, tasks, workers=count)


def _on_site(place: Site, workers: int | None, record: Path | None) -> Executor:
    """An executor on a Dask cluster; the package is imported when the first part is handed out."""
    if place.kind == "scheduler":
        address = str(place.address)
        return lambda job, tasks: on_dask.run_on_address(job, tasks, address)
    count = workers or place.resources.scaleout or processors()
    if place.kind == "gateway":
        return lambda job, tasks: on_dask.run_on_gateway(job, tasks, place, workers=count)
    return lambda job, tasks: on_dask.run_on_site(job, tasks, place, workers=count, record=record)

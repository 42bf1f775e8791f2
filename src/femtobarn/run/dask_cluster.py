"""Starting Dask clusters: this machine's, or one that a batch system provides, and who stands behind them."""

from __future__ import annotations

import importlib
import logging
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from femtobarn.errors import FemtobarnError, UsageError
from femtobarn.run.files import SCHEMA_VERSION, write_json
from femtobarn.run.queues import queue_says
from femtobarn.run.resources import Site, seconds_of
from femtobarn.run.shipping import job_lines, python_command, ship

__all__ = ["Jobs", "cluster_of", "free_address", "job_options", "load", "lpc_options", "tell_dashboard"]

#: What people want to see although nothing is wrong.
notice: Final = logging.getLogger("femtobarn.notice")


def load(name: str) -> Any:
    """A package of the extra ``dask``, or what to install; its side effects on this process are undone."""
    before = signal.getsignal(signal.SIGINT)
    try:
        found = importlib.import_module(name)
    except ImportError as error:
        raise UsageError(f"runs on Dask need the package {name}",
                         action="pip install 'femtobarn[dask]'") from error  # fmt: skip
    if signal.getsignal(signal.SIGINT) is not before:
        # dask_jobqueue makes Ctrl-C an exit with code 0 as soon as it is imported.
        signal.signal(signal.SIGINT, before)
    if name == "distributed":
        # It sets its own loggers' levels on import, and tells of every connection.
        logging.getLogger(name).setLevel(logging.ERROR)
        # What a refused submission leaves in the loop is told once, by us.
        for loop in ("asyncio", "tornado.application"):
            logging.getLogger(loop).setLevel(logging.CRITICAL)
    return found


def _started(site: Site, workers: int, refusals: list[str]) -> Any:
    """A cluster of the site's kind, scaled."""
    wanted = site.resources
    if site.kind == "local":
        distributed = load("distributed")
        return distributed.LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True,
            dashboard_address=free_address(wanted.dashboard_address), memory_limit=wanted.memory or "auto",
        )  # fmt: skip
    if site.cluster == "lpcjobqueue":
        cluster = _watched(load("lpcjobqueue").LPCCondorCluster, refusals)(**lpc_options(site))
    else:
        names = {"slurm": "SLURMCluster", "htcondor": "HTCondorCluster", "pbs": "PBSCluster"}
        kind = getattr(load("dask_jobqueue"), names[site.kind])
        cluster = _watched(kind, refusals)(**job_options(site))
    if wanted.adaptive:
        cluster.adapt(minimum=1, maximum=workers)
    else:
        # In jobs: each has as many workers as cores.
        cluster.scale(jobs=-(-workers // (wanted.cores or 1)))
    return cluster


@contextmanager
def cluster_of(site: Site, workers: int, refusals: list[str]) -> Iterator[Any]:
    """A cluster that lives as long as the context; its jobs end with it.

    ``refusals`` receives what the batch system says when it does not take a job.
    """
    cluster = _started(site, workers, refusals)
    try:
        yield cluster
    finally:
        # One whose jobs were refused has workers that it cannot end.
        with suppress(AssertionError):
            cluster.close()


def _watched(kind: Any, refusals: list[str]) -> Any:
    """A class of clusters that remembers why jobs could not be submitted; by itself it only logs that."""

    class Watched(kind.job_cls):  # type: ignore[misc]
        async def _submit_job(self, script: str) -> Any:
            try:
                return await super()._submit_job(script)
            except (RuntimeError, OSError) as error:
                refusals.append(_gist(error))
                self.status = load("distributed").core.Status.failed
                raise

    return type(kind.__name__, (kind,), {"job_cls": Watched})


def _gist(error: Exception) -> str:
    """What the batch system said, without the transcript that dask_jobqueue puts around it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if "error" in line.lower() or "invalid" in line.lower()]
    return "; ".join(said or lines)[:500]


def job_options(site: Site) -> dict[str, Any]:
    """Arguments of a dask-jobqueue cluster of this site."""
    wanted = site.resources
    shipped = ship(site)
    options: dict[str, Any] = {
        "cores": wanted.cores or 1,
        "processes": wanted.cores or 1,
        "memory": wanted.memory or "2GiB",
        "job_script_prologue": job_lines(site, shipped),
        "job_extra_directives": list(site.directives),
        "log_directory": wanted.log_directory,
        "job_name": "femtobarn",
        "scheduler_options": {"dashboard_address": free_address(wanted.dashboard_address)},
        "python": python_command(site, (str(Path.cwd()),)),
    }
    if site.kind == "htcondor":
        extra = {"+JobFlavour": f'"{wanted.queue}"'} if wanted.queue else {}
        if wanted.walltime:
            extra["+MaxRuntime"] = str(seconds_of(wanted.walltime))
        if shipped is not None:
            extra |= {"should_transfer_files": "YES", "transfer_input_files": str(shipped)}
        extra |= dict(line.split(" = ", 1) for line in site.directives)
        return options | {"disk": wanted.disk or "2GiB", "job_extra_directives": extra}
    return options | {"walltime": site.walltime or "04:00:00", "queue": wanted.queue}


def lpc_options(site: Site) -> dict[str, Any]:
    """Arguments of lpcjobqueue's cluster: it has its own container and carries files itself."""
    wanted = site.resources
    shipped = ship(site)
    options: dict[str, Any] = {
        "cores": wanted.cores or 1,
        "memory": wanted.memory or "2GiB",
        "disk": wanted.disk or "2GiB",
        "ship_env": site.ship == "environment",
        "transfer_input_files": [str(shipped)] if shipped is not None else [],
        "scheduler_options": {"dashboard_address": free_address(wanted.dashboard_address)},
    }
    chosen = {"image": site.image, "log_directory": wanted.log_directory}
    return options | {name: value for name, value in chosen.items() if value is not None}


#: Where Dask's dashboard is usually looked for.
_DASHBOARD: Final = 8787
_PORTS: Final = 100


def free_address(wanted: str | None) -> str:
    """``HOST:PORT`` for a dashboard: as asked for, or the next port that nobody has taken.

    Without a host only this machine sees it (others go through ``ssh -L``).

    Raises
    ------
    UsageError
        It is not ``[HOST:]PORT``, or a hundred ports from there on are taken.
    """
    host, _, port = (wanted or str(_DASHBOARD)).rpartition(":")
    host = host or "127.0.0.1"
    if not port.isdigit() or int(port) > 65535:
        raise UsageError(f"--dashboard-address: {wanted!r} is not [HOST:]PORT", action="write it as 8787")
    first = int(port)
    for candidate in range(first, min(first + _PORTS, 65536)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, candidate))
            except OSError:
                continue
        if candidate != first and wanted is not None:
            notice.info("port %d is taken; the dashboard is at %d", first, candidate)
        return f"{host}:{candidate}"
    raise UsageError(f"--dashboard-address: no free port from {first} on", action="choose another one")


def tell_dashboard(link: str | None) -> None:
    """The address, and how to see it from elsewhere."""
    if not link:
        return
    parts = urlsplit(link)
    if parts.hostname is None or parts.port is None:
        notice.info("dashboard: %s", link)
        return
    notice.info(
        "dashboard: %s   (from elsewhere: ssh -L %d:%s:%d %s)",
        link, parts.port, parts.hostname, parts.port, socket.getfqdn(),
    )  # fmt: skip


class Jobs:
    """The batch jobs behind a cluster."""

    def __init__(self, cluster: Any, site: Site, refusals: list[str], record: Path | None) -> None:
        self._cluster = cluster
        self._refusals = refusals
        self._site = site
        self._record = record
        self._known: list[str] = []

    def note(self) -> None:
        """Write down which jobs there are, when that has changed.

        Raises
        ------
        FemtobarnError
            The batch system has refused a job.
        """
        if self._refusals:
            raise FemtobarnError(f"the batch system refuses the jobs: {self._refusals[0]}",
                                 where=f"site {self._site.name}",
                                 action="mend what it says (--queue, --memory, directives)")  # fmt: skip
        found = sorted(
            str(one.job_id) for one in self._cluster.workers.values() if getattr(one, "job_id", None)
        )
        if self._record is not None and found and found != self._known:
            self._known = found
            write_json(
                self._record, {"schema_version": SCHEMA_VERSION, "kind": self._site.kind, "jobs": found}
            )

    def forget(self) -> None:
        """The cluster has ended its jobs."""
        if self._record is not None:
            self._record.unlink(missing_ok=True)

    def explain(self) -> str:
        """Why no worker may have come: the queue's words, where the logs are, what to try."""
        if self._site.kind == "local":
            return "this machine is very busy, or its memory is full"
        said = queue_says(self._site.kind, self._known) if self._known else "no job was accepted"
        logs = self._site.resources.log_directory
        logs = logs or "none (--log-directory DIR keeps them)"
        return (
            f"the queue says: {said}\n     logs of the jobs: {logs}"
            "\n     try another --queue, less --memory or --walltime, or a longer `wait` in the site file"
        )

"""Parts on a Dask cluster: this machine's, a running one, or one that a batch system provides.

Plain futures, a bounded number in flight; outcomes come back as bytes and are stored here, so workers
need no access to the store.  Heavy imports stay inside: nobody else pays for them.
"""

from __future__ import annotations

import functools
import importlib
import logging
import signal
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

from femtobarn.errors import FemtobarnError, UsageError
from femtobarn.run.codec import encode
from femtobarn.run.executors import DEADLY, given_up
from femtobarn.run.files import SCHEMA_VERSION, write_json
from femtobarn.run.queues import must_answer, queue_says
from femtobarn.run.resources import Site, seconds_of
from femtobarn.run.shipping import job_lines, python_command, ship
from femtobarn.run.store import Store
from femtobarn.run.worker import Job, Task, TaskResult, Worker, stamped

__all__ = ["free_address", "job_options", "run_on_address", "run_on_gateway", "run_on_site"]

log: Final = logging.getLogger("femtobarn.run")
#: What people want to see although nothing is wrong.
notice: Final = logging.getLogger("femtobarn.notice")

#: Tasks handed out per worker thread: one to work on, one to begin with while the result travels.
_IN_FLIGHT: Final = 2
#: Results taken in at once.
_GATHER: Final = 64
_CONNECT_SECONDS: Final = 30
#: Between two looks at how many workers there are.
_COUNT_SECONDS: Final = 2.0
#: How long a run waits when all its workers have gone.
_LONELY_SECONDS: Final = 300
_REVIVE_SECONDS: Final = 20
#: What a worker's thread keeps from one part to the next.
_kept = threading.local()


def run_on_address(job: Job, tasks: Iterable[Task], address: str) -> Generator[TaskResult]:
    """Parts on a cluster that is running already; ``address`` of its scheduler, as ``tcp://HOST:PORT``.

    Raises
    ------
    FemtobarnError
        The scheduler cannot be reached, is lost, or its workers run other code.
    """
    distributed = _import("distributed")
    where = address.replace("tcp://", "dask://")
    with ExitStack() as stack:
        try:
            client = stack.enter_context(
                distributed.Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
            )
        except (OSError, ValueError, TypeError) as error:
            raise FemtobarnError(
                f"no Dask scheduler answers: {str(error).splitlines()[0]}", where=where,
                action="start one with: dask scheduler; dask worker HOST:PORT",
            ) from error  # fmt: skip
        _tell_dashboard(client.dashboard_link)
        _wait_for_worker(client, _CONNECT_SECONDS, where, lambda: "start one with: dask worker HOST:PORT")
        yield from _results(client, job, tasks)


def run_on_gateway(job: Job, tasks: Iterable[Task], site: Site, *, workers: int) -> Generator[TaskResult]:
    """Parts on a cluster of the Dask gateway that the environment (or the site) names."""
    gateway_module = _import("dask_gateway")
    with ExitStack() as stack:
        gateway = stack.enter_context(
            gateway_module.Gateway(**({"address": site.address} if site.address else {}))
        )
        running = gateway.list_clusters()
        if running:
            cluster = stack.enter_context(gateway.connect(running[0].name))
        else:
            cluster = stack.enter_context(gateway.new_cluster(shutdown_on_close=True))
            cluster.scale(workers)
        client = stack.enter_context(cluster.get_client(set_as_default=False))
        _tell_dashboard(client.dashboard_link)
        _wait_for_worker(client, site.wait, f"site {site.name}", lambda: "look at the gateway's own page")
        yield from _results(client, job, tasks)


def run_on_site(
    job: Job, tasks: Iterable[Task], site: Site, *, workers: int, record: Path | None = None
) -> Generator[TaskResult]:
    """Parts on a cluster that is started for this run and ended with it, whatever ends it.

    ``record`` is a file that names the cluster's jobs while there are any: what is left of a run whose
    main process was killed can be found and ended by it.
    """
    distributed = _import("distributed")
    with ExitStack() as stack:
        if site.kind != "local":
            must_answer(site.kind)
        stack.enter_context(_few_deaths())
        refusals: list[str] = []
        cluster = stack.enter_context(_ending(_cluster(site, workers, refusals)))
        jobs = _Jobs(cluster, site, refusals, record if site.kind != "local" else None)
        stack.callback(jobs.forget)
        client = stack.enter_context(distributed.Client(cluster, set_as_default=False))
        _tell_dashboard(client.dashboard_link)
        _wait_for_worker(client, site.wait, f"site {site.name}", jobs.explain, jobs.note)
        revive = functools.partial(_revive, cluster, workers if site.kind == "local" else 0)
        yield from _results(client, job, tasks, revive, jobs.note)


class _Jobs:
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


def _revive(cluster: Any, workers: int) -> None:
    """Start workers again: a local nanny whose worker dies while it starts gives up without a word."""
    if not workers:
        return
    log.warning("all workers are gone; starting them again")
    cluster.scale(0)
    cluster.scale(workers)


def _import(name: str) -> Any:
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


@contextmanager
def _few_deaths() -> Iterator[None]:
    """Have our own scheduler tell of every worker's death; what it means is decided here.

    A worker holds what it works on and nothing else, so that its death is blamed on few.
    """
    dask = _import("dask")
    settings = {
        "distributed.scheduler.allowed-failures": 0,
        "distributed.scheduler.worker-saturation": 1.0,
    }
    with dask.config.set(settings):
        yield


def _cluster(site: Site, workers: int, refusals: list[str]) -> Any:
    """A cluster of the site's kind, scaled."""
    wanted = site.resources
    if site.kind == "local":
        distributed = _import("distributed")
        return distributed.LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True,
            dashboard_address=free_address(wanted.dashboard_address), memory_limit=wanted.memory or "auto",
        )  # fmt: skip
    if site.cluster == "lpcjobqueue":
        cluster = _watched(_import("lpcjobqueue").LPCCondorCluster, refusals)(**lpc_options(site))
    else:
        names = {"slurm": "SLURMCluster", "htcondor": "HTCondorCluster", "pbs": "PBSCluster"}
        kind = getattr(_import("dask_jobqueue"), names[site.kind])
        cluster = _watched(kind, refusals)(**job_options(site))
    if wanted.adaptive:
        cluster.adapt(minimum=1, maximum=workers)
    else:
        # In jobs: each has as many workers as cores.
        cluster.scale(jobs=-(-workers // (wanted.cores or 1)))
    return cluster


@contextmanager
def _ending(cluster: Any) -> Iterator[Any]:
    """End the cluster and its jobs; one whose jobs were refused has workers that it cannot end."""
    try:
        yield cluster
    finally:
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
                self.status = _import("distributed").core.Status.failed
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


def _tell_dashboard(link: str | None) -> None:
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


def _wait_for_worker(
    client: Any,
    seconds: float,
    where: str,
    explain: Callable[[], str],
    look: Callable[[], None] | None = None,
) -> None:
    """Until there is a worker; every now and then ``look``."""
    end = time.monotonic() + seconds
    while True:
        if look is not None:
            look()
        try:
            client.wait_for_workers(1, timeout=min(_COUNT_SECONDS, max(end - time.monotonic(), 0.1)))
        except TimeoutError as error:
            if time.monotonic() < end:
                continue
            raise FemtobarnError(
                f"no worker has come within {seconds:.0f} s", where=where, action=explain()
            ) from error
        return


def _results(
    client: Any,
    job: Job,
    tasks: Iterable[Task],
    revive: Callable[[], None] | None = None,
    look: Callable[[], None] | None = None,
) -> Generator[TaskResult]:
    """Hand out tasks, never more than a few a worker, and yield what comes back."""
    held = _Held(client, stamped(job), revive)
    store = Store(Path(job.store))
    source = iter(tasks)
    try:
        while held.fill(source):
            if look is not None:
                look()
            for result, data in held.settled():
                if data is not None:
                    store.put(result.key, data)
                yield result
    finally:
        held.cancel()


class _Held:
    """Futures that are out, the tasks behind them, and those that have come back.

    When a worker dies, Dask blames all tasks it held.  So the tasks that it gives up are tried again
    in the end, one at a time: the one that is alone with a dying worker is guilty.
    """

    def __init__(self, client: Any, job: Job, revive: Callable[[], None] | None) -> None:
        self._client = client
        self._revive = revive
        # Our own scheduler tells of every death, another one of a few together (three by default).
        self._deaths_a_verdict = DEADLY if revive is None else 1
        self._deaths: Counter[int] = Counter()
        self._revived = 0
        self._job = job
        self._out: dict[str, tuple[Any, Task]] = {}
        self._back: SimpleQueue[Any] = SimpleQueue()
        self._suspects: deque[Task] = deque()
        self._alone = False
        self._threads = 0
        self._counted = -_COUNT_SECONDS
        self._seen = time.monotonic()

    def fill(self, source: Iterator[Task]) -> bool:
        """Have as many tasks out as the workers of this moment can be kept busy with; False at the end."""
        while not self._alone and len(self._out) < max(_IN_FLIGHT * self._count(), 1):
            task = next(source, None)
            if task is None:
                break
            self._submit(task)
        if not self._out and self._suspects:
            self._alone = True
            self._submit(self._suspects.popleft())
        return bool(self._out)

    def _submit(self, task: Task) -> None:
        key = f"femtobarn-{task.part.number}-{uuid4().hex}"
        future = self._client.submit(_work, self._job, task, key=key, pure=False)
        self._out[key] = future, task
        future.add_done_callback(self._back.put)

    def _count(self) -> int:
        """Worker threads, asked for now and then."""
        now = time.monotonic()
        if now - self._counted > _COUNT_SECONDS:
            self._threads = sum(self._client.nthreads().values())
            self._counted = now
            if self._threads:
                self._seen, self._revived = now, 0
        return self._threads

    def settled(self) -> Iterator[tuple[TaskResult, bytes | None]]:
        """Whatever has come back; blocks until something has.

        Raises
        ------
        FemtobarnError
            The scheduler or all workers are lost, or a worker refuses the job.
        """
        futures = [self._wait()]
        while not self._back.empty() and len(futures) < _GATHER:
            futures.append(self._back.get())
        for future in futures:
            _, task = self._out.pop(future.key)
            if future.status == "finished":
                yield future.result()
            elif not _worker_died(future):
                raise _failure(future)
            elif self._guilty(task):
                yield given_up(task, "killed, perhaps out of memory; see the worker's log"), None
            else:
                log.warning("a worker died while it held part %d; it is tried alone later", task.part.number)
                self._suspects.append(task)
            future.release()

    def _guilty(self, task: Task) -> bool:
        """Whether a task has ended enough workers, the last of them while it was alone."""
        self._deaths[task.part.number] += self._deaths_a_verdict
        return self._alone and self._deaths[task.part.number] >= DEADLY

    def _wait(self) -> Any:
        while True:
            try:
                return self._back.get(timeout=_COUNT_SECONDS)
            except Empty:
                if self._client.status != "running":
                    raise _lost() from None
                if not self._count():
                    self._bear_loneliness(time.monotonic() - self._seen)

    def _bear_loneliness(self, seconds: float) -> None:
        """No worker is left: start new ones where that is ours to do, and give up in the end."""
        if self._revive is not None and seconds > _REVIVE_SECONDS * (self._revived + 1):
            self._revived += 1
            self._revive()
        if seconds > _LONELY_SECONDS:
            raise FemtobarnError(
                f"all workers are gone, and none has come back within {_LONELY_SECONDS} s",
                action="look at the queue and the workers' logs, then: femtobarn resume RUN",
            )

    def cancel(self) -> None:
        """Take back what is still out."""
        if self._out and self._client.status == "running":
            self._client.cancel([future for future, _ in self._out.values()], force=True)


def _lost() -> FemtobarnError:
    return FemtobarnError("the Dask scheduler is lost",
                          action="start it again, then: femtobarn resume RUN")  # fmt: skip


def _worker_died(future: Any) -> bool:
    killed = _import("distributed").KilledWorker
    return future.status == "error" and isinstance(future.exception(), killed)


def _failure(future: Any) -> FemtobarnError:
    """What ends the run when a future brings no result."""
    if future.status != "error":
        return _lost()
    error = future.exception()
    if isinstance(error, FemtobarnError):
        return error
    return FemtobarnError(f"a worker cannot run the job: {type(error).__name__}: {error}",
                          action="do its nodes have the same environment as this one?")  # fmt: skip


def _work(job: Job, task: Task) -> tuple[TaskResult, bytes | None]:
    """On a worker: process a part; the thread keeps its analysis and open files."""
    if getattr(_kept, "job", None) != job:
        _kept.worker, _kept.job = Worker(job), job
    result, outcome = _kept.worker.attempt(task)
    return result, None if outcome is None else encode(outcome)

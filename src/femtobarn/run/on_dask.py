"""Parts on a Dask cluster: this machine's, a running one, or one that a batch system provides.

Plain futures, a bounded number in flight; outcomes come back as bytes and are stored here, so workers
need no access to the store.  Heavy imports stay inside: nobody else pays for them.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final
from uuid import uuid4

from femtobarn.errors import FemtobarnError
from femtobarn.run.codec import encode
from femtobarn.run.dask_cluster import Jobs, cluster_of, load, tell_dashboard
from femtobarn.run.queues import must_answer
from femtobarn.run.resources import Site
from femtobarn.run.store import Store
from femtobarn.run.worker import DEADLY, Job, Task, TaskResult, Worker, given_up, stamped

__all__ = ["run_on_address", "run_on_gateway", "run_on_site"]

log: Final = logging.getLogger("femtobarn.run")

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
    distributed = load("distributed")
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
        tell_dashboard(client.dashboard_link)
        _wait_for_worker(client, _CONNECT_SECONDS, where, lambda: "start one with: dask worker HOST:PORT")
        yield from _results(client, job, tasks)


def run_on_gateway(job: Job, tasks: Iterable[Task], site: Site, *, workers: int) -> Generator[TaskResult]:
    """Parts on a cluster of the Dask gateway that the environment (or the site) names."""
    gateway_module = load("dask_gateway")
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
        tell_dashboard(client.dashboard_link)
        _wait_for_worker(client, site.wait, f"site {site.name}", lambda: "look at the gateway's own page")
        yield from _results(client, job, tasks)


def run_on_site(
    job: Job, tasks: Iterable[Task], site: Site, *, workers: int, record: Path | None = None
) -> Generator[TaskResult]:
    """Parts on a cluster that is started for this run and ended with it, whatever ends it.

    ``record`` is a file that names the cluster's jobs while there are any: what is left of a run whose
    main process was killed can be found and ended by it.
    """
    distributed = load("distributed")
    with ExitStack() as stack:
        if site.kind != "local":
            must_answer(site.kind)
        stack.enter_context(_few_deaths())
        refusals: list[str] = []
        cluster = stack.enter_context(cluster_of(site, workers, refusals))
        jobs = Jobs(cluster, site, refusals, record if site.kind != "local" else None)
        stack.callback(jobs.forget)
        client = stack.enter_context(distributed.Client(cluster, set_as_default=False))
        tell_dashboard(client.dashboard_link)
        _wait_for_worker(client, site.wait, f"site {site.name}", jobs.explain, jobs.note)
        revive = functools.partial(_revive, cluster, workers if site.kind == "local" else 0)
        yield from _results(client, job, tasks, revive, jobs.note)


def _revive(cluster: Any, workers: int) -> None:
    """Start workers again: a local nanny whose worker dies while it starts gives up without a word."""
    if not workers:
        return
    log.warning("all workers are gone; starting them again")
    cluster.scale(0)
    cluster.scale(workers)


@contextmanager
def _few_deaths() -> Iterator[None]:
    """Have our own scheduler tell of every worker's death; what it means is decided here.

    A worker holds what it works on and nothing else, so that its death is blamed on few.
    """
    dask = load("dask")
    settings = {
        "distributed.scheduler.allowed-failures": 0,
        "distributed.scheduler.worker-saturation": 1.0,
    }
    with dask.config.set(settings):
        yield


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
            try:
                self._threads = sum(self._client.nthreads().values())
            except OSError as error:  # the connection broke before the client noticed
                raise _lost() from error
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
            with suppress(OSError):  # a scheduler that is lost holds nothing any more
                self._client.cancel([future for future, _ in self._out.values()], force=True)


def _lost() -> FemtobarnError:
    return FemtobarnError("the Dask scheduler is lost",
                          action="start it again, then: femtobarn resume RUN")  # fmt: skip


def _worker_died(future: Any) -> bool:
    killed = load("distributed").KilledWorker
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

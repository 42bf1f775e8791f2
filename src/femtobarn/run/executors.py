"""How parts are run: in this process, or in worker processes that may die without taking the run along.

An executor is handed tasks and yields results in any order; what is done with them never depends on
the order.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Final

from femtobarn.errors import FemtobarnError
from femtobarn.net import net_settings
from femtobarn.run.worker import DEADLY, Job, Task, TaskResult, Worker, given_up, stamped

__all__ = ["ONE_THREAD", "Executor", "processors", "run_in_processes", "run_serially"]

log: Final = logging.getLogger("femtobarn.run")

Executor = Callable[[Job, Iterable[Task]], Generator[TaskResult]]

#: Each worker computes with one thread; the processes are the parallelism.
ONE_THREAD: Final = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "ARROW_NUM_THREADS"),
    "1",
)


def run_serially(job: Job, tasks: Iterable[Task]) -> Generator[TaskResult]:
    """One part after the other, in this process."""
    worker = Worker(job)
    try:
        for task in tasks:
            yield worker.run(task)
    finally:
        worker.close()


def run_in_processes(job: Job, tasks: Iterable[Task], *, workers: int) -> Generator[TaskResult]:
    """Parts in ``workers`` processes.

    Each process holds exactly one task, so when one dies it is known which task it had; the process is
    replaced and the task tried again, up to three deaths.

    Raises
    ------
    FemtobarnError
        Workers die before they could take a task.
    StoreError
        A worker cannot store its results.
    """
    with _one_thread_each(workers):
        # A worker that replaces a dead one loads the code anew: it must still be the code of the run.
        pool = _Pool(stamped(job), tasks, workers)
        try:
            yield from pool.run()
        finally:
            pool.dismiss()


@contextmanager
def _one_thread_each(workers: int) -> Iterator[None]:
    """Environment for processes that are started inside; they share the requests that a server gets."""
    wanted = {**ONE_THREAD, "FEMTOBARN_PER_HOST": str(max(net_settings().per_host // workers, 1))}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@dataclass(eq=False)
class _Hand:
    """A worker process and the task it is busy with; ready once it has said so."""

    process: Any
    pipe: Connection
    task: Task
    ready: bool = False


class _Pool:
    """Worker processes, the tasks they hold, and those to be tried again."""

    def __init__(self, job: Job, tasks: Iterable[Task], workers: int) -> None:
        self._job = job
        self._workers = workers
        self._context = multiprocessing.get_context("spawn")
        self._fresh = iter(tasks)
        self._again: deque[Task] = deque()
        self._hands: list[_Hand] = []
        self._leaving: list[_Hand] = []
        self._deaths: Counter[int] = Counter()
        self._stillborn = 0

    def run(self) -> Iterator[TaskResult]:
        """Results as they come, until every task is decided."""
        while self._fill():
            for hand in self._reporting():
                result = self._hear(hand)
                if result is not None:
                    if hand in self._hands:
                        # The worker goes on while this result is dealt with.
                        self._next(hand)
                    yield result

    def _task(self) -> Task | None:
        return self._again.popleft() if self._again else next(self._fresh, None)

    def _fill(self) -> bool:
        """Have as many workers as are wanted and needed; False when there is nothing left to do."""
        while len(self._hands) < self._workers:
            task = self._task()
            if task is None:
                break
            self._hire(task)
        return bool(self._hands)

    def _hire(self, task: Task) -> None:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, self._job), daemon=True)
        process.start()
        theirs.close()
        hand = _Hand(process, ours, task)
        self._hands.append(hand)
        _give(hand)

    def _next(self, hand: _Hand) -> None:
        task = self._task()
        if task is None:
            self._hands.remove(hand)
            self._leaving.append(hand)
            hand.pipe.close()  # an idle worker ends when its pipe closes
        else:
            hand.task = task
            _give(hand)

    def _reporting(self) -> list[_Hand]:
        """Workers that have answered or died; blocks until there is one."""
        by_pipe: dict[Any, _Hand] = {hand.pipe: hand for hand in self._hands}
        by_sentinel: dict[Any, _Hand] = {hand.process.sentinel: hand for hand in self._hands}
        everything = by_pipe | by_sentinel
        return list(dict.fromkeys(everything[item] for item in wait(list(everything))))

    def _hear(self, hand: _Hand) -> TaskResult | None:
        """What a worker has to say: a result, an error that ends the run, or (None) that it is ready."""
        try:
            while hand.pipe.poll():
                answer = hand.pipe.recv()
                if isinstance(answer, BaseException):
                    raise answer
                if answer is not None:
                    return answer  # type: ignore[no-any-return]
                hand.ready = True
                self._stillborn = 0
        except (EOFError, OSError):
            return self._bury(hand)
        return None if hand.process.is_alive() else self._bury(hand)

    def _bury(self, hand: _Hand) -> TaskResult | None:
        """Deal with a death: the task is tried again, or given up."""
        self._hands.remove(hand)
        cause = _cause(_end(hand))
        task = hand.task
        if not hand.ready:
            self._stillborn += 1
            self._again.append(task)
            if self._stillborn >= DEADLY:
                raise FemtobarnError(
                    f"worker processes end before they start ({cause})",
                    action="use --executor serial to see why; a script must call femtobarn "
                    "under: if __name__ == '__main__'",
                )
            return None
        self._deaths[task.part.number] += 1
        log.warning("a worker died (%s) on part %d", cause, task.part.number)
        if self._deaths[task.part.number] < DEADLY:
            self._again.append(task)
            return None
        return given_up(task, cause)

    def dismiss(self) -> None:
        """End all workers; those in the middle of a part are not waited for."""
        for hand in self._hands:
            hand.process.terminate()
        for hand in (*self._hands, *self._leaving):
            _end(hand)


def _give(hand: _Hand) -> None:
    try:
        hand.pipe.send(hand.task)
    except OSError:
        log.debug("worker %s is gone; its task will be given to another", hand.process.pid)


def _end(hand: _Hand) -> int:
    """Make sure that a worker has ended; its exit code."""
    hand.pipe.close()
    hand.process.join(1)
    if hand.process.is_alive():
        hand.process.kill()
        hand.process.join()
    return int(hand.process.exitcode or 0)


def _cause(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name if -code in {int(s) for s in signal.Signals} else str(-code)
    hint = ", perhaps out of memory" if name == "SIGKILL" else ""
    return f"{name}{hint}"


def _serve(pipe: Connection, job: Job) -> None:
    """The life of a worker process: one task after the other until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process' to handle
    threading.Thread(target=_die_with_parent, daemon=True).start()
    try:
        worker = Worker(job)
        pipe.send(None)
        while True:
            pipe.send(worker.run(pipe.recv()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    except Exception as error:  # noqa: BLE001 - handed to the main process, which raises it
        pipe.send(
            error if isinstance(error, FemtobarnError) else FemtobarnError(f"a worker failed: {error!r}")
        )


def _die_with_parent() -> None:
    """End at once when the main process is gone, even in the middle of a part."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def processors() -> int:
    """Processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

"""How parts are run: in this process, or in worker processes that may die without taking the run along.

An executor is handed tasks and yields results in any order; what is done with them never depends on
the order.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Final

from femtobarn.errors import UsageError, nearest
from femtobarn.run.worker import Job, Task, TaskResult, Worker

__all__ = ["EXECUTORS", "Executor", "choose", "run_in_processes", "run_serially"]

log: Final = logging.getLogger("femtobarn.run")

Executor = Callable[[Job, Iterable[Task]], Iterator[TaskResult]]

#: A part that ends this many workers is given up.
_DEADLY: Final = 3
#: Fewer events than this are processed sooner than a worker process has started.
_WORTH_A_WORKER: Final = 300_000
#: Each worker computes with one thread; the processes are the parallelism.
_ONE_THREAD: Final = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "ARROW_NUM_THREADS"), "1")


def run_serially(job: Job, tasks: Iterable[Task]) -> Iterator[TaskResult]:
    """One part after the other, in this process."""
    worker = Worker(job)
    try:
        for task in tasks:
            yield worker.run(task)
    finally:
        worker.close()


@dataclass
class _Hand:
    """A worker process and the task it is busy with."""

    process: Any
    pipe: Connection
    task: Task | None = None


def run_in_processes(job: Job, tasks: Iterable[Task], *, workers: int) -> Iterator[TaskResult]:
    """Parts in ``workers`` processes.

    Each process holds exactly one task, so when one dies it is known which task it had; the process is
    replaced and the task tried again, up to three deaths.
    """
    context = multiprocessing.get_context("spawn")
    queue: deque[Task] = deque()
    source = iter(tasks)
    deaths: Counter[int] = Counter()
    hands: list[_Hand] = []
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(_ONE_THREAD)
    try:
        for _ in range(workers):
            task = next(source, None)
            if task is None:
                break
            hands.append(_hire(context, job))
            _give(hands[-1], task)
        while any(hand.task is not None for hand in hands):
            for hand in _ready(hands):
                result = _result(hand)
                if result is not None:
                    yield result
                else:
                    lost = hand.task
                    if lost is None:
                        raise RuntimeError("an idle worker reported")
                    deaths[lost.part.number] += 1
                    code = _bury(hand)
                    log.warning("a worker died (%s) on part %d", _cause(code), lost.part.number)
                    hands[hands.index(hand)] = hand = _hire(context, job)
                    if deaths[lost.part.number] < _DEADLY:
                        queue.append(lost)
                    else:
                        yield TaskResult(
                            lost.part, lost.key,
                            error=f"{lost.file.ref.url}: entries {lost.part.start}-{lost.part.stop}: "
                            f"ended {_DEADLY} workers ({_cause(code)})",
                        )  # fmt: skip
                following = queue.popleft() if queue else next(source, None)
                hand.task = None
                if following is not None:
                    _give(hand, following)
    finally:
        for hand in hands:
            _dismiss(hand)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _hire(context: Any, job: Job) -> _Hand:
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, job), daemon=True)
    process.start()
    theirs.close()
    return _Hand(process, ours)


def _give(hand: _Hand, task: Task) -> None:
    hand.task = task
    try:
        hand.pipe.send(task)
    except (BrokenPipeError, OSError):
        log.debug("worker %s is gone; its task will be given to another", hand.process.pid)


def _ready(hands: Iterable[_Hand]) -> list[_Hand]:
    """Busy workers that have answered or died; blocks until there is one."""
    busy = {hand.pipe: hand for hand in hands if hand.task is not None}
    by_sentinel = {hand.process.sentinel: hand for hand in busy.values()}
    found = wait([*busy, *by_sentinel])
    ready = [busy.get(item) or by_sentinel[item] for item in found]  # type: ignore[call-overload,index]
    return list({id(hand): hand for hand in ready}.values())


def _result(hand: _Hand) -> TaskResult | None:
    """The answer of a worker, or None if it died without one."""
    try:
        if hand.pipe.poll():
            answer = hand.pipe.recv()
            if isinstance(answer, BaseException):
                raise answer
            return answer  # type: ignore[no-any-return]
    except (EOFError, ConnectionResetError):
        pass
    return None


def _bury(hand: _Hand) -> int:
    hand.pipe.close()
    hand.process.join(5)
    if hand.process.is_alive():
        hand.process.kill()
        hand.process.join()
    return int(hand.process.exitcode or 0)


def _dismiss(hand: _Hand) -> None:
    """End a worker: by closing its pipe, and by force if it does not listen."""
    if hand.task is not None:
        hand.process.terminate()
    hand.pipe.close()
    hand.process.join(2)
    if hand.process.is_alive():
        hand.process.kill()
        hand.process.join()


def _cause(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name if -code in {int(s) for s in signal.Signals} else str(-code)
    hint = ", perhaps out of memory" if name == "SIGKILL" else ""
    return f"{name}{hint}"


def _serve(pipe: Connection, job: Job) -> None:
    """The life of a worker process: one task after the other until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process' to handle
    try:
        worker = Worker(job)
    except Exception as error:  # noqa: BLE001 - handed to the main process, which raises it
        pipe.send(error)
        return
    try:
        while True:
            pipe.send(worker.run(pipe.recv()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    finally:
        worker.close()


EXECUTORS: Final = ("auto", "serial", "processes")


def choose(name: str, *, workers: int | None, parts: int, events: int) -> tuple[str, Executor]:
    """The executor of this name for a plan of so many parts and events.

    ``auto`` stays in this process when starting workers would take longer than the work.
    """
    if name not in EXECUTORS:
        raise UsageError(f"unknown executor {name!r}", near=nearest(name, EXECUTORS),
                         action="choose one of " + ", ".join(EXECUTORS))  # fmt: skip
    if workers is not None and workers < 1:
        raise UsageError(f"--workers must be at least 1, not {workers}")
    count = min(workers or _processors(), max(parts, 1))
    small = workers is None and (count == 1 or events < _WORTH_A_WORKER)
    if name == "serial" or (name == "auto" and small):
        return "serial", run_serially
    return "processes", lambda job, tasks: run_in_processes(job, tasks, workers=count)


def _processors() -> int:
    """Processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

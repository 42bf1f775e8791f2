"""Parts in threads of this process: nothing to start, for jobs that last some seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from itertools import islice

from femtobarn.run.worker import Job, Task, TaskResult, Worker

__all__ = ["run_in_threads"]


def run_in_threads(job: Job, tasks: Iterable[Task], *, workers: int) -> Generator[TaskResult]:
    """Parts in ``workers`` threads, each with files and resources of its own.

    Decompression and compiled kernels run side by side, Python code does not.  A part that ends its process
    ends the run, which can be resumed.

    Raises
    ------
    StoreError
        Results cannot be stored.
    """
    waiting, own = iter(tasks), threading.local()
    opened: list[Worker] = []

    def process(task: Task) -> TaskResult:
        if not hasattr(own, "worker"):
            own.worker = Worker(job, clock=time.thread_time)
            opened.append(own.worker)
        result: TaskResult = own.worker.run(task)
        return result

    with ThreadPoolExecutor(workers, "part") as pool:
        busy = {pool.submit(process, task) for task in islice(waiting, workers)}
        try:
            while busy:
                done, busy = wait(busy, return_when=FIRST_COMPLETED)
                # The threads go on while these results are dealt with.
                busy |= {pool.submit(process, task) for task in islice(waiting, len(done))}
                for future in done:
                    yield future.result()
        finally:
            wait(busy)
            for worker in opened:
                worker.close()

"""Many equal, independent pieces of work after a run: here, or in worker processes."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from femtobarn.run.executors import ONE_THREAD, processors

__all__ = ["in_pool"]

#: Fewer pieces than this are done sooner than worker processes have started.
_WORTH_A_POOL: Final = 60

Item = TypeVar("Item")
Made = TypeVar("Made")


def in_pool(work: Callable[[Item], Made], items: Sequence[Item], *, workers: int | None = None) -> list[Made]:
    """Results in the order of the items; in worker processes if there are many items or it is asked for."""
    count = min(workers or (processors() if len(items) >= _WORTH_A_POOL else 1), max(len(items), 1))
    if count <= 1:
        return [work(item) for item in items]
    for name, value in ONE_THREAD.items():
        os.environ.setdefault(name, value)
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(count, mp_context=context) as pool:
        queue = pool._call_queue  # type: ignore[attr-defined]  # noqa: SLF001
        try:
            return list(pool.map(work, items, chunksize=max(1, min(8, len(items) // (4 * count)))))
        except BaseException:
            # A stop reaches the workers, too; work that nobody takes any more must not hold up the end.
            queue.cancel_join_thread()
            pool.shutdown(wait=False, cancel_futures=True)
            raise

"""Many equal, independent pieces of work after a run: here, or in worker processes."""

from __future__ import annotations

import concurrent.futures
import logging
import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeVar

from femtobarn.run.executors import ONE_THREAD, processors

__all__ = ["in_pool"]

#: Fewer pieces than this are done sooner than worker processes have started.
_WORTH_A_POOL: Final = 60

#: Seconds between two lines that say how far the work is.
_LINE_EVERY: Final = 10.0

log: Final = logging.getLogger("femtobarn.notice")

Item = TypeVar("Item")
Made = TypeVar("Made")


def in_pool(
    work: Callable[[Item], Made], items: Sequence[Item], *, workers: int | None = None, what: str = ""
) -> list[Made]:
    """Results in the order of the items; in worker processes if there are many items or it is asked for.

    With ``what`` the items are, long work says from time to time how many of them are done.
    """
    count = min(workers or (processors() if len(items) >= _WORTH_A_POOL else 1), max(len(items), 1))
    if count <= 1:
        return list(_noted(map(work, items), len(items), what))
    for name, value in ONE_THREAD.items():
        os.environ.setdefault(name, value)
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(count, mp_context=context) as pool:
        queue = pool._call_queue  # type: ignore[attr-defined]  # noqa: SLF001
        try:
            made = pool.map(work, items, chunksize=max(1, min(8, len(items) // (4 * count))))
            return list(_noted(made, len(items), what))
        except BaseException:
            # A stop reaches the workers, too; work that nobody takes any more must not hold up the end.
            queue.cancel_join_thread()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _noted(made: Iterable[Made], total: int, what: str) -> Iterator[Made]:
    last = time.monotonic()
    for done, one in enumerate(made, 1):
        yield one
        if what and time.monotonic() - last > _LINE_EVERY:
            last = time.monotonic()
            log.info("%d of %d %s done", done, total, what)

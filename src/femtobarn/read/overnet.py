"""uproot reading through :class:`RemoteFile`, which knows replicas, limits and joined ranges."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

__all__ = ["remote_handler"]


@functools.cache
def remote_handler() -> Any:
    """The class that ``uproot.open(url, handler=..., remote=RemoteFile)`` reads with."""
    from uproot.source.chunk import Chunk
    from uproot.source.chunk import Source as UprootSource
    from uproot.source.futures import TrivialFuture

    class RemoteSource(UprootSource):  # type: ignore[misc]
        """Chunks from a :class:`RemoteFile`; everything happens in the thread that asks."""

        def __init__(self, file_path: str, **options: Any) -> None:
            super().__init__()
            self._file_path = file_path
            self._remote = options["remote"]
            self._num_bytes = self._remote.size

        def chunk(self, start: int, stop: int) -> Any:
            self._num_requests += 1
            self._num_requested_chunks += 1
            self._num_requested_bytes += stop - start
            data = np.frombuffer(self._remote.read_range(int(start), int(stop)), dtype=np.uint8)
            return Chunk(self, start, stop, TrivialFuture(data))

        def chunks(self, ranges: list[tuple[int, int]], notifications: Any) -> list[Any]:
            self._remote.prefetch([(int(start), int(stop)) for start, stop in ranges])
            found = [self.chunk(start, stop) for start, stop in ranges]
            for each in found:
                notifications.put(each)
            return found

        @property
        def closed(self) -> bool:
            return bool(self._remote.closed)

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            self._remote.close()

    return RemoteSource

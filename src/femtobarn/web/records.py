"""Records in memory, read again when a source has changed."""

from __future__ import annotations

import threading
from pathlib import Path

from femtobarn.api.refrun.records import LoadedRecords, RecordSources, load_records

__all__ = ["CurrentRecords"]

Stamp = tuple[tuple[int, int] | None, ...]


class CurrentRecords:
    """Reads the sources at once, and again when one of the files has changed.

    Raises
    ------
    FemtobarnError
        If a source is missing or wrong.
    """

    def __init__(self, sources: RecordSources) -> None:
        self.sources = sources
        self._lock = threading.Lock()
        self._stamp = self._now()
        self._loaded = load_records(sources)

    def _now(self) -> Stamp:
        stamps: list[tuple[int, int] | None] = []
        for name in (self.sources.pairs, self.sources.runs, self.sources.lumisections, self.sources.store):
            path = Path(name) if name else None
            # A store in use grows its log before the file itself.
            for item in (path, path.with_name(path.name + "-wal") if path else None):
                found = item.stat() if item is not None and item.is_file() else None
                stamps.append((found.st_mtime_ns, found.st_size) if found else None)
        return tuple(stamps)

    def get(self) -> LoadedRecords:
        """The records as the sources have them now."""
        with self._lock:
            stamp = self._now()
            if stamp != self._stamp:
                self._loaded = load_records(self.sources)
                self._stamp = stamp
            return self._loaded

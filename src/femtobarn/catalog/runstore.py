"""What was fetched, in one SQLite file: records with their origin, and what was asked for.

Two processes may use it at once, and a killed one leaves whole batches.  Ranges that were asked for are
remembered with their answers, also empty ones, so that nothing is asked twice.
"""

from __future__ import annotations

import functools
import json
import logging
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote

from femtobarn.catalog.oms import Row
from femtobarn.catalog.runrecords import Pair, RunKey, class_from_dataset
from femtobarn.catalog.runtable import RunTable
from femtobarn.catalog.stored import StoredRecords, StoredRuns, StoredSections
from femtobarn.errors import DataError, StoreError
from femtobarn.folders import shared_disk
from femtobarn.locks import locked

__all__ = ["RunStore", "read_store", "subtract"]

notice: Final = logging.getLogger("femtobarn.notice")

_VERSION: Final = 1
#: How long to wait for another process that uses the store, s.
_PATIENCE: Final = 60.0
#: Runs younger than this may still change in the source [s].
RECENT: Final = 7 * 86_400.0
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS records (
  resource TEXT NOT NULL, id TEXT NOT NULL, run INTEGER, fill INTEGER, number INTEGER,
  payload TEXT NOT NULL, units TEXT NOT NULL, source TEXT NOT NULL, fetched REAL NOT NULL,
  PRIMARY KEY (resource, id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS records_run ON records (resource, run);
CREATE TABLE IF NOT EXISTS asked (
  resource TEXT NOT NULL, source TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
  fetched REAL NOT NULL);
CREATE TABLE IF NOT EXISTS pairs (
  run INTEGER NOT NULL, reco TEXT NOT NULL, reference INTEGER NOT NULL, reference_reco TEXT NOT NULL,
  dataset TEXT, position INTEGER NOT NULL, source TEXT NOT NULL, fetched REAL NOT NULL,
  PRIMARY KEY (run, reco)) WITHOUT ROWID;
"""

Range = tuple[int, int]


def subtract(wanted: Iterable[Range], known: Iterable[Range]) -> list[Range]:
    """Parts of the inclusive ranges ``wanted`` that no range of ``known`` covers, in order."""
    left = sorted(wanted)
    for low, high in sorted(known):
        rest: list[Range] = []
        for first, last in left:
            if high < first or low > last:
                rest.append((first, last))
                continue
            if first < low:
                rest.append((first, low - 1))
            if last > high:
                rest.append((high + 1, last))
        left = rest
    return left


@contextmanager
def _connected(path: Path) -> Iterator[sqlite3.Connection]:
    """An open database.

    SQLite's locks and its write-ahead log need one machine's memory.  On a disk that others see too, one
    process at a time has the store, by a lock file, and changes go through a rollback journal.
    """
    kind = shared_disk(path)
    with ExitStack() as stack:
        if kind:
            _say_shared(path, kind)
            stack.enter_context(locked(path.parent, f"{path.name}.lock", patience=_PATIENCE))
            address = f"file:{quote(str(path.absolute()))}?vfs=unix-none"
            opened = sqlite3.connect(address, uri=True, isolation_level=None)
            opened.execute("PRAGMA locking_mode=EXCLUSIVE")
        else:
            opened = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)
        database = stack.enter_context(closing(opened))
        # Changing the journal also ends a log that was left by an opening on another machine's own disk.
        database.execute(f"PRAGMA journal_mode={'DELETE' if kind else 'WAL'}")
        database.execute(f"PRAGMA synchronous={'FULL' if kind else 'NORMAL'}")
        yield database


@functools.cache
def _say_shared(path: Path, kind: str) -> None:
    """Once a process and store."""
    notice.info("%s is on a shared disk (%s): one process at a time uses it", path, kind)


class RunStore:
    """A store file; use as a context manager."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._clock = clock
        self._open = ExitStack()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = self._open.enter_context(_connected(path))
            self._db.executescript(_TABLES)
            with self._transaction():
                self._db.execute("INSERT OR IGNORE INTO about VALUES ('version', ?)", (str(_VERSION),))
            version = self._db.execute("SELECT value FROM about WHERE name='version'").fetchone()[0]
        except (sqlite3.Error, OSError) as error:
            self._open.close()
            raise StoreError(f"is no store of run records, or cannot be written: {error}", where=str(path),
                             action="choose another --store") from error  # fmt: skip
        if version != str(_VERSION):
            self._open.close()
            raise StoreError(f"was written by another version ({version})", where=str(path),
                             action="fetch into a new store")  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def missing(self, resource: str, source: str, wanted: Sequence[Range]) -> list[Range]:
        """What of the wanted ranges nobody has asked this source for yet."""
        rows = self._db.execute(
            "SELECT first, last FROM asked WHERE resource=? AND source=?", (resource, source)
        )
        return subtract(wanted, rows.fetchall())

    def put(self, resource: str, source: str, asked: Range, rows: Sequence[Row]) -> int:
        """Keep the answer to one range: all of it or, if the process dies, nothing.

        Young runs are kept, but their numbers do not count as asked for; nor do those above the newest one:
        there may be more runs tomorrow.
        """
        now = self._clock()
        table = [self._record(resource, row, source, now) for row in rows]
        unsettled = self._unsettled(resource, rows, asked, now)
        with self._transaction():
            self._db.executemany("INSERT OR REPLACE INTO records VALUES (?,?,?,?,?,?,?,?,?)", table)
            for first, last in subtract([asked], unsettled):
                self._db.execute("INSERT INTO asked VALUES (?,?,?,?,?)", (resource, source, first, last, now))
        return len(table)

    @staticmethod
    def _record(resource: str, row: Row, source: str, now: float) -> tuple[Any, ...]:
        values = row.values
        return (
            resource,
            row.id,
            values.get("run_number"),
            values.get("fill_number"),
            values.get("lumisection_number"),
            json.dumps(dict(values), sort_keys=True),
            json.dumps(dict(row.units), sort_keys=True),
            source,
            now,
        )

    def _unsettled(self, resource: str, rows: Sequence[Row], asked: Range, now: float) -> list[Range]:
        """Numbers whose record may still change (ended less than a week ago), or come after those."""
        if resource == "lumisections":
            stored = self._db.execute(
                "SELECT run, payload FROM records WHERE resource='runs' AND run BETWEEN ? AND ?", asked
            )
            ended = {int(run): json.loads(payload) for run, payload in stored}
        else:
            key = "fill_number" if resource == "fills" else "run_number"
            ended = {int(row.values[key]): row.values for row in rows}
        newest = max(ended, default=0)
        return [
            (number, asked[1] if number == newest else number)
            for number, values in ended.items()
            if _is_recent(values, now)
        ]

    def put_pairs(self, pairs: Sequence[Pair], source: str) -> int:
        """Replace the pair list: an export is the whole truth."""
        now = self._clock()
        with self._transaction():
            self._db.execute("DELETE FROM pairs")
            self._db.executemany(
                "INSERT INTO pairs VALUES (?,?,?,?,?,?,?,?)",
                [(p.key.run, p.key.reco, p.reference.run, p.reference.reco, p.dataset, p.order, source, now)
                 for p in pairs],
            )  # fmt: skip
        return len(pairs)

    def pairs_age(self) -> float | None:
        """Seconds since the pairs were fetched; None if there are none."""
        found = self._db.execute("SELECT MAX(fetched) FROM pairs").fetchone()[0]
        return None if found is None else self._clock() - float(found)

    def count(self, resource: str, ranges: Sequence[Range] | None = None) -> int:
        """Records of a resource, all or in ranges (of fills for ``fills``, else of runs)."""
        if resource == "pairs":
            return int(self._db.execute("SELECT COUNT(*) FROM pairs").fetchone()[0])
        if ranges is None:
            sql, rows = "SELECT COUNT(*) FROM records WHERE resource=?", [(resource,)]
        else:
            column = "fill" if resource == "fills" else "run"
            sql = f"SELECT COUNT(*) FROM records WHERE resource=? AND {column} BETWEEN ? AND ?"  # noqa: S608
            rows = [(resource, first, last) for first, last in ranges]  # type: ignore[misc]
        return sum(int(self._db.execute(sql, row).fetchone()[0]) for row in rows)

    def fills_of(self, ranges: Sequence[Range]) -> list[int]:
        """Fill numbers of stored runs and lumisections in ranges."""
        found: set[int] = set()
        for first, last in ranges:
            rows = self._db.execute(
                "SELECT DISTINCT fill FROM records WHERE resource IN ('runs', 'lumisections') "
                "AND run BETWEEN ? AND ? AND fill IS NOT NULL", (first, last),
            )  # fmt: skip
            found |= {int(row[0]) for row in rows}
        return sorted(found)

    def read(self) -> StoredRecords:
        """Everything, as values for ranking."""
        return StoredRecords(self._pairs(), self._runs(), self._lumisections())

    def _pairs(self) -> tuple[Pair, ...]:
        rows = self._db.execute("SELECT run, reco, reference, reference_reco, dataset, position FROM pairs "
                                "ORDER BY position")  # fmt: skip
        return tuple(
            Pair(RunKey(run, reco), RunKey(ref, ref_reco), dataset, position, class_from_dataset(dataset))
            for run, reco, ref, ref_reco, dataset, position in rows
        )

    def _runs(self) -> RunTable:
        fills = self._db.execute("SELECT fill, payload FROM records WHERE resource='fills'")
        query = "SELECT run, fill, payload, source FROM records WHERE resource='runs' ORDER BY run"
        rows = {run: (fill, payload, source) for run, fill, payload, source in self._db.execute(query)}
        return RunTable(StoredRuns(rows, dict(fills.fetchall())), self.path.name)

    def _lumisections(self) -> StoredSections | None:
        query = "SELECT run, payload FROM records WHERE resource='lumisections' ORDER BY run, number"
        payloads: dict[int, list[str]] = {}
        for run, payload in self._db.execute(query):
            payloads.setdefault(run, []).append(payload)
        return StoredSections(payloads, str(self.path)) if payloads else None


def _is_recent(values: Any, now: float) -> bool:
    """Whether a record ended less than a week ago; undated ones did not."""
    text = values.get("end_time") or values.get("start_time")
    if not isinstance(text, str):
        return False
    try:
        ended = datetime.fromisoformat(text)
    except ValueError:
        return False
    if ended.tzinfo is None:
        ended = ended.replace(tzinfo=UTC)
    return now - ended.timestamp() < RECENT


def read_store(path: Path) -> StoredRecords:
    """Read an existing store.

    Raises
    ------
    DataError
        If there is none.
    """
    if not path.is_file():
        raise DataError("no such store", where=str(path), action=f"femtobarn refrun fetch --store {path} ...")
    with RunStore(path) as store:
        return store.read()

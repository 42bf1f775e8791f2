"""Events that occur more than once in the files of a dataset: overlapping streams, two skims of one set."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.errors import DataError
from femtobarn.folders import cache_root
from femtobarn.read import missing_columns, open_source, read_events
from femtobarn.records import Dataset

__all__ = ["find_duplicates", "read_duplicates", "write_duplicates"]

Ints = NDArray[np.int64]
#: Logical names of what tells events from each other; files of the education releases have no second one.
_IDS: Final = ("run", "lumi", "event")


def find_duplicates(
    datasets: Iterable[Dataset], schemas: Sequence[str], used: Mapping[str, int] | None = None
) -> dict[int, Ints]:
    """Entries that an earlier file (or entry) of the same dataset holds already, by number of the file.

    Reads three columns of all files; holds 40 bytes an event of one dataset in memory.

    Parameters
    ----------
    datasets : in the order of the plan; files are numbered through them
    schemas : names of the schemas the files may have; empty = whatever matches
    used : {dataset: number of files}, optional
        Only the first so many files.

    Raises
    ------
    DataError
        A file has no run or event number.
    """
    found: dict[int, Ints] = {}
    number = 0
    for dataset in datasets:
        parts = []
        most = len(dataset.files) if used is None else used.get(dataset.name, len(dataset.files))
        for i, ref in enumerate(dataset.files):
            if i < most:
                ids = _ids(ref, schemas)
                file = np.full(len(ids), number + i, dtype=np.int64)
                parts.append(np.column_stack([ids, file, np.arange(len(ids))]))
        number += len(dataset.files)
        found |= _repeated(np.concatenate(parts)) if parts else {}
    return found


def _ids(ref: Any, schemas: Sequence[str]) -> Ints:
    """(n, 3) run, luminosity section (0 where a release has none) and event."""
    source = open_source(ref, schemas)
    try:
        missing = set(missing_columns(source, _IDS))
        if missing & {"run", "event"}:
            raise DataError(
                "holds no run and event numbers: repeated events cannot be told from others",
                where=ref.url, action="leave deduplicate out, or choose files with event numbers",
            )  # fmt: skip
        names = [name for name in _IDS if name not in missing]
        events = read_events(source, names, (), 0, source.entries, where=ref.url)
    finally:
        source.close()
    zero = np.zeros(len(events), dtype=np.int64)
    return np.column_stack([events.flat(n).astype(np.int64) if n in names else zero for n in _IDS])


def _repeated(table: Ints) -> dict[int, Ints]:
    """Of rows (run, lumi, event, file, entry) those whose event came before, by file."""
    order = np.lexsort(table.T[::-1])
    ids = table[order, :3]
    again = np.flatnonzero((ids[1:] == ids[:-1]).all(axis=1)) + 1
    file, entry = table[order[again], 3], table[order[again], 4]
    return {int(number): np.sort(entry[file == number]) for number in np.unique(file)}


def write_duplicates(found: Mapping[int, Ints]) -> Path:
    """Keep the list in the cache, under the hash of its content."""
    out = io.BytesIO()
    np.savez(out, **{str(number): entries for number, entries in sorted(found.items())})  # type: ignore[arg-type]
    data = out.getvalue()
    path = cache_root() / "duplicates" / f"{hashlib.sha256(data).hexdigest()}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".tmp")
    scratch.write_bytes(data)
    scratch.replace(path)
    return path


def read_duplicates(path: Path) -> dict[int, Ints]:
    """The list back: repeated entries by number of the file."""
    with np.load(path, allow_pickle=False) as archive:
        return {int(name): archive[name] for name in archive.files}

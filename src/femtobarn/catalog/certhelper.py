"""Lists of certified runs and their references: the five-key JSON of CertHelper, and CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from femtobarn.catalog.runrecords import Pair, RunKey, class_from_dataset, parse_reco
from femtobarn.errors import DataError, nearest

__all__ = ["KEYS", "PairList", "pairs_from_json", "read_pairs", "read_run_list"]

#: The keys of one entry of the export.
KEYS: Final = (
    "run_number",
    "run_reconstruction_type",
    "reference_run_number",
    "reference_run_reconstruction_type",
    "dataset",
)


@dataclass(frozen=True)
class PairList:
    """Pairs, one a run and reconstruction, in the order of the file; and what was odd about it."""

    pairs: tuple[Pair, ...]
    source: str
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.pairs)


def read_pairs(path: str | Path) -> PairList:
    """Read a pair list.

    Raises
    ------
    DataError
        Naming file and row: truncated JSON, missing or unknown keys, bad numbers, an unknown
        reconstruction, or one run and reconstruction with two different references.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataError("no such list of pairs", where=str(path), action="check the path") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the list of pairs cannot be read: {error}", where=str(path)) from error
    if not text.strip():
        raise DataError("the list of pairs is empty", where=str(path),
                        action="export it again, or point --pairs to a pair list")  # fmt: skip
    if text.lstrip()[0] in "[{":
        return pairs_from_json(text, source=str(path))
    return _unique(_csv_rows(text, str(path)), str(path))


def pairs_from_json(text: str, *, source: str) -> PairList:
    """Pairs from the text of an export."""
    try:
        rows = json.loads(text)
    except ValueError as error:
        raise DataError(f"is not valid JSON, perhaps cut short: {error}", where=source,
                        action="export the list again")  from error  # fmt: skip
    if not isinstance(rows, list):
        raise DataError("is not a list of pairs", where=source,
                        action=f"expected [{{{', '.join(KEYS)}}}, ...]")  # fmt: skip
    return _unique(_json_rows(rows, source), source)


Row = tuple[str, int, Mapping[str, Any]]


def _json_rows(rows: list[Any], source: str) -> Iterator[Row]:
    for i, row in enumerate(rows):
        where = f"{source}, entry {i + 1}"
        if not isinstance(row, dict):
            raise DataError("is not an object", where=where, action=f"expected {', '.join(KEYS)}")
        _check_keys(row, where)
        yield where, i, row


def _csv_rows(text: str, source: str) -> Iterator[Row]:
    reader = csv.reader(text.splitlines(keepends=True))
    names = next((cells for cells in reader if cells), [])
    _check_keys(names, source)
    for i, cells in enumerate(cells for cells in reader if cells):
        where = f"{source}:{reader.line_num}"
        if len(cells) != len(names):
            raise DataError("has another number of cells than the header", where=where)
        yield where, i, dict(zip(names, cells, strict=True))


def _check_keys(found: Iterable[str], where: str) -> None:
    names = list(found)
    for key in KEYS:
        if key not in names:
            raise DataError(f"lacks {key!r}", where=where, near=nearest(key, set(names) - set(KEYS)),
                            action=f"a pair has the keys {', '.join(KEYS)}")  # fmt: skip


def _unique(rows: Iterator[Row], source: str) -> PairList:
    """Merge identical repeats; refuse conflicts."""
    found: dict[RunKey, Pair] = {}
    repeats = disagreeing = 0
    for where, position, row in rows:
        pair = _pair(row, position, where)
        stated = str(row.get("class") or "")
        disagreeing += bool(stated) and stated not in (pair.run_class, "tbd", "undefined")
        before = found.get(pair.key)
        if before is None:
            found[pair.key] = pair
        elif (before.reference, before.dataset) == (pair.reference, pair.dataset):
            repeats += 1
        else:
            _refuse(before, pair, where)
    if not found:
        raise DataError("the list of pairs is empty", where=source, action="export it again")
    warnings = []
    if repeats:
        warnings.append(f"{source}: {repeats} identical repeats were merged")
    if disagreeing:
        warnings.append(f"{source}: the class of {disagreeing} rows is not that of their dataset's name; "
                        "the dataset counts")  # fmt: skip
    return PairList(tuple(found.values()), source, tuple(warnings))


def _refuse(before: Pair, pair: Pair, where: str) -> None:
    key = pair.key
    if before.reference != pair.reference:
        raise DataError(
            f"run {key.run} {key.reco} has two references, {before.reference.run} "
            f"({before.reference.reco}) and {pair.reference.run} ({pair.reference.reco})",
            where=where, action="remove the wrong one from the list",
        )  # fmt: skip
    raise DataError(
        f"run {key.run} {key.reco} appears with two datasets, {before.dataset!r} and {pair.dataset!r}",
        where=where,
        action="remove the wrong one from the list",
    )


def _pair(row: Mapping[str, Any], position: int, where: str) -> Pair:
    dataset = row["dataset"]
    if dataset is not None and not isinstance(dataset, str):
        raise DataError(f"the dataset {dataset!r} is no text", where=where)
    name = (dataset or "").strip() or None
    key = RunKey(_run(row, "run_number", where), parse_reco(row["run_reconstruction_type"], where=where))
    reference = RunKey(
        _run(row, "reference_run_number", where),
        parse_reco(row["reference_run_reconstruction_type"], where=where),
    )
    order = row.get("order")
    if order in (None, ""):
        order = position
    else:
        order = _integer(order, "order", where)
    return Pair(key, reference, name, order, class_from_dataset(name))


def _run(row: Mapping[str, Any], key: str, where: str) -> int:
    number = _integer(row[key], key, where)
    if number <= 0:
        raise DataError(f"{key} is {number}, which is no run", where=where)
    return number


def _integer(value: Any, key: str, where: str) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and value != int(value)):
        raise DataError(f"{key} is {value!r}, not a whole number", where=where)
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{key} is {value!r}, not a whole number", where=where) from error


def read_run_list(path: str | Path) -> tuple[int, ...]:
    """Run numbers from a file: one or more a line, or a JSON list; ``#`` starts a comment."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataError("no such list of runs", where=str(path), action="check the path") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the list of runs cannot be read: {error}", where=str(path)) from error
    runs: list[int] = []
    for number, line in enumerate(text.splitlines(), 1):
        for word in line.partition("#")[0].replace(",", " ").strip("[] \t").split():
            runs += [_integer(word.strip("[]\"'"), "run number", f"{path}:{number}")]
    if not runs:
        raise DataError("the list of runs is empty", where=str(path),
                        action="write run numbers into it, or leave the flag out")  # fmt: skip
    return tuple(dict.fromkeys(runs))

"""Lists of dataset names as ``fetch-datasets`` takes them: ``name dataset`` lines or YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

import yaml

from femtobarn.catalog.grid import das_dataset, redirector
from femtobarn.catalog.local import expand
from femtobarn.catalog.resolving import first_files
from femtobarn.errors import ConfigError, DataError, UsageError, nearest
from femtobarn.records import Dataset

__all__ = ["Entry", "datasets_of_list", "read_dataset_list"]

_KEYS: Final = ("name", "dataset", "metadata")
_TREE: Final = "Events"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a list: a name and what is behind it; ``where`` is its place in the file."""

    name: str
    datasets: tuple[str, ...]
    where: str
    metadata: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


def read_dataset_list(path: Path) -> tuple[Entry, ...]:
    """Read a ``.txt`` or ``.yaml`` list.

    Raises
    ------
    ConfigError
        A malformed line or entry, with its place; a name that appears twice; an empty list.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"cannot be read: {getattr(error, 'strerror', None) or error}", where=str(path)
        ) from error
    is_yaml = path.suffix.lower() in (".yaml", ".yml")
    entries = _from_yaml(text, path) if is_yaml else _from_lines(text, path)
    seen: set[str] = set()
    for entry in entries:
        if entry.name in seen:
            raise ConfigError(f"the name {entry.name!r} appears twice", where=entry.where)
        seen.add(entry.name)
    if not entries:
        raise ConfigError("lists no datasets", where=str(path), action="write lines of: NAME DATASET")
    return entries


def _from_lines(text: str, path: Path) -> tuple[Entry, ...]:
    entries = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = (
            line.partition("#")[0].split() if line.lstrip().startswith("#") else line.split(" #")[0].split()
        )
        if not words:
            continue
        if len(words) != 2:
            raise ConfigError(f"has {len(words)} words: a line is NAME DATASET", where=f"{path}:{number}")
        entries.append(Entry(words[0], (words[1],), f"{path}:{number}"))
    return tuple(entries)


def _from_yaml(text: str, path: Path) -> tuple[Entry, ...]:
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        where = f"{path}:{line + 1}" if line is not None else str(path)
        raise ConfigError(f"is not valid YAML: {getattr(error, 'problem', error)}", where=where) from error
    rows = content.get("datasets") if isinstance(content, dict) else None
    if not isinstance(rows, list):
        raise ConfigError("has no list 'datasets'", where=str(path),
                          action="write datasets: [{name: N, dataset: [..]}]")  # fmt: skip
    return tuple(_entry(row, f"{path}: datasets[{i}]") for i, row in enumerate(rows))


def _entry(row: Any, where: str) -> Entry:
    if not isinstance(row, dict):
        raise ConfigError("must be a table of name, dataset, metadata", where=where)
    for key in row:
        if key not in _KEYS:
            raise ConfigError(f"unknown key {key!r}", where=where, near=nearest(str(key), _KEYS))
    names = row.get("dataset")
    names = [names] if isinstance(names, str) else names
    if not isinstance(row.get("name"), str) or not names or not all(isinstance(n, str) for n in names):
        raise ConfigError("needs a name and a dataset (or a list of them)", where=where)
    metadata = row.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise ConfigError("metadata must be a table", where=where)
    return Entry(row["name"], tuple(names), where, MappingProxyType(metadata))


def datasets_of_list(
    entries: tuple[Entry, ...],
    *,
    mode: Literal["grid", "local"] = "grid",
    where: str | None = None,
    xrootd: str | None = None,
    instance: str | None = None,
    recursive: bool = False,
    extension: str = ".root",
    limit: int | None = None,
) -> tuple[Dataset, ...]:
    """The datasets of a list with all their files (the first ``limit``), in sorted order.

    Raises
    ------
    UsageError
        A limit below 1, an unknown region or instance.
    DataError, NetworkError
        One of the datasets has no files, or its query failed; no shorter list is made.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit} would list nothing", action="use a number from 1, or leave it out")
    found = []
    for entry in entries:
        files = []
        for name in entry.datasets:
            if mode == "local":
                files += list(expand(name, recursive=recursive, extension=extension, tree=_TREE))
            else:
                prefix = redirector(where, xrootd)
                files += list(das_dataset(name, instance=instance, prefix=prefix).files)
        if len({ref.url for ref in files}) < len(files):
            raise ConfigError("lists a file twice", where=entry.where, action="name every dataset once")
        found.append(Dataset(entry.name, tuple(files), entry.metadata))
    return first_files(found, limit) if limit is not None else tuple(found)

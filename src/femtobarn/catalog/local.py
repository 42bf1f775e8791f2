"""Datasets from paths and globs, as ``--files DATASET=GLOB`` gives them."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from femtobarn.errors import DataError, UsageError, nearest
from femtobarn.records import Dataset, FileRef

__all__ = ["datasets_from_files", "expand", "split_tree"]

_NAMED: Final = re.compile(r"^(?P<name>[A-Za-z0-9_.+-]+)=(?P<path>.+)$")
_TREE: Final = re.compile(r"^(?P<path>.+\.(?:root|parquet|csv))(?::(?P<tree>[^/\\]+))?$", re.IGNORECASE)


def datasets_from_files(options: Iterable[str]) -> tuple[Dataset, ...]:
    """One dataset a name, in order of first mention; a bare path belongs to the dataset ``data``.

    Examples
    --------
    >>> [d.name for d in datasets_from_files(["x=https://a.org/1.root", "x=https://a.org/2.root"])]
    ['x']
    """
    files: dict[str, list[FileRef]] = {}
    for option in options:
        match = _NAMED.match(option)
        name, path = (match["name"], match["path"]) if match else ("data", option)
        files.setdefault(name, []).extend(expand(path))
    return tuple(Dataset(name, tuple(refs)) for name, refs in files.items())


def split_tree(path: str) -> tuple[str, str | None]:
    """Split ``FILE.root:TREE``."""
    match = _TREE.match(path)
    return (match["path"], match["tree"]) if match else (path, None)


def expand(path: str) -> Sequence[FileRef]:
    """The files behind a path or glob, sorted; none at all is an error."""
    url, tree = split_tree(path)
    if "://" in url:
        return (FileRef(url, tree),)
    url = str(Path(url).expanduser())
    if Path(url).is_dir():
        raise UsageError("is a folder", where=url, action=f"name its files, for example '{url}/*.root'")
    if not glob.has_magic(url):
        if not Path(url).exists():
            parent = Path(url).parent
            beside = [item.name for item in parent.iterdir()] if parent.is_dir() else []
            raise DataError("no such file", where=url, near=nearest(Path(url).name, beside))
        return (FileRef(url, tree),)
    # Not Path.glob: the pattern may start at the root or above the working directory.
    found = sorted(item for item in glob.glob(url, recursive=True) if Path(item).is_file())  # noqa: PTH207
    if not found:
        raise DataError("no file matches this pattern", where=url,
                        action="quote the pattern so that femtobarn, not the shell, expands it")  # fmt: skip
    return tuple(FileRef(item, tree) for item in found)

"""Files on a disk: paths, patterns, folders."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from femtobarn.errors import DataError, missing_file
from femtobarn.records import FileRef

__all__ = ["expand", "split_tree"]

_TREE: Final = re.compile(r"^(?P<path>.+\.(?:root|parquet|csv))(?::(?P<tree>[^/\\]+))?$", re.IGNORECASE)


def split_tree(path: str) -> tuple[str, str | None]:
    """Split ``FILE.root:TREE``."""
    match = _TREE.match(path)
    return (match["path"], match["tree"]) if match else (path, None)


def expand(
    path: str, *, recursive: bool = False, extension: str = ".root", tree: str | None = None
) -> Sequence[FileRef]:
    """The files behind a path, pattern or folder, sorted; none at all is an error.

    Parameters
    ----------
    path : FILE, FILE:TREE, glob, folder or URL
    recursive : search folders inside folders
    extension : of the files that are taken from a folder, with or without its dot
    tree : the tree in them, unless the path names one
    """
    url, named = split_tree(path)
    tree = named or tree
    if "://" in url:
        return (FileRef(url, tree),)
    url = str(Path(url).expanduser())
    if Path(url).is_dir():
        return _in_folder(Path(url), recursive, f".{extension.lstrip('.')}", tree)
    if not glob.has_magic(url):
        if not Path(url).exists():
            raise missing_file(url)
        return (FileRef(url, tree),)
    # Not Path.glob: the pattern may start at the root or above the working directory.
    found = sorted(item for item in glob.glob(url, recursive=True) if Path(item).is_file())  # noqa: PTH207
    if not found:
        raise DataError("no file matches this pattern", where=url,
                        action="quote the pattern so that femtobarn, not the shell, expands it")  # fmt: skip
    return tuple(FileRef(item, tree) for item in found)


def _in_folder(folder: Path, recursive: bool, extension: str, tree: str | None) -> Sequence[FileRef]:  # noqa: FBT001
    items = folder.rglob("*") if recursive else folder.iterdir()
    found = sorted(str(item) for item in items if item.name.endswith(extension) and item.is_file())
    if not found:
        deeper = not recursive and any(item.is_dir() for item in folder.iterdir())
        raise DataError(f"holds no file *{extension}", where=str(folder),
                        action="search its folders with --recursive" if deeper
                        else "name others with --file-extension, or write a pattern")  # fmt: skip
    return tuple(FileRef(item, tree) for item in found)

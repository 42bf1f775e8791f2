"""Broken inputs made from a good file, for tests of how bad input is answered.

Every helper leaves ``good`` alone, writes ``bad`` and returns it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from femtobarn.errors import DataError

__all__ = [
    "corrupted_basket",
    "missing_branch",
    "nan_values",
    "not_root",
    "truncated",
    "wrong_tree",
    "zero_byte",
]


def truncated(good: Path, bad: Path, *, keep: float = 0.6) -> Path:
    """The first ``keep`` (share) of the bytes, as an interrupted transfer leaves them.

    The directory is at the start, so the file may open and only later baskets be missing.
    """
    content = good.read_bytes()
    bad.write_bytes(content[: int(len(content) * keep)])
    return bad


def zero_byte(good: Path, bad: Path) -> Path:
    """An empty file; ``good`` is taken for the sake of one signature."""
    del good
    bad.write_bytes(b"")
    return bad


def not_root(good: Path, bad: Path) -> Path:
    """A web page where a ROOT file should be, as a proxy or login server sends it."""
    del good
    bad.write_text("<!DOCTYPE html><html><body>Please sign in</body></html>\n", encoding="utf-8")
    return bad


def wrong_tree(good: Path, bad: Path, *, name: str = "CollectionTree") -> Path:
    """The same events in a tree of another name."""
    return _rewrite(good, bad, lambda columns: columns, name=name)


def missing_branch(good: Path, bad: Path, *, branch: str) -> Path:
    """The same tree without ``branch``."""

    def drop(columns: dict[str, Any]) -> dict[str, Any]:
        if branch not in columns:
            raise DataError(f"there is no branch {branch!r} to leave out", where=str(good))
        return {name: column for name, column in columns.items() if name != branch}

    return _rewrite(good, bad, drop)


def nan_values(good: Path, bad: Path, *, branch: str, every: int = 10) -> Path:
    """Every ``every``-th number of ``branch`` is NaN, the first included."""

    def spoil(columns: dict[str, Any]) -> dict[str, Any]:
        import awkward as ak

        column = ak.Array(columns[branch])
        jagged = column.ndim > 1
        flat = np.array(ak.flatten(column) if jagged else column)
        flat[::every] = np.nan
        return columns | {branch: ak.unflatten(flat, ak.num(column)) if jagged else flat}

    return _rewrite(good, bad, spoil)


def corrupted_basket(good: Path, bad: Path, *, branch: str, basket: int = 0) -> Path:
    """Flip the compressed bytes of one basket; header, directory and other branches stay readable."""
    import uproot

    with uproot.open(good) as file:
        source = file[_tree_name(file)][branch]
        seek = int(source.member("fBasketSeek")[basket])
        size = int(source.member("fBasketBytes")[basket])
    shutil.copyfile(good, bad)
    with bad.open("r+b") as stream:
        stream.seek(seek)
        raw = stream.read(size)
        # The basket's key comes first: its length is in bytes 14-15 (TKey), then a 9-byte block header.
        start = int.from_bytes(raw[14:16], "big") + 9
        stream.seek(seek + start)
        stream.write(bytes(byte ^ 0xFF for byte in raw[start:]))
    return bad


def _tree_name(file: Any) -> str:
    names = [key for key, kind in file.classnames(cycle=False).items() if kind == "TTree"]
    if len(names) != 1:
        raise DataError(f"expected one tree, found {len(names)}", where=str(file.file_path))
    return str(names[0])


def _rewrite(
    good: Path, bad: Path, change: Callable[[dict[str, Any]], dict[str, Any]], *, name: str | None = None
) -> Path:
    """Copy the only tree of ``good``, changed, under its own or another name."""
    import awkward as ak
    import uproot

    with uproot.open(good) as file:
        tree = file[_tree_name(file)]
        # A counter says so itself; the writer makes it anew from the jagged branches.
        counters = {item.count_branch.name for item in tree.branches if item.count_branch is not None}
        counter_of = {
            item.name: item.count_branch.name for item in tree.branches if item.count_branch is not None
        }
        columns = {item.name: item.array() for item in tree.branches if item.name not in counters}
        title = name or tree.name
    columns = change(columns)
    types = {key: ak.Array(column).type.content for key, column in columns.items()}
    with uproot.recreate(bad) as out:
        out.mktree(title, types, title=title, counter_name=lambda branch: counter_of[branch]).extend(columns)
    return bad

"""A TTree of plain branches as a source: the direct reader, with uproot for what that leaves out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from femtobarn.errors import DataError
from femtobarn.read.columns import Column, widened
from femtobarn.read.direct import DirectTree, plain_trees
from femtobarn.read.rootbytes import RootBytes, Unusual
from femtobarn.read.schema import RAW, Schema, find_schema, schema_names
from femtobarn.read.source import RootTree, reading
from femtobarn.records import FileRef

__all__ = ["PlainTree", "open_plain"]


def open_plain(ref: FileRef, candidates: Sequence[Schema]) -> PlainTree | None:
    """The tree of a local file that fits a schema; None if the general reader has to look at the file."""
    with ExitStack() as stack:
        try:
            with reading(ref.url):
                file = RootBytes(ref.url)
                stack.callback(file.close)
                found = _plain_tree(file, ref, candidates)
        except (Unusual, DataError):
            # Whatever is wrong with the file, the general reader says it; the bytes here are not trusted.
            return None
        if found is not None:
            stack.pop_all()
        return found


def _plain_tree(file: RootBytes, ref: FileRef, candidates: Sequence[Schema]) -> PlainTree | None:
    keys = plain_trees(file)
    trees: dict[str, DirectTree] = {}

    def names(tree: str) -> frozenset[str]:
        if tree not in trees:
            trees[tree] = DirectTree(file, keys[tree])
        return trees[tree].names

    wanted = [ref.tree] if ref.tree else list(keys)
    found = _match(wanted, candidates, names) if set(wanted) <= set(keys) else None
    if found is None or found[0].format != "tree":
        return None
    names(found[1])
    return PlainTree(ref, file, trees[found[1]], *found)


def _match(
    trees: Sequence[str], candidates: Sequence[Schema], names: Callable[[str], frozenset[str]]
) -> tuple[Schema, str] | None:
    """The first schema that one of these trees has; without candidates, of all, or a single tree as it is."""
    for schema in candidates or map(find_schema, schema_names()):
        if schema.format not in ("tree", "edm"):
            continue
        for tree in schema.trees or trees:
            if tree in trees and schema.matches(names(tree)):
                return schema, tree
    return (RAW, trees[0]) if not candidates and len(trees) == 1 else None


class PlainTree:
    """A local TTree whose branches are numbers and lists of numbers."""

    def __init__(self, ref: FileRef, file: RootBytes, tree: DirectTree, schema: Schema, name: str) -> None:
        self.ref = ref
        self.objects: Mapping[str, Any] = {}
        self.schema = schema
        self.tree = name
        self._file = file
        self._direct = tree
        self._general: RootTree | None = None
        self.entries = tree.entries
        self.uuid = file.uuid
        self.size = file.size
        self.branches = tree.names
        self.title = tree.title
        self._left: set[str] = set()

    def general(self) -> RootTree:
        """The same tree through uproot."""
        if self._general is None:
            import uproot

            with reading(self.ref.url), ExitStack() as stack:
                # Without a cache of arrays, as in :func:`femtobarn.read.opening.open_root_file`.
                file = uproot.open(
                    self.ref.url, handler=uproot.MultithreadedFileSource, num_workers=1, array_cache=None
                )
                stack.callback(file.close)
                self._general = RootTree(self.ref, file, self.tree, self.schema)
                stack.pop_all()
        return self._general

    def branch_title(self, branch: str) -> str:
        return self._direct.branch_title(branch)

    def clusters(self, branches: Sequence[str] = ()) -> list[int]:
        with reading(self.ref.url, ": its clusters"):
            try:
                return self._direct.edges([n for n in branches if n in self.branches] or list(self.branches))
            except Unusual:
                return self.general().clusters(branches)

    def read(self, branches: Sequence[str], start: int, stop: int) -> dict[str, Column]:
        return {name: widened(column) for name, column in self.read_stored(branches, start, stop).items()}

    def read_stored(self, branches: Sequence[str], start: int, stop: int) -> dict[str, Column]:
        """Columns in the precision of the file."""
        found: dict[str, Column] = {}
        try:
            plain = [name for name in branches if self._is_plain(name)]
            with reading(self.ref.url, f", entries {start}-{stop}"):
                lists = self._direct.lists(plain, start, stop)
            for name in plain:
                with reading(self.ref.url, f" at branch {name!r}, entries {start}-{stop}"):
                    found[name] = self._direct.column(name, lists, start, stop)
        except Unusual:
            # Found out within the baskets; from now on these go the other way.
            self._left.update(plain)
        others = [name for name in branches if name not in found]
        return found | (self.general().read(others, start, stop) if others else {})

    def _is_plain(self, name: str) -> bool:
        if name in self._left or name not in self.branches:
            return False
        try:
            with reading(self.ref.url):
                branch = self._direct.branch(name)
                if branch.counter:
                    self._direct.branch(branch.counter)
        except (Unusual, DataError):
            self._left.add(name)
            return False
        return True

    def stored_bytes(self, branches: Sequence[str]) -> int:
        return sum(self._direct.zip_bytes(name) for name in branches if name in self.branches)

    def close(self) -> None:
        self._file.close()
        if self._general is not None:
            self._general.close()

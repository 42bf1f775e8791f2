"""Opening one input file: what is in it, and how to get columns of a range of entries.

Every kind of file is a :class:`Source`.  A ROOT tree is the usual one; tables (CSV, Parquet),
published histogram files and EDM files are others with the same four attributes and two methods.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from femtobarn.errors import DataError, FemtobarnError, nearest
from femtobarn.read.columns import Column, to_column, view_of
from femtobarn.read.models import restore_models
from femtobarn.read.schema import RAW, Schema, find_schema, schema_names
from femtobarn.records import FileRef

__all__ = ["RootTree", "Source", "common_edges", "either", "open_source", "reading"]


class Source(Protocol):
    """An open file, seen through one schema."""

    schema: Schema
    tree: str
    entries: int
    uuid: str
    size: int
    branches: frozenset[str]
    objects: Mapping[str, Any]

    def clusters(self, branches: Sequence[str] = ()) -> list[int]:
        """Entry numbers, ends included, where a part may begin or end without splitting a cluster.

        Of these branches, or of all; the fewer the branches, the more edges they may share.
        """
        ...

    def read(self, branches: Sequence[str], start: int, stop: int) -> dict[str, Column]:
        """Columns of the entries ``start <= i < stop``, as stored (no unit scale)."""
        ...

    def stored_bytes(self, branches: Sequence[str]) -> int:
        """Compressed bytes of these branches in the whole file."""
        ...

    def close(self) -> None: ...


def open_source(ref: FileRef, schemas: Sequence[str] = ()) -> Source:
    """Open a file and find out which of the schemas (all, if none are named) it has.

    Raises
    ------
    DataError
        The file is missing, empty, damaged, of an unknown kind, or of none of the schemas; the message
        names the file, what it holds and what it looks like.
    """
    candidates = [find_schema(name) for name in schemas]
    suffix = ref.url.rsplit("/", 1)[-1].rsplit(".", 1)[-1].lower()
    if "://" not in ref.url:
        _check_local(ref.url)
    if suffix == "npy" and "://" not in ref.url:
        from femtobarn.read.arrays import ArrayFile

        return ArrayFile(ref)
    if suffix in ("csv", "parquet"):
        from femtobarn.read.tables import open_table

        return open_table(ref, candidates)
    with reading(ref.url):
        return _open_root(ref, candidates)


def _check_local(url: str) -> None:
    path = Path(url)
    if not path.exists():
        beside = [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError("no such file", where=url, near=nearest(path.name, beside))
    if path.is_dir():
        raise DataError("is a folder, not a file", where=url, action=f"use '{url}/*.root'")
    if not os.access(path, os.R_OK):
        raise DataError("cannot be read (permission denied)", where=url)
    if path.stat().st_size == 0:
        raise DataError("is empty (0 bytes)", where=url, action="fetch it again")
    with path.open("rb") as stream:
        if stream.read(64).lstrip().startswith(b"HepMC"):
            raise DataError(
                "is HepMC text: generated particles, no reconstructed events", where=url,
                action="choose files of reconstructed events (ROOT)",
            )  # fmt: skip


@contextmanager
def reading(url: str, what: str = "") -> Iterator[None]:
    """Turn whatever a reader library raises on damaged bytes into one :class:`DataError`.

    Decoders fail in many ways on damaged input (struct, zlib, index and key errors, recursion); all of
    them mean the same to the user, so this border catches :class:`Exception`.
    """
    try:
        yield
    except DataError as error:
        if error.where is not None:
            raise
        raise DataError(
            f"cannot be read{what}: {error.what}", where=url, near=error.near, action=error.action
        ) from None
    except FemtobarnError:
        raise
    except MemoryError as error:
        raise DataError("needs more memory than there is (damaged sizes?)", where=url) from error
    except Exception as error:
        reason = str(error).strip().split("\n", 1)[0][:200] or type(error).__name__
        raise DataError(
            f"cannot be read{what}: {type(error).__name__}: {reason}",
            where=url,
            action="the file is damaged, truncated or not what its name says; fetch it again or leave it out",
        ) from error


def _open_root(ref: FileRef, candidates: Sequence[Schema]) -> Source:
    import uproot

    restore_models()
    try:
        # Plain reads: half the time of the default road through fsspec and asyncio, and unlike a memory
        # map no signal kills the process when the file shrinks under it.
        local = {} if "://" in ref.url else {"handler": uproot.MultithreadedFileSource, "num_workers": 1}
        file = uproot.open(ref.url, **local)
        try:
            _check_complete(ref, file)
            return _choose(ref, file, candidates)
        except BaseException:
            file.close()
            raise
    finally:
        restore_models()


def _check_complete(ref: FileRef, file: Any) -> None:
    """Refuse a file shorter than its own header says, before a basket beyond the end is asked for."""
    if "://" in ref.url:
        return
    size, stated = Path(ref.url).stat().st_size, int(file.file.fEND)
    if size < stated:
        raise DataError(f"is truncated: {size} of {stated} bytes", where=ref.url, action="fetch it again")


def _choose(ref: FileRef, file: Any, candidates: Sequence[Schema]) -> Source:
    """The source for what the file holds: a tree, an EDM tree or histograms."""
    classes: dict[str, str] = file.classnames(cycle=False)
    trees = [name for name, kind in classes.items() if kind == "TTree" or "RNTuple" in kind]
    histograms = [name for name, kind in classes.items() if kind.startswith(("TH1", "TH2"))]
    if not trees and histograms:
        from femtobarn.read.histfile import HistogramFile

        return HistogramFile.choose(ref, file, histograms, candidates)
    if not trees:
        raise DataError(
            "holds neither a tree nor histograms",
            where=ref.url,
            action="it contains: " + (", ".join(list(classes)[:8]) or "nothing"),
        )
    if ref.tree is not None and ref.tree not in trees:
        raise DataError(
            f"has no tree {ref.tree!r}",
            where=ref.url,
            near=nearest(ref.tree, trees),
            action="trees in this file: " + ", ".join(trees),
        )
    schema, tree = _match(ref, file, [ref.tree] if ref.tree else trees, candidates)
    if schema.format == "edm":
        from femtobarn.read.edm import EdmEvents

        return EdmEvents(ref, file, tree, schema)
    return RootTree(ref, file, tree, schema)


def _match(ref: FileRef, file: Any, trees: Sequence[str], candidates: Sequence[Schema]) -> tuple[Schema, str]:
    """The first schema whose tree and marks are in the file."""
    names = functools.cache(lambda tree: _branch_names(file[tree]))

    def find(schemas: Iterable[Schema]) -> tuple[Schema, str] | None:
        for schema in schemas:
            if schema.format not in ("tree", "edm"):
                continue
            for tree in schema.trees or trees:
                if tree in trees and schema.matches(names(tree)):
                    return schema, tree
        return None

    found = find(candidates)
    if found is not None:
        return found
    elsewhere = find(find_schema(name) for name in schema_names())
    if candidates:
        raise _mismatch(ref, candidates, trees, names, elsewhere)
    if elsewhere is not None:
        return elsewhere
    if len(trees) > 1:
        raise DataError(
            "holds several trees",
            where=ref.url,
            action="name one as FILE:TREE; there are: " + ", ".join(trees),
        )
    return RAW, trees[0]


def _mismatch(
    ref: FileRef,
    candidates: Sequence[Schema],
    trees: Sequence[str],
    names: Callable[[str], frozenset[str]],
    elsewhere: tuple[Schema, str] | None,
) -> DataError:
    """Why none of the wanted schemas fits."""
    if elsewhere is not None:
        return DataError(
            f"is not {either(candidates)}: it looks like {elsewhere[0].name} (tree {elsewhere[1]!r})",
            where=ref.url,
            action=f"run with --release {elsewhere[0].name}, or choose other files",
        )
    wanted = next((schema for schema in candidates if schema.format in ("tree", "edm")), candidates[0])
    tree = next((tree for tree in wanted.trees or trees[:1] if tree in trees), None)
    if tree is None:
        return DataError(
            f"has no tree {' or '.join(map(repr, wanted.trees))}, as {wanted.name} has",
            where=ref.url,
            action=f"trees in this file: {', '.join(trees)}",
        )
    present = names(tree)
    missing = next((name for name in wanted.requires if name not in present), None)
    if missing is None:
        extra = next((name for name in wanted.excludes if name in present), None)
        return DataError(
            f"tree {tree!r} has the branch {extra!r}, which {wanted.name} has not", where=ref.url
        )
    return DataError(
        f"tree {tree!r} lacks the branch {missing!r} of {wanted.name}",
        where=ref.url,
        near=nearest(missing, present),
    )


def either(schemas: Sequence[Schema]) -> str:
    """The names of schemas, as a choice."""
    return " or ".join(schema.name for schema in schemas)


def _branch_names(tree: Any) -> frozenset[str]:
    """Names of branches at any depth: a split object's ``parent`` and its ``parent.member``."""
    if hasattr(tree, "branches"):
        return frozenset(tree.keys(recursive=True, full_paths=False))
    return frozenset(tree.keys())


def common_edges(branches: Iterable[Any], entries: int) -> list[int]:
    """Entry numbers where all of these TTree branches begin a new basket, with both ends of the tree."""
    common: set[int] | None = None
    for branch in branches:
        if branch.num_baskets:
            edges = set(map(int, branch.entry_offsets))
            common = edges if common is None else common & edges
    return sorted({0, entries} | {edge for edge in common or () if 0 < edge < entries})


def _field_bytes(ntuple: Any, column_bytes: Mapping[int, int], field: int) -> int:
    """Compressed bytes of a field of an RNTuple, its parts and the offsets of the lists around it."""
    records = ntuple.field_records
    if records[field].source_field_id is not None:
        field = int(records[field].source_field_id)
    wanted, at = {field}, field
    while records[at].parent_field_id != at:
        at = int(records[at].parent_field_id)
        wanted.add(at)
    # Fields are written after the field they belong to, so one pass finds all descendants.
    inside = {field}
    for number, record in enumerate(records):
        if record.parent_field_id in inside:
            inside.add(number)
    return sum(column_bytes.get(number, 0) for number in wanted | inside)


class RootTree:
    """A TTree or RNTuple."""

    def __init__(self, ref: FileRef, file: Any, tree: str, schema: Schema) -> None:
        self.ref = ref
        self.objects: Mapping[str, Any] = {}
        self.schema = schema
        self.tree = tree
        self._file = file
        self._tree = file[tree]
        self.entries = int(self._tree.num_entries)
        self.uuid = str(file.file.uuid)
        self.size = int(file.file.fEND)
        self.branches = _branch_names(self._tree)

    @property
    def title(self) -> str:
        """What the tree says it is: the title of a TTree, the description of an RNTuple."""
        name = "title" if hasattr(self._tree, "title") else "description"
        return str(getattr(self._tree, name, ""))

    def clusters(self, branches: Sequence[str] = ()) -> list[int]:
        with reading(self.ref.url, ": its clusters"):
            if hasattr(self._tree, "cluster_summaries"):
                edges = {int(cluster.num_first_entry) for cluster in self._tree.cluster_summaries}
                return sorted({0, *edges, self.entries})
            chosen = [self._tree[name] for name in branches if name in self.branches]
            return common_edges(chosen or self._tree.itervalues(recursive=True), self.entries)

    def read(self, branches: Sequence[str], start: int, stop: int) -> dict[str, Column]:
        """Read one branch after the other, so that a damaged basket names its branch."""
        found: dict[str, Column] = {}
        for branch in branches:
            name, _, view = branch.partition("#")
            with reading(self.ref.url, f" at branch {name!r}, entries {start}-{stop}"):
                array = self._tree[name].array(entry_start=start, entry_stop=stop, library="ak")
                column = to_column(view_of(array, view))
            if len(column) != stop - start:
                raise DataError(
                    f"branch {branch!r} gave {len(column)} of {stop - start} entries", where=self.ref.url
                )
            found[branch] = column
        return found

    def stored_bytes(self, branches: Sequence[str]) -> int:
        with reading(self.ref.url, ": sizes of its branches"):
            present = [self._tree[branch] for branch in branches if branch in self.branches]
            if hasattr(self._tree, "cluster_summaries"):
                return sum(_field_bytes(self._tree, self._column_bytes, int(f.field_id)) for f in present)
            return sum(int(branch.compressed_bytes) for branch in present)

    @functools.cached_property
    def _column_bytes(self) -> dict[int, int]:
        """Compressed bytes by field number of an RNTuple."""
        found: dict[int, int] = {}
        for cluster in self._tree.page_link_list:
            for column, pages in zip(self._tree.column_records, cluster, strict=False):
                size = sum(int(page.locator.num_bytes) for page in pages.pages)
                found[column.field_id] = found.get(column.field_id, 0) + size
        return found

    def close(self) -> None:
        self._file.close()

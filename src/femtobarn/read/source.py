"""An open input file: what is in it, and how to get columns of a range of entries.

Every kind of file is a :class:`Source`.  A ROOT tree, here, is the usual one; tables (CSV, Parquet),
published histogram files and EDM files are others.  :mod:`femtobarn.read.opening` finds out which a file is.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol

from femtobarn.errors import DataError, FemtobarnError
from femtobarn.net import RemoteFile
from femtobarn.read.columns import Column, to_column, view_of
from femtobarn.read.schema import Schema
from femtobarn.records import FileRef

__all__ = ["RootTree", "Source", "branch_names", "bring", "common_edges", "either", "reading"]

#: Most entries of one request to a server: larger vector reads expire on EOS.
_REQUEST_ENTRIES: Final = 300_000


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


def either(schemas: Sequence[Schema]) -> str:
    """The names of schemas, as a choice."""
    return " or ".join(schema.name for schema in schemas)


def branch_names(tree: Any) -> frozenset[str]:
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


def _fields_of(ntuple: Any, field: int) -> set[int]:
    """The numbers of a field of an RNTuple, of its parts and of the lists around it."""
    records = ntuple.field_records
    if records[field].source_field_id is not None:
        field = int(records[field].source_field_id)
    around, at = {field}, field
    while records[at].parent_field_id != at:
        at = int(records[at].parent_field_id)
        around.add(at)
    # Fields are written after the field they belong to, so one pass finds all descendants.
    inside = {field}
    for number, record in enumerate(records):
        if record.parent_field_id in inside:
            inside.add(number)
    return around | inside


def _basket_ranges(branch: Any, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Bytes of the baskets that hold these entries of a branch and of those inside it."""
    for each in (branch, *branch.itervalues(recursive=True)):
        edges = each.entry_offsets
        seek, size = each.member("fBasketSeek"), each.member("fBasketBytes")
        # Baskets inside the tree itself (the last ones of small files) are here already.
        for number in range(min(len(edges) - 1, int(each.member("fWriteBasket")))):
            if edges[number] < stop and edges[number + 1] > start:
                yield int(seek[number]), int(seek[number]) + int(size[number])


def _page_ranges(ntuple: Any, fields: Iterable[int], start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Bytes of the pages of these fields of an RNTuple, in the clusters that hold these entries."""
    wanted = set(fields)
    for summary, cluster in zip(ntuple.cluster_summaries, ntuple.page_link_list, strict=False):
        first = int(summary.num_first_entry)
        if first < stop and first + int(summary.num_entries) > start:
            for column, pages in zip(ntuple.column_records, cluster, strict=False):
                for page in pages.pages if column.field_id in wanted else ():
                    yield int(page.locator.offset), int(page.locator.offset) + int(page.locator.num_bytes)


def bring(remote: RemoteFile, tree: Any, branches: Sequence[str], start: int, stop: int) -> None:
    """Fetch what these columns of a TTree or RNTuple need together, instead of basket by basket."""
    remote.release()
    chosen = [tree[name.partition("#")[0]] for name in branches]
    is_ntuple = hasattr(tree, "cluster_summaries")
    fields = {n for f in chosen if is_ntuple for n in _fields_of(tree, int(f.field_id))}
    for low in range(start, stop, _REQUEST_ENTRIES):
        high = min(low + _REQUEST_ENTRIES, stop)
        if is_ntuple:
            remote.prefetch(list(_page_ranges(tree, fields, low, high)))
        else:
            remote.prefetch([each for branch in chosen for each in _basket_ranges(branch, low, high)])


class RootTree:
    """A TTree or RNTuple."""

    def __init__(
        self, ref: FileRef, file: Any, tree: str, schema: Schema, remote: RemoteFile | None = None
    ) -> None:
        self.ref = ref
        self._remote = remote
        self.objects: Mapping[str, Any] = {}
        self.schema = schema
        self.tree = tree
        self._file = file
        self._tree = file[tree]
        self.entries = int(self._tree.num_entries)
        self.uuid = str(file.file.uuid)
        self.size = int(file.file.fEND)
        self.branches = branch_names(self._tree)

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
        if self._remote is not None:
            with reading(self.ref.url, f", entries {start}-{stop}"):
                bring(self._remote, self._tree, branches, start, stop)
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
        if self._remote is not None:
            self._remote.release()
        return found

    def branch_title(self, branch: str) -> str:
        """What the file says about a branch: its title, or the description of an RNTuple's field."""
        found = self._tree[branch]
        return str(getattr(found, "title", None) or getattr(found, "description", "") or "")

    def stored_bytes(self, branches: Sequence[str]) -> int:
        with reading(self.ref.url, ": sizes of its branches"):
            present = [self._tree[branch] for branch in branches if branch in self.branches]
            if hasattr(self._tree, "cluster_summaries"):
                return sum(
                    self._column_bytes.get(number, 0)
                    for field in present
                    for number in _fields_of(self._tree, int(field.field_id))
                )
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

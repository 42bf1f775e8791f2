"""Opening one input file: which kind of :class:`Source` it is, and of which schema."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from femtobarn.errors import DataError, missing_file, nearest
from femtobarn.net import RemoteFile
from femtobarn.read.arrays import ArrayFile
from femtobarn.read.edm import EdmEvents
from femtobarn.read.histfile import HistogramFile
from femtobarn.read.models import restore_models
from femtobarn.read.overnet import remote_handler
from femtobarn.read.plain import open_plain
from femtobarn.read.schema import RAW, Schema, find_schema, schema_names
from femtobarn.read.source import RootTree, Source, branch_names, either, reading
from femtobarn.records import FileRef

__all__ = ["open_root_file", "open_source"]


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
        return ArrayFile(ref)
    if suffix in ("csv", "parquet"):
        # pyarrow takes longer to load than most tables to read; few runs need it.
        from femtobarn.read.tables import open_table

        return open_table(ref, candidates)
    if "://" not in ref.url:
        plain = open_plain(ref, candidates)
        if plain is not None:
            return plain
    with reading(ref.url):
        return _open_root(ref, candidates)


def _check_local(url: str) -> None:
    path = Path(url)
    if not path.exists():
        raise missing_file(url)
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


def _open_root(ref: FileRef, candidates: Sequence[Schema]) -> Source:
    restore_models()
    try:
        file, remote = open_root_file(ref)
        try:
            return _choose(ref, file, candidates, remote)
        except BaseException:
            for each in (file, remote):
                if each is not None:
                    each.close()
            raise
    finally:
        restore_models()


def open_root_file(ref: FileRef) -> tuple[Any, RemoteFile | None]:
    """A ROOT file as uproot sees it, local or remote; whole, as far as its own header tells.

    To be called between two :func:`~femtobarn.read.models.restore_models`; both results are to be closed.
    """
    import uproot

    remote = RemoteFile(ref) if "://" in ref.url else None
    # Plain reads: half the time of the default road through fsspec and asyncio, and unlike a memory
    # map no signal kills the process when the file shrinks under it.
    handler = {"handler": uproot.MultithreadedFileSource, "num_workers": 1}
    if remote is not None:
        handler = {"handler": remote_handler(), "remote": remote}
    file = None
    try:
        # No part is read twice: arrays that uproot would keep (100 MB of them) only grow the memory.
        file = uproot.open({ref.url: None}, array_cache=None, **handler)
        size = Path(ref.url).stat().st_size if remote is None else remote.size
        _check_complete(ref, file, size)
    except BaseException:
        for each in (file, remote):
            if each is not None:
                each.close()
        raise
    return file, remote


def _check_complete(ref: FileRef, file: Any, size: int) -> None:
    """Refuse a file shorter than its own header says, before a basket beyond the end is asked for."""
    stated = int(file.file.fEND)
    if size < stated:
        raise DataError(f"is truncated: {size} of {stated} bytes", where=ref.url, action="fetch it again")


def _choose(ref: FileRef, file: Any, candidates: Sequence[Schema], remote: RemoteFile | None) -> Source:
    """The source for what the file holds: a tree, an EDM tree or histograms."""
    classes: dict[str, str] = file.classnames(cycle=False)
    trees = [name for name, kind in classes.items() if kind == "TTree" or "RNTuple" in kind]
    histograms = [name for name, kind in classes.items() if kind.startswith(("TH1", "TH2"))]
    if not trees and histograms:
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
        return EdmEvents(ref, file, tree, schema)
    return RootTree(ref, file, tree, schema, remote)


def _match(ref: FileRef, file: Any, trees: Sequence[str], candidates: Sequence[Schema]) -> tuple[Schema, str]:
    """The first schema whose tree and marks are in the file."""
    names = functools.cache(lambda tree: branch_names(file[tree]))

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
            action=f"name it with --release {elsewhere[0].name} (a survey: --schema), or choose other files",
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

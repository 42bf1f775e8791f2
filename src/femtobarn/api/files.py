"""Looking at input files: what they hold, and which there are."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from femtobarn.catalog import (
    Lookup,
    datasets_at,
    fileset_content,
    write_fileset,
)
from femtobarn.errors import DataError, FemtobarnError, StoreError, UsageError
from femtobarn.net import net_settings
from femtobarn.records import Dataset, FileRef
from femtobarn.run.files import SCHEMA_VERSION, write_json

__all__ = ["Preprocessed", "Probed", "data_files", "data_fileset", "data_preprocess", "data_probe"]


@dataclass(frozen=True, slots=True)
class Probed:
    """What opening a file told; ``error`` says why it cannot be used.

    Attributes
    ----------
    url, tree, schema, uuid : str
    entries, clusters, size : int
        Events, ranges that can be read on their own, bytes.
    branches : tuple of str
    edges : tuple of int
        Where the clusters begin, and the end.
    """

    url: str
    schema: str = ""
    tree: str = ""
    entries: int = 0
    clusters: int = 0
    uuid: str = ""
    size: int = 0
    branches: tuple[str, ...] = ()
    error: str = ""
    edges: tuple[int, ...] = field(default=(), repr=False)

    def to_json(self) -> dict[str, Any]:
        """As a JSON value."""
        return {key: value for key, value in asdict(self).items() if key != "edges"}


def data_probe(files: Iterable[str], lookup: Lookup | None = None) -> list[Probed]:
    """Open files (paths, globs, URLs, ``FILE:TREE``, filesets, queries) and say what they are.

    A file that cannot be read is in the list with its reason; nothing is left out, nothing processed.
    """
    found: list[FileRef | Probed] = []
    for name in files:
        try:
            found += [ref for d in datasets_at([name], lookup or Lookup()) for ref in d.files]
        except FemtobarnError as error:
            found.append(Probed(name, error=str(error)))
    return _probe_all(found)


def _probe_all(found: Sequence[FileRef | Probed]) -> list[Probed]:
    """A few files at a time: enough to hide a server's latency, few enough to be polite."""
    with ThreadPoolExecutor(max_workers=min(net_settings().per_host, max(len(found), 1))) as pool:
        return list(pool.map(lambda item: item if isinstance(item, Probed) else _probe(item), found))


def _probe(ref: FileRef) -> Probed:
    from femtobarn.read import check_unit, open_source

    try:
        source = open_source(ref)
        try:
            check_unit(source, where=ref.url)
            edges = tuple(source.clusters())
            return Probed(
                url=ref.url, schema=source.schema.name, tree=source.tree, entries=source.entries,
                clusters=max(len(edges) - 1, 0), uuid=source.uuid, size=source.size,
                branches=tuple(sorted(source.branches)), edges=edges,
            )  # fmt: skip
        finally:
            source.close()
    except FemtobarnError as error:
        return Probed(ref.url, tree=ref.tree or "", error=str(error))


@dataclass(frozen=True, slots=True)
class Preprocessed:
    """What :func:`data_preprocess` wrote: ``bad`` maps datasets to {url: reason}, in ``bad_path``."""

    path: Path
    datasets: tuple[Dataset, ...]
    bad: dict[str, dict[str, str]]
    bad_path: Path

    def to_json(self) -> dict[str, Any]:
        """As a JSON value."""
        return {"fileset": str(self.path), "bad": self.bad,
                "files": sum(len(d.files) for d in self.datasets),
                "entries": sum(ref.entries or 0 for d in self.datasets for ref in d.files)}  # fmt: skip


def data_preprocess(
    sources: Sequence[str], out: str | Path, *, step_size: int | None = None, lookup: Lookup | None = None
) -> Preprocessed:
    """Open every file and write a fileset with uuid, number of entries and steps, as coffea takes it.

    Steps follow the clusters and have at most ``step_size`` entries (without one: one step a cluster).
    What cannot be read goes to ``<out stem>.bad.json`` with its reason, not into the fileset.

    Raises
    ------
    DataError
        No file at all can be read.
    """
    if step_size is not None and step_size < 1:
        raise UsageError(f"--step-size must be at least 1, not {step_size}")
    datasets = datasets_at(sources, lookup or Lookup())
    refs = [ref for dataset in datasets for ref in dataset.files]
    probed = dict(zip((id(ref) for ref in refs), _probe_all(refs), strict=True))
    good: list[Dataset] = []
    bad: dict[str, dict[str, str]] = {}
    for dataset in datasets:
        ready = []
        for ref in dataset.files:
            seen = probed[id(ref)]
            error = seen.error or _disagreement(ref, seen)
            if error:
                bad.setdefault(dataset.name, {})[ref.url] = error
            else:
                ready.append(_with_steps(ref, seen, step_size))
        if ready:
            good.append(replace(dataset, files=tuple(ready)))
    path = Path(out)
    bad_path = path.with_name(f"{path.name.removesuffix('.json')}.bad.json")
    if bad:
        write_json(bad_path, {"schema_version": SCHEMA_VERSION, "bad": bad})
    else:
        bad_path.unlink(missing_ok=True)
    if not good:
        first = next(iter(next(iter(bad.values())).values()))
        raise DataError(f"no file can be read; the first: {first}", where=str(bad_path))
    data_fileset(good, out=path)
    return Preprocessed(path, tuple(good), bad, bad_path)


def _disagreement(ref: FileRef, seen: Probed) -> str:
    """Why an opened file is not the one that was described."""
    for what, stated, found in (("uuid", ref.uuid, seen.uuid), ("entries", ref.entries, seen.entries)):
        if stated is not None and stated != found:
            return f"{ref.url}: another file: its {what} is {found}, stated is {stated}"
    return ""


def _with_steps(ref: FileRef, seen: Probed, most: int | None) -> FileRef:
    return replace(ref, tree=seen.tree, entries=seen.entries, uuid=seen.uuid, size=seen.size,
                   steps=tuple(_steps(seen.edges, seen.entries, most)))  # fmt: skip


def _steps(edges: Sequence[int], entries: int, most: int | None) -> Iterable[tuple[int, int]]:
    """Ranges along the clusters with at most ``most`` entries; a longer cluster is cut."""
    if entries == 0:
        yield 0, 0
        return
    if most is None:
        yield from itertools.pairwise(edges)
        return
    start = 0
    for low, high in itertools.pairwise(edges):
        if high - start > most and low > start:
            yield start, low
            start = low
        while high - start > most:
            yield start, start + most
            start += most
    if start < entries:
        yield start, entries


def data_files(sources: Sequence[str], lookup: Lookup | None = None) -> tuple[Dataset, ...]:
    """Datasets behind filesets (``F.json``), paths, folders, globs, ``DATASET=GLOB`` and queries.

    Raises
    ------
    ConfigError
        Two sources name the same dataset.
    NetworkError, DataError
        A provider cannot be asked or has nothing there.
    """
    return datasets_at(sources, lookup or Lookup())


def data_fileset(datasets: Iterable[Dataset], *, out: str | Path | None = None) -> dict[str, Any]:
    """The coffea fileset of datasets as a JSON value; written to ``out`` if that is given."""
    chosen = tuple(datasets)
    if out is not None:
        try:
            write_fileset(Path(out), chosen)
        except OSError as error:
            raise StoreError(f"cannot be written: {error.strerror}", where=str(out)) from error
    return fileset_content(chosen)

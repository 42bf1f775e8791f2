"""Looking at input files: what they hold, and which there are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from femtobarn.catalog import datasets_from_files, fileset_content, read_fileset, write_fileset
from femtobarn.errors import ConfigError, FemtobarnError, StoreError
from femtobarn.records import Dataset, FileRef

__all__ = ["Probed", "data_files", "data_fileset", "data_probe"]

_FILESETS: Final = (".json", ".json.gz")
#: Files opened at the same time; enough to hide a server's latency, few enough to be polite.
_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class Probed:
    """What opening a file told; ``error`` says why it cannot be used.

    Attributes
    ----------
    url, tree, schema, uuid : str
    entries, clusters, size : int
        Events, ranges that can be read on their own, bytes.
    branches : tuple of str
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

    def to_json(self) -> dict[str, Any]:
        """As a JSON value."""
        return asdict(self)


def data_probe(files: Iterable[str]) -> list[Probed]:
    """Open files (paths, globs, URLs, ``FILE:TREE``, filesets) and say what they are; nothing is processed.

    A file that cannot be read is in the list with its reason; nothing is left out.
    """
    found: list[FileRef | Probed] = []
    for name in files:
        try:
            found += [ref for dataset in _datasets([name]) for ref in dataset.files]
        except FemtobarnError as error:
            found.append(Probed(name, error=str(error)))
    with ThreadPoolExecutor(max_workers=min(_AT_ONCE, max(len(found), 1))) as pool:
        return list(pool.map(lambda item: item if isinstance(item, Probed) else _probe(item), found))


def _probe(ref: FileRef) -> Probed:
    from femtobarn.read import check_unit, open_source

    try:
        source = open_source(ref)
        try:
            check_unit(source, where=ref.url)
            return Probed(
                url=ref.url, schema=source.schema.name, tree=source.tree, entries=source.entries,
                clusters=max(len(source.clusters()) - 1, 0), uuid=source.uuid, size=source.size,
                branches=tuple(sorted(source.branches)),
            )  # fmt: skip
        finally:
            source.close()
    except FemtobarnError as error:
        return Probed(ref.url, tree=ref.tree or "", error=str(error))


def data_files(sources: Sequence[str]) -> tuple[Dataset, ...]:
    """Datasets behind filesets (``F.json``), paths, globs and ``DATASET=GLOB``, in the order given.

    Raises
    ------
    ConfigError
        Two sources name the same dataset.
    """
    return _datasets(sources)


def data_fileset(datasets: Iterable[Dataset], *, out: str | Path | None = None) -> dict[str, Any]:
    """The coffea fileset of datasets as a JSON value; written to ``out`` if that is given."""
    chosen = tuple(datasets)
    if out is not None:
        try:
            write_fileset(Path(out), chosen)
        except OSError as error:
            raise StoreError(f"cannot be written: {error.strerror}", where=str(out)) from error
    return fileset_content(chosen)


def _datasets(sources: Sequence[str]) -> tuple[Dataset, ...]:
    found: list[Dataset] = []
    plain: list[str] = []
    for source in sources:
        if source.endswith(_FILESETS):
            found += read_fileset(Path(source))
        else:
            plain.append(source)
    found += datasets_from_files(plain)
    seen: dict[str, int] = {}
    for dataset in found:
        seen[dataset.name] = seen.get(dataset.name, 0) + 1
    twice = [name for name, count in seen.items() if count > 1]
    if twice:
        raise ConfigError(f"dataset {twice[0]!r} is in several of the sources",
                          action="name plain files as DATASET=GLOB, or rename it in a fileset")  # fmt: skip
    return tuple(found)

"""From what a user names (paths, patterns, filesets, queries) to datasets, whoever knows them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from femtobarn.catalog.addresses import Address, is_address, parse_address, split_name
from femtobarn.catalog.atlas import ATLAS_RELEASES, atlas_datasets
from femtobarn.catalog.fileset import read_fileset
from femtobarn.catalog.grid import das_dataset, redirector, rucio_dataset
from femtobarn.catalog.local import expand
from femtobarn.catalog.opendata import record_datasets
from femtobarn.catalog.releases import RELEASES
from femtobarn.errors import ConfigError, UsageError
from femtobarn.net import HttpClient, shared_client
from femtobarn.records import Dataset, FileRef

__all__ = ["Lookup", "datasets_at", "datasets_from_files", "first_files", "resolve_address"]


@dataclass(frozen=True, slots=True)
class Lookup:
    """How sources are looked up.

    Attributes
    ----------
    client : HttpClient or None
        For providers on the network; the process' shared one if None.
    snapshot : Path or None
        A release saved before, instead of the metadata service.
    where, xrootd : str or None
        Region of the redirector for files of CMS, or the redirector itself.
    recursive, extension : bool, str
        How folders are searched.
    limit : int or None
        Only the first so many files of each dataset.
    allow, block, prefer : sequence of str
        Sites of Rucio.
    """

    client: HttpClient | None = None
    snapshot: Path | None = None
    where: str | None = None
    xrootd: str | None = None
    recursive: bool = False
    extension: str = ".root"
    limit: int | None = None
    allow: Sequence[str] = ()
    block: Sequence[str] = ()
    prefer: Sequence[str] = ()


_PLAIN: Final = Lookup()
#: Names of releases that stand for the whole release.
_BARE: Final = frozenset(ATLAS_RELEASES) | {r.name for r in RELEASES.values() if r.experiment == "ATLAS"}


def resolve_address(text: str, lookup: Lookup = _PLAIN, *, name: str | None = None) -> tuple[Dataset, ...]:
    """The datasets behind a query address, as ``cernopendata://30522`` or ``atlas://2024r-pp/301204``.

    Raises
    ------
    UsageError
        The address is wrong; nothing was asked.
    NetworkError, DataError
        The provider cannot be asked, or has nothing there.  An empty answer is an error, too.
    """
    address = parse_address(text)
    found = _ask(address, lookup, name)
    if address.files is not None:
        found = first_files(found, address.files)
    if lookup.limit is not None:
        found = first_files(found, lookup.limit)
    return found


def _ask(address: Address, lookup: Lookup, name: str | None) -> tuple[Dataset, ...]:
    options, body = address.options, address.body
    if address.provider == "fileset":
        found = read_fileset(Path(body))
        if name is not None and len(found) > 1:
            raise UsageError(
                f"holds {len(found)} datasets; {name!r} cannot name them all", where=address.text
            )
        return found if name is None else (replace(found[0], name=name),)
    if address.provider == "das":
        prefix = redirector(lookup.where, lookup.xrootd)
        return (das_dataset(body, name=name, instance=options.get("instance"), prefix=prefix),)
    if address.provider == "rucio":
        sites = {"allow": lookup.allow, "block": lookup.block, "prefer": lookup.prefer}
        return (rucio_dataset(body, name=name, **sites),)
    client = lookup.client or shared_client()
    protocol = options.get("protocol")
    if address.provider == "cernopendata":
        return record_datasets(body, client, protocol=protocol, name=name)
    return atlas_datasets(body, client, skim=options.get("skim"), protocol=protocol, name=name,
                          snapshot=lookup.snapshot)  # fmt: skip


def first_files(datasets: Iterable[Dataset], count: int) -> tuple[Dataset, ...]:
    """The datasets with the first ``count`` files of each."""
    if count < 1:
        raise UsageError(f"{count} files of each dataset cannot be taken", action="use a number from 1")
    return tuple(replace(dataset, files=dataset.files[:count]) for dataset in datasets)


def datasets_from_files(options: Iterable[str], lookup: Lookup = _PLAIN) -> tuple[Dataset, ...]:
    """One dataset a name, in order of first mention, as ``--files DATASET=GLOB`` gives them.

    A bare path belongs to the dataset ``data``; a query without a name has its provider's names.

    Examples
    --------
    >>> [d.name for d in datasets_from_files(["x=https://a.org/1.root", "x=https://a.org/2.root"])]
    ['x']
    """
    found: dict[str, Dataset] = {}
    for option in options:
        name, path = split_name(option)
        if path in _BARE and not Path(path).exists():
            path = f"atlas://{path}"
        if is_address(path):
            datasets = resolve_address(path, lookup, name=name)
        else:
            datasets = (Dataset(name or "data", _local(path, lookup)),)
        for each in datasets:
            before = found.get(each.name)
            found[each.name] = each if before is None else _joined(before, each, option)
    return tuple(found.values())


def _local(path: str, lookup: Lookup) -> tuple[FileRef, ...]:
    refs = tuple(expand(path, recursive=lookup.recursive, extension=lookup.extension))
    return refs[: lookup.limit] if lookup.limit is not None else refs


def _joined(first: Dataset, second: Dataset, option: str) -> Dataset:
    """Two sources under one name; what they say about it must not contradict."""
    for key in set(first.metadata) & set(second.metadata):
        if first.metadata[key] != second.metadata[key] and key in ("kind", "xsec", "sumw", "process"):
            raise ConfigError(
                f"dataset {first.name!r} would have two values of {key!r}: "
                f"{first.metadata[key]!r} and {second.metadata[key]!r}",
                where=option, action="give the sources different names",
            )  # fmt: skip
    if "sumw" in first.metadata or "sumw" in second.metadata:
        raise ConfigError(f"dataset {first.name!r} states the sum of weights of one of its sources only",
                          where=option, action="give the sources different names")  # fmt: skip
    return Dataset(first.name, first.files + second.files, {**second.metadata, **first.metadata})


def datasets_at(sources: Sequence[str], lookup: Lookup = _PLAIN) -> tuple[Dataset, ...]:
    """Datasets behind sources of any kind, in the order given; ``F.json`` is a fileset.

    Raises
    ------
    ConfigError
        Two sources name the same dataset, or one file is in two datasets.
    """
    found: list[Dataset] = []
    plain: list[str] = []
    for source in sources:
        if source.endswith((".json", ".json.gz")) and not is_address(source):
            found += resolve_address(f"fileset:{source}", lookup)
        else:
            plain.append(source)
    found += datasets_from_files(plain, lookup)
    names: set[str] = set()
    owners: dict[str, str] = {}
    for dataset in found:
        if dataset.name in names:
            raise ConfigError(
                f"dataset {dataset.name!r} is in several of the sources",
                action="name plain files as DATASET=GLOB, or rename it in a fileset",
            )
        names.add(dataset.name)
        for ref in dataset.files:
            other = owners.setdefault(ref.url, dataset.name)
            if other != dataset.name:
                raise ConfigError(f"is in two datasets: {other!r} and {dataset.name!r}", where=ref.url)
    return tuple(found)

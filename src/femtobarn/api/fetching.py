"""Bringing data here, and finding it: ``data fetch``, ``data fetch-datasets``, ``data find``."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from femtobarn.api.files import data_fileset
from femtobarn.catalog import RELEASES, Lookup, datasets_at
from femtobarn.catalog.addresses import is_address, parse_address
from femtobarn.catalog.atlas import read_release, release_name, save_snapshot, skims
from femtobarn.catalog.datasetlist import datasets_of_list, read_dataset_list
from femtobarn.catalog.opendata import find_records
from femtobarn.errors import FemtobarnError, StoreError, UsageError
from femtobarn.net import HttpClient, net_settings, shared_client, use_network
from femtobarn.net.answers import safe_name
from femtobarn.net.fetching import check_file, checksum_of, fetch_file
from femtobarn.records import Dataset, FileRef
from femtobarn.run.files import SCHEMA_VERSION, write_json

__all__ = [
    "Fetched",
    "Lookup",
    "data_fetch",
    "data_fetch_datasets",
    "data_find",
    "data_query",
    "data_snapshot",
    "use_network",
]

_MANIFEST: Final = "MANIFEST.json"


@dataclass(frozen=True, slots=True)
class Fetched:
    """What ``data fetch`` did, as MANIFEST.json says it: rows of files kept, rows of those that failed."""

    folder: Path
    files: tuple[dict[str, Any], ...]
    failed: tuple[dict[str, str], ...]

    def to_json(self) -> dict[str, Any]:
        """As a JSON value."""
        return {"schema_version": SCHEMA_VERSION, "files": list(self.files), "failed": list(self.failed)}


def data_fetch(
    sources: Sequence[str],
    out: str | Path,
    *,
    lookup: Lookup | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> Fetched:
    """Download the files behind sources, verified, with MANIFEST.json and a fileset of the copies.

    Files are at ``OUT/DATASET/NAME``.  Parts of files are resumed, files that are there and verify are
    skipped, a replica is tried when an address fails.  What does not agree with the stated size or
    checksum is not kept, and listed as failed.

    Raises
    ------
    StoreError
        The folder cannot be written.
    """
    lookup = lookup or Lookup()
    folder = Path(out)
    datasets = datasets_at(sources, lookup)
    jobs = [(dataset, ref, path) for dataset in datasets for ref, path in _places(dataset, folder)]
    before = _recorded(folder)
    client = lookup.client or shared_client()

    def one(job: tuple[Dataset, FileRef, Path]) -> dict[str, Any]:
        dataset, ref, path = job
        row = _fetch_one(dataset.name, ref, path, folder, client, before)
        note(f"{row['path']}: {row.get('error') or row['state']}")
        return row

    with ThreadPoolExecutor(max_workers=min(net_settings().per_host, max(len(jobs), 1))) as pool:
        rows = list(pool.map(one, jobs))
    good = tuple(row for row in rows if "error" not in row)
    failed = tuple({"url": row["url"], "path": row["path"], "error": row["error"]}
                   for row in rows if "error" in row)  # fmt: skip
    fetched = Fetched(folder, good, failed)
    write_json(folder / _MANIFEST, fetched.to_json())
    there = {row["path"] for row in good}
    copies = [
        replace(
            d,
            files=tuple(
                _copy(ref, path, folder)
                for ref, path in _places(d, folder)
                if str(path.relative_to(folder)) in there
            ),
        )
        for d in datasets
    ]
    if good:
        data_fileset([d for d in copies if d.files], out=folder / "fileset.json")
    return fetched


def _places(dataset: Dataset, folder: Path) -> list[tuple[FileRef, Path]]:
    """Where each file goes: no name that a server gives leads out of the folder, no two meet."""
    home = folder / safe_name(dataset.name.replace("/", "_"), "data")
    used: set[str] = set()
    places = []
    for ref in dataset.files:
        name = plain = safe_name(ref.url)
        number = 1
        while name in used:
            number += 1
            name = f"{Path(plain).stem}-{number}{Path(plain).suffix}"
        used.add(name)
        places.append((ref, home / name))
    return places


def _recorded(folder: Path) -> dict[str, str]:
    """Checksums that an earlier manifest holds, by path."""
    try:
        rows = json.loads((folder / _MANIFEST).read_text())["files"]
        return {str(row["path"]): str(row["adler32"]) for row in rows}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _fetch_one(
    dataset: str, ref: FileRef, path: Path, folder: Path, client: HttpClient, before: dict[str, str]
) -> dict[str, Any]:
    name = str(path.relative_to(folder))
    row: dict[str, Any] = {"dataset": dataset, "path": name, "url": ref.url}
    known = ref.checksum or before.get(name)
    try:
        if path.is_file() and known and not check_file(path, size=ref.size, checksum=known):
            row |= {"state": "verified", "from": ref.url}
        else:
            row["from"] = fetch_file([ref.url, *ref.replicas], path, client=client, size=ref.size,
                                     checksum=ref.checksum)  # fmt: skip
            row["state"] = "fetched"
    except StoreError:
        raise
    except FemtobarnError as error:
        return {**row, "error": str(error)}
    checked = [
        what for what, stated in (("size", ref.size), ("checksum", ref.checksum)) if stated is not None
    ]
    return {**row, "size": path.stat().st_size, "adler32": checksum_of(path), "verified": checked}


def _copy(ref: FileRef, path: Path, folder: Path) -> FileRef:
    return replace(ref, url=str(path.relative_to(folder)), replicas=())


def data_snapshot(query: str, path: str | Path) -> int:
    """Save the release of ``atlas://RELEASE`` for work without network; returns the number of datasets.

    Raises
    ------
    UsageError
        The query is not about one release of ATLAS Open Data.
    """
    address = parse_address(query if is_address(query) else f"atlas://{query}")
    if address.provider != "atlas":
        raise UsageError("only releases of ATLAS Open Data can be saved", where=query,
                         action="write data fetch atlas://2024r-pp --snapshot R.json")  # fmt: skip
    release = release_name(address.body.strip("/").partition("/")[0], query)
    found = read_release(release, shared_client())
    save_snapshot(Path(path), release, found)
    return len(found)


def data_fetch_datasets(
    source: str | Path,
    *,
    mode: Literal["grid", "local"] = "grid",
    where: str | None = None,
    xrootd: str | None = None,
    instance: str | None = None,
    recursive: bool = False,
    extension: str = ".root",
    limit: int | None = None,
) -> tuple[Path, tuple[Dataset, ...]]:
    """Look up the datasets of a list and write ``<stem>.json`` beside it, a fileset with tree Events.

    Raises
    ------
    ConfigError
        A malformed line, with its number.
    DataError, NetworkError
        A dataset without files, or a query that failed: nothing is written.
    """
    path = Path(source)
    found = datasets_of_list(
        read_dataset_list(path), mode=mode, where=where, xrootd=xrootd, instance=instance,
        recursive=recursive, extension=extension, limit=limit,
    )  # fmt: skip
    out = path.with_suffix(".json")
    data_fileset(found, out=out)
    return out, found


def data_query(query: str, lookup: Lookup | None = None) -> list[dict[str, Any]]:
    """The datasets behind a query as rows; those of an ATLAS release with their skims, files or not."""
    lookup = lookup or Lookup()
    address = parse_address(query) if is_address(query) else None
    if address is not None and address.provider == "atlas" and "/" not in address.body.strip("/"):
        release = release_name(address.body.strip("/"), query)
        items = read_release(release, lookup.client or shared_client(), snapshot=lookup.snapshot)
        return [_row_of(item) for item in items[: lookup.limit]]
    return [
        {"dataset": d.name, "kind": d.kind, "files": len(d.files),
         "bytes": sum(r.size for r in d.files if r.size is not None) if d.files[0].size else None,
         "events": d.metadata.get("nevts"), "xsec_pb": d.metadata.get("xsec"),
         "title": d.metadata.get("title") or d.metadata.get("short_name") or ""}
        for d in datasets_at([query], lookup)
    ]  # fmt: skip


def _row_of(item: dict[str, Any]) -> dict[str, Any]:
    return {
        "dataset": str(item["dataset_number"]), "short_name": item.get("physics_short"),
        "xsec_pb": item.get("cross_section_pb"), "events": item.get("nEvents"),
        "skims": {name: len(files) for name, files in skims(item).items()},
        "physics": item.get("process"), "keywords": list(item.get("keywords") or ()),
    }  # fmt: skip


def data_find(
    text: str, *, where: Sequence[str] = ("tables", "cernopendata"), release: str | None = None
) -> list[dict[str, Any]]:
    """Addresses that match a text, from the built-in tables, the CERN Open Data portal and an ATLAS release.

    Every word must be found somewhere in a dataset's numbers, names, process or keywords.

    Raises
    ------
    NetworkError
        A provider that was to be asked cannot be.
    """
    known = ("tables", "cernopendata", "atlas")
    for name in where:
        if name not in known:
            raise UsageError(f"unknown place {name!r} to look in", action="places: " + ", ".join(known))
    words = text.casefold().split()
    if not words:
        raise UsageError("nothing to look for was given")
    found: list[dict[str, Any]] = []
    if "tables" in where:
        found += _in_tables(words)
    if "atlas" in where or release is not None:
        if release is None:
            raise UsageError("which release of ATLAS is to be searched?", action="name it with --release")
        found += _in_release(words, release_name(release))
    if "cernopendata" in where:
        found += find_records(text, shared_client())
    return found


def _matches(words: Sequence[str], *texts: Any) -> bool:
    line = " ".join(str(text) for text in texts if text is not None).casefold()
    return all(word in line for word in words)


def _in_tables(words: Sequence[str]) -> list[dict[str, Any]]:
    pairs = [(r, sample) for r in RELEASES.values() if r.aliases for sample in r.samples.values()]
    return [
        {"address": f"atlas://{r.aliases[0]}/{sample.dsid}", "files": None, "kind": "mc",
         "title": f"{sample.name} ({sample.group}), {r.title}"}
        for r, sample in pairs
        if _matches(words, r.name, sample.name, sample.dsid, sample.group, r.title)
    ]  # fmt: skip


def _in_release(words: Sequence[str], release: str) -> list[dict[str, Any]]:
    return [
        {"address": f"atlas://{release}/{item['dataset_number']}",
         "files": sum(map(len, skims(item).values())),
         "kind": "data" if str(item["dataset_number"]).startswith("data") else "mc",
         "title": str(item.get("physics_short") or item["dataset_number"])}
        for item in read_release(release, shared_client())
        if _matches(words, item["dataset_number"], item.get("physics_short"), item.get("process"),
                    *(item.get("keywords") or ()))
    ]  # fmt: skip

"""Records of the CERN Open Data portal: every file with its size, checksum and availability."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from femtobarn.errors import DataError, NetworkError, UsageError
from femtobarn.net import HttpClient, safe_url
from femtobarn.records import Dataset, FileRef

__all__ = ["Record", "find_records", "portal", "read_record", "record_datasets", "to_protocol"]

log: Final = logging.getLogger("femtobarn.catalog")

_EOS: Final = re.compile(r"^(?:simplecache::)?root://eospublic\.cern\.ch(?::1094)?/+(?P<path>eos/.+)$")
#: Lists of files, which the portal keeps among the files.
_INDEX: Final = re.compile(r"_file_index\.(?:txt|json)$")
_MOST_PAGES: Final = 10_000


@dataclass(frozen=True, slots=True)
class Record:
    """A record of the portal.

    ``kind`` is data, mc or empty when the record does not say; ``not_online`` counts the files that are
    not on disk and were left out.
    """

    id: str
    title: str
    files: tuple[FileRef, ...]
    kind: str
    metadata: Mapping[str, Any]
    not_online: int = 0


def portal() -> str:
    """Base address of the portal."""
    return os.environ.get("FEMTOBARN_CERNOPENDATA_URL", "https://opendata.cern.ch").rstrip("/")


def to_protocol(uri: str, protocol: str) -> str:
    """An address on EOS as ``root``, ``https`` (through the portal) or ``eos`` (a mounted path).

    Examples
    --------
    >>> to_protocol("root://eospublic.cern.ch//eos/opendata/a.root", "eos")
    '/eos/opendata/a.root'
    """
    match = _EOS.match(uri)
    if match is None:
        return uri.removeprefix("simplecache::")
    if protocol == "https":
        return f"{portal()}/{match['path']}"
    return f"/{match['path']}" if protocol == "eos" else f"root://eospublic.cern.ch//{match['path']}"


def addresses(uri: str, protocol: str | None) -> tuple[str, ...]:
    """The address of the wanted protocol; without a wish https first and root as a replica."""
    if protocol is not None:
        return (to_protocol(uri, protocol),)
    return tuple(dict.fromkeys((to_protocol(uri, "https"), to_protocol(uri, "root"))))


def record_datasets(
    body: str, client: HttpClient, *, protocol: str | None = None, name: str | None = None
) -> tuple[Dataset, ...]:
    """The datasets of records ``ID`` or ``ID,ID,...``; with a name, all of them as one.

    Raises
    ------
    UsageError
        Not a list of record numbers, or records of different kinds under one name.
    DataError
        A record without files that are online.
    NetworkError
        The portal cannot be asked.
    """
    ids = body.strip("/").split(",")
    for item in ids:
        if not item.strip().isdigit():
            raise UsageError(f"{item!r} is no record number", where=f"cernopendata://{body}",
                             action="write cernopendata://30522, or several as 30522,30555")  # fmt: skip
    records = [read_record(item.strip(), client, protocol=protocol) for item in dict.fromkeys(ids)]
    found = [Dataset(f"cernopendata_{r.id}", r.files, _metadata(r)) for r in records]
    if name is None:
        return tuple(found)
    kinds = {record.kind for record in records}
    if len(kinds) > 1:
        raise UsageError(f"the records behind {name!r} are of different kinds (data and simulation)",
                         where=f"cernopendata://{body}")  # fmt: skip
    files = tuple(ref for dataset in found for ref in dataset.files)
    return (Dataset(name, files, found[0].metadata if len(found) == 1 else _common(found)),)


def _common(datasets: Sequence[Dataset]) -> dict[str, Any]:
    first = datasets[0].metadata
    return {k: v for k, v in first.items() if all(d.metadata.get(k) == v for d in datasets)}


def _metadata(record: Record) -> dict[str, Any]:
    kind = {"kind": record.kind} if record.kind else {}
    return {**kind, "record": record.id, "title": record.title, **record.metadata}


def read_record(record: str, client: HttpClient, *, protocol: str | None = None) -> Record:
    """One record with all its files, in the portal's order.

    When the answer has no list of files, or fails, the older paged list is asked, all pages of it.
    """
    where = f"cernopendata://{record}"
    url = f"{portal()}/api/records/{record}"
    about: Mapping[str, Any] = {}
    trouble: NetworkError | None = None
    try:
        document = client.remembered_json(url)
        about = _table(document, "metadata", url)
        listed = list(_listed(about, url))
    except NetworkError as error:
        if "answered 404" in error.what:
            raise DataError("there is no such record", where=where) from error
        trouble, listed = error, []
    if not listed:
        listed = _paged(record, client, trouble)
    online = [item for item in listed if _online(item)]
    if not online:
        action = (
            "they are on tape: the portal's page of the record has a button to stage them" if listed else None
        )
        raise DataError(f"has no file that is online (of {len(listed)})", where=where, action=action)
    if len(online) < len(listed):
        log.warning("%s: %d of %d files are not online and are left out",
                    where, len(listed) - len(online), len(listed))  # fmt: skip
    files = tuple(_ref(item, protocol, url) for item in online)
    kind = _kind(about)
    if not kind:
        log.warning("%s does not say whether it is data or simulation: name it, as data=%s", where, where)
    return Record(
        record, str(about.get("title") or ""), files, kind, _facts(about), len(listed) - len(online)
    )


def _table(document: Any, key: str, url: str) -> Mapping[str, Any]:
    value = document.get(key) if isinstance(document, dict) else None
    if not isinstance(value, dict):
        raise NetworkError(f"the answer has no {key!r}", where=safe_url(url))
    return value


def _list(table: Mapping[str, Any], key: str, url: str) -> list[Any]:
    value = table.get(key)
    if value is not None and not isinstance(value, list):
        raise NetworkError(f"{key!r} in the answer is no list", where=safe_url(url))
    return value or []


def _listed(about: Mapping[str, Any], url: str) -> Iterator[Mapping[str, Any]]:
    """Files of the record and of its file indices, each once."""
    seen: set[str] = set()
    lists = [_list(about, "files", url)]
    lists += [_list(index, "files", url) for index in _list(about, "_file_indices", url)]
    for item in (item for each in lists for item in each):
        uri = item.get("uri") if isinstance(item, dict) else None
        if not isinstance(uri, str):
            raise NetworkError("a file in the answer has no 'uri'", where=safe_url(url))
        if not _is_index(item, uri) and uri not in seen:
            seen.add(uri)
            yield item


def _is_index(item: Mapping[str, Any], uri: str) -> bool:
    return bool(_INDEX.search(uri)) or str(item.get("type", "")).startswith("index")


def _paged(record: str, client: HttpClient, trouble: NetworkError | None) -> list[Mapping[str, Any]]:
    """The paged list: until as many indices came as there are, or a page brings nothing new."""
    found: dict[str, Mapping[str, Any]] = {}
    indices: set[str] = set()
    for page in range(1, _MOST_PAGES):
        url = f"{portal()}/record/{record}/filepage/{page}"
        try:
            document = client.remembered_json(url, (("group", "1"),))
        except NetworkError:
            if trouble is not None:
                raise trouble from None
            if page == 1:
                return []
            raise
        groups = document.get("index_files") if isinstance(document, dict) else None
        table = groups if isinstance(groups, dict) else {}
        plain = document.get("files") if isinstance(document, dict) else None
        items = [
            *_list(table, "files", url),
            *(_list(plain, "files", url) if isinstance(plain, dict) else []),
        ]
        before = len(found)
        for item in _flat(items):
            found.setdefault(str(item["uri"]), item)
        indices |= {str(item.get("key") or item.get("filename")) for item in items if "files" in item}
        total = table.get("total")
        if len(found) == before or (isinstance(total, int) and max(len(indices), 1) >= total):
            break
    return list(found.values())


def _flat(items: Iterable[Any]) -> Iterator[Mapping[str, Any]]:
    """Files, whether they stand alone or in groups."""
    for item in items:
        if not isinstance(item, dict):
            continue
        if isinstance(item.get("files"), list):
            yield from _flat(item["files"])
        elif isinstance(item.get("uri"), str) and not _is_index(item, item["uri"]):
            yield item


def _online(item: Mapping[str, Any]) -> bool:
    return str(item.get("availability") or "online") == "online"


def _ref(item: Mapping[str, Any], protocol: str | None, url: str) -> FileRef:
    size = item.get("size")
    if size is not None and not isinstance(size, int):
        raise NetworkError(f"the 'size' {size!r} of a file is no number", where=safe_url(url))
    first, *others = addresses(str(item["uri"]), protocol)
    return FileRef(first, size=size, checksum=item.get("checksum") or None, replicas=tuple(others))


def _kind(about: Mapping[str, Any]) -> str:
    kind = about.get("type")
    stated = kind.get("secondary") if isinstance(kind, dict) else None
    names = {str(name).lower() for name in stated or ()}
    if "collision" in names:
        return "data"
    return "mc" if "simulated" in names else ""


def _facts(about: Mapping[str, Any]) -> dict[str, Any]:
    """Experiment, years, run periods and where the certified luminosity sections are listed."""
    collisions = about.get("collision_information")
    validation = about.get("validation")
    links = validation.get("links") if isinstance(validation, dict) else None
    facts = {
        "experiment": _one(about.get("experiment")),
        "year": _one(about.get("date_created")),
        "run_period": _one(about.get("run_period")),
        "energy": collisions.get("energy") if isinstance(collisions, dict) else None,
        "lumi_mask_links": [
            link.get("url") or f"{portal()}/record/{link.get('recid')}"
            for link in links or () if isinstance(link, dict)
        ],
    }  # fmt: skip
    return {name: value for name, value in facts.items() if value}


def _one(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def find_records(text: str, client: HttpClient, *, most: int = 20) -> list[dict[str, Any]]:
    """Datasets of the portal that match a text: record, title, experiment and number of files."""
    url = f"{portal()}/api/records/"
    document = client.remembered_json(
        url, (("q", text), ("f", "type:Dataset"), ("size", str(most)), ("page", "1"))
    )
    hits = _list(_table(document, "hits", url), "hits", url)
    rows = []
    for hit in hits:
        about = _table(hit, "metadata", url)
        files = (about.get("distribution") or {}).get("number_files")
        rows.append({"address": f"cernopendata://{about.get('recid') or hit.get('id')}", "files": files,
                     "kind": _kind(about), "title": str(about.get("title") or "")})  # fmt: skip
    return rows

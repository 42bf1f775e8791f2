"""Releases of ATLAS Open Data: datasets, skims and files from the public metadata service or a snapshot."""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from femtobarn.catalog.opendata import addresses
from femtobarn.catalog.releases import RELEASES
from femtobarn.errors import ConfigError, DataError, NetworkError, StoreError, UsageError, nearest
from femtobarn.folders import atomic_write
from femtobarn.net import HttpClient, net_settings, safe_url
from femtobarn.records import Dataset, FileRef

__all__ = ["ATLAS_RELEASES", "atlas_datasets", "read_release", "release_name", "save_snapshot", "skims"]

log: Final = logging.getLogger("femtobarn.catalog")

#: Names of the service; the last two hold HepMC text.
ATLAS_RELEASES: Final = (
    "2016e-8tev",
    "2020e-13tev",
    "2024r-pp",
    "2024r-hi",
    "2025e-13tev-beta",
    "2025r-evgen-13tev",
    "2025r-evgen-13p6tev",
)
_PAGE: Final = 1000
_WHOLE: Final = "noskim"
#: Skims of collision data that are periods: together they are the whole.
_PERIOD: Final = re.compile(r"^(?:\d{4}|(?:data\d\d_?)?period)", re.IGNORECASE)


def service() -> str:
    """Base address of the metadata service."""
    default = "https://atlasopenmagic-rest-api-atlas-open-data.app.cern.ch"
    return os.environ.get("ATLAS_API_BASE_URL", default).rstrip("/")


def release_name(name: str, where: str = "") -> str:
    """A release's name at the service, from that name or ours (``atlas-2020``).

    Raises
    ------
    UsageError
        Unknown release, with the nearest names.
    """
    if name in ATLAS_RELEASES:
        return name
    ours = {release.name: release.aliases for release in RELEASES.values() if release.experiment == "ATLAS"}
    if ours.get(name):
        return ours[name][0]
    known = [*ATLAS_RELEASES, *ours]
    raise UsageError(f"unknown release {name!r} of ATLAS Open Data", where=where or None,
                     near=nearest(name, known), action="releases: " + ", ".join(ATLAS_RELEASES))  # fmt: skip


def read_release(release: str, client: HttpClient, *, snapshot: Path | None = None) -> list[dict[str, Any]]:
    """All datasets of a release as the service describes them.

    Raises
    ------
    NetworkError
        The service fails, or gives fewer or more datasets than it counts.
    ConfigError
        The snapshot holds something else.
    """
    stated = net_settings().snapshot
    path = snapshot or (Path(stated) if stated else None)
    if path is not None:
        return _from_snapshot(path, release)
    url = f"{service()}/datasets"
    name = ("release_name", release)
    try:
        answer = client.remembered_json(f"{url}/count", (name,))
        count = answer.get("count") if isinstance(answer, dict) else None
        if not isinstance(count, int):
            raise NetworkError("the answer has no 'count'", where=safe_url(f"{url}/count"))  # noqa: TRY301
        found: list[dict[str, Any]] = []
        while len(found) < count:
            page = client.remembered_json(url, (name, ("skip", str(len(found))), ("limit", str(_PAGE))))
            found += _checked(page, url)
            if not page:
                break
    except NetworkError as error:
        raise NetworkError(
            error.what,
            where=error.where,
            action="offline? use --snapshot R.json (made by: femtobarn data fetch "
            f"atlas://{release} --snapshot R.json), --fileset F.json or local files",
        ) from error
    numbers = [item["dataset_number"] for item in found]
    if len(found) != count or len(set(numbers)) != count:
        raise NetworkError(f"gave {len(set(numbers))} different datasets of {count}", where=safe_url(url),
                           action="try again later, with --refresh")  # fmt: skip
    return found


def _checked(page: Any, url: str) -> list[dict[str, Any]]:
    if not isinstance(page, list):
        raise NetworkError("the answer is no list of datasets", where=safe_url(url))
    for item in page:
        if not isinstance(item, dict) or "dataset_number" not in item:
            raise NetworkError("a dataset in the answer has no 'dataset_number'", where=safe_url(url))
        for skim in item.get("skims") or ():
            if not isinstance(skim, dict) or "skim_type" not in skim:
                raise NetworkError("a skim in the answer has no 'skim_type'", where=safe_url(url))
    return page


def save_snapshot(path: Path, release: str, datasets: Sequence[Mapping[str, Any]]) -> None:
    """Keep a release in a file, to work from it without network."""
    content = {
        "schema_version": 1,
        "release": release,
        "source": service(),
        "recorded": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "datasets": list(datasets),
    }
    try:
        atomic_write(path, json.dumps(content, indent=1, sort_keys=True).encode())
    except OSError as error:
        raise StoreError(f"cannot be written: {error.strerror or error}", where=str(path)) from error


def _from_snapshot(path: Path, release: str) -> list[dict[str, Any]]:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except ValueError as error:
        raise ConfigError(f"is not valid JSON: {error}", where=str(path)) from error
    if not isinstance(content, dict) or not isinstance(content.get("datasets"), list):
        raise ConfigError("is no snapshot of a release: it has no 'datasets'", where=str(path))
    if content.get("release") != release:
        raise UsageError(f"is a snapshot of {content.get('release')}, not of {release}", where=str(path))
    try:
        return _checked(content["datasets"], str(path))
    except NetworkError as error:
        raise ConfigError(error.what, where=str(path)) from error


def skims(item: Mapping[str, Any]) -> dict[str, list[str]]:
    """The files of a dataset by skim; those of the whole dataset are called ``noskim``."""
    found = {str(s["skim_type"]): list(s.get("file_list") or ()) for s in item.get("skims") or ()}
    whole = list(item.get("file_list") or ())
    return {**({_WHOLE: whole} if whole else {}), **{name: files for name, files in found.items() if files}}


def atlas_datasets(
    body: str,
    client: HttpClient,
    *,
    skim: str | None = None,
    protocol: str | None = None,
    name: str | None = None,
    snapshot: Path | None = None,
) -> tuple[Dataset, ...]:
    """The datasets of ``RELEASE/KEY``, or all of ``RELEASE``.

    KEY is a dataset's number or short name, ``data``, or ``mc`` for all simulation as one dataset.

    Raises
    ------
    UsageError
        Unknown release, key or skim; each with the names there are.
    DataError
        What was asked for has no files.
    """
    where = f"atlas://{body}"
    first, _, key = body.strip("/").partition("/")
    release = release_name(first, where)
    if "evgen" in release:
        raise UsageError(f"{release} holds HepMC text, not ROOT files", where=where,
                         action="choose a release of reconstructed events")  # fmt: skip
    items = read_release(release, client, snapshot=snapshot)
    if key == "mc":
        whole = _whole([i for i in items if not _label(i).startswith("data")], release, skim, protocol, where)
        files = tuple(ref for dataset in whole for ref in dataset.files)
        return (Dataset(name or f"{release}_mc", files, {"kind": "mc", "release": release}),)
    if key:
        item = _find(items, key, where)
        return (_dataset(item, release, _files(item, skim, where), protocol, name, skim),)
    if name is not None:
        raise UsageError(f"a whole release has many datasets; {name!r} cannot name them all", where=where,
                         action=f"leave out the name, or ask for {where}/KEY")  # fmt: skip
    return _whole(items, release, skim, protocol, where)


def _whole(
    items: Sequence[Mapping[str, Any]], release: str, skim: str | None, protocol: str | None, where: str
) -> tuple[Dataset, ...]:
    """Every dataset that has these files; how many have none is said."""
    wanted = skim or _WHOLE
    kept = [item for item in items if wanted in skims(item)]
    if not kept:
        known = sorted({name for item in items for name in skims(item)})
        raise UsageError(
            f"no dataset of {release} has files {wanted!r}",
            where=where,
            near=nearest(wanted, known),
            action="skims: " + (", ".join(known) or "none"),
        )
    if len(kept) < len(items):
        without = [_label(item) for item in items if wanted not in skims(item)]
        log.warning(
            "%s: %d of %d datasets have no files %r and are left out: %s%s",
            where,
            len(without),
            len(items),
            wanted,
            ", ".join(without[:5]),
            ", ..." if len(without) > 5 else "",
        )
    return tuple(_dataset(item, release, skims(item)[wanted], protocol, None, skim) for item in kept)


def _label(item: Mapping[str, Any]) -> str:
    return str(item["dataset_number"])


def _find(items: Sequence[Mapping[str, Any]], key: str, where: str) -> Mapping[str, Any]:
    """The dataset with this number or short name."""
    for item in items:
        if key in (str(item["dataset_number"]), item.get("physics_short")):
            return item
    known = [str(n) for item in items for n in (item["dataset_number"], item.get("physics_short")) if n]
    raise UsageError(
        f"there is no dataset {key!r}",
        where=where,
        near=nearest(key, known),
        action=f"femtobarn data list {where.rpartition('/')[0]} shows all {len(items)}",
    )


def _files(item: Mapping[str, Any], skim: str | None, where: str) -> list[str]:
    there = skims(item)
    if not there:
        raise DataError(f"dataset {_label(item)} has no files", where=where)
    wanted = skim or _WHOLE
    if skim is None and all(_PERIOD.match(name) for name in there):
        return [file for files in there.values() for file in files]
    if wanted not in there:
        what = f"has no skim {skim!r}" if skim else "has skims only"
        raise UsageError(f"dataset {_label(item)} {what}", where=where, near=nearest(wanted, there),
                         action="choose with ?skim=: " + ", ".join(there))  # fmt: skip
    return there[wanted]


def _dataset(
    item: Mapping[str, Any],
    release: str,
    files: Sequence[str],
    protocol: str | None,
    name: str | None,
    skim: str | None,
) -> Dataset:
    refs = []
    for uri in files:
        first, *others = addresses(str(uri), protocol)
        refs.append(FileRef(first, replicas=tuple(others)))
    number = _label(item)
    is_data = number.startswith("data")
    facts = {
        "kind": "data" if is_data else "mc",
        "release": release,
        "dsid": None if is_data else number,
        "short_name": item.get("physics_short"),
        "skim": skim,
        "xsec": item.get("cross_section_pb"),
        "filteff": item.get("genFiltEff"),
        "kfactor": item.get("kFactor"),
        "sumw": item.get("sumOfWeights"),
        "nevts": item.get("nEvents"),
        "physics": item.get("process"),
        "generator": item.get("generator"),
    }
    return Dataset(
        name or number, tuple(refs), {key: value for key, value in facts.items() if value is not None}
    )

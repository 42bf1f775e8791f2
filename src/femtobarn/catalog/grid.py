"""CMS datasets on the grid: DAS through ``dasgoclient``, replicas through Rucio."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from femtobarn.errors import DataError, NetworkError, UsageError, nearest
from femtobarn.records import Dataset, FileRef

__all__ = ["INSTANCES", "REDIRECTORS", "das_dataset", "redirector", "rucio_dataset", "site_replicas"]

log: Final = logging.getLogger("femtobarn.catalog")

REDIRECTORS: Final[Mapping[str, str]] = {
    "Americas": "root://cmsxrootd.fnal.gov/",
    "Eurasia": "root://xrootd-cms.infn.it/",
    "Yolo": "root://cms-xrd-global.cern.ch/",
}
INSTANCES: Final = ("prod/global", "prod/phys01", "prod/phys02", "prod/phys03")
_CVMFS: Final = "/cvmfs/cms.cern.ch/common/dasgoclient"
_DATASET: Final = re.compile(r"^/[A-Za-z0-9_.+-]+/[A-Za-z0-9_.+-]+/(?P<tier>[A-Z0-9_-]+)$")
_SECONDS: Final = 120.0


def redirector(where: str | None, xrootd: str | None) -> str:
    """The address that files of CMS are reached through."""
    if xrootd:
        return xrootd.rstrip("/") + "/"
    name = where or "Americas"
    if name not in REDIRECTORS:
        raise UsageError(f"unknown region {name!r}", near=nearest(name, REDIRECTORS),
                         action="regions: " + ", ".join(REDIRECTORS))  # fmt: skip
    return REDIRECTORS[name]


def das_dataset(
    body: str, *, name: str | None = None, instance: str | None = None, prefix: str = REDIRECTORS["Americas"]
) -> Dataset:
    """The files of ``/A/B/C``, in the order of their names.

    Raises
    ------
    UsageError
        The name is no dataset's, the instance is unknown, or there is no dasgoclient.
    DataError
        There is no such dataset, or it has no files.
    NetworkError
        The query fails or takes too long.
    """
    match = _DATASET.match(body)
    where = f"das://{body}"
    if match is None:
        raise UsageError("a dataset of CMS is written /PRIMARY/PROCESSED/TIER", where=where)
    instance = instance or ("prod/phys03" if match["tier"] == "USER" else "prod/global")
    if instance not in INSTANCES:
        raise UsageError(f"unknown DBS instance {instance!r}", where=where, near=nearest(instance, INSTANCES),
                         action="instances: " + ", ".join(INSTANCES))  # fmt: skip
    text = _ask(f"file dataset={body} instance={instance}", where)
    files = sorted(_parse(text, where).items())
    if not files:
        raise DataError(f"DAS has no files for it in {instance}", where=where,
                        action="is the name right, and the instance? try ?instance=prod/phys03")  # fmt: skip
    refs = tuple(
        FileRef(f"{prefix}{lfn}", "Events", entries=about.get("nevents"), size=about.get("size"),
                checksum=f"adler32:{about['adler32']}" if about.get("adler32") else None)
        for lfn, about in files
    )  # fmt: skip
    return Dataset(name or body.strip("/").replace("/", "__"), refs, {"das": body})


def _client() -> str:
    stated = os.environ.get("FEMTOBARN_DASGOCLIENT")
    found = stated or (_CVMFS if Path(_CVMFS).exists() else shutil.which("dasgoclient"))
    if not found:
        raise UsageError(
            "dasgoclient was not found",
            where="das",
            action="mount /cvmfs/cms.cern.ch, put it into PATH or set FEMTOBARN_DASGOCLIENT",
        )
    return found


def _ask(query: str, where: str) -> str:
    command = [_client(), f"-query={query}", "-json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)  # noqa: S603 - the program the user named, no shell
    except subprocess.TimeoutExpired:
        raise NetworkError(f"dasgoclient gave no answer in {_SECONDS:.0f} s", where=where) from None
    except OSError as error:
        raise UsageError(f"dasgoclient cannot be run: {error.strerror}", where=command[0]) from error
    if done.returncode:
        reason = (done.stderr.strip() or done.stdout.strip() or "without a word").splitlines()[-1]
        raise NetworkError(f"dasgoclient failed ({done.returncode}): {reason[:200]}", where=where,
                           action="is there a valid proxy? voms-proxy-init -voms cms")  # fmt: skip
    return done.stdout


def _parse(text: str, where: str) -> dict[str, Mapping[str, Any]]:
    """Files and what is known of them, from JSON or from one name a line."""
    text = text.strip()
    if not text.startswith(("[", "{")):
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        wrong = next((line for line in lines if not line.startswith("/")), None)
        if wrong is not None:
            raise NetworkError(f"dasgoclient answered {wrong[:120]!r}", where=where)
        return {line: {} for line in lines}
    try:
        rows = json.loads(text)
        rows = rows.get("data", []) if isinstance(rows, dict) else rows
        files = [item for row in rows for item in row["file"]]
        return {str(item["name"]): item for item in files}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NetworkError(
            f"the answer of dasgoclient cannot be understood: {error!r}", where=where
        ) from None


def rucio_dataset(
    body: str,
    *,
    name: str | None = None,
    allow: Sequence[str] = (),
    block: Sequence[str] = (),
    prefer: Sequence[str] = (),
    client: Any = None,
) -> Dataset:
    """The files of ``scope:name`` with all their replicas, preferred sites first.

    Sites are matched by the beginning of their names (``T2_DE``).

    Raises
    ------
    UsageError
        No scope, or the extra is missing.
    DataError
        Nothing there, or a file without replica at the sites that are left.
    """
    where = f"rucio://{body}"
    scope, colon, rest = body.partition(":")
    if not colon or not scope or not rest:
        raise UsageError("a dataset of Rucio is written scope:name", where=where,
                         action="for example rucio://cms:/A/B/C#BLOCK")  # fmt: skip
    rows = _replicas(client, scope, rest, where)
    refs = []
    for row in sorted(rows, key=lambda row: str(row["name"])):
        urls = _ordered(row.get("rses") or {}, allow, block, prefer)
        if not urls:
            raise DataError(
                f"{row['name']} has no replica at the sites that are left",
                where=where,
                action="sites: " + (", ".join(sorted(row.get("rses") or {})) or "none"),
            )
        adler = f"adler32:{row['adler32']}" if row.get("adler32") else None
        refs.append(FileRef(urls[0], size=row.get("bytes"), checksum=adler, replicas=tuple(urls[1:])))
    if not refs:
        raise DataError("holds no files", where=where)
    return Dataset(name or f"{scope}_{rest.strip('/').replace('/', '__')}", tuple(refs), {"rucio": body})


def site_replicas(body: str, client: Any = None) -> list[dict[str, Any]]:
    """Files of ``scope:name`` as Rucio lists them: ``name``, ``bytes``, ``adler32``, ``rses`` {site: URLs}.

    Raises
    ------
    UsageError, NetworkError, DataError
        No scope, the extra is missing, Rucio failed, or nothing is there.
    """
    where = f"rucio://{body}"
    scope, colon, rest = body.partition(":")
    if not colon or not scope or not rest:
        raise UsageError("a dataset of Rucio is written scope:name", where=where)
    rows = sorted(_replicas(client, scope, rest, where), key=lambda row: str(row["name"]))
    if not rows:
        raise DataError("holds no files", where=where)
    return rows


def _replicas(client: Any, scope: str, name: str, where: str) -> list[dict[str, Any]]:
    try:
        if client is None:
            from rucio.client import Client

            client = Client()
        return list(client.list_replicas([{"scope": scope, "name": name}], schemes=["root", "davs", "https"]))
    except ImportError:
        raise UsageError("rucio:// needs the extra 'rucio'", where=where,
                         action="pip install 'femtobarn[rucio]'") from None  # fmt: skip
    except Exception as error:
        reason = str(error).strip().split("\n", 1)[0][:200] or type(error).__name__
        raise NetworkError(f"Rucio failed: {reason}", where=where) from error


def _ordered(
    rses: Mapping[str, Sequence[str]], allow: Sequence[str], block: Sequence[str], prefer: Sequence[str]
) -> list[str]:
    def among(site: str, sites: Sequence[str]) -> bool:
        return any(site.startswith(each) for each in sites)

    left = [s for s in rses if (not allow or among(s, allow)) and not among(s, block)]
    rank = {site: next((i for i, p in enumerate(prefer) if site.startswith(p)), len(prefer)) for site in left}
    return [
        url.replace("davs://", "https://", 1)
        for site in sorted(left, key=lambda s: (rank[s], s))
        for url in rses[site]
    ]

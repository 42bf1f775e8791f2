"""``tnp dataset-query``: files of CMS datasets with a choice of sites, as a fileset; no questions asked."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from femtobarn.catalog import write_fileset
from femtobarn.catalog.grid import site_replicas
from femtobarn.errors import DataError, UsageError, nearest
from femtobarn.records import Dataset, FileRef

__all__ = ["Replicas", "dataset_query"]

#: How a file's site is chosen: sites in turn, the site with most files, the first, or the one named.
Replicas = Literal["round-robin", "choose", "first", "manual"]


def dataset_query(
    names: Sequence[str],
    out: str | Path,
    *,
    allow: Sequence[str] = (),
    block: Sequence[str] = (),
    regex: str | None = None,
    replicas: Replicas = "first",
    site: str | None = None,
    tree: str = "Events",
    client: Any = None,
) -> tuple[Dataset, ...]:
    """Write the fileset of datasets with one replica of each file first and the others behind it.

    Parameters
    ----------
    names : ``/A/B/C`` or ``NAME=/A/B/C``
    allow, block : beginnings of site names
    regex : of site names that are allowed
    replicas : how the site of a file is chosen
    site : for ``manual``
    client : of Rucio; made if not given

    Raises
    ------
    UsageError
        A name or pattern that cannot be one; ``manual`` without a site.
    DataError
        A file without replica at the sites that are left.
    """
    try:
        pattern = re.compile(regex) if regex is not None else None
    except re.error as error:
        raise UsageError(f"--regex-sites: {regex!r} is no regular expression: {error}") from error
    if (replicas == "manual") != (site is not None):
        raise UsageError("--replicas manual and --site need each other")
    found = []
    for item in names:
        label, equals, name = item.partition("=")
        name = name if equals else item
        if name.count("/") != 3:
            raise UsageError(f"{name!r} is no CMS dataset", action="it is written /PRIMARY/PROCESSED/TIER")
        rows = site_replicas(f"cms:{name}", client)
        left = [_left(row, allow, block, pattern, name) for row in rows]
        refs = tuple(
            _ref(row, sites, _order(sites, left, replicas, site, number), tree)
            for number, (row, sites) in enumerate(zip(rows, left, strict=True))
        )
        found.append(Dataset(label if equals else name, refs, {}))
    write_fileset(Path(out), found)
    return tuple(found)


def _left(
    row: Mapping[str, Any],
    allow: Sequence[str],
    block: Sequence[str],
    pattern: re.Pattern[str] | None,
    name: str,
) -> dict[str, list[str]]:
    """Sites of a file that are allowed, with their URLs."""
    sites = row.get("rses") or {}

    def fits(site: str) -> bool:
        wanted = not allow or any(site.startswith(one) for one in allow)
        return (
            wanted
            and not any(site.startswith(one) for one in block)
            and (pattern is None or bool(pattern.search(site)))
        )

    found = {one: list(urls) for one, urls in sorted(sites.items()) if fits(one) and urls}
    if not found:
        raise DataError(f"{row['name']} has no replica at the sites that are left", where=name,
                        action="sites: " + (", ".join(sorted(sites)) or "none"))  # fmt: skip
    return found


def _order(
    sites: Mapping[str, Any],
    everything: Sequence[Mapping[str, Any]],
    replicas: Replicas,
    site: str | None,
    number: int,
) -> list[str]:
    """The sites of a file, best first."""
    names = list(sites)
    if replicas == "round-robin":
        turn = number % len(names)
        return names[turn:] + names[:turn]
    if replicas == "choose":
        count = Counter(one for each in everything for one in each)
        return sorted(names, key=lambda one: (-count[one], one))
    if replicas == "manual" and site is not None:
        if site not in names:
            raise DataError(
                f"{site} has not every file", near=nearest(site, names), action="sites: " + ", ".join(names)
            )
        return [site, *(one for one in names if one != site)]
    return names


def _ref(
    row: Mapping[str, Any], sites: Mapping[str, Sequence[str]], order: Sequence[str], tree: str
) -> FileRef:
    urls = [url.replace("davs://", "https://", 1) for one in order for url in sites[one]]
    checksum = f"adler32:{row['adler32']}" if row.get("adler32") else None
    return FileRef(urls[0], tree, size=row.get("bytes"), checksum=checksum, replicas=tuple(urls[1:]))

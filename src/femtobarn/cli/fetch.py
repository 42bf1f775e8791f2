"""``femtobarn data find``, ``fetch`` and ``fetch-datasets``: from a name to files on this disk."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from femtobarn.cli import options as o
from femtobarn.cli.screen import answer, say, show_json, show_table
from femtobarn.errors import UsageError

__all__ = ["fetch", "fetch_datasets", "find"]


def find(
    text: Annotated[str, typer.Argument(help="words to look for: a process, a number, a name")],
    where: Annotated[
        str, typer.Option("--in", metavar="PLACES", help="of tables, cernopendata, atlas; by commas")
    ] = "tables,cernopendata",
    release: Annotated[str | None, typer.Option(help="search this release of ATLAS Open Data, too")] = None,
    snapshot: o.Snapshot = None,
    refresh: o.Refresh = False,
    max_age: o.MaxAge = None,
    json: o.Json = False,
) -> None:
    """Find datasets by words; prints addresses that every other verb takes."""
    from femtobarn import api

    rows = api.data_find(text, where=[item.strip() for item in where.split(",")], release=release)
    if json:
        show_json(rows)
    elif not rows:
        say(f"nothing there matches {text!r} (looked in {where})")
    else:
        show_table(
            ("address", "kind", "files", "title"),
            [[_cell(row[name]) for name in ("address", "kind", "files", "title")] for row in rows],
        )
    if not rows:
        raise typer.Exit(1)


def _cell(value: object) -> object:
    return "-" if value in (None, "") else value


def fetch(
    sources: Annotated[
        list[str], typer.Argument(metavar="Q...", help="query addresses, filesets, URLs, DATASET=...")
    ],
    out: Annotated[str | None, typer.Option(metavar="DIR", help="folder to write to")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="only the first N files of each dataset")] = None,
    xrootd: Annotated[str | None, typer.Option(metavar="PREFIX", help="redirector of CMS files")] = None,
    per_host: o.PerHost = None,
    snapshot: Annotated[
        str | None, typer.Option(metavar="R.json", help="save a release; with --out, work from one")
    ] = None,
    refresh: o.Refresh = False,
    max_age: o.MaxAge = None,
    json: o.Json = False,
) -> None:
    """Download files, verified; resumes, tries replicas, ends with MANIFEST.json and fileset.json.

    Without --out, --snapshot R.json saves what is known of an ATLAS release, to work from it offline.
    """
    from femtobarn import api

    if out is None:
        if snapshot is None or len(sources) != 1:
            raise UsageError("where to?", action="name a folder with --out DIR")
        count = api.data_snapshot(sources[0], snapshot)
        answer(f"wrote {snapshot}: {count} datasets")
        return
    api.use_network(snapshot=snapshot)
    lookup = api.Lookup(limit=limit, xrootd=xrootd)
    fetched = api.data_fetch(sources, out, lookup=lookup, note=say)
    if json:
        show_json(fetched.to_json())
    else:
        size = sum(row["size"] for row in fetched.files)
        answer(f"{len(fetched.files)} files, {size / 1e6:.1f} MB in {out}   fileset: {out}/fileset.json")
    for row in fetched.failed:
        say(f"not kept: {row['error']}")
    if fetched.failed:
        raise typer.Exit(1)


def fetch_datasets(
    source: Annotated[
        str, typer.Option("-i", "--input", metavar="FILE", help=".txt of NAME DATASET lines, or .yaml")
    ],
    where: Annotated[
        str, typer.Option("-w", "--where", metavar="REGION", help="Americas, Eurasia or Yolo")
    ] = "Americas",
    xrootd: Annotated[str | None, typer.Option("-x", "--xrootd", metavar="PREFIX", help="redirector")] = None,
    instance: Annotated[
        str | None,
        typer.Option("--dbs-instance", help="prod/global, prod/phys01, prod/phys02 or prod/phys03"),
    ] = None,
    mode: Annotated[Literal["grid", "local"], typer.Option(help="ask DAS, or look into folders")] = "grid",
    recursive: Annotated[bool, typer.Option("--recursive", help="folders inside folders, too")] = False,
    extension: Annotated[str, typer.Option("--file-extension", help="of files in folders")] = ".root",
    limit: Annotated[int | None, typer.Option(help="only the first N files of each dataset")] = None,
    json: o.Json = False,
) -> None:
    """Write the fileset of a list of datasets beside it, as <input stem>.json."""
    from femtobarn import api

    out, datasets = api.data_fetch_datasets(
        source, mode=mode, where=where, xrootd=xrootd, instance=instance, recursive=recursive,
        extension=extension, limit=limit,
    )  # fmt: skip
    if json:
        show_json({"fileset": str(out), "files": {d.name: len(d.files) for d in datasets}})
        return
    show_table(("dataset", "files"), [[d.name, len(d.files)] for d in datasets])
    answer(f"wrote {out}")

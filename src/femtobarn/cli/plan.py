"""``femtobarn plan``."""

from __future__ import annotations

from typing import Annotated

import typer

from femtobarn.cli import options as o
from femtobarn.cli.screen import answer, say, show_json, show_table

app = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})


@app.command(epilog="Example: femtobarn plan h4l --release atlas-2020 --files 'data=data_*.4lep.root'")
def plan(
    what: o.What,
    files: o.Files = None,
    fileset: o.Fileset = None,
    release: o.Release = None,
    selection: Annotated[str | None, typer.Option(help="short for --set selection=")] = None,
    settings: o.Settings = None,
    part_events: o.PartEvents = None,
    part_bytes: o.PartBytes = None,
    max_files: o.MaxFiles = None,
    max_events: o.MaxEvents = None,
    cache_remote: o.CacheRemote = None,
    per_host: o.PerHost = None,
    snapshot: o.Snapshot = None,
    json: o.Json = False,
) -> None:
    """Show what would run: files, parts, columns, bytes.  Only metadata is read."""
    from femtobarn import api

    request = api.Request(
        what=what, files=files or (), fileset=fileset, release=release,
        settings=[*(settings or ()), *([f"selection={selection}"] if selection else [])],
        part_events=part_events, part_bytes=o.parse_bytes(part_bytes),
        max_files=max_files, max_events=max_events,
    )  # fmt: skip
    _, planned = api.plan(request)
    if json:
        show_json(planned.to_json())
    else:
        rows = []
        for dataset in planned.datasets:
            mine = [file for file in planned.files if file.dataset == dataset.name]
            parts = [part for part in planned.parts if part.dataset == dataset.name]
            schemas = sorted({file.schema for file in mine if file.schema})
            rows.append([
                dataset.name, dataset.kind, dataset.process, len(mine), planned.totals[dataset.name],
                len(parts), "+".join(schemas),
            ])  # fmt: skip
        show_table(("dataset", "kind", "process", "files", "events", "parts", "schema"), rows)
        answer(
            f"{len(planned.files)} files, {planned.events} events in {len(planned.parts)} parts, "
            f"{planned.needed_bytes / 1e6:.1f} MB to read"
        )
        for name, columns in planned.columns.items():
            say(f"columns of {name}: " + ", ".join(columns.needed))
        for url, reason in planned.unused.items():
            say(f"unused: {url}: {reason}")
    for bad in planned.bad:
        say(f"bad: {bad.error}")
    if planned.bad:
        raise typer.Exit(1)

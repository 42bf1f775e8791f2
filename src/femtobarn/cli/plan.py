"""``femtobarn plan``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from femtobarn.cli import options as o
from femtobarn.cli.screen import answer, say, show_json, show_table

if TYPE_CHECKING:
    from femtobarn.run.estimate import Estimate

app = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})


@app.command(epilog="Example: femtobarn plan h4l --release atlas-2020 --files 'data=data_*.4lep.root'")
def plan(
    context: typer.Context,
    what: o.What,
    files: o.Files = None,
    fileset: o.Fileset = None,
    plan: o.PlanFile = None,
    release: o.Release = None,
    selection: o.Selection = None,
    settings: o.Settings = None,
    part_events: o.PartEvents = None,
    part_bytes: o.PartBytes = None,
    max_files: o.MaxFiles = None,
    max_events: o.MaxEvents = None,
    opening: Annotated[
        bool, typer.Option("--open/--no-open", help="--no-open: only what fileset or catalogue state")
    ] = True,
    workers: Annotated[int, typer.Option(help="for the time that --no-open estimates")] = 1,
    like: Annotated[
        str | None, typer.Option(metavar="RUN", help="a finished run with the speed to expect")
    ] = None,
    write_to: Annotated[
        str | None,
        typer.Option("--out", metavar="PLAN.json", help="write the plan, for run --plan and submit --plan"),
    ] = None,
    cache_remote: o.CacheRemote = None,
    per_host: o.PerHost = None,
    snapshot: o.Snapshot = None,
    json: o.Json = False,
) -> None:
    """Show what would run: files, parts, columns, bytes.  Only metadata is read."""
    from femtobarn import api

    request = o.request(context)
    if not opening:
        _show_estimate(api.estimated(request, workers=workers, like=like), as_json=json)
        return
    _, planned = api.plan(request, out=write_to)
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


def _show_estimate(found: Estimate, *, as_json: bool) -> None:
    if as_json:
        show_json(found.to_json())
        return
    rows = [
        [d.name, d.files, f"{d.bytes / 1e9:.1f}", "?" if d.events is None else d.events, d.parts]
        for d in found.datasets
    ]
    show_table(("dataset", "files", "GB", "events", "parts"), rows)
    hours = found.seconds / 3600
    time = f"{hours:.1f} h" if hours >= 1 else f"{max(found.seconds / 60, 0.1):.1f} min"
    answer(
        f"{found.files} files, {found.bytes / 1e12:.2f} TB, {found.events} events in about {found.parts} "
        f"parts; about {time} on {found.workers} workers"
    )
    if found.unsized:
        say(f"{found.unsized} files have no stated size; they are not in these numbers")
    say("no file was opened: columns, clusters and readable files are not known yet")

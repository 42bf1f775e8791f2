"""``femtobarn run``."""

from __future__ import annotations

from typing import Annotated

import typer

from femtobarn.cli import options as o
from femtobarn.cli.screen import answer, progress, say, show_json

app = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})


@app.command(
    epilog="Example: femtobarn run h4l --release atlas-2020 --files 'data=data_*.4lep.root' --out RUN"
)
def run(
    context: typer.Context,
    what: o.What,
    files: o.Files = None,
    fileset: o.Fileset = None,
    plan: o.PlanFile = None,
    release: o.Release = None,
    selection: o.Selection = None,
    settings: o.Settings = None,
    out: o.Out = None,
    executor: o.Executor = None,
    workers: o.Workers = None,
    site: o.Site = None,
    cores: o.Cores = None,
    memory: o.Memory = None,
    disk: o.Disk = None,
    walltime: o.Walltime = None,
    queue: o.Queue = None,
    scaleout: o.Scaleout = None,
    adaptive: o.Adaptive = None,
    log_directory: o.LogDirectory = None,
    dashboard_address: o.DashboardAddress = None,
    voms: o.Voms = None,
    part_events: o.PartEvents = None,
    part_bytes: o.PartBytes = None,
    max_files: o.MaxFiles = None,
    max_events: o.MaxEvents = None,
    part: Annotated[
        str | None, typer.Option(metavar="i/n", help="only this slice of the run; see merge")
    ] = None,
    process_only: o.ProcessOnly = False,
    allow_missing: o.AllowMissing = False,
    fresh: o.Fresh = False,
    cache: o.Cache = None,
    cache_remote: o.CacheRemote = None,
    per_host: o.PerHost = None,
    snapshot: o.Snapshot = None,
    json: o.Json = False,
) -> None:
    """Run an analysis, or continue the run that is in the directory already."""
    from femtobarn import api

    with progress() as bar:
        finished = api.run(
            o.request(context), part=o.parse_slice(part), process_only=process_only, progress=bar
        )
    show_finished(finished, as_json=json)


def show_finished(finished: object, *, as_json: bool) -> None:
    """The result of a run in a few lines, or as JSON."""
    from femtobarn.api import Finished

    if not isinstance(finished, Finished):
        raise TypeError("a finished run is expected")
    summary = finished.result.summary
    for sentence in finished.warnings:
        say(f"warning: {sentence}")
    if as_json:
        show_json({"run": str(finished.path), "headline": finished.headline, "ledger": summary.to_json()})
        return
    for name, rows in finished.result.outcome.cutflows.items():
        say(f"{name}: " + ", ".join(f"{cut} {row.events}" for cut, row in rows.items()))
    parts = f"{summary.done} parts done, {summary.cached} from the cache"
    if not summary.complete:
        parts += f", {summary.failed + summary.missing} LOST ({summary.lost_fraction:.2%} of the input)"
    say(f"{parts}; {summary.events_processed} events in {summary.wall_s:.1f} s")
    if finished.headline:
        answer(finished.headline)
    report = finished.path / "report.html"
    answer(f"run: {finished.path}" + (f"   report: {report}" if report.exists() else ""))

"""``femtobarn resume``."""

from __future__ import annotations

from typing import Annotated

import typer

from femtobarn.cli import options as o
from femtobarn.cli.run import show_finished
from femtobarn.cli.screen import progress

app = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})


@app.command(epilog="Example: femtobarn resume runs/h4l-20260101-120000")
def resume(
    context: typer.Context,
    run: str,
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
    part: Annotated[str | None, typer.Option(metavar="i/n", help="only this slice (what jobs do)")] = None,
    allow_missing: o.AllowMissing = False,
    cache: o.Cache = None,
    cache_remote: o.CacheRemote = None,
    per_host: o.PerHost = None,
    snapshot: o.Snapshot = None,
    json: o.Json = False,
) -> None:
    """Finish a run that was stopped or lost parts; what is done stays done."""
    from femtobarn import api

    with progress() as bar:
        finished = api.resume(
            run, executor=executor, workers=workers, allow_missing=allow_missing or None,
            part=o.parse_slice(part), progress=bar, site=site, resources=o.resources(context), voms=voms,
            cache=cache,
        )  # fmt: skip
    show_finished(finished, as_json=json)

"""``femtobarn resubmit``."""

from __future__ import annotations

import typer

from femtobarn.cli import options as o
from femtobarn.cli.submit import DryRun, show_submitted

app = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})


@app.command(epilog="Example: femtobarn resubmit RUN --memory 4GiB")
def resubmit(
    context: typer.Context,
    run: str,
    site: o.Site = None,
    cores: o.Cores = None,
    memory: o.Memory = None,
    disk: o.Disk = None,
    walltime: o.Walltime = None,
    queue: o.Queue = None,
    log_directory: o.LogDirectory = None,
    voms: o.Voms = None,
    cache_remote: o.CacheRemote = None,
    per_host: o.PerHost = None,
    dry_run: DryRun = False,
    json: o.Json = False,
) -> None:
    """Submit the slices of a run again that lack a part, and the merge behind them."""
    from femtobarn import api

    done = api.resubmit(run, site=site, resources=o.resources(context), voms=voms, dry_run=dry_run)
    show_submitted(done, as_json=json)

"""``femtobarn resubmit``."""

from __future__ import annotations

import typer

from femtobarn.cli import options as o
from femtobarn.cli.submit import DryRun, show_submitted

app = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})


@app.command(epilog="Example: femtobarn resubmit RUN")
def resubmit(run: str, site: o.Site = None, dry_run: DryRun = False, json: o.Json = False) -> None:
    """Submit the slices of a run again that lack a part, and the merge behind them."""
    from femtobarn import api

    show_submitted(api.resubmit(run, site=site, dry_run=dry_run), as_json=json)

"""``femtobarn merge``."""

from __future__ import annotations

import typer

from femtobarn.cli import options as o
from femtobarn.cli.run import show_finished

app = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})


@app.command(epilog="Example: femtobarn merge RUN   (after femtobarn run ... --out RUN --part 1/2 and 2/2)")
def merge(
    runs: list[str], out: o.Out = None, allow_missing: o.AllowMissing = False, json: o.Json = False
) -> None:
    """Add the slices of one or several run directories, verifying that no part is missing or double."""
    from femtobarn import api

    show_finished(api.merge(runs, out=out, allow_missing=allow_missing), as_json=json)

"""``femtobarn plot``."""

from __future__ import annotations

import typer

from femtobarn.cli import options as o
from femtobarn.cli.screen import answer, show_json

app = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})


@app.command(epilog="Example: femtobarn plot RUN")
def plot(run: str, out: o.Copy = None, json: o.Json = False) -> None:
    """Draw the figures of a run again (PNG, PDF, and the numbers drawn as JSON)."""
    from femtobarn import api

    paths = api.plot(run, out=out)
    if json:
        show_json([str(path) for path in paths])
    else:
        for path in paths:
            answer(str(path))

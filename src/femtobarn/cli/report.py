"""``femtobarn report``."""

from __future__ import annotations

import typer

from femtobarn.cli import options as o
from femtobarn.cli.screen import answer, show_json

app = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})


@app.command(epilog="Example: femtobarn report RUN")
def report(run: str, out: o.Copy = None, json: o.Json = False) -> None:
    """Write the one-page report of a run again."""
    from femtobarn import api

    path = str(api.report(run, out=out))
    if json:
        show_json({"report": path})
    else:
        answer(path)

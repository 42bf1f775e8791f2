"""``femtobarn report``."""

from __future__ import annotations

import typer

from femtobarn.cli.screen import answer

app = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})


@app.command(epilog="Example: femtobarn report RUN")
def report(run: str) -> None:
    """Write the one-page report of a run again."""
    from femtobarn import api

    answer(str(api.report(run)))

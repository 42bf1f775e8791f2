"""``femtobarn fit``."""

from __future__ import annotations

import typer

from femtobarn.cli import options as o
from femtobarn.cli.screen import answer, show_json

app = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})


@app.command(epilog="Example: femtobarn fit RUN")
def fit(run: str, json: o.Json = False) -> None:
    """Repeat the inference of a run; writes its fit.json anew."""
    from femtobarn import api

    fitted = api.fit(run)
    if json:
        show_json(fitted)
    else:
        answer(api.open_run(run).manifest["headline"])
        answer(f"wrote {run}/fit.json")

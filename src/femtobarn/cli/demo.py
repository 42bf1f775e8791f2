"""``femtobarn demo``."""

from __future__ import annotations

from typing import Annotated

import typer

from femtobarn.cli import options as o
from femtobarn.cli.screen import answer, progress, say, show_json

app = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})


@app.command(epilog="Example: femtobarn demo   (all jobs), femtobarn demo h4l --out DIR   (one of them)")
def demo(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME...]", help="h4l, hyy, ttbar, tagprobe, refrun, survey; all if not given"
        ),
    ] = None,
    out: Annotated[str, typer.Option(metavar="DIR", help="folder for the runs")] = "demo",
    json: o.Json = False,
) -> None:
    """Run the built-in jobs on synthetic samples ("femtobarn toy simulation"), without data or network."""
    from femtobarn import api

    with progress() as bar:
        done = api.demo(names or (), out=out, tell=None if json else say, progress=bar)
    if json:
        show_json(done.to_json())
    else:
        for one in done.runs:
            if one.error:
                say(f"{one.name} failed: {one.error}")
            else:
                answer(f"{one.name}: {one.headline}")
                answer(f"    report: {one.report}   ({one.seconds:.0f} s)")
        answer(f"all reports: {done.index}")
    if not done.complete:
        raise typer.Exit(1)

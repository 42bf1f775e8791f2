"""``femtobarn export``."""

from __future__ import annotations

from typing import Annotated

import typer

from femtobarn.cli import options as o
from femtobarn.cli.screen import answer, say, show_json

app = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})


@app.command(epilog="Example: femtobarn export RUN --to root --out histograms.root")
def export(
    source: Annotated[str, typer.Argument(metavar="RUN|WORKSPACE.json", help="what to export")],
    to: Annotated[
        str, typer.Option(help="root, json, csv (histograms of a run); pyhf, datacard, hepdata (likelihood)")
    ],
    out: Annotated[
        str, typer.Option(metavar="PATH", help="file to write; a directory for datacard, hepdata")
    ],
    skip_empty: Annotated[
        bool, typer.Option("--skip-empty", help="leave out histograms without any content")
    ] = False,
    json: o.Json = False,
) -> None:
    """Write results in the formats of other programs, normalised."""
    from femtobarn import api

    made = api.export(source, to=to, out=out, skip_empty=skip_empty)
    for note in made.notes:
        say(f"note: {note}")
    if json:
        show_json({"path": str(made.path), "names": list(made.names), "notes": list(made.notes)})
    else:
        answer(f"wrote {made.path}" + (f" ({len(made.names)} entries)" if made.names else ""))

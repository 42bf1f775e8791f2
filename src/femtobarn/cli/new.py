"""``femtobarn new``."""

from __future__ import annotations

from typing import Annotated

import typer

from femtobarn.cli import options as o
from femtobarn.cli.screen import answer, say, show_json

app = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})


@app.command(epilog="Example: femtobarn new dimuon")
def new(
    name: Annotated[str, typer.Argument(help="name of the analysis and of its file")],
    out: Annotated[str, typer.Option(metavar="DIR", help="folder for the file")] = ".",
    json: o.Json = False,
) -> None:
    """Write a small analysis of your own to start from: muon pairs in about 40 lines."""
    from femtobarn import api

    path = api.new(name, out=out)
    if json:
        show_json({"file": str(path)})
        return
    answer(str(path))
    say(f"run it:  femtobarn run {path} --files '{name}=FILES*.root'")
    say(f"no data? femtobarn data make dimuon --out toy; femtobarn run {path} --fileset toy/fileset.json")

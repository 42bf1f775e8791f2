"""``femtobarn serve``."""

from __future__ import annotations

from typing import Annotated

import typer

from femtobarn.cli.screen import say
from femtobarn.errors import UsageError

app = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})


@app.command(epilog="Example: femtobarn serve --refrun --pairs pairs.json --runs runs.csv --port 8000")
def serve(
    refrun: Annotated[bool, typer.Option("--refrun", help="serve the reference-run page")] = False,
    store: Annotated[str | None, typer.Option(metavar="S", help="store that `refrun fetch` fills")] = None,
    pairs: Annotated[
        str | None, typer.Option(metavar="FILE|URL", help="certified runs and references")
    ] = None,
    runs: Annotated[str | None, typer.Option(metavar="F", help="run records")] = None,
    lumisections: Annotated[str | None, typer.Option(metavar="F", help="lumisection records")] = None,
    host: Annotated[
        str, typer.Option(help="address to listen on; other than loopback, anybody may read")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="port to listen on")] = 8000,
) -> None:
    """Serve pages on this machine until Ctrl-C."""
    from femtobarn import api

    if not refrun:
        raise UsageError("nothing to serve is named", action="femtobarn serve --refrun --pairs F --runs F")
    try:
        from femtobarn.web.app import create_app
    except ImportError as error:
        raise UsageError("the web server is not installed", action="pip install 'femtobarn[web]'") from error
    sources = api.RecordSources(pairs=pairs, runs=runs, lumisections=lumisections, store=store)
    api.serve(sources, create_app, host=host, port=port, tell=say)

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
    servicex: Annotated[
        bool, typer.Option("--servicex", help="deliver columns to ServiceX clients on this machine")
    ] = False,
    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="DIR", help="requests may read local files below; repeatable, default here"),
    ] = None,
    allow_python: Annotated[
        bool, typer.Option("--allow-python", help="run Python code that requests bring along")
    ] = False,
    host: Annotated[
        str, typer.Option(help="address to listen on; other than loopback, anybody may read")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="port to listen on")] = 8000,
) -> None:
    """Serve pages on this machine until Ctrl-C."""
    from femtobarn import api

    if refrun == servicex:
        raise UsageError("name one thing to serve", action="femtobarn serve --refrun --pairs F --runs F, or "
                         "femtobarn serve --servicex")  # fmt: skip
    if servicex and host != "127.0.0.1":
        raise UsageError("the ServiceX interface listens on 127.0.0.1 only", where="--host",
                         action="leave --host out")  # fmt: skip
    try:
        from femtobarn.web.app import create_app
        from femtobarn.web.servicex import create_servicex
    except ImportError as error:
        raise UsageError("the web server is not installed", action="pip install 'femtobarn[web]'") from error
    if servicex:
        api.serve_servicex(create_servicex, port=port, allow=allow or (), allow_python=allow_python, tell=say)
        return
    sources = api.RecordSources(pairs=pairs, runs=runs, lumisections=lumisections, store=store)
    api.serve(sources, create_app, host=host, port=port, tell=say)

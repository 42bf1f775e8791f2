"""``femtobarn deliver``."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from femtobarn.cli import options as o
from femtobarn.cli.screen import answer, progress, say, show_json, show_table

app = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})


@app.command(epilog="Example: femtobarn deliver columns.yaml --out delivered")
def deliver(
    spec: Annotated[str, typer.Argument(metavar="SPEC.yaml", help="what to deliver, as ServiceX writes it")],
    backend: Annotated[str, typer.Option(help="local, or servicex: a server")] = "local",
    out: Annotated[
        str | None, typer.Option(metavar="DIR", help="folder of the fileset and the files")
    ] = None,
    workers: o.Workers = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="say which columns, bytes and files; read nothing else")
    ] = False,
    merge: Annotated[bool, typer.Option("--merge", help="one output a sample")] = False,
    target_size: Annotated[
        str | None, typer.Option(metavar="SIZE", help="join outputs up to about this size, as 200MB")
    ] = None,
    missing: Annotated[
        str, typer.Option(help="First() of an event that has none: error, or none (a missing value)")
    ] = "error",
    allow_missing: o.AllowMissing = False,
    allow_python: Annotated[
        bool, typer.Option("--allow-python", help="run the Python code that queries bring along")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="use nothing cached")] = False,
    endpoint: Annotated[str | None, typer.Option(help="of servicex.yaml, for --backend servicex")] = None,
    config: Annotated[
        str | None, typer.Option(metavar="F", help="servicex.yaml; looked for upward if not given")
    ] = None,
    json: o.Json = False,
) -> None:
    """Deliver columns: a ServiceX specification in, verified files out."""
    from pathlib import Path

    from femtobarn import api

    options = api.DeliveryOptions(
        out=Path(out) if out is not None else None, workers=workers, allow_missing=allow_missing,
        allow_python=allow_python or (backend == "local" and not explain and _consent(spec)), merge=merge,
        target_size=o.parse_bytes(target_size, "--target-size"), missing=missing, ignore_cache=fresh,
    )  # fmt: skip
    if explain:
        _show_plan(api.explain_delivery(spec, options), json=json)
        return
    with progress() as bar:
        found = api.deliver(spec, options, backend=backend, endpoint=endpoint, config=config, progress=bar)
    if json:
        show_json(found.answer())
        return
    rows = [
        [one.name, len(one.rows), sum(int(row["entries"]) for row in one.rows), one.events, len(one.files)]
        for one in found.samples
    ]
    show_table(("sample", "inputs", "events", "delivered", "files"), rows)
    for paths in found.answer().values():
        for path in paths:
            answer(path)
    for one in found.samples:
        for sentence in one.warnings:
            say(f"{one.name}: {sentence}")
    if found.fileset is not None:
        say(f"fileset: {found.fileset}")


def _consent(spec: str) -> bool:
    """Show the code of a specification to whoever sits at the terminal, and ask."""
    if not sys.stdin.isatty():
        return False
    from femtobarn import api

    code = api.brings_code(spec)
    if not code:
        return False
    say(code)
    return typer.confirm("Run this Python code on this machine?", default=False, err=True)


def _show_plan(found: dict[str, Any], *, json: bool) -> None:
    if json:
        show_json(found)
        return
    rows = [
        [one["sample"], one["language"], len(one["files"]), one["entries"], one["bytes"]]
        for one in found["samples"]
    ]
    show_table(("sample", "language", "files", "events", "bytes"), rows)
    for one in found["samples"]:
        answer(f"columns of {one['sample']}: {', '.join(one['columns']) or 'as its code says'}")
    bad = [row["error"] for one in found["samples"] for row in one["files"] if row["error"]]
    for error in bad:
        say(f"bad: {error}")
    if bad:
        raise typer.Exit(1)

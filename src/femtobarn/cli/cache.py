"""``femtobarn cache``: what is kept between runs."""

from __future__ import annotations

import datetime
from typing import Annotated

import typer

from femtobarn.cli import options as o
from femtobarn.cli.screen import answer, say, show_json, show_table

_HELP = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(rich_markup_mode=None, context_settings=_HELP, no_args_is_help=True, add_completion=False,
                  help="List, prune and verify what is kept between runs.",
                  epilog="Example: femtobarn cache list")  # fmt: skip


@app.command("list", context_settings=_HELP, epilog="Example: femtobarn cache list")
def list_(json: o.Json = False) -> None:
    """Say what is kept, and how much of it."""
    from femtobarn import api

    rooms = api.cache_list()
    if json:
        show_json([{"name": r.name, "what": r.what, "path": str(r.path), "files": r.files, "bytes": r.bytes,
                    "oldest": r.oldest} for r in rooms])  # fmt: skip
    elif not rooms:
        say("the cache is empty")
    else:
        show_table(("room", "files", "bytes", "oldest", "what"),
                   [[r.name, r.files, r.bytes, _day(r.oldest), r.what] for r in rooms])  # fmt: skip


def _day(time: float | None) -> str:
    return "-" if time is None else datetime.datetime.fromtimestamp(time, tz=datetime.UTC).date().isoformat()


@app.command("prune", context_settings=_HELP, epilog="Example: femtobarn cache prune --days 7")
def prune(
    everything: Annotated[bool, typer.Option("--all", help="remove everything")] = False,
    days: Annotated[float, typer.Option(min=0, help="keep what was used in the last so many days")] = 30.0,
    json: o.Json = False,
) -> None:
    """Remove what was not used for a month, or everything; runs keep their results."""
    from femtobarn import api

    done = api.cache_prune(everything=everything, days=days)
    if json:
        show_json({"files": done.files, "bytes": done.bytes})
    else:
        answer(f"removed {done.files} files, {done.bytes / 1e6:.1f} MB")


@app.command("verify", context_settings=_HELP, epilog="Example: femtobarn cache verify")
def verify(json: o.Json = False) -> None:
    """Check every checksum and remove what is damaged.  Exit code 1 if something was."""
    from femtobarn import api

    checked, damaged = api.cache_verify()
    if json:
        show_json({"checked": checked, "damaged": damaged})
    else:
        answer(f"checked {checked} entries, {len(damaged)} damaged")
    for path in damaged:
        say(f"removed: {path}")
    if damaged:
        raise typer.Exit(1)

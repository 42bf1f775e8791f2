"""``femtobarn export``."""

from __future__ import annotations

from typing import Annotated

import typer

from femtobarn.cli import options as o
from femtobarn.cli.screen import answer, say, show_json

app = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})


@app.command(epilog="Example: femtobarn export RUN --to bumpnet --out bumpnet")
def export(
    what: Annotated[str, typer.Argument(metavar="RUN|FILE.root", help="what to export")],
    to: Annotated[str, typer.Option(help="bumpnet")],
    out: Annotated[str, typer.Option(metavar="DIR", help="folder to write to")],
    check: Annotated[bool, typer.Option("--check", help="only judge; write no spectra")] = False,
    skipped_bins: Annotated[
        float | None, typer.Option(help="share of bins the loader skips (bumpnet)")
    ] = None,
    json: o.Json = False,
) -> None:
    """Write results in another program's format."""
    from femtobarn import api

    verdicts = api.export(what, to=to, out=out, check=check, skipped_bins=skipped_bins)
    accepted = sum(item.accepted for item in verdicts)
    if json:
        rows = [{"name": v.name, "accepted": v.accepted, "reason": v.reason} for v in verdicts]
        show_json({"accepted": accepted, "rejected": len(verdicts) - accepted, "verdicts": rows})
        return
    reasons: dict[str, int] = {}
    for item in verdicts:
        if not item.accepted:
            reasons[item.reason] = reasons.get(item.reason, 0) + 1
    for reason, number in sorted(reasons.items()):
        say(f"{number} rejected: {reason}")
    answer(f"{accepted} of {len(verdicts)} spectra accepted; {out}/bumpnet_selfcheck.csv")

"""``femtobarn status``."""

from __future__ import annotations

import typer

from femtobarn.cli import options as o
from femtobarn.cli.screen import answer, say, show_json

app = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})


@app.command(epilog="Example: femtobarn status runs/h4l-20260101-120000")
def status(run: str, json: o.Json = False) -> None:
    """How far a run is, from its ledger.  Exit code 1 if parts failed or are missing."""
    from femtobarn import api

    about = api.status(run)
    parts, events = about["parts"], about["events"]
    if json:
        show_json(about)
    else:
        answer(
            f"{about['analysis']}: {parts['done'] + parts['cached']} of {parts['total']} parts done, "
            f"{parts['failed']} failed, {parts['missing']} missing; "
            f"{events['processed']} of {events['expected']} events"
        )
        for failure in about["failures"]:
            say(f"failed: {failure['error']}")
        if about["finished"]:
            answer(f"finished {about['finished']}: {about['headline']}")
        else:
            say(f"not finished; go on with: femtobarn resume {run}")
    if parts["failed"] or parts["missing"] or not about["finished"]:
        raise typer.Exit(1)

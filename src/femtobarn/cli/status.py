"""``femtobarn status``."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from femtobarn.cli import options as o
from femtobarn.cli.screen import answer, say, show_json

app = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})


_EVERY = 10.0


@app.command(epilog="Example: femtobarn status runs/h4l-20260101-120000")
def status(
    run: str,
    watch: Annotated[bool, typer.Option("--watch", help="follow the run until it ends")] = False,
    every: Annotated[float, typer.Option(help="seconds between two looks of --watch")] = _EVERY,
    json: o.Json = False,
) -> None:
    """How far a run is, from its ledger.  Exit code 1 if parts failed or are missing."""
    from femtobarn import api

    about = _follow(run, every) if watch else api.status(run)
    parts = about["parts"]
    if json:
        show_json(about)
    else:
        answer(_line(about))
        for failure in about["failures"]:
            say(f"failed: {failure['error']}")
        if about["finished"]:
            answer(f"finished {about['finished']}: {about['headline']}")
        else:
            verb = "resubmit" if about["submitted"] else "resume"
            say(f"not finished; go on with: femtobarn {verb} {run}")
    if parts["failed"] or parts["missing"] or not about["finished"]:
        raise typer.Exit(1)


def _line(about: dict[str, Any]) -> str:
    parts, events = about["parts"], about["events"]
    return (
        f"{about['analysis']}: {parts['done'] + parts['cached']} of {parts['total']} parts done, "
        f"{parts['failed']} failed, {parts['missing']} missing; "
        f"{events['processed']} of {events['expected']} events"
    )


def _follow(run: str, every: float) -> dict[str, Any]:
    """Look now and then until the run has finished or nobody is at work on it any more."""
    from femtobarn import api

    last = ""
    while True:
        about = api.status(run, ask_queue=True)
        at_work = ", ".join([f"jobs {' '.join(about['jobs'])}"] if about["jobs"] else [])
        line = _line(about) + (f"; in the queue: {at_work}" if at_work else "")
        if line != last:
            say(line)
            last = line
        if about["finished"] or not (about["jobs"] or about["held"]):
            return about
        time.sleep(every)

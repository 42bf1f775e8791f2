"""``femtobarn resume``."""

from __future__ import annotations

import typer

from femtobarn.cli import options as o
from femtobarn.cli.run import show_finished
from femtobarn.cli.screen import progress

app = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})


@app.command(epilog="Example: femtobarn resume runs/h4l-20260101-120000")
def resume(
    run: str,
    executor: o.Executor = None,
    workers: o.Workers = None,
    allow_missing: o.AllowMissing = False,
    json: o.Json = False,
) -> None:
    """Finish a run that was stopped or lost parts; what is done stays done."""
    from femtobarn import api

    with progress() as bar:
        finished = api.resume(
            run, executor=executor, workers=workers, allow_missing=allow_missing or None, progress=bar
        )
    show_finished(finished, as_json=json)

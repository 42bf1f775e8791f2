"""``femtobarn submit``."""

from __future__ import annotations

from typing import Annotated

import typer

from femtobarn.cli import options as o
from femtobarn.cli.screen import answer, say, show_json

app = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})

DryRun = Annotated[bool, typer.Option("--dry-run", help="write the scripts, submit nothing")]


@app.command(
    epilog="Example: femtobarn submit h4l --files 'data=*.root' --out RUN --site slurm --scaleout 20"
)
def submit(
    context: typer.Context,
    what: o.What,
    files: o.Files = None,
    fileset: o.Fileset = None,
    plan: o.PlanFile = None,
    release: o.Release = None,
    selection: o.Selection = None,
    settings: o.Settings = None,
    out: o.Out = None,
    executor: Annotated[str | None, typer.Option(help="slurm, htcondor or pbs")] = None,
    site: o.Site = None,
    cores: o.Cores = None,
    memory: o.Memory = None,
    disk: o.Disk = None,
    walltime: o.Walltime = None,
    queue: o.Queue = None,
    scaleout: o.Scaleout = None,
    adaptive: o.Adaptive = None,
    log_directory: o.LogDirectory = None,
    dashboard_address: o.DashboardAddress = None,
    voms: o.Voms = None,
    part_events: o.PartEvents = None,
    part_bytes: o.PartBytes = None,
    max_files: o.MaxFiles = None,
    max_events: o.MaxEvents = None,
    process_only: o.ProcessOnly = False,
    allow_missing: o.AllowMissing = False,
    fresh: o.Fresh = False,
    cache: o.Cache = None,
    cache_remote: o.CacheRemote = None,
    per_host: o.PerHost = None,
    snapshot: o.Snapshot = None,
    dry_run: DryRun = False,
    json: o.Json = False,
) -> None:
    """Hand a run to a batch system: an array of jobs, one a slice, and a merge that verifies them."""
    from femtobarn import api

    done = api.submit(o.request(context), dry_run=dry_run, process_only=process_only)
    show_submitted(done, as_json=json)


def show_submitted(done: object, *, as_json: bool) -> None:
    """What was submitted, and how to follow it."""
    from femtobarn.api import Submitted

    if not isinstance(done, Submitted):
        raise TypeError("a submitted run is expected")
    jobs = list(done.array.jobs) if done.array is not None else []
    if as_json:
        show_json({
            "run": str(done.path), "scripts": [str(script) for script in done.scripts],
            "slices": list(done.slices), "jobs": jobs,
        })  # fmt: skip
        return
    if not done.slices:
        answer(f"nothing is missing; add the slices with: femtobarn merge {done.path}")
        return
    for script in done.scripts:
        say(f"script: {script}")
    if jobs:
        answer(f"submitted {len(done.slices)} jobs: {', '.join(jobs)}")
        say(f"follow them with: femtobarn status {done.path}")
        say(f"redo what fails with: femtobarn resubmit {done.path}")
    else:
        answer(f"wrote the scripts of {len(done.slices)} jobs; nothing was submitted")

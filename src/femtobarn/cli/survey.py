"""``femtobarn survey``."""

from __future__ import annotations

import logging
from typing import Annotated, Literal

import typer

from femtobarn.cli import options as o
from femtobarn.cli.run import show_finished
from femtobarn.cli.screen import answer, progress, say, show_json, show_table
from femtobarn.cli.submit import show_submitted
from femtobarn.errors import UsageError

app = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})

Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


@app.command(
    epilog="Example: femtobarn survey --config config.yaml --files 'mc=PHYSLITE*.root' --run-dir RUN"
)
def survey(
    context: typer.Context,
    config: Annotated[str, typer.Option(metavar="FILE", help="configuration")] = "config.yaml",
    files: o.Files = None,
    fileset: o.Fileset = None,
    run_dir: Annotated[str | None, typer.Option("--run-dir", metavar="DIR", help="run directory")] = None,
    schema: Annotated[
        str | None, typer.Option(help="schema of the files; found by their branches if not given")
    ] = None,
    tasks: Annotated[str | None, typer.Option(metavar="A,B", help="only these tasks")] = None,
    stage_input: Annotated[
        list[str] | None, typer.Option(metavar="STAGE:PATH", help="what a later task continues; repeatable")
    ] = None,
    batch_job_index: Annotated[int | None, typer.Option(help="this slice, from 1")] = None,
    total_batch_jobs: Annotated[int | None, typer.Option(help="number of slices")] = None,
    merge_only: Annotated[bool, typer.Option("--merge-only", help="add the slices in --run-dir")] = False,
    plots_only: Annotated[
        bool, typer.Option("--plots-only", help="draw the plots of --run-dir again")
    ] = False,
    submit: Annotated[
        bool, typer.Option("--submit", help="hand the slices to the batch system of --site or --executor")
    ] = False,
    site: o.Site = None,
    cores: o.Cores = None,
    memory: o.Memory = None,
    disk: o.Disk = None,
    walltime: o.Walltime = None,
    queue: o.Queue = None,
    scaleout: o.Scaleout = None,
    log_directory: o.LogDirectory = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="check and show the plan; with --submit write the scripts, hand in none"
        ),
    ] = False,
    parse_mc: Annotated[
        str | None, typer.Option(metavar="true|false", help="simulation of looked-up releases")
    ] = None,
    scan_only: Annotated[bool, typer.Option("--scan-only", help="accepted, without effect")] = False,
    log_level: Annotated[Level, typer.Option(help="what is logged")] = "WARNING",
    settings: o.Settings = None,
    executor: o.Executor = None,
    workers: o.Workers = None,
    part_events: o.PartEvents = None,
    max_files: o.MaxFiles = None,
    max_events: o.MaxEvents = None,
    allow_missing: o.AllowMissing = False,
    fresh: o.Fresh = False,
    cache_remote: o.CacheRemote = None,
    per_host: o.PerHost = None,
    snapshot: o.Snapshot = None,
    json: o.Json = False,
) -> None:
    """Fill every invariant-mass spectrum of every final state, in one pass."""
    from femtobarn import api

    logging.getLogger().setLevel(log_level)
    if scan_only:
        say("note: --scan-only has no effect")
    if parse_mc is not None and parse_mc not in ("true", "false"):
        raise UsageError(f"--parse-mc: {parse_mc!r} is not true or false")
    if parse_mc is not None and (files or fileset):
        say("note: --parse-mc is about releases that are looked up; --files are always processed")
    if merge_only or plots_only:
        _again(run_dir, merge_only=merge_only, plots_only=plots_only, as_json=json)
        return
    request = api.SurveyRequest(
        config=config, files=files or (), fileset=fileset, run_dir=run_dir, schema=schema,
        parse_mc=None if parse_mc is None else parse_mc == "true",
        slice=_slice(batch_job_index, total_batch_jobs),
        stage_input=stage_input or (),
        tasks=None if tasks is None else [item.strip() for item in tasks.split(",")],
        settings=settings or (), executor=executor, workers=workers, part_events=part_events,
        max_files=max_files, max_events=max_events, allow_missing=allow_missing, fresh=fresh,
        site=site, resources=o.resources(context), command=o.command_line(),
    )  # fmt: skip
    stage = api.stage_of(request)
    if stage == "later":
        if run_dir is None:
            raise UsageError("these tasks need the run they belong to", action="name it with --run-dir")
        answer(api.later_steps(run_dir))
        return
    if submit:
        if stage != "all":
            raise UsageError("--submit is for whole surveys", action="leave out --tasks and --stage-input")
        done, notes = api.survey_submit(request, dry_run=dry_run)
        for note in notes:
            say(f"note: {note}")
        show_submitted(done, as_json=json)
        return
    if dry_run:
        _show_plan(api.survey_plan(request), as_json=json)
        return
    if stage == "parsing":
        for name, number in api.survey_parsing(request).items():
            answer(f"{name}: {number} selected events written")
        return
    with progress() as bar:
        shown = bar if api.shows_progress(request) else None
        finished, notes = api.survey(request, progress=shown)
    for note in notes:
        say(f"note: {note}")
    show_finished(finished, as_json=json)


def _slice(index: int | None, total: int | None) -> tuple[int, int] | None:
    if index is None and total is None:
        return None
    if index is None or total is None:
        raise UsageError("--batch-job-index and --total-batch-jobs need each other")
    return index, total


def _again(run_dir: str | None, *, merge_only: bool, plots_only: bool, as_json: bool) -> None:
    from femtobarn import api

    if merge_only and plots_only:
        raise UsageError("--merge-only and --plots-only exclude each other")
    if run_dir is None:
        raise UsageError("--merge-only and --plots-only need --run-dir")
    done = api.survey_again(run_dir, merge_only=merge_only)
    if isinstance(done, list):
        answer(f"{len(done)} files in {run_dir}/plots")
    else:
        show_finished(done, as_json=as_json)


def _show_plan(found: object, *, as_json: bool) -> None:
    from femtobarn import api

    if not isinstance(found, api.SurveyPlan):
        raise TypeError("a plan is expected")
    planned = found.plan
    if as_json:
        show_json({
            "files": [{"dataset": f.dataset, "path": f.ref.url, "entries": f.entries, "schema": f.schema,
                       "error": f.error} for f in planned.files],
            "events": planned.events, "parts": len(planned.parts), "bytes": planned.needed_bytes,
            "combinations": found.combinations, "notes": list(found.notes),
        })  # fmt: skip
        return
    rows = [[f.dataset, f.schema or "-", f.entries, f.ref.url] for f in planned.files]
    show_table(("dataset", "schema", "entries", "file"), rows)
    answer(
        f"{len(planned.files)} files, {planned.events} events in {len(planned.parts)} parts, "
        f"{planned.needed_bytes / 1e6:.1f} MB to read; {found.combinations} combinations"
    )
    for note in found.notes:
        say(f"note: {note}")
    for bad in planned.bad:
        say(f"bad: {bad.error}")

"""Running: plan, run, resume, merge."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from femtobarn.api.beginning import (
    Begun,
    begun,
    changes_since,
    check_existing,
    execution_of,
    plan_for,
    refuse_other_code,
    request_of,
    resolve_slice,
    write_manifest,
)
from femtobarn.api.closing import Finished, close, finished, refuse_loss
from femtobarn.api.inputs import Request, Resolved, resolve, takes_request
from femtobarn.api.outputs import here
from femtobarn.errors import UsageError
from femtobarn.locks import locked
from femtobarn.net.settings import network_as_before
from femtobarn.run.batch import drop_credentials, read_arrays
from femtobarn.run.choosing import choose, site_of
from femtobarn.run.credentials import check, copies_for_jobs, forget, job_exports
from femtobarn.run.directory import RunDirectory
from femtobarn.run.engine import Progress, execute
from femtobarn.run.estimate import Estimate, estimate, speed_of
from femtobarn.run.executors import Executor
from femtobarn.run.files import write_text
from femtobarn.run.plan import Plan
from femtobarn.run.planfile import read_plan, to_text
from femtobarn.run.queues import CLUSTER_JOBS, SYSTEMS
from femtobarn.run.remote_output import is_remote, local_of, mark, pending, push
from femtobarn.run.resources import Resources, Site
from femtobarn.run.slices import merge_slices, run_slice, slice_folders
from femtobarn.run.store import Store, cache_root

__all__ = ["Finished", "estimated", "merge", "plan", "resume", "run"]


@takes_request
def plan(request: Request, *, out: str | Path | None = None) -> tuple[Resolved, Plan]:
    """What would run.  Only metadata is read; ``out`` is a file for the plan."""
    resolved = resolve(request)
    planned, _ = plan_for(resolved)
    if out is not None:
        write_text(Path(out), to_text(planned))
    return resolved, planned


@takes_request
def estimated(request: Request, *, workers: int = 1, like: str | Path | None = None) -> Estimate:
    """What a run would cost on so many workers, from what the fileset or catalogue states; opens no file.

    ``like`` is a finished run of the analysis, whose speed is taken.
    """
    resolved = resolve(request)
    speed = speed_of(RunDirectory(Path(like)).manifest()) if like is not None else None
    return estimate(resolved.datasets, resolved.sizing, workers=workers, speed=speed)


@takes_request
def run(
    request: Request,
    *,
    part: tuple[int, int] | None = None,
    process_only: bool = False,
    pages: bool = True,
    progress: Callable[[Plan], Progress] | None = None,
) -> Finished:
    """Run an analysis, or continue the run that is already in the directory.

    Parameters
    ----------
    request : Request
    part : (i, n), optional
        Only the i-th (from 1) of n slices of the plan; kept for ``merge``.
    process_only : bool
        Stop after the raw results: no inference, no plots, no report.
    pages : bool
        Whether plots and report are made.
    progress : callable, optional
        Called with the plan; what it returns is called after every part.

    Raises
    ------
    LossError
        Parts failed and that was not allowed; the run directory says which and why.
    """
    resolved = resolve(request) if part is None else resolve_slice(request)
    place = site_of(resolved.executor, resolved.site, resolved.resources)
    new = begun(resolved, part)
    with _credentials(new.plan, resolved, place) as exports:
        name, executor = choose(
            resolved.executor, place, workers=resolved.workers, parts=len(new.plan.parts),
            events=new.plan.events, threads=resolved.analysis.threads, exports=exports,
            record=new.folder.path / CLUSTER_JOBS,
        )  # fmt: skip
        execution = execution_of(new, resolved, name, process_only=process_only)
        about = None if progress is None else progress(new.plan)
        with _saying_how_to_go_on(new.folder, part):
            if part is not None:
                return _run_slice(new, resolved, executor, execution, part, about)
            return _run_all(new, resolved, executor, execution, about, pages=pages)


def _run_slice(
    new: Begun,
    resolved: Resolved,
    executor: Executor,
    execution: dict[str, Any],
    part: tuple[int, int],
    progress: Progress | None,
) -> Finished:
    """Process one slice into a folder of its own in the run directory."""
    folder = new.folder
    if folder.manifest_path.exists():
        refuse_other_code(folder, resolved)
    else:
        write_manifest(new, resolved, execution)
    result = run_slice(
        folder.path, new.plan, resolved.analysis, executor, part=part, config=resolved.settings.to_json(),
        parameters=resolved.parameters, source=resolved.source, columns=_kept_columns(resolved),
        progress=progress,
    )  # fmt: skip
    refuse_loss(folder, result, allowed=resolved.allow_missing, part=part)
    return Finished(folder.path, result)


def _run_all(
    new: Begun,
    resolved: Resolved,
    executor: Executor,
    execution: dict[str, Any],
    progress: Progress | None,
    *,
    pages: bool,
) -> Finished:
    """Process all parts (what slices have made counts) and do what follows."""
    folder = new.folder
    with locked(folder.path):
        warnings = changes_since(new, resolved)
        write_manifest(new, resolved, execution, salt=new.salt)
        store = Store(cache_root() / "parts", [item / "parts" for item in slice_folders(folder.path)])
        result = execute(
            new.plan, resolved.analysis, executor, store, ledger=folder.ledger_path, salt=new.salt,
            parameters=resolved.parameters, source=resolved.source, columns=_kept_columns(resolved),
            progress=progress,
        )  # fmt: skip
        only = bool(execution["process_only"])
        return close(new, resolved, result, warnings, process_only=only, pages=pages)


def _kept_columns(resolved: Resolved) -> str:
    return str(cache_root() / "columns") if resolved.cache == "columns" else ""


@contextmanager
def _credentials(planned: Plan, resolved: Resolved, place: Site | None) -> Iterator[list[str]]:
    """Lines by which jobs of a cluster find what they need; copies live as long as the cluster."""
    submits = place is not None and place.kind in SYSTEMS
    if not submits and resolved.voms is None:
        yield []
        return
    urls = [file.ref.url for file in planned.files]
    found = check(urls, place or Site("local", "local", resolved.resources), resolved.voms)
    copies = copies_for_jobs(found) if submits else {}
    try:
        yield job_exports(copies)
    finally:
        forget(copies.values())


@contextmanager
def _saying_how_to_go_on(folder: RunDirectory, part: tuple[int, int] | None) -> Iterator[None]:
    """Whatever stops a run (Ctrl-C, a signal) says how to continue it."""
    try:
        yield
    except Exception:
        raise
    except BaseException as stop:
        again = "repeat this command" if part is not None else f"femtobarn resume {folder.path}"
        stop.add_note(f"what is done is kept; go on with: {again}")
        raise


def resume(
    path: str | Path,
    *,
    executor: str | None = None,
    workers: int | None = None,
    allow_missing: bool | None = None,
    part: tuple[int, int] | None = None,
    progress: Callable[[Plan], Progress] | None = None,
    site: str | None = None,
    resources: Resources | None = None,
    voms: str | None = None,
    cache: str | None = None,
) -> Finished:
    """Finish a run that was stopped or lost parts; what is done stays done.

    With ``part``, process one slice of it (what jobs of an array do).
    """
    folder = RunDirectory(here(path))
    if part is None and pending(folder.path) and folder.manifest().get("finished") is not None:
        # Everything is made; only the copy is missing.
        push(folder.path)
        return finished(folder)
    if part is not None:
        # A slice is done where it is asked for: in the job, or here.
        executor = executor or "auto"
    elif executor is None and site is None and read_arrays(folder.path):
        raise UsageError("was submitted as an array of jobs", where=str(path),
                         action=f"use: femtobarn resubmit {path}, or name an --executor")  # fmt: skip
    request = request_of(
        folder, executor=executor, workers=workers, allow_missing=allow_missing, site=site, voms=voms,
        cache=cache,
    )  # fmt: skip
    if part is not None:
        request = replace(request, site=None)
    if resources is not None:
        request = replace(request, resources=resources.over(request.resources))
    execution = folder.events_manifest()["execution"]
    with network_as_before(execution.get("network", {})):
        return run(request, part=part, process_only=bool(execution.get("process_only")), progress=progress)


def merge(
    paths: Sequence[str | Path], *, out: str | Path | None = None, allow_missing: bool = False
) -> Finished:
    """Add the slices of one or several run directories; completeness is verified, not assumed."""
    paths = [here(path) for path in paths]
    address = str(out) if is_remote(out) else None
    if address is not None:
        out = local_of(address)
    first = RunDirectory(Path(paths[0]))
    request = request_of(first, allow_missing=allow_missing or None, out=str(out) if out else None)
    manifest = first.events_manifest()
    planned = read_plan(first.plan_path)
    resolved = resolve(request, (planned, manifest["config"]["inputs"]))
    refuse_other_code(first, resolved)
    execution = manifest["execution"]
    target = Begun(RunDirectory(Path(resolved.out or paths[0])), planned, "")
    folder = target.folder
    if folder.manifest_path.exists():
        check_existing(folder, resolved)
    folder.path.mkdir(parents=True, exist_ok=True)
    if address is not None:
        mark(folder.path, address)
    with locked(folder.path):
        result = merge_slices(
            [item for path in paths for item in slice_folders(Path(path))], planned, resolved.analysis,
            parameters=resolved.parameters, config=resolved.settings.to_json(),
        )  # fmt: skip
        if not folder.manifest_path.exists():
            write_manifest(target, resolved, execution)
        done = close(target, resolved, result, process_only=bool(execution.get("process_only")))
        drop_credentials(folder.path)
        return done

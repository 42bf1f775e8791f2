"""Batch arrays: submit, resubmit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from femtobarn.api.beginning import begin_for_batch, request_of
from femtobarn.api.inputs import Request, resolve, takes_request
from femtobarn.api.outputs import here
from femtobarn.errors import FemtobarnError, UsageError
from femtobarn.net.settings import network_as_before
from femtobarn.run.batch import Array, incomplete, read_arrays, write_scripts
from femtobarn.run.batch import submit as hand_in
from femtobarn.run.credentials import check, copies_for_jobs
from femtobarn.run.directory import RunDirectory
from femtobarn.run.plan import Plan
from femtobarn.run.planfile import read_plan
from femtobarn.run.queues import SYSTEMS, alive, cancel_command
from femtobarn.run.remote_output import is_remote
from femtobarn.run.resources import Resources, Site, find_site
from femtobarn.run.slices import slice_folder

__all__ = ["Submitted", "resubmit", "submit"]

#: Jobs of an array when nobody says how many.
_JOBS: Final = 10


@dataclass(frozen=True)
class Submitted:
    """What was handed to a batch system; no array after ``--dry-run`` or when nothing is missing."""

    path: Path
    scripts: tuple[Path, ...]
    slices: tuple[int, ...]
    array: Array | None


@takes_request
def submit(request: Request, *, dry_run: bool = False, process_only: bool = False) -> Submitted:
    """Begin a run and hand its slices to a batch system as an array, with a merge behind it.

    Raises
    ------
    UsageError
        No batch system was named, credentials are absent or end too early, or jobs of this run are in
        the queue already.
    """
    resolved = resolve(request)
    site = _site(resolved.site, resolved.executor, resolved.resources)
    if site.ship != "none" and resolved.source.endswith(".py"):
        raise UsageError(f"site {site.name} has no shared disk, where jobs would find the file",
                         where=resolved.source,
                         action="install the analysis as a package, or use ship: none")  # fmt: skip
    if resolved.out is not None and not is_remote(resolved.out):
        _refuse_queued(RunDirectory(Path(resolved.out)))
    run = begin_for_batch(resolved, process_only=process_only)
    count = min(site.resources.scaleout or _JOBS, max(len(run.plan.parts), 1))
    everything = list(range(1, count + 1))
    return _hand_in(run.folder, run.plan, site, everything, count, dry_run=dry_run, voms=resolved.voms)


def resubmit(
    path: str | Path,
    *,
    site: str | None = None,
    resources: Resources | None = None,
    voms: str | None = None,
    dry_run: bool = False,
) -> Submitted:
    """Submit again what is missing of a run that was submitted.

    Raises
    ------
    FemtobarnError
        Jobs of the run are still in the queue.
    """
    folder = RunDirectory(here(path))
    request = request_of(folder)
    if resources is not None:
        request = replace(request, resources=resources.over(request.resources))
    arrays = read_arrays(folder.path)
    if not arrays:
        raise UsageError("was not submitted", where=str(path), action=f"use: femtobarn resume {path}")
    _refuse_queued(folder)
    count = arrays[-1].count
    planned: Plan = read_plan(folder.plan_path)
    missing = incomplete(folder.path, planned, count)
    for index in missing:
        # No job is alive, so whoever left a lock was killed, on whatever machine.
        (slice_folder(folder.path, index, count) / "run.lock").unlink(missing_ok=True)
    where = _site(site or request.site, request.executor or "", request.resources)
    if not missing:
        return Submitted(folder.path, (), (), None)
    with network_as_before(folder.manifest()["execution"].get("network", {})):
        return _hand_in(folder, planned, where, missing, count, dry_run=dry_run, voms=voms or request.voms)


def _refuse_queued(folder: RunDirectory) -> None:
    """Jobs that are still there would do the same work twice."""
    for array in read_arrays(folder.path):
        jobs = alive(array.kind, array.jobs)
        if jobs:
            raise FemtobarnError(
                f"jobs {', '.join(jobs)} are still in the queue",
                where=str(folder.path),
                action=f"wait for them, or end them with: {cancel_command(array.kind, jobs)}",
            )


def _site(site: str | None, executor: str, resources: Resources) -> Site:
    name = site or (executor if executor in SYSTEMS else None)
    if name is None:
        raise UsageError("no batch system was named",
                         action="use --site NAME or --executor slurm|htcondor|pbs")  # fmt: skip
    return find_site(name, resources)


def _hand_in(
    folder: RunDirectory,
    planned: Plan,
    site: Site,
    slices: list[int],
    count: int,
    *,
    dry_run: bool,
    voms: str | None,
) -> Submitted:
    copies: dict[str, str] = {}
    if not dry_run:
        copies = copies_for_jobs(check((file.ref.url for file in planned.files), site, voms))
    scripts = write_scripts(folder.path, site, slices, count, copies)
    array = None if dry_run else hand_in(scripts, site, slices, count, tuple(copies.values()))
    return Submitted(folder.path, tuple(scripts), tuple(slices), array)

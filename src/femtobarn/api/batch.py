"""Batch arrays: submit, resubmit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from femtobarn.api.inputs import Request, resolve
from femtobarn.api.runs import begin_for_batch, request_of
from femtobarn.errors import FemtobarnError, UsageError
from femtobarn.run.batch import Array, alive, cancel_command, incomplete, read_arrays, write_scripts
from femtobarn.run.batch import submit as hand_in
from femtobarn.run.directory import RunDirectory
from femtobarn.run.planfile import read_plan
from femtobarn.run.resources import Site, find_site
from femtobarn.run.slices import slice_folder

__all__ = ["Submitted", "resubmit", "submit"]

_JOBS: Final = 10


@dataclass(frozen=True)
class Submitted:
    """What was handed to a batch system; no array after ``--dry-run`` or when nothing is missing."""

    path: Path
    scripts: tuple[Path, ...]
    slices: tuple[int, ...]
    array: Array | None


def submit(request: Request, *, dry_run: bool = False, process_only: bool = False) -> Submitted:
    """Begin a run and hand its slices to a batch system as an array, with a merge behind it.

    Raises
    ------
    UsageError
        No batch system was named, or there is a run in the directory already.
    """
    resolved = resolve(request)
    site = _site(resolved.site, resolved.executor, request)
    folder, planned = begin_for_batch(resolved, process_only=process_only)
    count = min(site.resources.scaleout or _JOBS, max(len(planned.parts), 1))
    return _hand_in(folder, site, list(range(1, count + 1)), count, dry_run=dry_run)


def resubmit(path: str | Path, *, site: str | None = None, dry_run: bool = False) -> Submitted:
    """Submit again what is missing of a run that was submitted.

    Raises
    ------
    FemtobarnError
        Jobs of the run are still in the queue.
    """
    folder = RunDirectory(Path(path))
    request = request_of(folder)
    arrays = read_arrays(folder.path)
    if not arrays:
        raise UsageError("was not submitted", where=str(path), action=f"use: femtobarn resume {path}")
    for array in arrays:
        jobs = alive(array)
        if jobs:
            raise FemtobarnError(
                f"jobs {', '.join(jobs)} are still in the queue",
                where=str(path),
                action=f"wait for them, or end them with: {cancel_command(array, jobs)}",
            )
    count = arrays[-1].count
    missing = incomplete(folder.path, read_plan(folder.plan_path), count)
    for index in missing:
        # No job is alive, so whoever left a lock was killed, on whatever machine.
        (slice_folder(folder.path, index, count) / "run.lock").unlink(missing_ok=True)
    where = _site(site or request.site, request.executor or "", request)
    if not missing:
        return Submitted(folder.path, (), (), None)
    return _hand_in(folder, where, missing, count, dry_run=dry_run)


def _site(site: str | None, executor: str, request: Request) -> Site:
    name = site or (executor if executor in ("slurm", "htcondor", "pbs") else None)
    if name is None:
        raise UsageError("no batch system was named",
                         action="use --site NAME or --executor slurm|htcondor|pbs")  # fmt: skip
    return find_site(name, request.resources)


def _hand_in(folder: RunDirectory, site: Site, slices: list[int], count: int, *, dry_run: bool) -> Submitted:
    scripts = write_scripts(folder.path, site, slices, count)
    array = None if dry_run else hand_in(scripts, site, slices, count)
    return Submitted(folder.path, tuple(scripts), tuple(slices), array)

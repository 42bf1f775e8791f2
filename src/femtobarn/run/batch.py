"""Batch arrays: one job a slice of the shared plan, then a merge that verifies completeness.

What a job script says is in ``run/templates``; this module fills it in, submits it, and knows how each
batch system names dependencies and tells which jobs are still there.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any, Final

from femtobarn.errors import FemtobarnError, UsageError
from femtobarn.run.files import SCHEMA_VERSION, read_json, write_json, write_text
from femtobarn.run.ledger import read_ledger
from femtobarn.run.plan import Plan
from femtobarn.run.resources import Site, seconds_of
from femtobarn.run.slices import slice_folder

__all__ = ["Array", "alive", "incomplete", "read_arrays", "submit", "write_scripts"]

_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Array:
    """A submitted array: the batch system, its job numbers (array, merge), the slices in it."""

    kind: str
    jobs: tuple[str, ...]
    slices: tuple[int, ...]
    count: int


def write_scripts(run: Path, site: Site, slices: Sequence[int], count: int) -> list[Path]:
    """Write the scripts of an array of these slices (of ``count``) into ``run/batch``; all but ``job.sh``."""
    if site.kind not in _SYSTEMS:
        raise UsageError(f"site {site.name!r} has no batch system",
                         action="use --site or --executor with slurm, htcondor or pbs")  # fmt: skip
    run = run.absolute()
    folder = run / "batch"
    values = _values(run, folder, site, len(slices))
    Path(values["logs"]).mkdir(parents=True, exist_ok=True)
    write_text(folder / "slices.txt", "".join(f"{index}/{count}\n" for index in slices))
    names = ["job.sh", *_SYSTEMS[site.kind].scripts]
    for name in names:
        text = (resources.files("femtobarn.run") / "templates" / name).read_text(encoding="utf-8")
        filled = Template(text).substitute({key: _quoted(key, value) for key, value in values.items()})
        write_text(folder / name, re.sub(r"\n\n+", "\n", filled))
    (folder / "job.sh").chmod(0o755)
    return [folder / name for name in names[1:]]


def _values(run: Path, folder: Path, site: Site, count: int) -> dict[str, str]:
    wanted = site.resources
    walltime = wanted.walltime or "04:00:00"
    cores = wanted.cores or 1
    return {
        "name": "femtobarn",
        "run": str(run),
        "folder": str(Path.cwd()),
        "batch": str(folder),
        "logs": str(Path(wanted.log_directory or folder / "logs").absolute()),
        "count": str(count),
        "range": f"#PBS -J 1-{count}" if count > 1 else "",
        "cores": str(cores),
        "executor": "processes" if cores > 1 else "serial",
        "megabytes": str(_megabytes(wanted.memory or "2GiB")),
        "disk": str(_megabytes(wanted.disk or "2GiB") * 1024),
        "walltime": walltime,
        "runtime": f"+MaxRuntime = {seconds_of(wanted.walltime)}" if wanted.walltime else "",
        "python": site.python or sys.executable,
        "setup": "\n".join(site.setup),
        "directives": "\n".join(_SYSTEMS[site.kind].directives(site)),
    }


def _quoted(key: str, value: str) -> str:
    """Paths are quoted where a shell reads them; Slurm and PBS headers take no blanks at all."""
    if key in ("run", "folder", "batch", "logs") and shlex.quote(value) != value:
        raise UsageError(f"batch systems cannot take the path {value!r}",
                         action="choose an --out without blanks and special signs")  # fmt: skip
    return value


def _megabytes(size: str) -> int:
    number, unit = re.match(r"^([\d.]+)\s*([kMGT]?)", size).groups()  # type: ignore[union-attr]
    return max(round(float(number) * {"": 2**-20, "k": 2**-10, "M": 1, "G": 2**10, "T": 2**20}[unit]), 1)


@dataclass(frozen=True, slots=True)
class _System:
    """How one batch system is spoken to."""

    scripts: tuple[str, ...]
    prefix: str
    queue: str
    asks: tuple[str, ...]
    cancels: str

    def directives(self, site: Site) -> list[str]:
        lines = [*site.directives]
        if site.resources.queue:
            lines.insert(0, self.queue.format(site.resources.queue))
        return [f"{self.prefix}{line}" for line in lines]


_SYSTEMS: Final = {
    "slurm": _System(("array.slurm", "merge.slurm"), "#SBATCH ", "--partition={}",
                     ("squeue", "--noheader", "--jobs"), "scancel"),
    "pbs": _System(("array.pbs", "merge.pbs"), "#PBS ", "-q {}", ("qstat",), "qdel"),
    "htcondor": _System(("run.dag", "array.htcondor", "merge.htcondor"), "", '+JobFlavour = "{}"',
                        ("condor_q", "-autoformat", "ClusterId", "-constraint"), "condor_rm"),
}  # fmt: skip


def submit(scripts: Sequence[Path], site: Site, slices: Sequence[int], count: int) -> Array:
    """Hand the scripts to the batch system; the merge waits for the array, however its jobs end."""
    jobs: tuple[str, ...]
    if site.kind == "slurm":
        array = _sbatch(scripts[0])
        jobs = (array, _sbatch(f"--dependency=afterany:{array}", scripts[1]))
    elif site.kind == "pbs":
        array = _call(["qsub", str(scripts[0])])
        jobs = (array, _call(["qsub", "-W", f"depend=afterany:{array}", str(scripts[1])]))
    else:
        said = _call(["condor_submit_dag", "-force", str(scripts[0])])
        found = re.search(r"cluster (\d+)", said)
        if found is None:
            raise FemtobarnError(f"condor_submit_dag did not say a cluster number: {said[:200]}")
        jobs = (found[1],)
    submitted = Array(site.kind, jobs, tuple(slices), count)
    path = scripts[0].parent / "submitted.json"
    known = read_arrays(scripts[0].parent.parent)
    rows = [asdict(array) for array in (*known, submitted)]
    write_json(path, {"schema_version": SCHEMA_VERSION, "rows": rows})
    return submitted


def _sbatch(*arguments: str | Path) -> str:
    """Submit to Slurm; the job number comes before the name of the cluster, if there is one."""
    return _call(["sbatch", "--parsable", *map(str, arguments)]).partition(";")[0]


def _call(command: Sequence[str]) -> str:
    if shutil.which(command[0]) is None:
        raise UsageError(f"there is no {command[0]} here",
                         action="log in where jobs are submitted, or use --dry-run")  # fmt: skip
    done = _run(command)
    if done.returncode:
        raise FemtobarnError(f"{command[0]} refuses: {(done.stderr or done.stdout).strip()[:500]}",
                             where=command[-1])  # fmt: skip
    return done.stdout.strip()


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        raise FemtobarnError(f"{command[0]} does not answer within {_SECONDS} s") from error


def read_arrays(run: Path) -> list[Array]:
    """The arrays that were submitted for a run, oldest first."""
    path = run / "batch" / "submitted.json"
    if not path.exists():
        return []
    rows: list[dict[str, Any]] = read_json(path)["rows"]
    return [Array(row["kind"], tuple(row["jobs"]), tuple(row["slices"]), row["count"]) for row in rows]


def alive(array: Array) -> list[str]:
    """Jobs of an array that are still in the queue or running."""
    system = _SYSTEMS[array.kind]
    if shutil.which(system.asks[0]) is None:
        raise UsageError(f"there is no {system.asks[0]} here", action="log in where jobs are submitted")
    found = []
    for job in array.jobs:
        about = f"ClusterId == {job} || DAGManJobId == {job}" if array.kind == "htcondor" else job
        done = _run([*system.asks, about])
        # Slurm and PBS answer with an error for jobs that they have forgotten.
        if done.returncode == 0 and done.stdout.strip():
            found.append(job)
    return found


def cancel_command(array: Array, jobs: Sequence[str]) -> str:
    """What to type to end these jobs."""
    return f"{_SYSTEMS[array.kind].cancels} {' '.join(jobs)}"


def incomplete(run: Path, plan: Plan, count: int) -> list[int]:
    """Slices that lack a part, by their ledgers."""
    found = []
    for index in range(1, count + 1):
        entries = read_ledger(slice_folder(run, index, count) / "ledger.jsonl")
        done = {entry.part for entry in entries.values() if entry.good}
        if any(part.number not in done for part in plan.slice(index, count)):
            found.append(index)
    return found

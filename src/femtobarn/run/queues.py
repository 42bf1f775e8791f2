"""How the queues of batch systems are asked: which jobs are still there, and what ends them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from femtobarn.errors import FemtobarnError, UsageError

__all__ = [
    "CLUSTER_JOBS",
    "SYSTEMS",
    "System",
    "alive",
    "ask",
    "call",
    "cancel_command",
    "must_answer",
    "queue_says",
]

#: In a run directory: jobs of the Dask cluster that works on it, in case nobody is left to end them.
CLUSTER_JOBS: Final = "cluster.json"
#: How long a batch system's command may take, s.
_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class System:
    """The words of one batch system.

    Attributes
    ----------
    scripts : names of the templates: the array first, the merge last
    prefix, queue : of a directive, and how a queue is named in one
    asks, cancels, probe : commands; the last one answers whenever the batch system is there
    """

    scripts: tuple[str, ...]
    prefix: str
    queue: str
    asks: tuple[str, ...]
    cancels: str
    probe: tuple[str, ...]


SYSTEMS: Final = {
    "slurm": System(("array.slurm", "merge.slurm"), "#SBATCH ", "--partition={}",
                    ("squeue", "--noheader", "--jobs"), "scancel", ("sinfo", "--noheader")),
    "pbs": System(("array.pbs", "merge.pbs"), "#PBS ", "-q {}", ("qstat",), "qdel", ("qstat",)),
    "htcondor": System(("run.dag", "array.htcondor", "merge.htcondor"), "", '+JobFlavour = "{}"',
                       ("condor_q", "-autoformat", "ClusterId", "JobStatus", "-constraint"), "condor_rm",
                       ("condor_q", "-totals")),
}  # fmt: skip


def ask(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a batch system's command.

    Raises
    ------
    UsageError
        There is no such command here.
    FemtobarnError
        It does not answer in time.
    """
    if shutil.which(command[0]) is None:
        raise UsageError(f"there is no {command[0]} here",
                         action="log in where jobs are submitted, or use --dry-run")  # fmt: skip
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        raise FemtobarnError(f"{command[0]} does not answer within {_SECONDS} s",
                             action="the batch system is down or busy: try later") from error  # fmt: skip


def call(command: Sequence[str]) -> str:
    """What a command says; its refusal is an error."""
    done = ask(command)
    if done.returncode:
        raise FemtobarnError(f"{command[0]} refuses: {(done.stderr or done.stdout).strip()[:500]}",
                             where=command[-1])  # fmt: skip
    return done.stdout.strip()


def must_answer(kind: str) -> None:
    """Refuse to start on a batch system that is not there or does not answer.

    Raises
    ------
    FemtobarnError
    """
    call(SYSTEMS[kind].probe)


def _question(kind: str, job: str) -> list[str]:
    about = f"ClusterId == {job} || DAGManJobId == {job}" if kind == "htcondor" else job
    return [*SYSTEMS[kind].asks, about]


def alive(kind: str, jobs: Sequence[str]) -> list[str]:
    """Those of the jobs that are still in the queue or running."""
    found = []
    for job in jobs:
        done = ask(_question(kind, job))
        # Slurm and PBS answer with an error for jobs that they have forgotten.
        if done.returncode == 0 and done.stdout.strip():
            found.append(job)
    return found


def queue_says(kind: str, jobs: Sequence[str]) -> str:
    """The queue's own words about some jobs, for a person to read."""
    said = []
    for job in jobs:
        try:
            done = ask(_question(kind, job))
        except FemtobarnError as error:
            return error.what
        said.append((done.stdout or done.stderr).strip())
    return "\n".join(line for line in said if line)[:1000] or "nothing: the jobs have left the queue"


def cancel_command(kind: str, jobs: Sequence[str]) -> str:
    """What to type to end these jobs."""
    return f"{SYSTEMS[kind].cancels} {' '.join(jobs)}"

"""Batch arrays: one job a slice of the shared plan, then a merge that verifies completeness.

What a job script says is in ``run/templates``; this module fills it in and submits it.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any, Final

from femtobarn.errors import FemtobarnError, UsageError
from femtobarn.run.credentials import forget, job_exports
from femtobarn.run.files import SCHEMA_VERSION, read_json, write_json, write_text
from femtobarn.run.ledger import read_ledger
from femtobarn.run.plan import Plan
from femtobarn.run.queues import SYSTEMS, System, call, cancel_command
from femtobarn.run.resources import Site, seconds_of
from femtobarn.run.shipping import python_command, ship, unpacking
from femtobarn.run.slices import slice_folder

__all__ = ["Array", "drop_credentials", "incomplete", "read_arrays", "submit", "write_scripts"]

_SUBMITTED: Final = "submitted.json"


@dataclass(frozen=True, slots=True)
class Array:
    """A submitted array: the batch system, its job numbers (array, merge), the slices in it.

    ``copies`` are files with credentials that its jobs use.
    """

    kind: str
    jobs: tuple[str, ...]
    slices: tuple[int, ...]
    count: int
    copies: tuple[str, ...] = ()


def write_scripts(
    run: Path, site: Site, slices: Sequence[int], count: int, copies: Mapping[str, str] | None = None
) -> list[Path]:
    """Write the scripts of an array of these slices (of ``count``) into ``run/batch``; all but ``job.sh``."""
    if site.kind not in SYSTEMS:
        raise UsageError(f"site {site.name!r} has no batch system",
                         action="use --site or --executor with slurm, htcondor or pbs")  # fmt: skip
    run = run.absolute()
    folder = run / "batch"
    values = _values(run, folder, site, len(slices), copies or {})
    Path(values["logs"]).mkdir(parents=True, exist_ok=True)
    write_text(folder / "slices.txt", "".join(f"{index}/{count}\n" for index in slices))
    names = ["job.sh", *SYSTEMS[site.kind].scripts]
    for name in names:
        text = (resources.files("femtobarn.run") / "templates" / name).read_text(encoding="utf-8")
        filled = Template(text).substitute({key: _plain(key, value) for key, value in values.items()})
        write_text(folder / name, re.sub(r"\n\n+", "\n", filled))
    (folder / "job.sh").chmod(0o755)
    return [folder / name for name in names[1:]]


def _values(run: Path, folder: Path, site: Site, count: int, copies: Mapping[str, str]) -> dict[str, str]:
    """What the templates leave open."""
    wanted = site.resources
    cores = wanted.cores or 1
    shipped = ship(site)
    # HTCondor carries files to nodes without a shared disk; the others have one, by their nature.
    carried = shipped is not None and site.kind == "htcondor"
    logs = str(Path(wanted.log_directory or folder / "logs").absolute())
    cache = os.environ.get("FEMTOBARN_CACHE")
    binds = tuple(dict.fromkeys([str(run), str(Path.cwd()), *([cache] if cache else [])]))
    return {
        "name": "femtobarn",
        "run": str(run),
        "folder": str(Path.cwd()),
        "batch": str(folder),
        "logs": logs,
        "count": str(count),
        "range": f"#PBS -J 1-{count}" if count > 1 else "",
        "cores": str(cores),
        "executor": "processes" if cores > 1 else "serial",
        "megabytes": str(_megabytes(wanted.memory or "2GiB")),
        "disk": str(_megabytes(wanted.disk or "2GiB") * 1024),
        "walltime": site.walltime or "04:00:00",
        "runtime": f"+MaxRuntime = {seconds_of(wanted.walltime)}" if wanted.walltime else "",
        "python": python_command(site, binds),
        # A view's own script may use what is not set and go on after what fails.
        "setup": "\n".join(site.setup),
        "unpack": "\n".join(unpacking(site, shipped)),
        "exports": "\n".join(
            [*job_exports(copies), *([f"export FEMTOBARN_CACHE={shlex.quote(cache)}"] if cache else [])]
        ),
        "carried": "yes" if carried else "no",
        "transfer": _transfer(run, folder, shipped, copies) if carried else "should_transfer_files = NO",
        "merge_universe": "local" if carried else "vanilla",
        "directives": "\n".join(_directives(SYSTEMS[site.kind], site)),
    }


def _transfer(run: Path, folder: Path, shipped: Path | None, copies: Mapping[str, str]) -> str:
    """Lines by which HTCondor carries a slice's needs to the node, and its outcomes back into the run."""
    # HTCondor knows proxies: it sees to it that they are valid on the node.
    proxy = copies.get("X509_USER_PROXY")
    others = [path for path in copies.values() if path != proxy]
    files = [run / "manifest.json", run / "plan.json", folder / "slices.txt", shipped, *others]
    lines = [
        "should_transfer_files = YES",
        "when_to_transfer_output = ON_EXIT_OR_EVICT",
        f"initialdir = {run}",
        f"transfer_input_files = {','.join(map(str, filter(None, files)))}",
        "transfer_output_files = slices",
    ]
    return "\n".join([*lines, f"x509userproxy = {proxy}"] if proxy else lines)


def _plain(key: str, value: str) -> str:
    """Headers of batch systems take no blanks in paths."""
    if key in ("run", "folder", "batch", "logs") and shlex.quote(value) != value:
        raise UsageError(f"batch systems cannot take the path {value!r}",
                         action="choose an --out without blanks and special signs")  # fmt: skip
    return value


def _megabytes(size: str) -> int:
    number, unit = re.match(r"^([\d.]+)\s*([kMGT]?)", size).groups()  # type: ignore[union-attr]
    return max(round(float(number) * {"": 2**-20, "k": 2**-10, "M": 1, "G": 2**10, "T": 2**20}[unit]), 1)


def _directives(system: System, site: Site) -> list[str]:
    lines = [*site.directives]
    if site.resources.queue:
        lines.insert(0, system.queue.format(site.resources.queue))
    return [f"{system.prefix}{line}" for line in lines]


def submit(
    scripts: Sequence[Path], site: Site, slices: Sequence[int], count: int, copies: Sequence[str] = ()
) -> Array:
    """Hand the scripts to the batch system; the merge waits for the array, however its jobs end.

    Raises
    ------
    FemtobarnError
        The batch system refuses.  If it has taken the array but not the merge, the message says how to
        end the array.
    """
    if site.kind == "htcondor":
        said = call(["condor_submit_dag", "-force", str(scripts[0])])
        found = re.search(r"cluster (\d+)", said)
        if found is None:
            raise FemtobarnError(f"condor_submit_dag did not say a cluster number: {said[:200]}")
        jobs: tuple[str, ...] = (found[1],)
    else:
        array = _enqueue(site.kind, scripts[0])
        try:
            jobs = array, _enqueue(site.kind, scripts[1], after=array)
        except FemtobarnError as error:
            _remember(scripts[0].parent, Array(site.kind, (array,), tuple(slices), count, tuple(copies)))
            raise FemtobarnError(
                f"the array {array} was submitted, its merge was refused: {error.what}", where=error.where,
                action=f"merge when it is done: femtobarn merge {scripts[0].parent.parent}   "
                f"(or end it: {cancel_command(site.kind, [array])})",
            ) from error  # fmt: skip
    submitted = Array(site.kind, jobs, tuple(slices), count, tuple(copies))
    _remember(scripts[0].parent, submitted)
    return submitted


def _enqueue(kind: str, script: Path, *, after: str | None = None) -> str:
    """Submit one script to Slurm or PBS; its job number."""
    if kind == "slurm":
        more = [f"--dependency=afterany:{after}"] if after else []
        # The job number comes before the name of the cluster, if there is one.
        return call(["sbatch", "--parsable", *more, str(script)]).partition(";")[0]
    more = ["-W", f"depend=afterany:{after}"] if after else []
    return call(["qsub", *more, str(script)])


def _remember(folder: Path, submitted: Array) -> None:
    rows = [asdict(array) for array in (*read_arrays(folder.parent), submitted)]
    write_json(folder / _SUBMITTED, {"schema_version": SCHEMA_VERSION, "rows": rows})


def read_arrays(run: Path) -> list[Array]:
    """The arrays that were submitted for a run, oldest first."""
    path = run / "batch" / _SUBMITTED
    if not path.exists():
        return []
    rows: list[dict[str, Any]] = read_json(path)["rows"]
    return [
        Array(row["kind"], tuple(row["jobs"]), tuple(row["slices"]), row["count"], tuple(row["copies"]))
        for row in rows
    ]


def drop_credentials(run: Path) -> None:
    """Remove the copies of credentials that jobs of this run have used."""
    for array in read_arrays(run):
        forget(array.copies)


def incomplete(run: Path, plan: Plan, count: int) -> list[int]:
    """Slices that lack a part, by their ledgers."""
    found = []
    for index in range(1, count + 1):
        entries = read_ledger(slice_folder(run, index, count) / "ledger.jsonl")
        done = {entry.part for entry in entries.values() if entry.good}
        if any(part.number not in done for part in plan.slice(index, count)):
            found.append(index)
    return found

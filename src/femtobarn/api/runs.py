"""Running: plan, run, resume, merge, status."""

from __future__ import annotations

import datetime as dt
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import femtobarn
from femtobarn.analysis import find_analysis
from femtobarn.api.inputs import Request, Resolved, resolve
from femtobarn.api.outputs import here
from femtobarn.api.results import finish
from femtobarn.errors import ConfigError, FemtobarnError, LossError, UsageError
from femtobarn.records import Dataset
from femtobarn.run.batch import drop_credentials, read_arrays
from femtobarn.run.credentials import check, copies_for_jobs, forget, job_exports
from femtobarn.run.directory import RunDirectory
from femtobarn.run.engine import Progress, RunResult, Summary, execute
from femtobarn.run.estimate import Estimate, estimate, speed_of
from femtobarn.run.executors import Executor, choose, site_of
from femtobarn.run.files import read_json
from femtobarn.run.fingerprint import source_fingerprint
from femtobarn.run.ledger import read_ledger
from femtobarn.run.lock import holder, locked
from femtobarn.run.plan import Plan, make_plan
from femtobarn.run.planfile import read_plan
from femtobarn.run.queues import CLUSTER_JOBS, SYSTEMS, alive, cancel_command
from femtobarn.run.remote_output import REMOTE_NOTE, is_remote, local_of, mark, pending, push
from femtobarn.run.resources import Resources, Site
from femtobarn.run.slices import merge_slices, run_slice, slice_folder, slice_folders
from femtobarn.run.store import Store, cache_root

__all__ = [
    "Finished",
    "begin_for_batch",
    "estimated",
    "merge",
    "plan",
    "request_of",
    "resume",
    "run",
    "status",
]

#: What `resume` needs to repeat a request lies in this manifest key.
_REQUEST: Final = "request"
#: Failed parts named in an error message; the rest is in the manifest.
_SHOWN: Final = 5


@dataclass(frozen=True)
class Finished:
    """What a run came to."""

    path: Path
    result: RunResult
    headline: str = ""
    #: What a reader of the results must know, as in the manifest.
    warnings: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        return self.result.summary.complete


def plan(request: Request) -> tuple[Resolved, Plan]:
    """What would run.  Only metadata is read."""
    resolved = resolve(request)
    return resolved, make_plan(resolved.analysis, resolved.parameters, resolved.datasets, resolved.sizing)


def estimated(request: Request, *, workers: int = 1, like: str | Path | None = None) -> Estimate:
    """What a run would cost on so many workers, from what the fileset or catalogue states; opens no file.

    ``like`` is a finished run of the analysis, whose speed is taken.
    """
    resolved = resolve(request)
    speed = speed_of(RunDirectory(Path(like)).manifest()) if like is not None else None
    return estimate(resolved.datasets, resolved.sizing, workers=workers, speed=speed)


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
    address = request.out if is_remote(request.out) else None
    if address is not None:
        request = replace(request, out=str(local_of(address)))
    shared = _shared_plan(request, part)
    resolved = resolve(request, None if shared is None else shared[1])
    folder = RunDirectory(Path(resolved.out or _default_out(resolved.analysis.name)))
    salt = _check_existing(folder, resolved)
    account: dict[str, float] = {}
    planned = _plan_for(resolved, account) if shared is None else shared[0]
    if resolved.fresh:
        _clear(folder, part)
    folder.path.mkdir(parents=True, exist_ok=True)
    if address is not None:
        mark(folder.path, address)
    with _credentials(planned, resolved) as exports:
        name, executor = choose(
            resolved.executor, workers=resolved.workers, parts=len(planned.parts), events=planned.events,
            site=resolved.site, resources=resolved.resources, exports=exports,
            record=folder.path / CLUSTER_JOBS,
        )  # fmt: skip
        return _process(
            folder, resolved, planned, name, executor, salt, account,
            part=part, process_only=process_only, pages=pages, progress=progress,
        )  # fmt: skip


def _process(
    folder: RunDirectory,
    resolved: Resolved,
    planned: Plan,
    name: str,
    executor: Executor,
    salt: str,
    account: Mapping[str, float],
    *,
    part: tuple[int, int] | None,
    process_only: bool,
    pages: bool,
    progress: Callable[[Plan], Progress] | None,
) -> Finished:
    """Run the parts, or one slice of them, into the directory."""
    execution = _execution(resolved, name, process_only=process_only) | dict(account)
    common: dict[str, Any] = {"parameters": resolved.parameters, "source": resolved.source,
                              "columns": _kept_columns(resolved)}  # fmt: skip
    with _saying_how_to_go_on(folder, part):
        if part is not None:
            if folder.manifest_path.exists():
                _refuse_other_code(folder, resolved)
            else:
                _begin(folder, resolved, planned, "", execution)
            result = run_slice(
                folder.path, planned, resolved.analysis, executor, part=part,
                config=resolved.settings.to_json(),
                progress=progress(planned) if progress is not None else None, **common,
            )  # fmt: skip
            _refuse_loss(folder, result, resolved.allow_missing, part)
            return Finished(folder.path, result)
        with locked(folder.path):
            warnings = _changed_inputs(folder, planned)
            _begin(folder, resolved, planned, salt, execution)
            store = Store(cache_root() / "parts", [item / "parts" for item in slice_folders(folder.path)])
            result = execute(
                planned, resolved.analysis, executor, store, ledger=folder.ledger_path, salt=salt,
                progress=progress(planned) if progress is not None else None, **common,
            )  # fmt: skip
            return _close(folder, resolved, planned, result, warnings, process_only=process_only, pages=pages)


def _kept_columns(resolved: Resolved) -> str:
    return str(cache_root() / "columns") if resolved.cache == "columns" else ""


def _plan_for(resolved: Resolved, account: dict[str, float]) -> Plan:
    """The plan, of skims where a delivery was asked for; how long that took goes into the account."""

    def deliver(datasets: tuple[Dataset, ...]) -> tuple[Dataset, ...]:
        if resolved.analysis.deliver is None:
            return datasets
        most, started = resolved.sizing.max_files, time.perf_counter()
        given = tuple(replace(one, files=one.files[:most]) for one in datasets)
        found = resolved.analysis.deliver(given, resolved.parameters, fresh=resolved.fresh)
        if found is given:
            return datasets
        account["delivery_s"] = time.perf_counter() - started
        return found

    return make_plan(
        resolved.analysis, resolved.parameters, resolved.datasets, resolved.sizing, deliver=deliver
    )


def _shared_plan(
    request: Request, part: tuple[int, int] | None
) -> tuple[Plan, tuple[tuple[Dataset, ...], Mapping[str, Any]]] | None:
    """The plan that the run directory of a slice holds already, and its inputs: all slices share it."""
    if part is None or request.out is None or request.fresh:
        return None
    folder = RunDirectory(Path(request.out))
    if not (folder.plan_path.exists() and folder.manifest_path.exists()):
        return None
    found: Plan = read_plan(folder.plan_path)
    asked, inputs = folder.manifest()["config"], {}
    if request.files or request.fileset:
        # Named again (run --part of a person, not of a job): compared with what the run was begun with.
        inputs = dict(resolve(request).settings.inputs)
    return found, (found.datasets, inputs or asked["inputs"])


def _refuse_other_code(folder: RunDirectory, resolved: Resolved) -> None:
    """A job (or a merge) with other code than the run was begun with would make or expect other results."""
    manifest = folder.manifest()
    mine = {"femtobarn": femtobarn.__version__, "source": source_fingerprint(resolved.analysis)}
    names = {"femtobarn": "femtobarn", "source": f"source of {resolved.analysis.name}"}
    for key, name in names.items():
        if manifest[key] != mine[key]:
            raise FemtobarnError(
                f"here is another {name} ({mine[key][:12]}) than "
                f"the run was begun with ({manifest[key][:12]})",
                where=f"{socket.gethostname()}: {folder.path}",
                action="give jobs the environment of the run (site file: setup, image, ship), or begin it "
                "anew with --fresh",
            )


@contextmanager
def _credentials(planned: Plan, resolved: Resolved) -> Iterator[list[str]]:
    """Lines by which jobs of a cluster find their credentials; the copies live as long as the cluster."""
    place = site_of(resolved.executor, resolved.site, resolved.resources)
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


def _begin(
    folder: RunDirectory, resolved: Resolved, planned: Plan, salt: str, execution: Mapping[str, Any]
) -> None:
    folder.begin(
        resolved.settings, resolved.analysis, planned, command=resolved.command,
        seed=getattr(resolved.parameters, "seed", None), salt=salt, execution=execution,
    )  # fmt: skip


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


def _changed_inputs(folder: RunDirectory, planned: Plan) -> list[str]:
    """A warning if files differ from those that the run in this directory was planned with."""
    if not folder.plan_path.exists():
        return []
    try:
        before = {
            file.ref.url: (file.uuid, file.size) for file in read_plan(folder.plan_path).files if file.uuid
        }
    except FemtobarnError:
        return []
    changed = [
        file.ref.url
        for file in planned.files
        if before.get(file.ref.url, (file.uuid, file.size)) != (file.uuid, file.size)
    ]
    if not changed:
        return []
    return [f"{len(changed)} files changed since the run began and are processed anew, first {changed[0]}"]


def _default_out(name: str) -> str:
    return f"runs/{name}-{dt.datetime.now().astimezone():%Y%m%d-%H%M%S}"


def _holds_other_things(path: Path) -> bool:
    """Whether files lie there that no run puts down before its manifest (selected events may be first)."""
    ours = ("run.lock", "plan.json", REMOTE_NOTE, "parsed_data")
    return path.is_dir() and any(
        item.name not in ours and not (item.name.startswith(".") and item.suffix == ".tmp")
        for item in path.iterdir()
    )


def _check_existing(folder: RunDirectory, resolved: Resolved) -> str:
    """Refuse a directory that holds something else; the salt of the run's keys otherwise."""
    if resolved.fresh:
        return secrets.token_hex(8)
    if not folder.manifest_path.exists():
        if _holds_other_things(folder.path) and not slice_folders(folder.path):
            raise UsageError("the directory is not empty and holds no run", where=str(folder.path),
                             action="choose another --out")  # fmt: skip
        return ""
    differences = folder.differences(resolved.settings)
    if differences:
        raise ConfigError(
            "the run in this directory has another configuration: " + "; ".join(differences[:_SHOWN]),
            where=str(folder.path),
            action="choose another --out, or replace the run with --fresh",
        )
    return str(folder.manifest().get("salt", ""))


def _clear(folder: RunDirectory, part: tuple[int, int] | None) -> None:
    """Remove an earlier run, or one slice of it (and nothing that is not a run)."""
    target = folder.path if part is None else slice_folder(folder.path, *part)
    if not (folder.manifest_path if part is None else target / "slice.json").exists():
        return
    with locked(target):
        # Renamed first: a kill while files are removed must not leave half a run under its name.
        doomed = target.with_name(f".{target.name}.{secrets.token_hex(4)}.old")
        target.rename(doomed)
    shutil.rmtree(doomed)


def _close(
    folder: RunDirectory,
    resolved: Resolved,
    planned: Plan,
    result: RunResult,
    warnings: Sequence[str] = (),
    *,
    process_only: bool,
    pages: bool = True,
) -> Finished:
    """Write results; all later steps follow unless only processing was asked for."""
    _refuse_loss(folder, result, resolved.allow_missing)
    told = [f"{url} is not used: {reason}" for url, reason in planned.unused.items()]
    told += [*warnings, *_limits(resolved, planned)]
    if not result.summary.complete:
        told.append(f"{result.summary.lost_fraction:.2%} of the input is lost (--allow-missing)")
    if resolved.analysis.settle is not None:
        told += resolved.analysis.settle(result.outcome, resolved.parameters)
    folder.complete(result, told)
    headline = "" if process_only else finish(folder, resolved.analysis, pages=pages)
    push(folder.path)
    return Finished(folder.path, result, headline, tuple(folder.manifest()["warnings"]))


def _limits(resolved: Resolved, planned: Plan) -> list[str]:
    """What was left out on purpose; that is no loss, but readers must know."""
    sizing = resolved.sizing
    limits = [("files", sizing.max_files), ("events", sizing.max_events)]
    total = sum(planned.totals.values())
    return [
        f"only the first {most} {what} of each dataset were asked for (--max-{what}): "
        f"{planned.events} of {total} events"
        for what, most in limits
        if most is not None
    ]


def _refuse_loss(
    folder: RunDirectory,
    result: RunResult,
    allowed: bool,  # noqa: FBT001
    part: tuple[int, int] | None = None,
) -> None:
    summary = result.summary
    if summary.complete or (allowed and summary.done + summary.cached > 0):
        return
    failures = [
        {"dataset": e.dataset, "file": e.file, "start": e.start, "stop": e.stop, "error": e.error}
        for e in result.failures
    ]
    if part is None:
        folder.note(ledger=summary.to_json(), failures=failures)
    reasons = list(dict.fromkeys(failure["error"] for failure in failures))
    shown = "".join(f"\n  - {reason}" for reason in reasons[:_SHOWN])
    more = f"\n  - and {len(reasons) - _SHOWN} more reasons" if len(reasons) > _SHOWN else ""
    numbers = {"failed": summary.failed, "are missing": summary.missing}
    states = ", ".join(f"{number} {what}" for what, number in numbers.items() if number)
    again = "repeat this command" if part is not None else f"go on with: femtobarn resume {folder.path}"
    raise LossError(
        f"of {summary.total} parts {states}: {summary.lost_fraction:.2%} of the input is lost{shown}{more}",
        where=str(folder.path),
        action=f"mend the inputs, then {again} (or accept the loss with --allow-missing)",
    )


def begin_for_batch(resolved: Resolved, *, process_only: bool) -> tuple[RunDirectory, Plan]:
    """A run directory with manifest and plan, whose parts will be processed by jobs."""
    address = resolved.out if is_remote(resolved.out) else None
    out = local_of(address) if address is not None else resolved.out
    folder = RunDirectory(Path(out or _default_out(resolved.analysis.name)))
    _check_existing(folder, resolved)
    if resolved.fresh:
        _clear(folder, None)
    account: dict[str, float] = {}
    planned = _plan_for(resolved, account)
    folder.path.mkdir(parents=True, exist_ok=True)
    if address is not None:
        mark(folder.path, address)
    execution = _execution(resolved, resolved.executor, process_only=process_only)
    with locked(folder.path):
        _begin(folder, resolved, planned, "", execution | account)
    return folder, planned


def _execution(resolved: Resolved, executor: str, *, process_only: bool) -> dict[str, Any]:
    """How a run is done, for the manifest."""
    return {
        "executor": executor, "workers": resolved.workers, "site": resolved.site,
        "resources": asdict(resolved.resources), "voms": resolved.voms,
        "allow_missing": resolved.allow_missing, "process_only": process_only, "cache": resolved.cache,
    }  # fmt: skip


def request_of(folder: RunDirectory, **changes: Any) -> Request:
    """The request behind an existing run."""
    manifest = folder.manifest()
    config, execution = manifest["config"], manifest["execution"]
    inputs, sizing = config["inputs"], config["sizing"]
    merged: dict[str, Any] = {
        "what": config["analysis"],
        "files": inputs.get("files") or (),
        "fileset": inputs.get("fileset"),
        "parameters": config["parameters"],
        "model": config.get("model") or {},
        "out": str(folder.path),
        "executor": execution["executor"],
        "workers": execution["workers"],
        "site": execution.get("site"),
        "resources": Resources(**execution.get("resources", {})),
        "voms": execution.get("voms"),
        "allow_missing": execution["allow_missing"],
        "cache": execution.get("cache"),
        "command": manifest["command"],
        **sizing,
    }
    merged.update({key: value for key, value in changes.items() if value is not None})
    return Request(**merged)


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
) -> Finished:
    """Finish a run that was stopped or lost parts; what is done stays done.

    With ``part``, process one slice of it (what jobs of an array do).
    """
    folder = RunDirectory(here(path))
    if part is None and pending(folder.path) and folder.manifest()["finished"] is not None:
        # Everything is made; only the copy is missing.
        push(folder.path)
        return _finished(folder)
    if part is not None:
        # A slice is done where it is asked for: in the job, or here.
        executor = executor or "auto"
    elif executor is None and site is None and read_arrays(folder.path):
        raise UsageError("was submitted as an array of jobs", where=str(path),
                         action=f"use: femtobarn resubmit {path}, or name an --executor")  # fmt: skip
    request = request_of(
        folder, executor=executor, workers=workers, allow_missing=allow_missing, site=site, voms=voms
    )
    if part is not None:
        request = replace(request, site=None)
    if resources is not None:
        request = replace(request, resources=resources.over(request.resources))
    only = bool(folder.manifest()["execution"].get("process_only"))
    return run(request, part=part, process_only=only, progress=progress)


def _finished(folder: RunDirectory) -> Finished:
    """A run that is done, as its directory tells it."""
    manifest = folder.manifest()
    stored = folder.stored(find_analysis(manifest["config"]["analysis"]))
    summary = Summary.from_json(manifest["ledger"])
    return Finished(
        folder.path, RunResult(stored.outcome, summary, {}, dict(stored.entries)), manifest["headline"]
    )


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
    planned: Plan = read_plan(first.plan_path)
    resolved = resolve(request, (planned.datasets, first.manifest()["config"]["inputs"]))
    _refuse_other_code(first, resolved)
    execution = first.manifest()["execution"]
    folders = [folder for path in paths for folder in slice_folders(Path(path))]
    target = RunDirectory(Path(resolved.out or paths[0]))
    if target.manifest_path.exists():
        _check_existing(target, resolved)
    target.path.mkdir(parents=True, exist_ok=True)
    if address is not None:
        mark(target.path, address)
    with locked(target.path):
        result = merge_slices(
            folders,
            planned,
            resolved.analysis,
            parameters=resolved.parameters,
            config=resolved.settings.to_json(),
        )
        if not target.manifest_path.exists():
            _begin(target, resolved, planned, "", execution)
        done = _close(target, resolved, planned, result, process_only=bool(execution.get("process_only")))
        drop_credentials(target.path)
        return done


def status(path: str | Path, *, ask_queue: bool = False) -> dict[str, Any]:
    """How far a run is, from its ledger alone.

    With ``ask_queue`` also who is at work on it: ``jobs`` still in the queue of the batch system, and
    whether a process holds its lock.
    """
    folder = RunDirectory(here(path))
    manifest = folder.manifest()
    entries = read_ledger(folder.ledger_path)
    for item in slice_folders(folder.path):
        entries |= read_ledger(item / "ledger.jsonl")
    states = [entry.state for entry in entries.values()]
    total = manifest["ledger"]["parts"]["total"]
    counts = {state: states.count(state) for state in ("done", "cached", "failed")}
    return {
        "run": str(folder.path),
        "analysis": manifest["analysis"],
        "started": manifest["started"],
        "finished": manifest["finished"],
        "parts": {"total": total, **counts, "missing": total - len(entries)},
        "events": {
            "expected": manifest["ledger"]["events"]["expected"],
            "processed": sum(entry.events for entry in entries.values() if entry.state != "failed"),
        },
        "failures": [
            {"file": e.file, "start": e.start, "stop": e.stop, "error": e.error}
            for _, e in sorted(entries.items())
            if e.state == "failed"
        ],
        "headline": manifest["headline"],
        "submitted": bool(read_arrays(folder.path)),
        **(_at_work(folder.path) if ask_queue else {}),
    }


def _at_work(path: Path) -> dict[str, Any]:
    """Jobs of a run in the queue, the command that ends them, and whether a process is at work."""
    jobs, commands = [], []
    for array in read_arrays(path):
        found = alive(array.kind, array.jobs)
        jobs += found
        commands += [cancel_command(array.kind, found)] if found else []
    record = path / CLUSTER_JOBS
    if record.exists():
        about = read_json(record)
        found = alive(about["kind"], about["jobs"])
        jobs += found
        commands += [cancel_command(about["kind"], found)] if found else []
    return {"jobs": jobs, "cancel": commands, "held": holder(path)}

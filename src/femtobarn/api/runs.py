"""Running: plan, run, resume, merge, status."""

from __future__ import annotations

import datetime
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from femtobarn.api.inputs import Request, Resolved, resolve
from femtobarn.api.results import finish
from femtobarn.errors import ConfigError, LossError, UsageError
from femtobarn.run.directory import RunDirectory
from femtobarn.run.engine import Progress, RunResult, execute
from femtobarn.run.executors import choose
from femtobarn.run.ledger import read_ledger
from femtobarn.run.lock import locked
from femtobarn.run.plan import Plan, make_plan
from femtobarn.run.slices import merge_slices, run_slice, slice_folders
from femtobarn.run.store import Store, cache_root

__all__ = ["Finished", "merge", "plan", "resume", "run", "status"]

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

    @property
    def complete(self) -> bool:
        return self.result.summary.complete


def plan(request: Request) -> tuple[Resolved, Plan]:
    """What would run.  Only metadata is read."""
    resolved = resolve(request)
    return resolved, make_plan(resolved.analysis, resolved.parameters, resolved.datasets, resolved.sizing)


def run(
    request: Request,
    *,
    part: tuple[int, int] | None = None,
    process_only: bool = False,
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
    progress : callable, optional
        Called with the plan; what it returns is called after every part.

    Raises
    ------
    LossError
        Parts failed and that was not allowed; the run directory says which and why.
    """
    resolved, planned = plan(request)
    folder = RunDirectory(Path(resolved.out or _default_out(resolved.analysis.name)))
    salt = _check_existing(folder, resolved)
    name, executor = choose(
        resolved.executor, workers=resolved.workers, parts=len(planned.parts), events=planned.events
    )
    if resolved.fresh and part is None:
        _clear(folder)
    folder.path.mkdir(parents=True, exist_ok=True)
    with _nothing() if part is not None else locked(folder.path):
        if part is None or not folder.manifest_path.exists():
            folder.begin(
                resolved.settings, resolved.analysis, planned, command=resolved.command,
                seed=getattr(resolved.parameters, "seed", None), salt=salt,
                execution={"executor": name, "workers": resolved.workers,
                           "allow_missing": resolved.allow_missing, "process_only": process_only},
            )  # fmt: skip
        tell = progress(planned) if progress is not None else None
        common: dict[str, Any] = {"parameters": resolved.parameters, "source": resolved.source, "salt": salt, "progress": tell}  # fmt: skip
        if part is not None:
            result = run_slice(folder.path, planned, resolved.analysis, executor, part=part,
                               config=resolved.settings.to_json(), **common)  # fmt: skip
            _refuse_loss(folder, result, resolved.allow_missing)
            return Finished(folder.path, result)
        store = Store(cache_root() / "parts")
        result = execute(planned, resolved.analysis, executor, store, ledger=folder.ledger_path, **common)
        return _close(folder, resolved, planned, result, process_only=process_only)


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _default_out(name: str) -> str:
    return f"runs/{name}-{datetime.datetime.now().astimezone():%Y%m%d-%H%M%S}"


def _check_existing(folder: RunDirectory, resolved: Resolved) -> str:
    """Refuse a directory that holds something else; the salt of the run's keys otherwise."""
    if resolved.fresh:
        return secrets.token_hex(8)
    if not folder.manifest_path.exists():
        if folder.path.is_dir() and any(folder.path.iterdir()) and not slice_folders(folder.path):
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


def _clear(folder: RunDirectory) -> None:
    """Remove an earlier run (and only a run)."""
    if folder.manifest_path.exists():
        with locked(folder.path):
            pass
        shutil.rmtree(folder.path)


def _close(
    folder: RunDirectory, resolved: Resolved, planned: Plan, result: RunResult, *, process_only: bool
) -> Finished:
    """Write results; all later steps follow unless only processing was asked for."""
    _refuse_loss(folder, result, resolved.allow_missing)
    warnings = [f"{url} is not used: {reason}" for url, reason in planned.unused.items()]
    if not result.summary.complete:
        warnings.append(f"{result.summary.lost_fraction:.2%} of the input is lost (--allow-missing)")
    folder.complete(result, warnings)
    headline = "" if process_only else finish(folder, resolved.analysis)
    return Finished(folder.path, result, headline)


def _refuse_loss(folder: RunDirectory, result: RunResult, allowed: bool) -> None:  # noqa: FBT001
    summary = result.summary
    if summary.complete or (allowed and summary.done + summary.cached > 0):
        return
    failures = [
        {"dataset": e.dataset, "file": e.file, "start": e.start, "stop": e.stop, "error": e.error}
        for e in result.failures
    ]
    folder.note(ledger=summary.to_json(), failures=failures)
    reasons = list(dict.fromkeys(failure["error"] for failure in failures))
    shown = "\n".join(f"  - {reason}" for reason in reasons[:_SHOWN])
    more = f"\n  - and {len(reasons) - _SHOWN} more reasons" if len(reasons) > _SHOWN else ""
    counts = f"{summary.failed} of {summary.total} parts failed"
    if summary.missing:
        counts += f", {summary.missing} are missing"
    raise LossError(
        f"{counts}: {summary.lost_fraction:.2%} of the input is lost\n{shown}{more}",
        where=str(folder.path),
        action=f"mend the inputs, then: femtobarn resume {folder.path} "
        "(or accept the loss with --allow-missing)",
    )


def _request_of(folder: RunDirectory, **changes: Any) -> Request:
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
        "allow_missing": execution["allow_missing"],
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
    progress: Callable[[Plan], Progress] | None = None,
) -> Finished:
    """Finish a run that was stopped or lost parts; what is done stays done."""
    folder = RunDirectory(Path(path))
    request = _request_of(folder, executor=executor, workers=workers, allow_missing=allow_missing)
    only = bool(folder.manifest()["execution"].get("process_only"))
    return run(request, process_only=only, progress=progress)


def merge(
    paths: Sequence[str | Path], *, out: str | Path | None = None, allow_missing: bool = False
) -> Finished:
    """Add the slices of one or several run directories; completeness is verified, not assumed."""
    first = RunDirectory(Path(paths[0]))
    request = _request_of(first, allow_missing=allow_missing or None, out=str(out) if out else None)
    resolved, planned = plan(request)
    salt = str(first.manifest().get("salt", ""))
    folders = [folder for path in paths for folder in slice_folders(Path(path))]
    config = resolved.settings.to_json()
    result = merge_slices(
        folders, planned, resolved.analysis, parameters=resolved.parameters, config=config, salt=salt
    )
    target = RunDirectory(Path(resolved.out or paths[0]))
    target.path.mkdir(parents=True, exist_ok=True)
    with locked(target.path):
        if not target.manifest_path.exists():
            target.begin(
                resolved.settings, resolved.analysis, planned, command=resolved.command, seed=None, salt=salt,
                execution=first.manifest()["execution"],
            )  # fmt: skip
        return _close(target, resolved, planned, result, process_only=False)


def status(path: str | Path) -> dict[str, Any]:
    """How far a run is, from its ledger alone."""
    folder = RunDirectory(Path(path))
    manifest = folder.manifest()
    entries = read_ledger(folder.ledger_path)
    for slice_folder in slice_folders(folder.path):
        entries |= read_ledger(slice_folder / "ledger.jsonl")
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
    }

"""Beginning a run: its directory, its plan, and what an earlier run in that directory allows."""

from __future__ import annotations

import datetime as dt
import secrets
import shutil
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import femtobarn
from femtobarn.api.inputs import Request, Resolved, resolve
from femtobarn.errors import ConfigError, FemtobarnError, StoreError, UsageError
from femtobarn.locks import locked
from femtobarn.net.settings import network_variables
from femtobarn.records import Dataset
from femtobarn.run.directory import RunDirectory
from femtobarn.run.fingerprint import source_fingerprint
from femtobarn.run.ledger import read_ledger
from femtobarn.run.plan import Plan, make_plan
from femtobarn.run.planfile import read_plan
from femtobarn.run.remote_output import REMOTE_NOTE, is_remote, local_of, mark
from femtobarn.run.resources import Resources
from femtobarn.run.slices import slice_folder, slice_folders

__all__ = [
    "Begun",
    "begin_for_batch",
    "begun",
    "changes_since",
    "check_existing",
    "execution_of",
    "manifest_of",
    "plan_for",
    "refuse_other_code",
    "request_of",
    "resolve_slice",
    "write_manifest",
]

#: What people see of a long list of differences.
_SHOWN: Final = 5
#: What a request is made of again, besides the manifest's tables.
_KINDS: Final = {"fileset": str, "executor": str, "workers": int, "site": str, "voms": str, "cache": str,
                 "allow_missing": bool, "model": dict, "files": list | tuple}  # fmt: skip
_SIZES: Final = ("part_events", "part_bytes", "max_files", "max_events", "steps_per_part")
#: What no run puts down before its manifest (selected events may be first).
_EARLY: Final = ("run.lock", "plan.json", REMOTE_NOTE, "parsed_data")


@dataclass(frozen=True)
class Begun:
    """A run directory, what is to be done in it, and the salt of its keys (of ``--fresh``)."""

    folder: RunDirectory
    plan: Plan
    salt: str
    #: Seconds that the delivery of the inputs took, where the analysis has its own.
    delivery_s: float | None = None


def plan_for(resolved: Resolved) -> tuple[Plan, float | None]:
    """The plan that a request names, or one made now; and the seconds that delivering its inputs took."""
    if resolved.plan is not None:
        return resolved.plan, None
    seconds = None

    def delivered(datasets: tuple[Dataset, ...]) -> tuple[Dataset, ...]:
        """Skims in the place of the datasets, if the analysis was asked for them."""
        nonlocal seconds
        if resolved.analysis.deliver is None:
            return datasets
        started = time.perf_counter()
        given = tuple(replace(one, files=one.files[: resolved.sizing.max_files]) for one in datasets)
        found = resolved.analysis.deliver(given, resolved.parameters, fresh=resolved.fresh)
        if found is given:
            return datasets
        seconds = time.perf_counter() - started
        return found

    planned = make_plan(
        resolved.analysis, resolved.parameters, resolved.datasets, resolved.sizing, deliver=delivered
    )
    return planned, seconds


def resolve_slice(request: Request) -> Resolved:
    """Understand the request for one slice: all slices share the plan that their run directory holds."""
    if request.out is None or request.fresh:
        return resolve(request)
    folder = RunDirectory(local_of(request.out) if is_remote(request.out) else Path(request.out))
    if not (folder.plan_path.exists() and folder.manifest_path.exists()):
        return resolve(request)
    inputs = folder.events_manifest()["config"].get("inputs", {})
    if request.files or request.fileset or request.plan:
        # Named again (run --part of a person, not of a job): compared with what the run was begun with.
        inputs = resolve(request).settings.inputs
    return resolve(request, (read_plan(folder.plan_path), inputs))


def begun(resolved: Resolved, part: tuple[int, int] | None = None) -> Begun:
    """The directory of a run, made or found again, and its plan; nothing is written into it yet.

    Raises
    ------
    UsageError, ConfigError
        The directory holds something else.
    """
    address = resolved.out if is_remote(resolved.out) else None
    out = local_of(address) if address is not None else resolved.out
    folder = RunDirectory(Path(out or _default_out(resolved.analysis.name)))
    salt = check_existing(folder, resolved)
    planned, delivery_s = plan_for(resolved)
    if part is not None:
        planned.slice(*part)  # refused before anything is removed or written
    if resolved.fresh:
        _clear(folder, part)
    folder.path.mkdir(parents=True, exist_ok=True)
    if address is not None:
        mark(folder.path, address)
    return Begun(folder, planned, salt, delivery_s)


def begin_for_batch(resolved: Resolved, *, process_only: bool) -> Begun:
    """A run directory with manifest and plan, whose parts will be processed by jobs."""
    run = begun(resolved)
    with locked(run.folder.path):
        write_manifest(
            run, resolved, execution_of(run, resolved, resolved.executor, process_only=process_only)
        )
    return run


def write_manifest(run: Begun, resolved: Resolved, execution: Mapping[str, Any], *, salt: str = "") -> None:
    """Write manifest and plan, before the first part is processed."""
    run.folder.begin(
        resolved.settings, resolved.analysis, run.plan, command=resolved.command,
        seed=getattr(resolved.parameters, "seed", None), salt=salt, execution=execution,
    )  # fmt: skip


def execution_of(run: Begun, resolved: Resolved, executor: str, *, process_only: bool) -> dict[str, Any]:
    """How a run is done, for the manifest."""
    delivery = {} if run.delivery_s is None else {"delivery_s": run.delivery_s}
    return {
        "executor": executor, "workers": resolved.workers, "site": resolved.site,
        "resources": asdict(resolved.resources), "voms": resolved.voms,
        "allow_missing": resolved.allow_missing, "process_only": process_only, "cache": resolved.cache,
        "network": network_variables(), **delivery,
    }  # fmt: skip


def manifest_of(folder: RunDirectory) -> dict[str, Any]:
    """The manifest of a run over events; directories that hold fits of files have no parts."""
    manifest = folder.manifest()
    if "ledger" not in manifest:
        raise UsageError(
            f"holds {manifest.get('title') or 'fits'}, made at once and not in parts", where=str(folder.path),
            action=f"what there is: femtobarn report {folder.path}",
        )  # fmt: skip
    return folder.events_manifest()


def request_of(folder: RunDirectory, **changes: Any) -> Request:
    """The request behind an existing run.

    Raises
    ------
    StoreError
        Its manifest is damaged.
    """
    try:
        return _request_of(folder, changes)
    except (KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"does not say how the run is done: {type(error).__name__}: {error}",
            where=str(folder.manifest_path),
            action="begin the run anew: its parts are in the cache",
        ) from error


def _request_of(folder: RunDirectory, changes: Mapping[str, Any]) -> Request:
    manifest = manifest_of(folder)
    config, execution = manifest["config"], manifest["execution"]
    inputs, sizing = config["inputs"], config["sizing"]
    merged: dict[str, Any] = {
        "what": config["analysis"],
        "files": inputs.get("files") or (),
        "fileset": inputs.get("fileset"),
        "plan": str(folder.plan_path) if "plan" in inputs else None,
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
        "command": [str(word) for word in manifest["command"]],
        **({} if "plan" in inputs else {name: sizing[name] for name in _SIZES if name in sizing}),
    }
    sizes = [name for name in _SIZES if not isinstance(merged.get(name), int | None)]
    if sizes:
        raise TypeError(f"{sizes[0]} is {merged[sizes[0]]!r}")
    for name, kind in _KINDS.items():
        if not isinstance(merged[name], kind | None):
            raise TypeError(f"{name} is {merged[name]!r}")
    merged.update({key: value for key, value in changes.items() if value is not None})
    return Request(**merged)


def check_existing(folder: RunDirectory, resolved: Resolved) -> str:
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


def _holds_other_things(path: Path) -> bool:
    return path.is_dir() and any(
        item.name not in _EARLY and not (item.name.startswith(".") and item.suffix == ".tmp")
        for item in path.iterdir()
    )


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


def _default_out(name: str) -> str:
    return f"runs/{name}-{dt.datetime.now().astimezone():%Y%m%d-%H%M%S}"


def refuse_other_code(folder: RunDirectory, resolved: Resolved) -> None:
    """A job (or a merge) with other code than the run was begun with would make or expect other results."""
    for name, (theirs, mine) in _code_of(folder, resolved).items():
        if theirs != mine:
            raise FemtobarnError(
                f"here is another {name} ({mine[:12]}) than the run was begun with ({theirs[:12]})",
                where=f"{socket.gethostname()}: {folder.path}",
                action="give jobs the environment of the run (site file: setup, image, ship), or begin it "
                "anew with --fresh",
            )


def _code_of(folder: RunDirectory, resolved: Resolved) -> dict[str, tuple[str, str]]:
    """{what: (in the manifest, here)}."""
    manifest = folder.manifest()
    return {
        "femtobarn": (str(manifest.get("femtobarn")), femtobarn.__version__),
        f"source of {resolved.analysis.name}": (
            str(manifest.get("source")),
            source_fingerprint(resolved.analysis),
        ),
    }


def changes_since(run: Begun, resolved: Resolved) -> list[str]:
    """Sentences on code and files that are not those with which the run in this directory was begun."""
    folder = run.folder
    if not (folder.manifest_path.exists() and folder.plan_path.exists()):
        return []
    found = []
    other = [name for name, (theirs, mine) in _code_of(folder, resolved).items() if theirs != mine]
    if other and (read_ledger(folder.ledger_path) or slice_folders(folder.path)):
        found = [f"another {' and '.join(other)} than the run was begun with: all parts are processed anew"]
    try:
        files = read_plan(folder.plan_path).files
    except FemtobarnError:
        return found
    before = {file.ref.url: (file.uuid, file.size) for file in files if file.uuid}
    changed = [
        file.ref.url
        for file in run.plan.files
        if before.get(file.ref.url, (file.uuid, file.size)) != (file.uuid, file.size)
    ]
    if changed:
        count = len(changed)
        found.append(f"{count} files changed since the run began and are processed anew, first {changed[0]}")
    return found

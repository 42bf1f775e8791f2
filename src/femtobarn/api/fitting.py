"""The verb ``fit``: a run, a workspace or a cabinetry model in; fit.json, tables, figures, report out."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import femtobarn
from femtobarn.api.fit_files import FIT, draw_fit, is_fit, stored_model, write_fit_tables
from femtobarn.api.outputs import copied_run, reads_run, writes_run
from femtobarn.api.results import refit
from femtobarn.errors import DataError, FitError, UsageError, nearest
from femtobarn.run.files import SCHEMA_VERSION, write_json
from femtobarn.stats.histfactory.full_fit import FitOptions, FitOutcome, LoadedModel, load_model, run_fit
from femtobarn.stats.histfactory.workspace import write_workspace

__all__ = ["fit", "fit_directory"]

_MODEL_FILES: Final = (".json", ".yml", ".yaml")


@writes_run
def fit(
    path: str | Path,
    options: FitOptions | None = None,
    *,
    out: str | Path | None = None,
    command: Sequence[str] = (),
) -> Mapping[str, Any]:
    """Fit a run, a pyhf workspace (JSON) or a cabinetry model (YAML); returns the fit.json object.

    Parameters
    ----------
    path : path
        A run directory, ``WORKSPACE.json`` or ``MODEL.yml``; the directory of a fit is fitted again.
    options : FitOptions, optional
        What to do besides the fit; for a run these come on top of what its analysis asks for.
    out : path, optional
        Directory to write to.  A run is written into itself by default, a file's fit to ``<stem>_fit``.

    Raises
    ------
    FitError
        The fit failed; fit.json says how.
    """
    source, where, asked = Path(path), fit_directory(path, out), options or FitOptions()
    if source.is_dir() and not is_fit(source):
        fitted = refit(copied_run(source, out), asked)
    elif source.is_dir():
        fitted = _fit_model(source, stored_model(source, asked), asked, where, command)
    elif source.suffix.lower() in _MODEL_FILES:
        fitted = _fit_model(source, load_model(source, asked), asked, where, command)
    else:
        raise _neither(source)
    if fitted.get("mle", {}).get("status") == "failed" or fitted.get("status") == "failed":
        reason = fitted.get("mle", fitted).get("message", "")
        raise FitError(f"the fit failed: {reason}", where=str(where / "fit.json"))
    return fitted


def _neither(source: Path) -> DataError | UsageError:
    action = "name a run, a pyhf workspace (.json) or a cabinetry model (.yml)"
    if source.exists():
        return UsageError("is neither a run directory nor a model", where=str(source), action=action)
    beside = [item.name for item in source.parent.iterdir()] if source.parent.is_dir() else []
    return DataError(
        "no such file or directory", where=str(source), near=nearest(source.name, beside), action=action
    )


@reads_run
def fit_directory(path: str | Path, out: str | Path | None = None) -> Path:
    """Where a fit is written: ``out``, else a run itself, else ``<stem>_fit``."""
    source = Path(path)
    return Path(out) if out is not None else source if source.is_dir() else Path(f"{source.stem}_fit")


def _fit_model(
    source: Path, loaded: LoadedModel, options: FitOptions, out: Path, command: Sequence[str]
) -> Mapping[str, Any]:
    """Fit a model and make ``out`` a run directory of it."""
    if out.exists() and not out.is_dir():
        raise UsageError("is a file, not a directory", where=str(out), action="choose another --out")
    if out.is_dir() and any(out.iterdir()) and not is_fit(out):
        raise UsageError(
            "the directory is not empty and holds no fit of a file",
            where=str(out),
            action="choose another --out",
        )
    outcome = run_fit(loaded, dataclasses.replace(options, postfit=True))
    out.mkdir(parents=True, exist_ok=True)
    fitted = outcome.fit_json
    write_json(out / "fit.json", fitted)
    write_workspace(outcome.model.workspace, out / "workspace.json")
    write_fit_tables(out, outcome.tables)
    write_json(out / "manifest.json", _manifest(source, loaded, options, outcome, command))
    draw_fit(out)
    return fitted


def _manifest(
    source: Path, loaded: LoadedModel, options: FitOptions, outcome: FitOutcome, command: Sequence[str]
) -> dict[str, Any]:
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    fitted, default = outcome.fit_json, FitOptions()
    asked = {
        item.name: value
        for item in dataclasses.fields(options)
        if (value := getattr(options, item.name)) != getattr(default, item.name)
    }
    inputs = dict.fromkeys([str(source), *loaded.inputs])
    return {
        "schema_version": SCHEMA_VERSION,
        "femtobarn": femtobarn.__version__,
        "analysis": FIT,
        "title": f"Fit of {source.name}",
        "command": list(command),
        "config": {"analysis": FIT, "model": str(source), "options": asked},
        "inputs": [{"path": n, "size": Path(n).stat().st_size} for n in inputs if Path(n).is_file()],
        "warnings": list(fitted.get("warnings", ())),
        "figures": [],
        "headline": _headline(source, fitted),
        "started": now,
        "finished": now,
    }  # fmt: skip


def _headline(source: Path, fitted: Mapping[str, Any]) -> str:
    """What was fitted and its parameter of interest, in a line."""
    mle, poi = fitted["mle"], fitted["workspace"]["poi"]
    found = mle["parameters"].get(poi) or mle["parameters"].get(f"{poi}[0]") if poi else None
    if mle["status"] == "failed":
        return f"The fit of {source.name} failed."
    if found is None:
        return f"Fit of {source.name}: −2 ln L = {mle['twice_nll']:.6g}."
    if found["hesse"] is None:
        return f"{poi} = {found['value']:.4g}, at its bound ({source.name})."
    return f"{poi} = {found['value']:.4g} ± {found['hesse']:.2g} ({source.name})."

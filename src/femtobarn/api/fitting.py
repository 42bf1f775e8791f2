"""The verb ``fit``: a run, a workspace or a cabinetry model in; fit.json, tables, figures, report out."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import femtobarn
from femtobarn.api.results import fit_figures, refit
from femtobarn.errors import FitError, UsageError
from femtobarn.run.files import SCHEMA_VERSION, write_json, write_text
from femtobarn.stats.run_fit import FitOptions, FitOutcome, load_model, run_fit
from femtobarn.stats.workspace import write_workspace

__all__ = ["fit", "fit_directory"]

_MODEL_FILES: Final = (".json", ".yml", ".yaml")


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
        A run directory, ``WORKSPACE.json`` or ``MODEL.yml``.
    options : FitOptions, optional
        What to do besides the fit; for a run these come on top of what its analysis asks for.
    out : path, optional
        Directory to write to.  A run is written into itself by default, a file's fit to ``<stem>_fit``.

    Raises
    ------
    FitError
        The fit failed; fit.json says how.
    """
    source, where = Path(path), fit_directory(path, out)
    if source.is_dir():
        fitted = refit(copied_run(source, out), options)
    elif source.suffix.lower() in _MODEL_FILES:
        fitted = _fit_file(source, options or FitOptions(), where, command)
    else:
        raise UsageError(
            "is neither a run directory nor a model",
            where=str(path),
            action="name a run, a pyhf workspace (.json) or a cabinetry model (.yml)",
        )
    if fitted.get("mle", {}).get("status") == "failed" or fitted.get("status") == "failed":
        reason = fitted.get("mle", fitted).get("message", "")
        raise FitError(f"the fit failed: {reason}", where=str(where / "fit.json"))
    return fitted


def fit_directory(path: str | Path, out: str | Path | None = None) -> Path:
    """Where a fit is written: ``out``, else a run itself, else ``<stem>_fit``."""
    source = Path(path)
    return Path(out) if out is not None else source if source.is_dir() else Path(f"{source.stem}_fit")


def copied_run(run: Path, out: str | Path | None) -> Path:
    """The run itself, or a copy of it to work in."""
    if out is None or Path(out).resolve() == run.resolve():
        return run
    target = Path(out)
    if target.exists() and any(target.iterdir()):
        raise UsageError("the directory is not empty", where=str(target), action="choose another --out")
    shutil.copytree(run, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("slices", "run.lock"))
    return target


def _fit_file(source: Path, options: FitOptions, out: Path, command: Sequence[str]) -> Mapping[str, Any]:
    """Fit a model file and make ``out`` a run directory of it."""
    from femtobarn.plot import Label, save
    from femtobarn.report import read_inputs, render

    loaded = load_model(source, options)
    outcome = run_fit(loaded, replace(options, postfit=True))
    if out.is_dir() and any(out.iterdir()) and not (out / "fit.json").exists():
        raise UsageError(
            "the directory is not empty and holds no fit", where=str(out), action="choose another --out"
        )
    out.mkdir(parents=True, exist_ok=True)
    fitted = outcome.fit_json
    write_json(out / "fit.json", fitted)
    write_workspace(outcome.model.workspace, out / "workspace.json")
    for name, table in outcome.tables.items():
        write_text(out / "tables" / name, table.to_csv())
    names = []
    for drawing in fit_figures(fitted, Label("Likelihood fit")):
        names.append(drawing.name)
        save(drawing, out / "plots")
    write_json(out / "manifest.json", _manifest(source, loaded.inputs, fitted, outcome, names, command))
    write_text(out / "report.html", render(read_inputs(out)))
    return fitted


def _manifest(
    source: Path,
    inputs: Sequence[str],
    fitted: Mapping[str, Any],
    outcome: FitOutcome,
    figures: Sequence[str],
    command: Sequence[str],
) -> dict[str, Any]:
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    poi = outcome.model.poi
    found = fitted["mle"]["parameters"].get(poi) if poi else None
    text = f"Fit of {source.name}: {fitted['mle']['status']}."
    if found is not None and found["hesse"] is not None:
        text = f"{poi} = {found['value']:.4g} ± {found['hesse']:.2g} ({source.name})."
    return {
        "schema_version": SCHEMA_VERSION,
        "femtobarn": femtobarn.__version__,
        "analysis": "fit",
        "title": f"Fit of {source.name}",
        "command": list(command),
        "config": {"model": str(source)},
        "inputs": [{"path": n, "size": Path(n).stat().st_size} for n in inputs if Path(n).is_file()],
        "warnings": list(fitted.get("warnings", ())),
        "figures": list(figures),
        "headline": text,
        "started": now,
        "finished": now,
    }  # fmt: skip

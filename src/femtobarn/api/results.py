"""What follows a run: inference, plots, report."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from femtobarn.analysis import Analysis, Normalisation, Stored, find_analysis
from femtobarn.api.fit_files import draw_fit, fit_drawings, is_fit, is_fitter, write_fit_tables
from femtobarn.api.outputs import copied_run, writes_run
from femtobarn.errors import DataError, UsageError
from femtobarn.folders import fitting, legal_name
from femtobarn.normalise import normalisations, yields
from femtobarn.records import NOMINAL
from femtobarn.run.directory import RunDirectory
from femtobarn.run.files import SCHEMA_VERSION, write_csv, write_json, write_text

if TYPE_CHECKING:
    from femtobarn.stats.histfactory.full_fit import FitOptions

__all__ = ["finish", "normalised", "plot", "refit", "report"]

#: The observable that yields.json counts, if the analysis does not say: its first histogram.
_REGION_ALL: Final = "all"


def load_run(path: Path) -> tuple[RunDirectory, Analysis, Stored]:
    """A finished run's directory, its analysis, and what later steps are handed."""
    folder = RunDirectory(path)
    analysis = find_analysis(folder.manifest()["config"]["analysis"])
    return folder, analysis, folder.stored(analysis)


def load_stored(path: Path, name: str) -> Stored:
    """The stored outcome of a run, which must be one of the named analysis."""
    folder, analysis, stored = load_run(path)
    if analysis.name != name:
        raise UsageError(f"is a run of {analysis.name}, not of {name}", where=str(folder.path))
    return stored


def write_fit(path: Path, fitted: Mapping[str, Any]) -> None:
    """Put an inference result that was made elsewhere into a run: fit.json, headline, figures, report."""
    folder, analysis, stored = load_run(path)
    write_json(folder.path / "fit.json", {"schema_version": SCHEMA_VERSION, "warnings": [], **fitted})
    _headline(folder, analysis, stored, fitted)
    _plot(folder, analysis, stored, fitted)
    _report(folder)


def _factors(analysis: Analysis, stored: Stored) -> dict[str, Normalisation]:
    return normalisations(stored, analysis.normalise(stored) if analysis.normalise else None)


def normalised(path: Path) -> tuple[Stored, dict[str, Normalisation]]:
    """The raw results of a finished run, and the factor of each dataset."""
    _, analysis, stored = load_run(path)
    return stored, _factors(analysis, stored)


def finish(folder: RunDirectory, analysis: Analysis, *, pages: bool = True) -> str:
    """All later steps of a run whose raw results are written (``pages``: plots and report); the headline."""
    stored = folder.stored(analysis)
    _tables(folder, analysis, stored)
    fitted = _fit(folder, analysis, stored)
    text = _headline(folder, analysis, stored, fitted)
    if pages:
        _plot(folder, analysis, stored, fitted)
        _report(folder)
    if analysis.verdict is not None and (reason := analysis.verdict(stored)):
        raise DataError(reason, where=str(folder.path), action=f"what was found is in {folder.path}/tables")
    return text


def _tables(folder: RunDirectory, analysis: Analysis, stored: Stored) -> None:
    """yields.json and the analysis' own tables, normalised."""
    factors = _factors(analysis, stored)
    if analysis.yields is not None:
        content = dict(analysis.yields(stored))
        write_json(folder.path / "yields.json", {"schema_version": SCHEMA_VERSION, **content})
    elif stored.outcome.histograms:
        observable = next(iter(analysis.histograms_for(stored.parameters))).name
        regions = _regions(stored, observable)
        content = yields(stored, factors, observable, regions)
        write_json(folder.path / "yields.json", {"schema_version": SCHEMA_VERSION, **content})
    notes = [f"{name}: {norm.note}" for name, norm in factors.items() if norm.note]
    notes += [
        f"{d.name}: {d.metadata['suspicious']}" for d in stored.datasets if d.metadata.get("suspicious")
    ]
    folder.note(warnings=notes)
    if analysis.tables is not None:
        for name, columns in analysis.tables(stored).items():
            write_csv(fitting(folder.path / "tables" / f"{legal_name(name)}.csv"), columns)
    if analysis.files is not None:
        for name, data in analysis.files(stored):
            write_text(folder.path / name, data)


def _regions(stored: Stored, observable: str) -> list[str]:
    found = {key[0] for key in stored.outcome.histograms[observable].blocks}
    return sorted(found) or [_REGION_ALL]


def _fit(
    folder: RunDirectory, analysis: Analysis, stored: Stored, options: FitOptions | None = None
) -> dict[str, Any]:
    """fit.json: what the statistical model yields, and the analysis' own inference beside it."""
    fitted: dict[str, Any] = {}
    if analysis.model is not None:
        fitted |= _fit_model(folder, analysis, stored, options)
    if analysis.infer is not None:
        own = dict(analysis.infer(stored))
        warnings = [*fitted.get("warnings", ()), *own.get("warnings", ())]
        fitted |= own | {"warnings": warnings}
    if fitted:
        fitted["schema_version"] = SCHEMA_VERSION
        write_json(folder.path / "fit.json", fitted)
        folder.note(warnings=fitted.get("warnings", ()))
    return fitted


def _fit_model(
    folder: RunDirectory, analysis: Analysis, stored: Stored, asked: FitOptions | None
) -> dict[str, Any]:
    """Build and fit the analysis' HistFactory model; keeps workspace.json and the tables of the fit."""
    spec = analysis.model(stored) if analysis.model is not None else None
    if spec is None:
        return {}
    from femtobarn.stats.histfactory.build import build_workspace
    from femtobarn.stats.histfactory.full_fit import FitOptions, prepare, run_fit
    from femtobarn.stats.histfactory.patch import apply_patch_file
    from femtobarn.stats.histfactory.workspace import write_workspace
    from femtobarn.stats.histfactory.workspace_reader import parse_workspace

    built = build_workspace(spec)
    workspace = built.workspace
    poi = (asked.poi if asked is not None else None) or spec.poi
    asked = asked or FitOptions()
    options = dataclasses.replace(
        asked,
        significance=bool(poi),
        limit=bool(poi),
        ranking=bool(poi),
        gof=asked.gof or "saturated",
        postfit=True,
        profile=tuple(dict.fromkeys([*asked.profile, *([poi] if poi else [])])),
    )
    if options.patch:
        workspace = parse_workspace(apply_patch_file(workspace.to_json(), options.patch))
    outcome = run_fit(prepare(workspace, options, notes=built.notes, axes=built.axes), options)
    write_workspace(outcome.model.workspace, folder.path / "workspace.json")
    write_fit_tables(folder.path, outcome.tables)
    return dict(outcome.fit_json)


def _headline(folder: RunDirectory, analysis: Analysis, stored: Stored, fitted: Mapping[str, Any]) -> str:
    if analysis.headline is None:
        events = sum(processed for processed, _ in stored.entries.values())
        text = f"{events} events processed."
    else:
        text = analysis.headline(stored, fitted)
    folder.note(headline=text)
    return text


def _plot(folder: RunDirectory, analysis: Analysis, stored: Stored, fitted: Mapping[str, Any]) -> list[Path]:
    from femtobarn.plot import save_all

    label = _label(stored, folder.manifest())
    own = analysis.figures(stored, fitted) if analysis.figures else _plain_figures(analysis, stored, label)
    drawings = itertools.chain(own, fit_drawings(folder.path, fitted, label, analysis.styles))
    paths, names = save_all(drawings, folder.path / "plots")
    folder.note(figures=names)
    if fitted.get("kind") == "tagprobe":
        from femtobarn.api.tagprobe.fitted import draw_canvases

        paths += draw_canvases(folder.path, fitted, label)
    return paths


def _label(stored: Stored, manifest: Mapping[str, Any]) -> Any:
    """Whose data plain figures show, as far as parameters and inputs say."""
    from femtobarn.catalog import RELEASES
    from femtobarn.plot import Label

    release = RELEASES.get(str(getattr(stored.parameters, "release", "")))
    if stored.is_toy:
        return Label("femtobarn toy simulation", sqrt_s=release.sqrt_s if release else None)
    if release is not None:
        return Label(f"{release.experiment} Open Data", sqrt_s=release.sqrt_s)
    families = {str(entry["schema"]).partition("-")[0] for entry in manifest["inputs"] if entry["schema"]}
    experiment = (
        {"cms": "CMS ", "atlas": "ATLAS ", "physlite": "ATLAS "}.get(families.pop(), "")
        if len(families) == 1
        else ""
    )
    return Label(f"{experiment}Open Data")


def _plain_figures(analysis: Analysis, stored: Stored, label: Any) -> Iterator[Any]:
    """One plot for each histogram and region, for analyses without figures of their own."""
    from femtobarn.normalise import spectrum
    from femtobarn.plot import plane, spectrum_only, stack

    factors = _factors(analysis, stored)
    for spec in analysis.histograms_for(stored.parameters):
        for region in _regions(stored, spec.name):
            name = spec.name if region == _REGION_ALL else f"{spec.name}_{region}"
            note = "" if region == _REGION_ALL else region
            if len(spec.axes) == 1:
                shown = spectrum(stored, factors, spec.name, region)
                # Sums that nobody normalised are no prediction to compare data with.
                draw = spectrum_only if analysis.normalise is None and shown.data is None else stack
                yield draw(shown, name=name, label=label, note=note)
            elif len(spec.axes) == 2:
                histogram = stored.outcome.histograms[spec.name]
                keys = [key for key in histogram.blocks if key[0] == region and key[2] == NOMINAL.label]
                total = sum((histogram.values(key) for key in keys), np.zeros([a.nbins for a in spec.axes]))
                yield plane(*spec.axes, total, name=name, label=label, note=note)


def _report(folder: RunDirectory) -> Path:
    from femtobarn.report import read_inputs, render

    path = folder.path / "report.html"
    write_text(path, render(read_inputs(folder.path)))
    return path


def refit(path: Path, options: FitOptions | None = None) -> Mapping[str, Any]:
    """Repeat the inference of a run with its figures and report; rewrites fit.json."""
    folder, analysis, stored = load_run(path)
    if analysis.infer is None and analysis.model is None:
        raise UsageError(f"{analysis.name} has no inference step", where=str(path))
    fitted = _fit(folder, analysis, stored, options)
    if options is not None and fitted.get("kind") != "histfactory" and options != type(options)():
        raise UsageError(
            f"this run of {analysis.name} has no HistFactory model: the options of the fit mean nothing here",
            where=str(path),
            action=f"femtobarn fit {path}",
        )
    _headline(folder, analysis, stored, fitted)
    _plot(folder, analysis, stored, fitted)
    _report(folder)
    return fitted


@writes_run
def plot(path: str | Path, *, out: str | Path | None = None) -> list[Path]:
    """Draw a run's figures again; with ``out`` in a copy of the run."""
    run = copied_run(Path(path), out)
    if is_fit(run):
        return draw_fit(run)
    if is_fitter(run):
        from femtobarn.api.tagprobe.fitted import draw_probes

        return draw_probes(run)
    folder, analysis, stored = load_run(run)
    file = folder.path / "fit.json"
    return _plot(folder, analysis, stored, json.loads(file.read_text()) if file.exists() else {})


@writes_run
def report(path: str | Path, *, out: str | Path | None = None) -> Path:
    """Write a run's report again; with ``out`` in a copy of the run."""
    folder = RunDirectory(copied_run(Path(path), out))
    folder.manifest()  # says what is wrong if this is no run
    return _report(folder)

"""The verb ``export``: a run or a model in, the files of another program out."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from femtobarn.analysis import Template, find_analysis
from femtobarn.api.export_targets import TARGETS, Target, target_names
from femtobarn.api.fit_files import is_fit, stored_model
from femtobarn.api.outputs import reads_run
from femtobarn.errors import DataError, StoreError, UsageError, missing_file, nearest
from femtobarn.run.files import SCHEMA_VERSION, read_json, write_csv, write_json, write_parquet

if TYPE_CHECKING:
    from femtobarn.stats.histfactory.fitting import FitResult
    from femtobarn.stats.histfactory.full_fit import FitOptions, LoadedModel

__all__ = [
    "Exported",
    "Source",
    "export",
    "templates_of",
    "to_csv",
    "to_datacard",
    "to_hepdata",
    "to_json",
    "to_parquet",
    "to_pyhf",
    "to_root",
]

_MODEL_FILES: Final = (".json", ".yml", ".yaml")
#: Yields read back from a datacard agree with the model to this (relative).
_SAME: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Source:
    """What is exported: a run directory, the directory of a fit, or a model file.

    Attributes
    ----------
    options : FitOptions or None
        Measurement, channels, patch and other changes of the model that were asked for.
    manifest : mapping
        Of a directory; empty for a file.
    skip_empty : bool
        Leave out histograms without any content (root).
    allow_suspect : bool
        Write scale factors of fits that are not good, too.
    year : str
        Of a correctionlib file.
    """

    path: Path
    options: FitOptions | None = None
    manifest: Mapping[str, Any] = field(default_factory=dict)
    skip_empty: bool = False
    allow_suspect: bool = False
    year: str = ""

    @property
    def is_run(self) -> bool:
        """Whether it is the run of an analysis, with histograms."""
        return bool(self.manifest) and not is_fit(self.path)

    def model(self) -> LoadedModel:
        """Its likelihood."""
        from femtobarn.stats.histfactory.full_fit import load_model

        return stored_model(self.path, self.options) if self.manifest else load_model(self.path, self.options)


@dataclass(frozen=True, slots=True)
class Exported:
    """Files written, and what the format could not hold or a reader must know."""

    paths: tuple[Path, ...]
    notes: tuple[str, ...] = ()


@reads_run
def export(
    path: str | Path,
    to: str,
    *,
    out: str | Path | None = None,
    options: FitOptions | None = None,
    skip_empty: bool = False,
    allow_suspect: bool = False,
    year: str = "",
) -> Exported:
    """Write a run or a model in another program's format.

    Parameters
    ----------
    path : path
        A run directory, the directory of a fit, a pyhf workspace (JSON) or a cabinetry model (YAML).
    to : str
        One of :func:`femtobarn.api.export_targets.target_names`.
    out : path, optional
        File or directory to write; by default named after the source and the format.
    options : FitOptions, optional
        Measurement, channels, patch, pruning: how the likelihood is changed before.
    skip_empty : bool
        Leave out histograms without any content (``root``).
    allow_suspect : bool
        Write scale factors of fits that are not good, too.
    year : str
        Of a correctionlib file.

    Raises
    ------
    UsageError
        There is no such format, or the run has nothing for it.
    """
    source = replace(
        _source(Path(path), options), skip_empty=skip_empty, allow_suspect=allow_suspect, year=year
    )
    target = _target(to, str(source.manifest.get("analysis", "")))
    stem = source.path.resolve().name if source.manifest else source.path.stem
    place = Path(out) if out is not None else Path(f"{stem}_{target.name}{target.suffix}")
    if place.resolve() == source.path.resolve():
        raise UsageError("is what is exported", where=str(place), action="choose another --out")
    if not target.suffix and place.exists() and not place.is_dir():
        raise UsageError(f"is a file; {to} is a directory", where=str(place), action="choose another --out")
    if target.suffix and place.is_dir():
        raise UsageError(
            f"is a directory; {to} is a file", where=str(place), action=f"--out {place}/NAME{target.suffix}"
        )
    module, _, name = target.where.partition(":")
    write: Callable[[Source, Path], Exported] = getattr(importlib.import_module(module), name)
    return write(source, place)


def _source(path: Path, options: FitOptions | None) -> Source:
    if path.is_dir():
        if not (path / "manifest.json").exists():
            raise UsageError("is not a run directory", where=str(path), action="name a run or a workspace")
        return Source(path, options, read_json(path / "manifest.json"))
    if not path.exists():
        beside = [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError("no such file or directory", where=str(path), near=nearest(path.name, beside))
    if path.suffix.lower() not in _MODEL_FILES:
        raise UsageError(
            "is neither a run directory nor a model",
            where=str(path),
            action="name a run, a pyhf workspace (.json) or a cabinetry model (.yml)",
        )
    return Source(path, options)


def _target(to: str, analysis: str) -> Target:
    found = [one for one in TARGETS if one.name == to and one.analysis in ("", analysis)]
    if found:
        return max(found, key=lambda one: one.analysis)
    others = [one.analysis for one in TARGETS if one.name == to]
    if others:
        raise UsageError(f"--to {to} is for runs of {' and '.join(others)} only")
    names = target_names()
    raise UsageError(
        f"there is no format {to!r}", near=nearest(to, names), action=f"choose {', '.join(names)}"
    )


def to_pyhf(source: Source, out: Path) -> Exported:
    """The likelihood as pyhf JSON; what is read back is checked to be the same function."""
    from femtobarn.export.pyhf import export_pyhf
    from femtobarn.stats.histfactory.model import read_workspace

    model = source.model().model
    written = export_pyhf(model, out)
    if not model.workspace.correlations:
        again = read_workspace(out, measurement=model.measurement.name, interp=model.interpolation)
        if again.twice_nll(model.init) != model.twice_nll(model.init):
            raise StoreError("does not read back as the same likelihood", where=str(out))
    return Exported((out,), written.notes)


def to_datacard(source: Source, out: Path) -> Exported:
    """A Combine datacard with shapes and a table of names; its yields are read back and compared."""
    import numpy as np

    from femtobarn.export.datacard import export_datacard, read_datacard
    from femtobarn.stats.histfactory.transform import uncorrelated

    model = source.model().model
    card = export_datacard(model, out)
    back = read_datacard(out)
    for channel in uncorrelated(model.workspace)[0].channels:
        there = back.processes[card.names["channels"][channel.name]]
        for sample in channel.samples:
            if not np.allclose(
                there[card.names["processes"][sample.name]], sample.data, rtol=_SAME, atol=0.0
            ):
                raise StoreError(
                    f"{sample.name} in {channel.name} does not read back", where=str(card.shapes)
                )
    return Exported((card.card, card.shapes, card.mapping), card.notes)


def to_hepdata(source: Source, out: Path) -> Exported:
    """A HEPData submission: tables of the fit, correlations and the likelihood."""
    from femtobarn.export.hepdata import export_hepdata
    from femtobarn.stats.histfactory.fitting import fit

    loaded = source.model()
    notes: list[str] = []
    result: FitResult | None = fit(loaded.model, fixed=_held(source))
    if result is not None and not result.ok:
        notes.append(f"the fit failed ({result.message}): the tables hold the expectation before it")
        result = None
    if (source.manifest.get("config") or {}).get("options", {}).get("asimov"):
        notes.append("the tables hold a fit of the observed data; the run's own was of Asimov data")
    written = export_hepdata(loaded.model, out, result=result, axes=loaded.axes, comment=_comment(source))
    return Exported(written.files, tuple(notes))


def _held(source: Source) -> dict[str, float]:
    """Values of parameters that the fit of a run held fixed."""
    file = source.path / "fit.json"
    if not source.manifest or not file.exists():
        return {}
    parameters = read_json(file).get("mle", {}).get("parameters", {})
    return {
        name: one["value"] for name, one in parameters.items() if one["fixed"] and one["value"] is not None
    }


def _comment(source: Source) -> str:
    """What a submission says of itself: what it is, and what it is not."""
    said = [str(source.manifest.get(key) or "") for key in ("title", "headline")]
    text = ". ".join(part.rstrip(".") for part in said if part) or f"Likelihood {source.path.name}"
    if source.manifest.get("origin") == "toy":
        return f"{text}. femtobarn toy simulation: no detector recorded any of it."
    return f"{text}. Made with femtobarn; not a result of any collaboration."


def to_json(source: Source, out: Path) -> Exported:
    """Rows of histograms or yields as JSON."""
    columns, notes = _columns(source)
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    write_json(out, {"schema_version": SCHEMA_VERSION, "rows": rows})
    return Exported((out,), notes)


def to_root(source: Source, out: Path) -> Exported:
    """All one-dimensional histograms of a run, normalised, by name."""
    from femtobarn.export.root import export_root

    if not source.is_run:
        raise UsageError("is no run: it has no histograms", where=str(source.path), action="name a run")
    export_root(templates_of(source.path), out, skip_empty=source.skip_empty)
    return Exported((out,))


def templates_of(path: str | Path) -> dict[str, Template]:
    """Normalised histograms by name, of a run directory or a ROOT file."""
    place = Path(path)
    if place.suffix == ".root":
        from femtobarn.export.root import read_root

        if not place.is_file():
            raise missing_file(place, UsageError)
        found = read_root(place)
        if not found:
            raise UsageError("holds no one-dimensional histograms", where=str(place))
        return found
    from femtobarn.api.results import load_run
    from femtobarn.normalise import named_templates, normalisations

    _, analysis, stored = load_run(place)
    if analysis.templates is not None:
        return dict(analysis.templates(stored))
    factors = normalisations(stored, analysis.normalise(stored) if analysis.normalise else None)
    return named_templates(stored, factors)


def _template_columns(named: Mapping[str, Template]) -> dict[str, list[Any]]:
    """A row a bin, flow bins (open on one side) included."""
    rows: list[tuple[Any, ...]] = []
    for name, template in named.items():
        edges: list[Any] = [None, *map(float, template.axis.edges), None]
        for i, (value, variance) in enumerate(zip(template.values, template.variances, strict=True)):
            rows.append((name, edges[i], edges[i + 1], float(value), float(variance)))
    return {
        key: [row[k] for row in rows]
        for k, key in enumerate(("histogram", "x_low", "x_high", "value", "variance"))
    }


def to_csv(source: Source, out: Path) -> Exported:
    """Rows of histograms or yields as CSV."""
    columns, notes = _columns(source)
    write_csv(out, columns)
    return Exported((out,), notes)


def to_parquet(source: Source, out: Path) -> Exported:
    """Rows of histograms or yields as Parquet."""
    columns, notes = _columns(source)
    write_parquet(out, columns)
    return Exported((out,), notes)


def _columns(source: Source) -> tuple[dict[str, list[Any]], tuple[str, ...]]:
    """Normalised histograms of a run; else observed events and yields of a model."""
    if not source.is_run:
        return _yields(source), ()
    from femtobarn.api.results import normalised
    from femtobarn.export.histograms import histogram_columns

    stored, factors = normalised(source.path)
    if find_analysis(stored.analysis).templates is not None:
        notes = [f"{name}: {norm.note}" for name, norm in factors.items() if norm.note]
        return _template_columns(templates_of(source.path)), tuple(notes)
    blind = getattr(stored.parameters, "blind", None) is not None
    notes = [f"{name}: {norm.note}" for name, norm in factors.items() if norm.note]
    if blind:
        notes.append("the run is blinded: data are left out")
    if stored.lost_fraction:
        notes.append(f"{100 * stored.lost_fraction:.3g} % of the events are missing in this run")
    columns = histogram_columns(stored, factors, data=not blind)
    return columns, tuple(notes)


def _yields(source: Source) -> dict[str, list[Any]]:
    """Observed events, and the expectation with errors before (and after) the fit, a row a bin and sample."""
    from femtobarn.stats.histfactory.fitting import fit
    from femtobarn.stats.histfactory.tables import observed_table, prefit_covariance, yields_table

    loaded = source.model()
    model = loaded.model
    names = ("stage", "channel", "bin", "low", "high", "sample", "value", "error")
    bins = observed_table(model, None, loaded.axes).rows
    ends = {(channel, b): (low, high) for channel, b, _, _, low, high, _ in bins}
    rows: list[tuple[Any, ...]] = [
        ("observed", channel, b, low, high, "data", events, None)
        for channel, b, _, _, low, high, events in bins
    ]
    tables = [("prefit", yields_table(model, model.init, prefit_covariance(model)))]
    result = fit(model, fixed=_held(source)) if source.manifest else None
    if result is not None and result.ok:
        tables.append(("postfit", yields_table(model, result.values, result.covariance)))
    for stage, table in tables:
        rows += [(stage, c, b, *ends[c, b], sample, *numbers) for c, b, sample, *numbers in table.rows]
    return {name: [row[k] for row in rows] for k, name in enumerate(names)}

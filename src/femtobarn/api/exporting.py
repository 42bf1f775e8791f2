"""The verb ``export``: results in the formats of other programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from femtobarn.analysis import Template
from femtobarn.api.results import load_run
from femtobarn.errors import UsageError, nearest
from femtobarn.run.files import SCHEMA_VERSION, write_json, write_text

__all__ = ["EXPORTS", "Exported", "export", "templates_of"]

#: Format -> what it writes.
EXPORTS: Final = {
    "root": "ROOT file of all normalised histograms, with variances and flow bins",
    "json": "the same histograms as JSON",
    "csv": "the same histograms as one table",
    "pyhf": "the likelihood as a pyhf workspace",
    "datacard": "the likelihood as a Combine datacard (directory)",
    "hepdata": "the likelihood and its tables as a HEPData submission (directory)",
}
_MODELS: Final = ("pyhf", "datacard", "hepdata")


@dataclass(frozen=True)
class Exported:
    """What was written, and what the format could not hold."""

    path: Path
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def export(source: str | Path, *, to: str, out: str | Path, skip_empty: bool = False) -> Exported:
    """Write a run, or a pyhf workspace, in another format.

    Parameters
    ----------
    source : path
        A run directory, or ``WORKSPACE.json`` (then pyhf, datacard or hepdata).
    to : str
        One of :data:`EXPORTS`.
    out : path
        File to write, or directory (datacard, hepdata).
    skip_empty : bool
        Leave out histograms without content.

    Raises
    ------
    UsageError
        Unknown format, or one that the source has nothing for.
    """
    if to not in EXPORTS:
        raise UsageError(f"there is no export to {to!r}", near=nearest(to, EXPORTS),
                         action="formats: " + ", ".join(EXPORTS))  # fmt: skip
    if to in _MODELS:
        return _export_model(Path(source), to, Path(out))
    if not Path(source).is_dir():
        raise UsageError(f"only a run has histograms to export to {to}", where=str(source))
    named = templates_of(source)
    if to == "root":
        from femtobarn.export.root import export_root

        return Exported(Path(out), export_root(named, out, skip_empty=skip_empty))
    kept = {name: t for name, t in named.items() if not skip_empty or t.values.any() or t.variances.any()}
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    if to == "json":
        histograms = {
            name: {"edges": t.axis.edges, "contents": t.values, "variances": t.variances}
            for name, t in kept.items()
        }
        write_json(Path(out), {"schema_version": SCHEMA_VERSION, "histograms": histograms})
    else:
        write_text(Path(out), _table(kept))
    return Exported(Path(out), tuple(kept))


def templates_of(source: str | Path) -> dict[str, Template]:
    """Normalised histograms by name, of a run directory or a ROOT file."""
    path = Path(source)
    if path.suffix == ".root":
        from femtobarn.export.root import read_root

        if not path.is_file():
            raise UsageError("no such file", where=str(path))
        found = read_root(path)
        if not found:
            raise UsageError("holds no one-dimensional histograms", where=str(path))
        return found
    _, analysis, stored = load_run(path)
    if analysis.templates is not None:
        return dict(analysis.templates(stored))
    from femtobarn.normalise import named_templates, normalisations

    factors = normalisations(stored, analysis.normalise(stored) if analysis.normalise else None)
    return named_templates(stored, factors)


def _table(named: Mapping[str, Template]) -> str:
    """A row a bin; flow bins have an open end."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("histogram", "low", "high", "value", "variance"))
    for name, template in named.items():
        edges: list[Any] = ["", *(float(edge) for edge in template.axis.edges), ""]
        for i, (value, variance) in enumerate(zip(template.values, template.variances, strict=True)):
            writer.writerow((name, edges[i], edges[i + 1], float(value), float(variance)))
    return out.getvalue()


def _export_model(source: Path, to: str, out: Path) -> Exported:
    from femtobarn.stats.run_fit import load_model

    path = source / "workspace.json" if source.is_dir() else source
    if not path.is_file():
        raise UsageError(
            "has no likelihood to export (no workspace.json)",
            where=str(source),
            action="the analysis has no model, or its inputs allowed none: see fit.json",
        )
    model = load_model(path).model
    if to == "pyhf":
        from femtobarn.export.pyhf import export_pyhf

        made = export_pyhf(model, out)
        return Exported(made.path, notes=made.notes)
    if to == "datacard":
        from femtobarn.export.datacard import export_datacard

        card = export_datacard(model, out)
        return Exported(out, (str(card.card.name), str(card.shapes.name), str(card.mapping.name)), card.notes)
    from femtobarn.export.hepdata import export_hepdata
    from femtobarn.stats.fitting import fit

    result = fit(model)
    submission = export_hepdata(model, out, result=result if result.ok else None)
    return Exported(out, tuple(file.name for file in submission.files))

"""Files of a fit in a run directory: its tables, its figures, and its model read back."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from femtobarn.errors import StoreError, UsageError
from femtobarn.run.files import read_json, write_json, write_text

if TYPE_CHECKING:
    from femtobarn.stats.histfactory.build import ChannelAxis
    from femtobarn.stats.histfactory.full_fit import FitOptions, LoadedModel
    from femtobarn.stats.histfactory.tables import Table

__all__ = [
    "FIT",
    "FITTER",
    "draw_again",
    "draw_fit",
    "fit_drawings",
    "is_fit",
    "is_fitter",
    "stored_model",
    "write_fit_tables",
]

#: ``analysis`` in the manifest of the directory that a fit of a file makes.
FIT: Final = "fit"
#: The same of the directory that ``tnp run-fitter`` makes.
FITTER: Final = "tnp-fitter"
#: Every table a fit can write: those of an earlier fit go when a new one does not make them.
_TABLES: Final = (
    "correlation", "observed", "pruning", "pulls", "ranking", "smoothing", "toys", "yields_postfit",
    "yields_prefit",
)  # fmt: skip


def is_fit(folder: Path) -> bool:
    """Whether a directory was made by a fit of a file."""
    path = folder / "manifest.json"
    return path.exists() and read_json(path).get("analysis") == FIT


def is_fitter(folder: Path) -> bool:
    """Whether a directory was made by ``tnp run-fitter``."""
    path = folder / "manifest.json"
    return path.exists() and read_json(path).get("analysis") == FITTER


def write_fit_tables(folder: Path, tables: Mapping[str, Table]) -> None:
    """Write the tables of a fit into ``tables/`` and remove what an earlier fit left there."""
    for name in _TABLES:
        if f"{name}.csv" not in tables:
            (folder / "tables" / f"{name}.csv").unlink(missing_ok=True)
    for name, table in tables.items():
        write_text(folder / "tables" / name, table.to_csv())


def _read_table(path: Path) -> dict[str, list[str]]:
    """Columns of a CSV table as text: a channel called 007 keeps its name."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = list(csv.reader(file))
        return {name: [row[k] for row in rows] for k, name in enumerate(header)}
    except (OSError, ValueError, IndexError) as error:
        raise StoreError(f"cannot be read: {error}", where=str(path)) from error


def fit_drawings(
    folder: Path,
    fitted: Mapping[str, Any],
    label: Any,
    styles: Mapping[str, tuple[str, str]] = MappingProxyType({}),
) -> Iterator[Any]:
    """All figures of a likelihood fit (see :func:`femtobarn.plot.fit_set`)."""
    from femtobarn.plot import ProcessStyle, fit_set

    if fitted.get("kind") == "tagprobe":
        from femtobarn.plot.tagprobe import efficiency_figures

        path = folder / "tables" / "scale_factors.json"
        return efficiency_figures(read_json(path)["rows"] if path.exists() else [], label)
    paths = {name: folder / "tables" / f"{name}.csv" for name in _TABLES}
    tables = {name: _read_table(path) for name, path in paths.items() if path.exists()}
    return fit_set(fitted, tables, label, {name: ProcessStyle(*style) for name, style in styles.items()})


def draw_fit(folder: Path) -> list[Path]:
    """Draw the figures of a fit of a file and write its report again; returns the paths of the figures."""
    from femtobarn.plot import Label

    options = read_json(folder / "manifest.json")["config"].get("options") or {}
    return draw_again(folder, Label("Likelihood fit", extra="Asimov data" if options.get("asimov") else ""))


def draw_again(
    folder: Path, label: Any, further: Callable[[Mapping[str, Any]], list[Path]] = lambda _: []
) -> list[Path]:
    """The figures of a directory of fits, ``further`` pictures of its fit.json, and then its report."""
    from femtobarn.plot import save_all
    from femtobarn.report import read_inputs, render

    manifest, fitted = read_json(folder / "manifest.json"), read_json(folder / "fit.json")
    paths, names = save_all(fit_drawings(folder, fitted, label), folder / "plots")
    paths += further(fitted)
    write_json(folder / "manifest.json", {**manifest, "figures": names})
    write_text(folder / "report.html", render(read_inputs(folder)))
    return paths


def stored_model(folder: Path, options: FitOptions | None = None) -> LoadedModel:
    """The likelihood of a run, or of a fit, as it was fitted; options change it further.

    Raises
    ------
    UsageError
        If the run has none.
    """
    from femtobarn.stats.histfactory.full_fit import FitOptions, load_model

    asked = options or FitOptions()
    path = folder / "workspace.json"
    if not path.exists():
        raise _no_model(folder)
    file = folder / "fit.json"
    stated = read_json(file).get("workspace", {}) if file.exists() else {}
    if stated:
        asked = dataclasses.replace(
            asked,
            measurement=asked.measurement or stated["measurement"],
            poi=asked.poi or stated["poi"],
            interp=asked.interp or stated["interpolation"],
            correlate=(*(tuple(pair) for pair in stated.get("correlations", ())), *asked.correlate),
        )
    return dataclasses.replace(load_model(path, asked), axes=_axes(folder))


def _no_model(folder: Path) -> UsageError:
    if not (folder / "manifest.json").exists():
        return UsageError("is not a run directory", where=str(folder), action="name a run or a workspace")
    manifest = read_json(folder / "manifest.json")
    what = f"this run of {manifest.get('analysis')} holds no likelihood model (workspace.json)"
    if (manifest.get("execution") or {}).get("process_only"):
        return UsageError(what, where=str(folder), action=f"make it first: femtobarn fit {folder}")
    return UsageError(
        what,
        where=str(folder),
        action="its analysis makes none from these inputs; a model needs data, signal and background",
    )


def _axes(folder: Path) -> dict[str, ChannelAxis]:
    """What the bins of each channel mean, from the table of observed events."""
    from femtobarn.stats.histfactory.build import ChannelAxis

    path = folder / "tables" / "observed.csv"
    if not path.exists():
        return {}
    table = _read_table(path)
    out: dict[str, ChannelAxis] = {}
    for channel in dict.fromkeys(table["channel"]):
        rows = [k for k, one in enumerate(table["channel"]) if one == channel]
        edges = [float(table["low"][k]) for k in rows] + [float(table["high"][rows[-1]])]
        out[channel] = ChannelAxis(table["quantity"][rows[0]], table["unit"][rows[0]], tuple(edges))
    return out

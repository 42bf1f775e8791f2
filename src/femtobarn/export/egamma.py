"""Scale factors as the text and ROOT files of CMS e/gamma measurements, and their text read back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from femtobarn.errors import DataError
from femtobarn.export.probe_tables import FloatArray, Grid
from femtobarn.run.files import replacing, write_text

__all__ = ["egamma_text", "export_maps", "read_egamma"]

#: Columns 9 to 12: efficiencies of these variations (altMC: in simulation).
_ALTERNATIVES: Final = ("altBkg", "altSig", "altMC", "altSigBkg")


def egamma_text(grid: Grid) -> str:
    """Twelve columns between tabs, a bin a line: eta, pt, efficiencies with errors, alternatives or -1."""
    lines = [f"### var1 : {grid.variables['eta'] or 'eta'}", f"### var2 : {grid.variables['pt'] or 'pt'}"]
    for place, row in np.ndenumerate(grid.rows):
        ends = [float(e) for axis, i in zip(grid.edges.values(), place, strict=True) for e in axis[i : i + 2]]
        numbers = [row["eff_data"], row["eff_data_stat"], row["eff_mc"], row["eff_mc_stat"]]
        for name in _ALTERNATIVES:
            data, mc = row["alternatives"].get(name, (None, None))
            numbers.append(mc if name == "altMC" else data)
        texts = [f"{e:.6g}" for e in ends] + ["-1" if n is None else f"{n:.6f}" for n in numbers]
        lines.append("\t".join(texts))
    return "\n".join(lines) + "\n"


def read_egamma(text: str) -> list[list[float]]:
    """The numbers of an e/gamma text file, a list a line."""
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.startswith("#"):
            cells = [float(cell) for cell in line.split("\t")]
            if len(cells) != 12:
                raise DataError(f"line {number} has {len(cells)} columns, not 12")
            rows.append(cells)
    return rows


def write_egamma(grids: Sequence[Grid], path: Path) -> list[Path]:
    """A file a working point: ``path`` itself if there is one, else ``<stem>_<working point>``."""
    if any("phi" in grid.edges for grid in grids):
        raise DataError("the e/gamma text has columns for eta and pt only; these bins are in phi, too")
    names = [path] if len(grids) == 1 else [path.with_stem(f"{path.stem}_{grid.name}") for grid in grids]
    for grid, target in zip(grids, names, strict=True):
        write_text(target, egamma_text(grid))
    return names


@dataclass(frozen=True, slots=True)
class _Map:
    """One TH2F: contents and errors (n_eta, n_pt)."""

    name: str
    title: str
    values: FloatArray
    errors: FloatArray


def _maps(grid: Grid) -> Iterator[_Map]:
    zero = np.zeros(grid.rows.shape)
    unknown = np.isnan(grid.values("sf"))
    factor = np.where(unknown, 1.0, grid.values("sf"))
    yield _Map(
        "EGamma_SF2D", "scale factor", factor, np.where(unknown, 1.0, np.nan_to_num(grid.values("total")))
    )
    for which, text in (("Data", "data"), ("MC", "simulation")):
        key = f"eff_{which.lower()}"
        values, errors = grid.values(key), grid.values(f"{key}_stat")
        yield _Map(
            f"EGamma_Eff{which}2D", f"efficiency in {text}", np.nan_to_num(values), np.nan_to_num(errors)
        )
    yield _Map("statData", "statistical error of data", np.nan_to_num(_relative(grid, "data")), zero)
    yield _Map("statMC", "statistical error of simulation", np.nan_to_num(_relative(grid, "mc")), zero)
    for name in grid.sources:
        get = np.vectorize(lambda row, key=name: abs(row["sources"].get(key) or 0.0), otypes=[np.float64])
        yield _Map(name, f"shift of the scale factor by {name}", get(grid.rows), zero)


def _relative(grid: Grid, which: str) -> FloatArray:
    """Error of the scale factor from one efficiency's statistical error."""
    value = grid.values(f"eff_{which}")
    return np.asarray(
        grid.values("sf") * grid.values(f"eff_{which}_stat") / np.where(value > 0.0, value, np.nan)
    )


def export_maps(grids: Sequence[Grid], path: Path) -> list[str]:
    """TH2F of eta and pt in a ROOT file: factor with total error, efficiencies, one a source.

    With several working points each has a folder of its own.
    """
    import uproot

    if any("phi" in grid.edges for grid in grids):
        raise DataError(
            "the maps are in eta and pt; these bins are in phi, too", action="write correctionlib"
        )
    names = []
    with replacing(path) as scratch, uproot.recreate(scratch) as file:
        for grid in grids:
            folder = f"{grid.name}/" if len(grids) > 1 else ""
            for one in _maps(grid):
                file[f"{folder}{one.name}"] = _th2f(one, grid.edges["eta"], grid.edges["pt"])
                names.append(f"{folder}{one.name}")
    return names


def _th2f(one: _Map, x: FloatArray, y: FloatArray) -> Any:
    """A ROOT histogram with variable bins; flow bins stay empty."""
    from uproot.writing.identify import to_TAxis, to_TH2x

    content, squares = (np.zeros((y.size + 1, x.size + 1)) for _ in range(2))
    content[1:-1, 1:-1], squares[1:-1, 1:-1] = one.values.T, one.errors.T**2
    axes = [
        to_TAxis(name, name, e.size - 1, float(e[0]), float(e[-1]), fXbins=np.asarray(e, dtype=">f8"))
        for name, e in (("xaxis", x), ("yaxis", y))
    ]
    total = float(one.values.sum())
    return to_TH2x(
        one.name, one.title, content.ravel().astype(">f4"), float(one.values.size), total,
        float(squares.sum()), 0.0, 0.0, 0.0, 0.0, 0.0, squares.ravel().astype(">f8"), axes[0], axes[1],
    )  # fmt: skip

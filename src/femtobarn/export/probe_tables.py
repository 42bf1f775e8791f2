"""Rows of scale factors as a grid in eta, pt and phi, for the formats that want one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from femtobarn.errors import DataError

__all__ = ["Grid", "grids", "shifted"]

FloatArray = npt.NDArray[np.float64]
#: What a variable that the bins do not have spans: everything.
_EVERYTHING: Final[Mapping[str, tuple[float, float]]] = {
    "eta": (-5.0, 5.0), "pt": (0.0, 10_000.0), "phi": (-math.pi, math.pi),
}  # fmt: skip


@dataclass(frozen=True)
class Grid:
    """Scale factors of one working point.

    Attributes
    ----------
    name : str
        The working point: filter, and region or pair of samples where there are several.
    variables : {"eta" | "pt" | "phi": name of the probe's variable, "" if the bins do not have it}
    edges : {"eta" | "pt" | "phi": (n + 1,) edges}
    rows : (n_eta, n_pt[, n_phi]) array of row mappings
    """

    name: str
    variables: Mapping[str, str]
    edges: Mapping[str, FloatArray]
    rows: npt.NDArray[np.object_]

    def values(self, key: str, *, missing: float = math.nan) -> FloatArray:
        """One number of all rows."""
        get = np.vectorize(lambda row: missing if row[key] is None else float(row[key]), otypes=[np.float64])
        return np.asarray(get(self.rows))

    @property
    def sources(self) -> list[str]:
        """Names of all sources of systematic error."""
        return list(dict.fromkeys(name for row in self.rows.ravel() for name in row["sources"]))

    @property
    def empty(self) -> list[str]:
        """Bins without a scale factor."""
        return [row["bin"] for row in self.rows.ravel() if row["sf"] is None]


def kind_of(variable: str) -> str:
    """``eta``, ``pt`` or ``phi`` of a variable's name; empty for others."""
    name = variable.lower()
    kinds = (("eta", ("eta",)), ("pt", ("pt", "et")), ("phi", ("phi",)))
    return next((kind for kind, ends in kinds if name.endswith(ends)), "")


def grids(rows: Sequence[Mapping[str, Any]], *, allow_suspect: bool, where: str) -> list[Grid]:
    """The rows as grids, one a working point.

    Raises
    ------
    DataError
        A bin is not good (unless allowed), or the bins do not fill a grid.
    """
    bad = [f"{row['filter']} {row['bin']} ({row['status']})" for row in rows if row["status"] != "good"]
    if bad and not allow_suspect:
        raise DataError(
            f"{len(bad)} of {len(rows)} bins are not good: {', '.join([*bad[:4], '...'][: len(bad)])}",
            where=where,
            action="fit them again (femtobarn fit RUN --bin N), or write them with --allow-suspect",
        )
    groups: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["filter"], row["region"], row["label"]), []).append(row)
    several = len({label for _, _, label in groups}) > 1
    return [
        _grid(
            "_".join(filter(None, (what, region.replace("/", "_"), label if several else ""))), members, where
        )
        for (what, region, label), members in groups.items()
    ]


def _grid(name: str, rows: Sequence[Mapping[str, Any]], where: str) -> Grid:
    variables: dict[str, str] = {}
    for variable in rows[0]["edges"]:
        kind = kind_of(variable)
        if not kind or kind in variables:
            raise DataError(f"{name}: bins in {variable} fit no format of eta, pt and phi", where=where)
        variables[kind] = variable
    axes = ("eta", "pt", "phi") if "phi" in variables else ("eta", "pt")
    edges = {
        kind: np.unique([e for row in rows for e in row["edges"][variables[kind]]])
        if kind in variables
        else np.array(_EVERYTHING[kind])
        for kind in axes
    }
    table = np.full([edges[kind].size - 1 for kind in axes], None, dtype=object)
    for row in rows:
        place = tuple(
            int(np.searchsorted(edges[kind], row["edges"][variables[kind]][0])) if kind in variables else 0
            for kind in axes
        )
        table[place] = row
    if any(row is None for row in table.ravel()) or table.size != len(rows):
        raise DataError(f"{name}: the bins do not fill a grid", where=where,
                        action="write json or csv, or fit all bins of the grid")  # fmt: skip
    return Grid(name, {kind: variables.get(kind, "") for kind in axes}, edges, table)


def shifted(grid: Grid) -> dict[str, FloatArray]:
    """Every kind of value a correction offers: nominal, total, parts and sources, up and down.

    Bins without a scale factor are 1 with an error of 1.
    """
    unknown = np.isnan(grid.values("sf"))
    value = np.where(unknown, 1.0, grid.values("sf"))

    def error(key: str) -> FloatArray:
        return np.where(unknown, 1.0, np.nan_to_num(grid.values(key), nan=0.0))

    out = {"sf": value, "sfup": value + error("total"), "sfdown": value - error("total")}
    out |= {"stat_up": value + error("stat_up"), "stat_down": value - error("stat_down")}
    out |= {"syst_up": value + error("syst"), "syst_down": value - error("syst")}
    for name in grid.sources:
        get = np.vectorize(lambda row, key=name: float(row["sources"].get(key) or 0.0), otypes=[np.float64])
        shift = np.where(unknown, 0.0, get(grid.rows))
        out |= {f"{name}up": value + shift, f"{name}down": value - shift}
    return out

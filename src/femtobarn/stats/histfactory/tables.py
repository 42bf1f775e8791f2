"""Tables of a fit: yields with propagated errors, ranking, pulls, correlations; as rows and as CSV text."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from femtobarn.stats.histfactory.build import ChannelAxis
from femtobarn.stats.histfactory.fitting import FitResult
from femtobarn.stats.histfactory.impacts import Impact
from femtobarn.stats.histfactory.likelihood import Data, cell_jacobian
from femtobarn.stats.histfactory.model import Model
from femtobarn.stats.histfactory.toy_study import ToyStudy
from femtobarn.stats.histfactory.transform import PruneRow
from femtobarn.stats.histfactory.workspace import Workspace

__all__ = [
    "Table",
    "correlation_table",
    "observed_table",
    "prefit_covariance",
    "pruning_table",
    "pulls_table",
    "ranking_table",
    "smoothing_table",
    "toys_table",
    "yields_table",
]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and rows; None is an empty cell."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def to_csv(self) -> str:
        """CSV text, numbers at full precision."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(["" if value is None else value for value in row] for row in self.rows)
        return out.getvalue()


def prefit_covariance(model: Model) -> FloatArray:
    """Covariance of the constraints alone; free and fixed parameters have no width."""
    out = np.diag(np.where(model.fixed, 0.0, model.prefit) ** 2)
    c = model.constraints
    if c.precision is not None:
        floating = ~model.fixed[c.gauss]
        block = np.linalg.inv(c.precision) * np.outer(floating, floating)
        out[np.ix_(c.gauss, c.gauss)] = block
    return np.asarray(out)


def yields_table(model: Model, x: npt.ArrayLike, covariance: FloatArray) -> Table:
    """Expected events per channel, bin and sample with errors, and the ``total`` of each bin.

    Errors are propagated linearly with the full covariance, so a total's error is not the sum of its parts'.

    Parameters
    ----------
    x : (p,) array_like
    covariance : (p, p) float array
    """
    point = model.point(x)
    jacobian = cell_jacobian(model.templates, point)
    cells = model.templates.expectation(point)
    errors = _propagated(jacobian, covariance)
    totals = np.add.reduceat(cells, model.templates.starts)
    total_errors = _propagated(np.add.reduceat(jacobian, model.templates.starts, axis=0), covariance)
    place = {
        (int(s), int(b)): k
        for k, (s, b) in enumerate(zip(model.cell_sample, model.templates.bin, strict=True))
    }
    rows: list[tuple[Any, ...]] = []
    for channel, where in model.bins.items():
        for b in range(where.start, where.stop):
            for s, sample in enumerate(model.samples):
                k = place.get((s, b))
                if k is not None:
                    rows.append((channel, b - where.start, sample, float(cells[k]), float(errors[k])))
            rows.append((channel, b - where.start, "total", float(totals[b]), float(total_errors[b])))
    return Table(("channel", "bin", "sample", "value", "error"), tuple(rows))


def _propagated(jacobian: FloatArray, covariance: FloatArray) -> FloatArray:
    variance = np.einsum("cp,pq,cq->c", jacobian, covariance, jacobian, optimize=True)
    return np.asarray(np.sqrt(np.clip(variance, 0.0, None)))


def ranking_table(impacts: Sequence[Impact]) -> Table:
    """One row a nuisance parameter, largest post-fit impact first."""
    columns = (
        "parameter",
        "pull",
        "constraint",
        "impact_up_prefit",
        "impact_down_prefit",
        "impact_up_postfit",
        "impact_down_postfit",
    )
    return Table(columns, tuple(tuple(impact.to_json()[key] for key in columns) for impact in impacts))


def pulls_table(model: Model, result: FitResult) -> Table:
    """Value, error, pull and constraint of every constrained parameter that floats."""
    rows: list[tuple[Any, ...]] = []
    for i in np.flatnonzero(model.constrained & ~result.fixed):
        value, error = float(result.values[i]), float(result.errors[i])
        width = float(model.prefit[i])
        known = bool(np.isfinite(error))
        pull = (value - float(model.centre[i])) / width
        rows.append((model.names[i], value, error if known else None, pull, error / width if known else None))
    return Table(("parameter", "value", "error", "pull", "constraint"), tuple(rows))


def correlation_table(result: FitResult) -> Table:
    """Correlation matrix of the floating parameters, one row a parameter."""
    places = np.flatnonzero(~result.fixed)
    names = [result.names[i] for i in places]
    matrix = result.correlation[np.ix_(places, places)]
    rows = tuple((name, *(float(v) for v in row)) for name, row in zip(names, matrix, strict=True))
    return Table(("parameter", *names), rows)


def observed_table(model: Model, data: Data | None, axes: Mapping[str, ChannelAxis]) -> Table:
    """The events that were fitted and what each bin means; a channel without an axis counts its bins."""
    main = model.data(data).main
    rows: list[tuple[Any, ...]] = []
    for channel, where in model.bins.items():
        axis = axes.get(channel)
        for b, events in enumerate(main[where]):
            low, high = (float(b), b + 1.0) if axis is None else axis.edges[b : b + 2]
            name, unit = ("bin", "") if axis is None else (axis.name, axis.unit)
            rows.append((channel, b, name, unit, low, high, float(events)))
    return Table(("channel", "bin", "quantity", "unit", "low", "high", "events"), tuple(rows))


def toys_table(study: ToyStudy) -> Table:
    """Mean and width of the pulls over the toys, one row a parameter."""
    columns = ("parameter", "mean", "width", "own_mean", "own_width", "used")
    return Table(columns, tuple(tuple(pull.to_json()[key] for key in columns) for pull in study.pulls))


def pruning_table(rows: Sequence[PruneRow]) -> Table:
    """Every systematic modifier, the size of its effect, and whether it was dropped."""
    columns = ("channel", "sample", "parameter", "kind", "effect", "pruned")
    return Table(columns, tuple(tuple(row.to_json()[key] for key in columns) for row in rows))


def smoothing_table(before: Workspace, after: Workspace) -> Table:
    """Both sides of every smoothed shape, a row a bin, before and after."""
    rows: list[tuple[Any, ...]] = []
    for old, new in zip(before.channels, after.channels, strict=True):
        for sample, smoothed in zip(old.samples, new.samples, strict=True):
            for m, s in zip(sample.modifiers, smoothed.modifiers, strict=True):
                if m.kind != "histosys" or None in (m.hi, m.lo, s.hi, s.lo):
                    continue
                sides = zip(sample.data, m.hi or (), s.hi or (), m.lo or (), s.lo or (), strict=True)
                rows += [(old.name, sample.name, m.name, b, *values) for b, values in enumerate(sides)]
    columns = ("channel", "sample", "parameter", "bin", "nominal", "up", "up_smooth", "down", "down_smooth")
    return Table(columns, tuple(rows))

"""All histograms of a run, normalised, as one long table."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from femtobarn.analysis import Normalisation, Stored
from femtobarn.hists import Axis
from femtobarn.normalise import DATA
from femtobarn.records import NOMINAL

__all__ = ["histogram_columns"]


def histogram_columns(
    stored: Stored, factors: Mapping[str, Normalisation], *, data: bool = True
) -> dict[str, list[Any]]:
    """A row for each bin, flow bins included, of each observable, region, process and variation.

    Columns: ``observable``, ``region``, ``process``, ``variation``, ``x_low``, ``x_high`` (``y_low``... where
    an observable has more axes; None for the open side of a flow bin), ``value`` and ``variance``.
    Processes are grouped as in ``yields.json``; a dataset without a variation counts in it with its nominal.

    Parameters
    ----------
    data : bool
        False leaves collision data out.
    """
    most = max((len(h.spec.axes) for h in stored.outcome.histograms.values()), default=1)
    letters = [f"{'xyzuvw'[k]}_{side}" for k in range(most) for side in ("low", "high")]
    names = ("observable", "region", "process", "variation", *letters, "value", "variance")
    rows: list[tuple[Any, ...]] = []
    for observable, histogram in sorted(stored.outcome.histograms.items()):
        bins = [_bins(axis) for axis in histogram.spec.axes]
        for head, (values, variances) in _sums(stored, factors, histogram, data=data).items():
            for place, value in np.ndenumerate(values):
                ends = [end for k, b in enumerate(place) for end in bins[k][b]]
                ends += [None] * (2 * most - len(ends))
                rows.append((observable, *head, *ends, float(value), float(variances[place])))
    return {name: [row[k] for row in rows] for k, name in enumerate(names)}


def _bins(axis: Axis) -> list[tuple[float | None, float | None]]:
    """Ends of the bins of an axis, underflow first, overflow last."""
    edges = axis.edges
    return [(None, edges[0]), *itertools.pairwise(edges), (edges[-1], None)]


def _sums(
    stored: Stored, factors: Mapping[str, Normalisation], histogram: Any, *, data: bool
) -> dict[tuple[str, str, str], tuple[Any, Any]]:
    """Normalised sums by (region, process, variation), with flow."""
    regions = sorted({key[0] for key in histogram.blocks})
    labels = [NOMINAL.label, *sorted({key[2] for key in histogram.blocks} - {NOMINAL.label})]
    out: dict[tuple[str, str, str], tuple[Any, Any]] = {}
    for region in regions:
        for dataset in stored.datasets:
            is_data, norm = dataset.kind == "data", factors[dataset.name]
            if is_data and not data:
                continue
            process, factor = (DATA, 1.0) if is_data else (norm.process, norm.factor)
            for label in labels[:1] if is_data else labels:
                wanted = (region, dataset.name, label)
                key = wanted if wanted in histogram.blocks else (region, dataset.name, NOMINAL.label)
                values = histogram.values(key, flow=True) * factor
                variances = histogram.variances(key, flow=True) * factor**2
                old = out.get((region, process, label), (0.0, 0.0))
                out[region, process, label] = (old[0] + values, old[1] + variances)
    return out

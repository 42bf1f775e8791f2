"""From raw sums to expected events: the one place where cross-section and luminosity are applied.

Stored histograms hold raw weighted sums; a dataset's factor is

    luminosity x cross-section x k-factor x filter efficiency / (sum of weights x fraction processed)

so that a run over half of a sample still predicts the whole, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.analysis import Normalisation, Stored
from femtobarn.catalog import Release
from femtobarn.hists import Axis
from femtobarn.records import NOMINAL, Dataset
from femtobarn.units import PB_PER_FB

__all__ = ["DATA", "Spectrum", "normalisations", "sample_rows", "simulation_factors", "spectrum", "yields"]

Array = NDArray[np.float64]

#: Name of the process that collision data belong to.
DATA: Final = "data"
#: A sum of signed weights below this fraction of the sum of their sizes is noise, not a norm.
_CANCELLED: Final = 0.01


def normalisations(stored: Stored, given: Mapping[str, Normalisation] | None) -> dict[str, Normalisation]:
    """Complete an analysis' normalisations: data and datasets it says nothing about keep raw sums."""
    full = dict(given or {})
    for dataset in stored.datasets:
        full.setdefault(dataset.name, Normalisation(dataset.process, 1.0))
    return full


def simulation_factors(
    stored: Stored,
    *,
    release: Release,
    lumi: float | None = None,
    xsec: Mapping[str, float] | None = None,
) -> dict[str, Normalisation]:
    """Normalisation of every dataset from metadata, the events' own facts and the release's table.

    Parameters
    ----------
    stored : Stored
        Its outcome holds the totals ``sumw`` and ``sumw_abs`` of all processed events.
    release : Release
    lumi : float, optional
        fb-1; else the dataset's metadata, else the release's.
    xsec : mapping, optional
        Cross-sections in pb that override every other source, by dataset or process.
    """
    return {
        dataset.name: Normalisation(DATA, 1.0)
        if dataset.kind == "data"
        else _simulation(stored, dataset, release, lumi, xsec or {})
        for dataset in stored.datasets
    }


def _simulation(
    stored: Stored, dataset: Dataset, release: Release, lumi: float | None, overrides: Mapping[str, float]
) -> Normalisation:
    meta = dataset.metadata
    group = str(meta.get("group", dataset.process))
    facts = {name: value[0] for name, value in stored.outcome.facts.get(dataset.name, {}).items() if value}
    # One source for cross-section, k-factor and filter efficiency: they belong together.
    source: Mapping[str, Any] = meta if "xsec" in meta else facts
    cross_section = overrides.get(dataset.name, overrides.get(dataset.process, source.get("xsec")))
    if cross_section is None:
        return Normalisation(group, 0.0, "no cross-section is known", usable=False)
    luminosity = lumi if lumi is not None else meta.get("lumi", release.lumi)
    product = float(luminosity) * PB_PER_FB * float(cross_section)
    product *= float(source.get("kfactor", 1.0)) * float(source.get("filteff", 1.0))
    return _divide(stored, dataset.name, group, product, meta.get("sumw", facts.get("sumw")))


def _divide(stored: Stored, name: str, group: str, product: float, sumw: Any) -> Normalisation:
    """Divide by the sum of weights that belongs to what was processed."""
    seen = stored.outcome.sum_of(name, "sumw")
    size = stored.outcome.sum_of(name, "sumw_abs")
    fraction = stored.fraction_processed(name)
    note = "" if fraction == 1 else f"{fraction:.4g} of its events were processed"
    if sumw is None:
        if size == 0:
            return Normalisation(group, 0.0, "no event was processed", usable=fraction == 1)
        if abs(seen) < _CANCELLED * size:
            return Normalisation(
                group, 0.0,
                f"cannot be normalised from this file: its weights cancel (sum {seen:.4g} of {size:.4g})",
                usable=False,
            )  # fmt: skip
        return Normalisation(group, product / seen, note)
    if fraction == 0 or float(sumw) == 0:
        return Normalisation(group, 0.0, "no event was processed", usable=False)
    return Normalisation(group, product / (float(sumw) * fraction), note)


@dataclass(frozen=True)
class Spectrum:
    """One normalised observable in one region, ready to be drawn or fitted.

    Attributes
    ----------
    axis : Axis
    region : str
    data : (n,) float or None
        Observed counts; None when the run holds no data.
    processes : {name: (values, variances)}
        Expected events a process, in the order of ``stored.datasets``; every process is there, empty
        or not.
    variations : {label: {name: values}}
    """

    axis: Axis
    region: str
    data: Array | None
    processes: Mapping[str, tuple[Array, Array]]
    variations: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)

    def total(self, names: Sequence[str] | None = None) -> tuple[Array, Array]:
        """Sum of expected events and of variances over processes (all by default)."""
        chosen = self.processes if names is None else [name for name in names if name in self.processes]
        values, variances = np.zeros(self.axis.nbins), np.zeros(self.axis.nbins)
        for name in chosen:
            values += self.processes[name][0]
            variances += self.processes[name][1]
        return values, variances


def spectrum(
    stored: Stored, factors: Mapping[str, Normalisation], observable: str, region: str | Sequence[str]
) -> Spectrum:
    """A one-dimensional observable in a region (or the sum of several), normalised and grouped."""
    histogram = stored.outcome.histograms[observable]
    (axis,) = histogram.spec.axes
    regions = (region,) if isinstance(region, str) else tuple(region)
    data: Array | None = None
    processes: dict[str, tuple[Array, Array]] = {}
    varied: dict[str, dict[str, Array]] = {}
    labels = sorted({key[2] for key in histogram.blocks} - {NOMINAL.label})
    for dataset in stored.datasets:
        norm = factors[dataset.name]

        def sums(variation: str, name: str = dataset.name) -> tuple[Array, Array]:
            keys = [(one, name, variation) for one in regions]
            return (
                np.sum([histogram.values(key) for key in keys], axis=0),
                np.sum([histogram.variances(key) for key in keys], axis=0),
            )

        values, variances = sums(NOMINAL.label)
        if dataset.kind == "data":
            data = values if data is None else data + values
            continue
        _add_to(processes, norm.process, values * norm.factor, variances * norm.factor**2)
        for label in labels:
            present = any((one, dataset.name, label) in histogram.blocks for one in regions)
            shifted = sums(label)[0] if present else values
            before = varied.setdefault(label, {}).get(norm.process, np.zeros(axis.nbins))
            varied[label][norm.process] = before + shifted * norm.factor
    return Spectrum(axis, "+".join(regions), data, processes, varied)


def _add_to(processes: dict[str, tuple[Array, Array]], name: str, values: Array, variances: Array) -> None:
    old = processes.get(name, (np.zeros(len(values)), np.zeros(len(values))))
    processes[name] = (old[0] + values, old[1] + variances)


def yields(
    stored: Stored, factors: Mapping[str, Normalisation], observable: str, regions: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """``yields.json``: region -> process -> value, statistical error, variations (flow included)."""
    histogram = stored.outcome.histograms[observable]
    labels = sorted({key[2] for key in histogram.blocks} - {NOMINAL.label})
    out: dict[str, dict[str, Any]] = {}
    for region in regions:
        rows: dict[str, Any] = {}
        for dataset in stored.datasets:
            norm = factors[dataset.name]
            key = (region, dataset.name, NOMINAL.label)
            value = float(histogram.values(key, flow=True).sum()) * norm.factor
            variance = float(histogram.variances(key, flow=True).sum()) * norm.factor**2
            row = rows.setdefault(norm.process, {"value": 0.0, "stat": 0.0, "variations": {}})
            row["value"] += value
            row["stat"] = float(np.hypot(row["stat"], np.sqrt(variance)))
            for label in labels if dataset.kind == "mc" else ():
                varied = (region, dataset.name, label)
                shifted = (
                    float(histogram.values(varied, flow=True).sum()) * norm.factor
                    if varied in histogram.blocks
                    else value
                )
                row["variations"][label] = row["variations"].get(label, 0.0) + shifted
        out[region] = rows
    return out


def sample_rows(stored: Stored, factors: Mapping[str, Normalisation]) -> dict[str, list[Any]]:
    """``tables/samples.csv``: what was read of every dataset and how it is weighted."""
    columns = (
        "dataset", "process", "kind", "events", "entries", "sumw_read", "sumw_expected", "xsec_pb", "factor",
        "selected", "expected_events", "note",
    )  # fmt: skip
    rows: dict[str, list[Any]] = {name: [] for name in columns}
    for dataset in stored.datasets:
        norm = factors[dataset.name]
        processed, entries = stored.entries[dataset.name]
        counts = stored.outcome.cutflow(dataset.name)
        meta = dataset.metadata
        notes = "; ".join(filter(None, [norm.note, str(meta.get("suspicious") or "")]))
        values = (
            dataset.name, norm.process, dataset.kind, processed, entries,
            stored.outcome.sum_of(dataset.name, "sumw"), meta.get("sumw"), meta.get("xsec"), norm.factor,
            counts[-1].events if counts else None,
            counts[-1].sumw * norm.factor if counts else None, notes,
        )  # fmt: skip
        for name, value in zip(columns, values, strict=True):
            rows[name].append(value)
    return rows

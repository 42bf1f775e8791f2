"""Figures of tag and probe: efficiencies against pt, eta and phi, their maps, masses, the cutflow."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from femtobarn.analyses.tagprobe.parameters import Method, file_safe
from femtobarn.analysis import Stored
from femtobarn.folders import folder_of
from femtobarn.hists import Sparse
from femtobarn.plot import Curve, Drawing, Label, cutflow, efficiency_curves, efficiency_map, pass_and_fail
from femtobarn.stats.intervals import weighted_efficiency

__all__ = ["figures"]

#: Datasets shown on one figure, filters and maps drawn at all: the tables hold the rest.
_DATASETS: Final = 4
_FILTERS: Final = 6


def figures(stored: Stored, fitted: Mapping[str, Any]) -> Iterator[Drawing]:
    """Everything that was histogrammed, a few figures a filter."""
    label = Label("femtobarn toy simulation" if stored.is_toy else "CMS Open Data")
    rows = {name: [{"cut": c.cut, "events": c.events} for c in stored.outcome.cutflow(name)]
            for name in stored.outcome.cutflows}  # fmt: skip
    if rows:
        yield cutflow(rows, name="cutflow", label=label, title="Events and pairs left after each cut")
    with_masses: set[str] = set()
    for method in stored.parameters.methods:
        if not method.histograms:
            continue
        one_dimensional = "1d" in method.name
        for name in method.filter[:_FILTERS]:
            yield from (_curves if one_dimensional else _maps)(stored, method, name, label)
            if not method.cut_and_count and name not in with_masses:
                with_masses.add(name)
                path = f"phi/{next(iter(method.eta_regions_phi), 'entire')}/" if one_dimensional else ""
                yield from _masses(stored, method, name, path, label)


def _pair(stored: Stored, dataset: str, method: Method, name: str, path: str) -> tuple[Sparse, Sparse] | None:
    """Passing and failing histogram of a dataset."""
    place = f"{folder_of(dataset)}/{method.label}/{file_safe(name)}/{path}"
    found = [stored.outcome.sparse.get(f"{place}{verdict}") for verdict in ("passing", "failing")]
    return (found[0], found[1]) if found[0] is not None and found[1] is not None else None


def _name(*parts: str) -> str:
    return re.sub(r"\W+", "_", "_".join(parts)).strip("_")


def _is_data(stored: Stored, dataset: str) -> bool:
    return stored.outcome.facts.get(dataset, {}).get("simulated") == (0.0,)


def _datasets(stored: Stored) -> list[str]:
    """Data first, then simulation."""
    names = [dataset.name for dataset in stored.datasets]
    return sorted(names, key=lambda name: not _is_data(stored, name))[:_DATASETS]


def _curves(stored: Stored, method: Method, name: str, label: Label) -> Iterator[Drawing]:
    regions = {"pt": method.eta_regions_pt, "eta": method.phi_regions_eta, "phi": method.eta_regions_phi}
    names = _datasets(stored)
    data = [one for one in names if _is_data(stored, one)]
    ratio = (data[0], names[1]) if len(names) == 2 and len(data) == 1 else None
    for what, chosen in regions.items():
        for region in chosen:
            curves, axis = [], None
            for dataset in names:
                found = _pair(stored, dataset, method, name, f"{what}/{region}/")
                if found is None:
                    continue
                passing, failing = (one.project(what) for one in found)
                axis = passing.axes[0]
                (wp, p2), (wf, f2) = passing.dense(), failing.dense()
                value, low, high, _ = weighted_efficiency(wp[1:-1], wf[1:-1], p2[1:-1], f2[1:-1])
                curves.append(Curve(dataset, value, low, high))
            if axis is not None:
                note = name if region == "entire" else f"{name}, {region}"
                stem = _name("efficiency", str(method.number), file_safe(name), what, region)
                yield efficiency_curves(axis, curves, name=stem, label=label, note=note, ratio=ratio)


def _masses(stored: Stored, method: Method, name: str, path: str, label: Label) -> Iterator[Drawing]:
    for dataset in _datasets(stored):
        found = _pair(stored, dataset, method, name, path)
        if found is None:
            continue
        passing, failing = (one.project("mll") for one in found)
        spectra = [
            (values[1:-1], variances[1:-1]) for values, variances in (passing.dense(), failing.dense())
        ]
        stem = _name("mass", folder_of(dataset), file_safe(name))
        yield pass_and_fail(
            passing.axes[0], spectra[0], spectra[1], name=stem, label=label, note=f"{dataset}: {name}"
        )


def _maps(stored: Stored, method: Method, name: str, label: Label) -> Iterator[Drawing]:
    """The efficiency in eta and pt, where both are axes; masses behind it."""
    for dataset in _datasets(stored):
        found = _pair(stored, dataset, method, name, "")
        if found is None:
            continue
        axes = [axis.name for axis in found[0].axes]
        x = next((one for one in axes if one.endswith(("_eta", "Eta"))), None)
        y = next((one for one in axes if one.endswith(("_pt", "_et"))), None)
        if x is None or y is None:
            continue
        passing, failing = (one.project(x, y) for one in found)
        (wp, p2), (wf, f2) = passing.dense(), failing.dense()
        inner = (slice(1, -1), slice(1, -1))
        value, *_ = weighted_efficiency(wp[inner], wf[inner], p2[inner], f2[inner])
        order = [axis.name for axis in passing.axes]
        first, second = passing.axes
        if order[0] != x:
            first, second, value = second, first, np.asarray(value).T
        stem = _name("map", str(method.number), folder_of(dataset), file_safe(name))
        yield efficiency_map(first, second, value, name=stem, label=label, note=f"{dataset}: {name}")

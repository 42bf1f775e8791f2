"""Figures of a survey: what was read, what was found, what stands out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from femtobarn.analyses.survey.parameters import SurveyParameters
from femtobarn.analyses.survey.spectra import Row, histogram, rows
from femtobarn.analysis import Stored
from femtobarn.plot import Drawing, Label, bars, cutflow, scatter, steps

__all__ = ["figures"]

_STATES: Final = 20
_SPECTRA: Final = 6


def figures(stored: Stored, fitted: Mapping[str, Any]) -> Iterator[Drawing]:
    """Events by cut, final states, the largest spectra, their shapes, and the search where there was one."""
    label = Label("femtobarn toy simulation" if stored.is_toy else "Open Data")
    flow = {
        name: [{"cut": count.cut, "events": count.events} for count in stored.outcome.cutflow(name)]
        for name in stored.outcome.cutflows
    }
    if flow:
        yield cutflow(flow, name="01_pipeline_performance", label=label, title="Events left after each cut")
    states = _states(stored)
    if not states:
        return
    yield bars(
        [name for name, _ in states], [events for _, events in states],
        name="02_parsed_data", label=label, x_label="Events", title=f"The {len(states)} largest final states",
    )  # fmt: skip
    exported = [row for row in rows(stored) if row.exported]
    if exported:
        yield _masses(exported, stored.parameters, label)
        yield _shapes(exported, label)
    searched = [item for item in fitted.get("search", {}).get("histograms", ()) if item["z_max"] is not None]
    if searched:
        yield scatter(
            [item["mass_gev"] for item in searched], [item["z_max"] for item in searched],
            name="05_search", label=label, x_label="Mass of the largest excess [GeV]",
            y_label="Largest local significance", title="The largest excess of every spectrum",
        )  # fmt: skip


def _states(stored: Stored) -> list[tuple[str, int]]:
    found: dict[str, int] = {}
    for spectra in stored.outcome.spectra.values():
        for code, events in zip(spectra.state.tolist(), spectra.events_of_states().tolist(), strict=True):
            name = spectra.names[code]
            found[name] = found.get(name, 0) + events
    return sorted(found.items(), key=lambda item: (-item[1], item[0]))[:_STATES]


def _masses(exported: Sequence[Row], parameters: SurveyParameters, label: Label) -> Drawing:
    largest = sorted(exported, key=lambda row: (-row.spectrum.n, row.signature))[:_SPECTRA]
    curves = {}
    for row in largest:
        one = histogram(row, parameters, parameters.widths[0], naming="plain", grid=parameters.grid_width)
        if one is not None:
            curves[f"{row.state} {row.combination.name}"] = (one.edges, one.values)
    return steps(
        curves, name="03_invariant_mass", label=label, x_label="Mass [GeV]",
        y_label=f"Events / {parameters.widths[0]:g} GeV", title="The largest spectra",
    )  # fmt: skip


def _shapes(exported: Sequence[Row], label: Label) -> Drawing:
    bins = np.array([row.cut.nbins if row.cut else 0 for row in exported], dtype=np.float64)
    entries = np.array([row.cut.n_main if row.cut else 0 for row in exported], dtype=np.float64)
    return scatter(
        bins, entries, name="04_histogram_metadata", label=label,
        x_label="Bins from the peak to the first gap", y_label="Entries",
        title="How long and how full the exported spectra are", log=True,
    )  # fmt: skip

"""Figures of a survey: what was read, what was found, what stands out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from femtobarn.analyses.survey.parameters import SurveyParameters
from femtobarn.analyses.survey.results import to_search
from femtobarn.analyses.survey.spectra import Row, histogram, rows
from femtobarn.analysis import Stored
from femtobarn.hists import variable
from femtobarn.plot import Drawing, Label, bars, cutflow, excess, scatter, steps
from femtobarn.records import TOY_TITLE
from femtobarn.run.files import read_json
from femtobarn.stats.bumps.span import sidebands

__all__ = ["figures"]

_STATES: Final = 20
_SPECTRA: Final = 6
#: By the beginning of a schema's name.
_EXPERIMENT: Final = {"physlite": "ATLAS", "atlas": "ATLAS", "cms": "CMS"}


def figures(stored: Stored, fitted: Mapping[str, Any]) -> Iterator[Drawing]:
    """Events by cut, final states, the largest spectra, their shapes, and the search where there was one."""
    label = _label(stored)
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
            y_label="Largest local significance", title="The largest excess of every spectrum", log_x=True,
        )  # fmt: skip
        best = next(item for item in searched if item["name"] == fitted["search"]["global"]["best"])
        yield from _best(stored, best, label)


def _label(stored: Stored) -> Label:
    """Whose data these are, by the schemas of the files."""
    if stored.is_toy:
        return Label(TOY_TITLE)
    inputs = read_json(stored.folder / "manifest.json")["inputs"] if stored.folder is not None else []
    families = {str(item["schema"]).partition("-")[0] for item in inputs if item["schema"]}
    names = {_EXPERIMENT.get(family, "") for family in families}
    return Label(f"{names.pop()} Open Data".strip() if len(names) == 1 else "Open Data")


def _best(stored: Stored, found: Mapping[str, Any], label: Label) -> Iterator[Drawing]:
    """The spectrum with the least probable excess, and the background that its sidebands choose."""
    spectrum = next((item for item in to_search(stored) if item.name == found["name"]), None)
    if spectrum is None or found["range_gev"] is None:
        return
    low, high = (int(np.argmin(np.abs(spectrum.edges - edge))) for edge in found["range_gev"])
    counts, edges = spectrum.counts[low:high], spectrum.edges[low : high + 1]
    use = np.ones(len(counts), dtype=np.bool_) if spectrum.masked is None else ~spectrum.masked[low:high]
    beside = sidebands(counts, edges, use)
    if beside is None:
        return
    window = tuple(found["window"]) if found["window"] else None
    place = f" in the window {window[0]:g}-{window[1]:g} GeV" if window else ""
    yield excess(
        variable(edges, "mass", label="Mass", unit="GeV"), counts, beside.background.expected, window=window,
        name="06_best", label=label, title=found["name"],
        caption=f"The least probable excess{place}: p = {found['p_global']:.2g} in this spectrum. "
        "Lower panel: significance of each bin alone.",
    )  # fmt: skip


def _states(stored: Stored) -> list[tuple[str, int]]:
    found: dict[str, int] = {}
    for spectra in stored.outcome.spectra.values():
        for code, events in zip(spectra.state.tolist(), spectra.events_of_states().tolist(), strict=True):
            name = spectra.names[code]
            found[name] = found.get(name, 0) + events
    return sorted(found.items(), key=lambda item: (-item[1], item[0]))[:_STATES]


def _masses(exported: Sequence[Row], parameters: SurveyParameters, label: Label) -> Drawing:
    largest = sorted(exported, key=lambda row: (-int(row.spectra.n[row.index]), row.signature))[:_SPECTRA]
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

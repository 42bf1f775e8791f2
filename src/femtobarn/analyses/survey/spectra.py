"""From the accumulated spectra to rows of tables and histograms: peak, gap, resonances, names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.analyses.survey.parameters import SurveyParameters
from femtobarn.analysis import Stored
from femtobarn.export.th1 import Histogram1D
from femtobarn.hists import Spectra, Spectrum
from femtobarn.physics.finalstates import LETTERS, TYPES, Combination, unpack
from femtobarn.physics.resolution import combination_edges
from femtobarn.physics.turnon import Cut, cut_on_grid, cut_values
from femtobarn.run.arrays import ARRAYS_FOLDER, array_files

__all__ = ["Row", "histogram", "histogram_name", "rows", "whole"]

Floats = NDArray[np.float64]
_EMPTY: Final = np.zeros(0)


@dataclass(frozen=True)
class Row:
    """One signature: its spectrum and what post-processing made of it.

    ``cut`` is None where the final state has too few events, or nothing is left; ``reason`` says so.
    ``main`` and ``outliers`` are the values themselves, where they were kept.
    """

    dataset: str
    state: str
    combination: Combination
    spectrum: Spectrum
    cut: Cut | None = None
    reason: str = ""
    main: Floats | None = None
    outliers: Floats | None = None

    @property
    def exported(self) -> bool:
        return not self.reason

    @property
    def signature(self) -> str:
        return f"{self.state}_{self.combination.name}"


def rows(stored: Stored) -> Sequence[Row]:
    """All signatures, sorted by dataset, final state and combination."""
    known: Sequence[Row] | None = stored.memo.get("survey.rows")
    if known is None:
        known = stored.memo["survey.rows"] = tuple(_rows(stored))
    return known


def _rows(stored: Stored) -> Iterator[Row]:
    parameters: SurveyParameters = stored.parameters
    combos = parameters.combination_list()
    for dataset, spectra in sorted(stored.outcome.spectra.items()):
        arrays = _arrays(stored, dataset, parameters)
        events = dict(zip(spectra.state.tolist(), spectra.events_of_states().tolist(), strict=True))
        order = sorted(
            range(len(spectra)),
            key=lambda i: (spectra.names[int(spectra.of[i])], spectra.items[spectra.item[i]]),
        )
        totals = spectra.totals().tolist()
        for i in order:
            spectrum = spectra.spectrum(i, totals[i])
            state = spectra.names[spectrum.state]
            combo = combos[spectrum.item]
            values = arrays.get((state, combo.name))
            yield _row(dataset, state, combo, spectrum, events[spectrum.state], parameters, spectra, values)


def _arrays(stored: Stored, dataset: str, parameters: SurveyParameters) -> dict[tuple[str, str], Floats]:
    if not parameters.keep_arrays or stored.folder is None:
        return {}
    found: dict[tuple[str, str], list[Floats]] = {}
    for state, item, values in array_files(stored.folder / ARRAYS_FOLDER, dataset):
        found.setdefault((state, item), []).append(values)
    return {key: np.concatenate(parts) for key, parts in found.items()}


def _row(
    dataset: str, state: str, combo: Combination, spectrum: Spectrum, events: int,
    parameters: SurveyParameters, spectra: Spectra, values: Floats | None,
) -> Row:  # fmt: skip
    if events < parameters.min_events:
        reason = f"final state has {events} events, fewer than {parameters.min_events}"
        return Row(dataset, state, combo, spectrum, reason=reason)
    width = spectra.grid.width
    vetoed = combo.leptons_only and parameters.resonances == "veto_below"
    low = parameters.z_peak if vetoed else 0.0
    high = parameters.max_mass or np.inf
    if values is not None:
        kept = values[(values >= low) & (values < high)]
        beyond = values[values >= high]
        if parameters.post_processing == "legacy":
            cut_found = cut_values(kept, width=parameters.peak_width)
            if cut_found is None:
                return Row(dataset, state, combo, spectrum, reason=_nothing_left(low, high))
            cut, main, outliers = cut_found
            outliers = np.concatenate([outliers, beyond])
            cut = Cut(cut.edge, cut.end, cut.n_main, len(outliers), cut.nbins)
            return Row(dataset, state, combo, spectrum, cut, main=main, outliers=outliers)
    inside = (spectrum.bins * width >= low) & (spectrum.bins * width < high)
    cut_grid = _cut(spectrum, inside, parameters, width, high)
    if cut_grid is None:
        return Row(dataset, state, combo, spectrum, reason=_nothing_left(low, high))
    if values is None:
        return Row(dataset, state, combo, spectrum, cut_grid)
    after = values[(values >= max(cut_grid.edge, low))]
    # Beyond the grid there are no bins to see a gap in: overflow is outliers.
    end = min(cut_grid.end, high, spectra.grid.high)
    main, outliers = after[after < end], after[after >= end]
    return Row(dataset, state, combo, spectrum, cut_grid, main=main, outliers=outliers)


def _cut(
    spectrum: Spectrum, inside: NDArray[np.bool_], parameters: SurveyParameters, width: float, high: float
) -> Cut | None:
    beyond = spectrum.overflow + int(spectrum.counts[spectrum.bins * width >= high].sum())
    bins, counts = spectrum.bins[inside], spectrum.counts[inside]
    if not len(bins):
        return None
    if parameters.post_processing == "none":
        return Cut(float(bins[0] * width), np.inf, int(counts.sum()), beyond, int(bins[-1] - bins[0]) + 1)
    return cut_on_grid(bins, counts, beyond, width=width, ratio=round(parameters.peak_width / width))


def _nothing_left(low: float, high: float) -> str:
    limits = [f"from {low:g} GeV on"] if low else ["on the grid"]
    return "no mass is left " + " ".join(limits + ([f"and below {high:g} GeV"] if np.isfinite(high) else []))


def histogram(
    row: Row, parameters: SurveyParameters, width: float, *, naming: str, grid: float, factor: float = 1.0,
    cut: bool = True,
) -> Histogram1D | None:  # fmt: skip
    """The spectrum of a row with bins of this width, cut to its main part (or not); None if it is empty.

    Statistics are those of the base grid's bin centres, as ROOT computes them when it is filled there.
    """
    base = _base(row, parameters, grid, cut=cut)
    if base is None:
        return None
    bins, values, variances, counts, first = base
    edges = _edges(row, parameters, width, grid, first, int(bins[-1]) + 1)
    at = np.searchsorted(edges, (bins + 0.5) * grid, side="right") - 1
    n = len(edges) - 1
    centres = (bins + 0.5) * grid
    values, variances = values * factor, variances * factor**2
    moments = (values.sum(), variances.sum(), values @ centres, values @ centres**2)
    return Histogram1D(
        name=histogram_name(row, parameters, width, naming=naming),
        edges=edges,
        values=np.bincount(at, weights=values, minlength=n).astype(np.float64),
        variances=np.bincount(at, weights=variances, minlength=n).astype(np.float64),
        entries=float(counts.sum()),
        title=f"{row.dataset} {row.state} {row.combination.name}",
        moments=tuple(float(item) for item in moments),  # type: ignore[arg-type]
    )


def _base(
    row: Row, parameters: SurveyParameters, grid: float, *, cut: bool
) -> tuple[NDArray[np.int64], Floats, Floats, NDArray[np.int64], int] | None:
    """Filled base bins of the wanted part, their contents, and the base bin where it begins."""
    spectrum = row.spectrum
    bins, values, variances, counts = spectrum.bins, spectrum.values, spectrum.variances, spectrum.counts
    first = 0
    if cut:
        if row.cut is None:
            return None
        if row.main is not None and parameters.post_processing == "legacy":
            chosen = (
                row.main
                if parameters.exclude_outliers or row.outliers is None
                else np.concatenate([row.main, row.outliers])
            )
            filled, number = np.unique((chosen / grid).astype(np.int64), return_counts=True)
            first = int(row.cut.edge / grid)
            weights = number.astype(np.float64)
            return (filled, weights, weights, number, first) if len(filled) else None
        first = round(row.cut.edge / grid)
        end = row.cut.end if parameters.exclude_outliers else np.inf
        high = min(end, parameters.max_mass or np.inf) if parameters.exclude_outliers else np.inf
        vetoed = row.combination.leptons_only and parameters.resonances == "veto_below"
        low = max(row.cut.edge, parameters.z_peak if vetoed else 0.0)
        inside = (bins * grid >= low - 1e-9) & (bins * grid < high - 1e-9)
        bins, values, variances, counts = bins[inside], values[inside], variances[inside], counts[inside]
    return (bins, values, variances, counts, first) if len(bins) else None


def _edges(
    row: Row, parameters: SurveyParameters, width: float, grid: float, first: int, last: int
) -> Floats:
    """Bin edges from a base bin to behind the last filled one."""
    if parameters.binning == "resolution":
        return combination_edges(row.combination.picks, first, last, grid)
    ratio = round(width / grid)
    number = max(-(-(last - first) // ratio), 1)
    return np.asarray((first + ratio * np.arange(number + 1)) * grid, dtype=np.float64)


def whole(row: Row, parameters: SurveyParameters) -> tuple[Floats, Floats, float]:
    """Events of a spectrum before it is cut, in bins of the first width, and how many have no bin.

    A veto of resonances and a largest mass are wishes, not cuts of ours: they stay.  Five empty bins follow
    the last event.  Events, not weights: only they fluctuate as a search assumes.
    """
    grid, spectrum = parameters.grid_width, row.spectrum
    vetoed = row.combination.leptons_only and parameters.resonances == "veto_below"
    low, high = parameters.z_peak if vetoed else 0.0, parameters.max_mass or np.inf
    inside = (spectrum.bins * grid >= low - 1e-9) & (spectrum.bins * grid < high - 1e-9)
    bins, counts = spectrum.bins[inside], spectrum.counts[inside]
    first = round(low / grid)
    width = parameters.widths[0]
    last = min(int(bins[-1]) + 1 + 5 * round(width / grid), parameters.grid_bins)
    edges = _edges(row, parameters, width, grid, first, last)
    at = np.searchsorted(edges, (bins + 0.5) * grid, side="right") - 1
    values = np.bincount(at, weights=counts, minlength=len(edges) - 1).astype(np.float64)
    return values, edges, float(spectrum.overflow + spectrum.counts[spectrum.bins * grid >= high].sum())


def histogram_name(row: Row, parameters: SurveyParameters, width: float, *, naming: str) -> str:
    """``ROI_mass_e0j0_cat_...`` in the order of the predecessor or of BumpNet, or the plain signature."""
    combo = row.combination
    kind, objects = ("massMET", combo.name.removeprefix("MET_")) if combo.transverse else ("mass", combo.name)
    counts, tag = unpack(row.spectrum.state)
    if naming == "plain":
        return f"ROI_{row.signature}_width_{float(width)}"
    used = {LETTERS[kind_] for kind_ in parameters.types} | {
        LETTERS[i] for i in range(len(TYPES)) if counts[i]
    }
    order, optional = ("emjg", "tbZ") if naming == "classic" else ("embjZ", "gt")
    letters = [*order, *(letter for letter in optional if letter in used)]
    category = "_".join(f"{counts[LETTERS.index(letter)]}{letter}x" for letter in letters)
    name = f"ROI_{kind}_{objects}_cat_{category}" + (f"_{tag}" if tag else "")
    return f"{name}_width_{float(width)}" if naming == "classic" else name

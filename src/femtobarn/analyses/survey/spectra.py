"""From the accumulated spectra to rows of tables and histograms: peak, gap, resonances, names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
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


@dataclass(frozen=True, slots=True)
class Row:
    """One signature: where its spectrum is and what post-processing made of it.

    ``cut`` is None where the final state has too few events, or nothing is left; ``reason`` says so.
    ``main`` and ``outliers`` are the values themselves, where they were kept.
    """

    dataset: str
    state: str
    combination: Combination
    spectra: Spectra
    index: int
    cut: Cut | None = None
    reason: str = ""
    main: Floats | None = None
    outliers: Floats | None = None

    @property
    def spectrum(self) -> Spectrum:
        """Its spectrum, made anew each time: there are too many to keep."""
        return self.spectra.spectrum(self.index)

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
        few: dict[int, str] = {}
        events = dict(zip(spectra.state.tolist(), spectra.events_of_states().tolist(), strict=True))
        order = sorted(
            range(len(spectra)),
            key=lambda i: (spectra.names[int(spectra.of[i])], spectra.items[spectra.item[i]]),
        )
        for i in order:
            state, combo = spectra.names[int(spectra.of[i])], combos[spectra.item[i]]
            row = Row(dataset, state, combo, spectra, i)
            number = events[int(spectra.of[i])]
            if number < parameters.min_events:
                yield replace(row, reason=few.setdefault(number, _too_few(number, parameters)))
            else:
                yield _post_processed(row, parameters, arrays.get((state, combo.name)))


def _too_few(events: int, parameters: SurveyParameters) -> str:
    return f"final state has {events} events, fewer than {parameters.min_events}"


def _arrays(stored: Stored, dataset: str, parameters: SurveyParameters) -> dict[tuple[str, str], Floats]:
    if not parameters.keep_arrays or stored.folder is None:
        return {}
    found: dict[tuple[str, str], list[Floats]] = {}
    for state, item, values in array_files(stored.folder / ARRAYS_FOLDER, dataset):
        found.setdefault((state, item), []).append(values)
    return {key: np.concatenate(parts) for key, parts in found.items()}


def _post_processed(row: Row, parameters: SurveyParameters, values: Floats | None) -> Row:
    """A row of a final state with enough events: cut, or why nothing is left of it."""
    spectrum, grid = row.spectrum, row.spectra.grid
    vetoed = row.combination.leptons_only and parameters.resonances == "veto_below"
    low = parameters.z_peak if vetoed else 0.0
    high = parameters.max_mass or np.inf
    if values is not None and parameters.post_processing == "legacy":
        found = cut_values(values[(values >= low) & (values < high)], width=parameters.peak_width)
        if found is None:
            return replace(row, reason=_nothing_left(low, high))
        cut, main, outliers = found
        outliers = np.concatenate([outliers, values[values >= high]])
        return replace(row, cut=replace(cut, n_outliers=len(outliers)), main=main, outliers=outliers)
    inside = (spectrum.bins * grid.width >= low) & (spectrum.bins * grid.width < high)
    cut_grid = _cut(spectrum, inside, parameters, grid.width, high)
    if cut_grid is None:
        return replace(row, reason=_nothing_left(low, high))
    if values is None:
        return replace(row, cut=cut_grid)
    after = values[values >= max(cut_grid.edge, low)]
    # Beyond the grid there are no bins to see a gap in: overflow is outliers.
    end = min(cut_grid.end, high, grid.high)
    return replace(row, cut=cut_grid, main=after[after < end], outliers=after[after >= end])


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
    counts, tag = unpack(int(row.spectra.of[row.index]))
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

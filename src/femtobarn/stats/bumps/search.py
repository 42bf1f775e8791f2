"""Search for a bump in many spectra: a local significance in every bin, and honest trials.

For each spectrum a smooth background is chosen from the data.  In every bin a Gaussian of one bin's width
is fitted on top, with the background fitted again: its likelihood ratio is the local significance.  A
BumpHunter scan over windows of two to five bins, repeated on toys of the background that are fitted like
the data, gives the probability of an excess as large anywhere in the spectrum.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf, ndtr, ndtri

from femtobarn.stats.bumps.hunting import hunt, tail_probability
from femtobarn.stats.bumps.span import Beside, searched_range, sidebands
from femtobarn.stats.bumps.spectrum import Background, basis, fit_many, fit_order, fit_with_bump, predicted

__all__ = ["BumpResult", "Injection", "SpectrumToSearch", "combined", "search", "search_all"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Mapped = Callable[
    [Callable[["SpectrumToSearch"], "BumpResult"], Sequence["SpectrumToSearch"]], Iterable["BumpResult"]
]

#: Fewer bins or entries cannot tell a background from a bump.
_LEAST_BINS: Final = 12
_LEAST_ENTRIES: Final = 50.0
#: Below this probability no smooth background describes the spectrum, whatever is searched for.
_POOR: Final = 1e-3
#: Toys that exceed the observed value and are enough to stop; below this share of them more are drawn, ...
_ENOUGH: Final = 20
_RARE: Final = 0.02
#: ... so many times as many, and so many at once.
_RARE_TOYS: Final = 10
_AT_ONCE: Final = 500
#: Spectra in the short list.
_SHORT: Final = 20


@dataclass(frozen=True, slots=True)
class SpectrumToSearch:
    """A spectrum: counts (n,), edges (n + 1,) in GeV, bins to leave out (n,), and who shares its events.

    A ``whole`` spectrum, from its threshold to its last event, is searched from its broad maximum on; else
    all bins are.  ``outside`` counts events that have no bin.
    """

    name: str
    counts: Floats
    edges: Floats
    masked: Mask | None = None
    group: str = ""
    whole: bool = False
    outside: float = 0.0


@dataclass(frozen=True, slots=True)
class Injection:
    """A Gaussian bump added to the data: mass and width in GeV, expected events."""

    mass: float
    width: float
    events: float


@dataclass(frozen=True, slots=True)
class BumpResult:
    """What was found in one spectrum; numbers are None where there is none to give.

    Attributes
    ----------
    name : str
    nbins : int
    entries : float
    z_max : float
        Largest local significance, and where: ``bin`` (from 0) and ``mass_gev``.
    p_local : float
        One-sided probability of z_max.
    p_global : float
        Of an excess as large as the largest of the BumpHunter scan anywhere in this spectrum.
    background : str
        The function that was fitted.
    chi2_ndf : float
        Deviance of the background alone per degree of freedom.
    goodness : float
        Probability of as bad a description by the background, without the window of the largest excess.
    range_gev : (low, high)
        What was searched; ``bin`` counts from its low end.
    events_below, events_above : float
        Events outside of it, and in bins that were left out (``events_masked``).
    status : str
        ``ok``, or why there is no result.
    """

    name: str
    nbins: int
    entries: float
    z_max: float | None = None
    bin: int | None = None
    mass_gev: float | None = None
    p_local: float | None = None
    p_global: float | None = None
    background: str = ""
    chi2_ndf: float | None = None
    goodness: float | None = None
    window: tuple[float, float] | None = None
    range_gev: tuple[float, float] | None = None
    events_below: float = 0.0
    events_above: float = 0.0
    events_masked: float = 0.0
    expected_z: float | None = None
    status: str = "ok"

    def to_json(self) -> dict[str, Any]:
        """As a JSON value."""
        found = asdict(self)
        if self.expected_z is None:
            del found["expected_z"]
        return found


def bump_shapes(edges: Floats) -> Floats:
    """(n, n) Gaussian of one bin's width at the centre of each bin, integrated over bins, unit area."""
    centres, widths = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    return _gaussian(edges, centres[:, None], widths[:, None])


def _gaussian(edges: Floats, mass: Floats | float, width: Floats | float) -> Floats:
    cumulative = 0.5 * (1 + erf((edges - mass) / (np.sqrt(2) * width)))
    return np.asarray(np.diff(cumulative, axis=-1))


def significances(counts: Floats, edges: Floats, use: Mask, order: int, start: Floats) -> tuple[Floats, Mask]:
    """(n,) local significance of an excess in each bin (0 where there is none), and whether its fit ended."""
    shapes = bump_shapes(edges) * use
    # A bump that lies in left-out bins mostly cannot be seen, and no bump is where there is no event.
    near = np.convolve(counts * use, np.ones(3), mode="same") > 0
    looked = np.flatnonzero((shapes.sum(axis=1) > 0.4) & near)
    z, good = np.zeros(len(counts)), np.ones(len(counts), dtype=np.bool_)
    q, events, good[looked] = fit_with_bump(counts, basis(edges, order), shapes[looked], start, use)
    z[looked] = np.where(events > 0, np.sqrt(q), 0.0)
    return z, good


def search(
    spectrum: SpectrumToSearch, *, toys: int = 400, seed: int = 1, injection: Injection | None = None
) -> BumpResult:
    """Search one spectrum.

    Parameters
    ----------
    spectrum : SpectrumToSearch
    toys : int
        Toys of the background for the global probability.
    seed : int
    injection : Injection, optional
        Added to the data first; ``expected_z`` then says what it should give.
    """
    counts, edges, use, added, outside, beside = _searched(spectrum, injection)
    entries = float(counts[use].sum())
    known: dict[str, Any] = {
        "name": spectrum.name, "nbins": len(counts), "entries": entries, **outside,
        "range_gev": (float(edges[0]), float(edges[-1])),
    }  # fmt: skip
    if use.sum() < _LEAST_BINS:
        return BumpResult(**known, status=f"only {int(use.sum())} bins, {_LEAST_BINS} are needed")
    if entries < _LEAST_ENTRIES:
        return BumpResult(**known, status=f"only {entries:g} entries, {_LEAST_ENTRIES:g} are needed")
    beside = beside or sidebands(counts, edges, use)
    background = None if beside is None else fit_order(counts, edges, use, beside.background.order)
    if beside is None or background is None:
        return BumpResult(**known, status="failed: no background fit converged")
    z, good = significances(counts, edges, use, background.order, background.coefficients)
    if not good[use].all():
        bad = int((~good[use]).sum())
        return BumpResult(**known, status=f"failed: the fit of a bump did not converge in {bad} bins")
    at = int(np.argmax(z))
    observed, window = hunt(counts[None], background.expected[None], use)
    first, width = (int(item) for item in window[0])
    rng = np.random.default_rng([seed, *spectrum.name.encode()])
    spread, lost = _toys(background, basis(edges, background.order), use, float(observed[0]), toys, rng)
    if lost > 0.1 * (lost + len(spread)):
        return BumpResult(**known, status=f"failed: {lost} of {lost + len(spread)} toys could not be fitted")
    expected_z = None
    if injection is not None:
        b = np.maximum(background.expected, 1e-9)
        expected_z = float(np.sqrt(2 * np.sum(((added + b) * np.log1p(added / b) - added)[use])))
    return BumpResult(
        **known, z_max=float(z[at]), bin=at, mass_gev=float((edges[at] + edges[at + 1]) / 2),
        p_local=float(ndtr(-z[at])), p_global=tail_probability(spread, float(observed[0])),
        background=f"exp(P{background.order}(ln m))",
        chi2_ndf=background.chi2_ndf, goodness=beside.goodness,
        window=(float(edges[first]), float(edges[first + width])) if width else None,
        expected_z=expected_z,
    )  # fmt: skip


def _toys(
    background: Background, design: Floats, use: Mask, observed: float, toys: int, rng: np.random.Generator
) -> tuple[Floats, int]:
    """BumpHunter statistics of toys of a background, each fitted like the data, and how many had no fit.

    A quarter of the toys is enough where many of them exceed the observed value, and where few do ten
    times as many tell how the tail goes on: trials over thousands of spectra ask for that.
    """
    spread, lost = np.zeros(0), 0
    for total in (toys // 4, toys, _RARE_TOYS * toys):
        while len(spread) + lost < total:
            size = min(total - len(spread) - lost, _AT_ONCE)
            drawn = rng.poisson(background.expected, (size, len(use))).astype(np.float64)
            c, fitted = fit_many(drawn, design, use, start=background.coefficients)
            found, _ = hunt(drawn[fitted], predicted(c[fitted], design), use)
            spread, lost = np.concatenate([spread, found]), lost + int((~fitted).sum())
        above = int(np.sum(spread >= observed))
        if above >= _ENOUGH or (total == toys and above > _RARE * total):
            break
    return spread, lost


def _searched(
    spectrum: SpectrumToSearch, injection: Injection | None
) -> tuple[Floats, Floats, Mask, Floats, dict[str, float], Beside | None]:
    """Counts, edges and used bins of what is searched; what was injected, what lies outside; what fits."""
    counts = np.maximum(np.asarray(spectrum.counts, dtype=np.float64), 0.0)
    use = np.ones(len(counts), dtype=np.bool_) if spectrum.masked is None else ~spectrum.masked
    added = np.zeros(len(counts))
    if injection is not None:
        added = injection.events * _gaussian(spectrum.edges, injection.mass, injection.width)
        counts = counts + added
    first, last, beside = 0, len(counts), None
    if spectrum.whole:
        first, last, beside = searched_range(counts, spectrum.edges, use)
    part = slice(first, last)
    outside = {
        "events_below": float(counts[:first].sum()),
        "events_above": float(counts[last:].sum()) + spectrum.outside,
        "events_masked": float(counts[part][~use[part]].sum()),
    }
    return counts[part], spectrum.edges[first : last + 1], use[part], added[part], outside, beside


def search_all(
    spectra: Sequence[SpectrumToSearch],
    *,
    toys: int = 400,
    seed: int = 1,
    injection: Injection | None = None,
    mapped: Mapped = map,
) -> dict[str, Any]:
    """``search`` of fit.json: every spectrum and what they say together.

    ``mapped`` applies the search to all spectra as :func:`map` does, perhaps in several processes: every
    spectrum has random numbers of its own, so the result does not depend on it.
    """
    results = list(mapped(partial(search, toys=toys, seed=seed, injection=injection), spectra))
    out: dict[str, Any] = {
        "method": {
            "background": "exp(Legendre polynomial), order by likelihood ratio beside the largest excess",
            "local": "profile likelihood of a Gaussian of one bin's width in each bin, background refitted",
            "global": f"BumpHunter, windows of 2 to 5 bins, {toys} toys fitted like the data (a quarter "
            f"of them where {_ENOUGH} exceed the data, {_RARE_TOYS} times as many where at most "
            f"{_RARE:.0%} do); beyond their 90 % quantile an exponential with the toys' mean excess",
            "range": "a whole spectrum is searched from its broad maximum (no structure of up to five bins "
            "moves it) to five bins beyond its last event; what lies below is counted, not searched",
            "seed": seed,
        },
        "best": _best(results),
        "histograms": [item.to_json() for item in results],
        "global": combined(results, {item.name: item.group for item in spectra}),
    }
    if injection is not None:
        out["injection"] = asdict(injection)
    return out


def _best(results: Sequence[BumpResult]) -> list[dict[str, Any]]:
    """The spectra with the least probable excesses, in short."""
    found = [item for item in results if item.p_global is not None]
    found.sort(key=lambda item: (item.p_global, item.name))
    keys = ("name", "mass_gev", "z_max", "p_global", "goodness", "entries")
    return [{key: getattr(item, key) for key in keys} for item in found[:_SHORT]]


def combined(results: Sequence[BumpResult], groups: Mapping[str, str]) -> dict[str, Any]:
    """Trials over all spectra: the smallest global p, corrected for their number.

    Spectra of one final state hold the same events, so their number overstates the trials; the correction
    is conservative, and those that share events with the best one are named.
    """
    found = [item for item in results if item.p_global is not None]
    shared: dict[str, list[str]] = {}
    for item in found:
        if groups.get(item.name):
            shared.setdefault(groups[item.name], []).append(item.name)
    out: dict[str, Any] = {
        "n_histograms": len(found),
        "n_failed": sum(item.status.startswith("failed") for item in results),
        "correlated_groups": [sorted(names) for _, names in sorted(shared.items()) if len(names) > 1],
        "events_below": sum(item.events_below for item in results),
        "events_above": sum(item.events_above for item in results),
        "poorly_described": sorted(i.name for i in found if i.goodness is not None and i.goodness < _POOR),
        "p_min": None, "p_global": None, "significance": None, "best": None,
    }  # fmt: skip
    if not found:
        return out
    best = min(found, key=lambda item: (item.p_global, item.name))
    p_min = float(best.p_global or 0.0)
    total = float(-math.expm1(len(found) * math.log1p(-min(p_min, 1 - 1e-16))))
    return out | {
        "best": best.name,
        "p_min": p_min,
        "p_global": total,
        "significance": float(max(-ndtri(total), 0.0)) if total > 0 else None,
    }

"""Search for a bump in many spectra: a local significance in every bin, and honest trials.

For each spectrum a smooth background is chosen from the data.  In every bin a Gaussian of one bin's width
is fitted on top, with the background fitted again: its likelihood ratio is the local significance.  A
BumpHunter scan over windows of two to five bins, repeated on toys of the background that are fitted like
the data, gives the probability of an excess as large anywhere in the spectrum.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf, gammainc, ndtr, ndtri, xlogy
from scipy.stats import norm

from femtobarn.stats.spectrum import basis, choose_background, fit_many, fit_with_bump

__all__ = ["BumpResult", "Injection", "SpectrumToSearch", "combined", "search", "search_all"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

_WIDTHS: Final = (2, 3, 4, 5)
#: Fewer bins or entries cannot tell a background from a bump.
_LEAST_BINS: Final = 12
_LEAST_ENTRIES: Final = 50.0
#: Above this share of the toys their largest excesses are continued by an exponential.
_TAIL_FROM: Final = 0.9


@dataclass(frozen=True, slots=True)
class SpectrumToSearch:
    """A spectrum: counts (n,), edges (n + 1,) in GeV, bins to leave out (n,), and who shares its events."""

    name: str
    counts: Floats
    edges: Floats
    masked: Mask | None = None
    group: str = ""


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
    window: tuple[float, float] | None = None
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
    """(n,) signed local significance of a bump in each bin, and whether its fit converged."""
    shapes = bump_shapes(edges) * use
    # A bump that lies in left-out bins mostly cannot be seen.
    visible = shapes.sum(axis=1) > 0.4
    q, events, good = fit_with_bump(counts, basis(edges, order), shapes, start, use)
    # A deficit may run into bins without events, where no fit ends; excesses are what is searched for.
    return np.where(visible, np.sign(events) * np.sqrt(q), 0.0), good | ~visible | (events < 0)


def hunt(counts: Floats, expected: Floats, use: Mask) -> tuple[Floats, NDArray[np.int64]]:
    """BumpHunter statistic of spectra (t, n): -ln of the smallest p of any window; and the window.

    Windows of 2 to 5 bins; p is the Poisson probability of at least the observed where there is an excess.
    A window that touches a left-out bin is not looked at.

    Returns
    -------
    t : (t,) float64
    window : (t, 2) int
        First bin and number of bins.
    """
    zero = np.zeros((len(counts), 1))
    seen = np.concatenate([zero, np.cumsum(counts * use, axis=1)], axis=1)
    wanted = np.concatenate([zero, np.cumsum(expected * use, axis=1)], axis=1)
    covered = np.concatenate([[0], np.cumsum(use)])
    best = np.zeros(len(counts))
    where = np.zeros((len(counts), 2), dtype=np.int64)
    for width in _WIDTHS:
        if width > counts.shape[1]:
            continue
        d, b = seen[:, width:] - seen[:, :-width], wanted[:, width:] - wanted[:, :-width]
        whole = (covered[width:] - covered[:-width]) == width
        with np.errstate(divide="ignore"):
            score = np.where(
                (d > b) & whole, -np.log(gammainc(np.maximum(d, 1e-9), np.maximum(b, 1e-9))), 0.0
            )
        score = np.where(np.isfinite(score), score, _asymptotic(d, b))
        at = score.argmax(axis=1)
        top = score[np.arange(len(score)), at]
        better = top > best
        best = np.where(better, top, best)
        where[better] = np.stack([at, np.full(len(at), width)], axis=1)[better]
    return best, where


def _asymptotic(d: Floats, b: Floats) -> Floats:
    """-ln p where p is too small for floating point: from the likelihood ratio of one count."""
    z2 = np.maximum(2 * (xlogy(d, d / np.maximum(b, 1e-9)) - d + b), 0.0)
    return np.asarray(-norm.logsf(np.sqrt(z2)))


def tail_probability(toys: Floats, observed: float) -> float:
    """Share of toys at or above the observed value; beyond most of them, an exponential continues the tail.

    The exponential starts at the 90 % quantile and has the mean excess of the toys above it.
    """
    start = float(np.quantile(toys, _TAIL_FROM))
    if observed <= start:
        return float((np.sum(toys >= observed) + 1) / (len(toys) + 1))
    above = toys[toys > start]
    slope = float((above - start).mean()) if len(above) else 1.0
    return (1 - _TAIL_FROM) * math.exp(-(observed - start) / max(slope, 1e-6))


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
    counts = np.maximum(np.asarray(spectrum.counts, dtype=np.float64), 0.0)
    use = np.ones(len(counts), dtype=np.bool_) if spectrum.masked is None else ~spectrum.masked
    added = np.zeros(len(counts))
    if injection is not None:
        added = injection.events * _gaussian(spectrum.edges, injection.mass, injection.width)
        counts = counts + added
    entries = float(counts.sum())

    def nothing(status: str) -> BumpResult:
        return BumpResult(spectrum.name, len(counts), entries, status=status)

    if use.sum() < _LEAST_BINS:
        return nothing(f"only {int(use.sum())} bins, {_LEAST_BINS} are needed")
    if counts[use].sum() < _LEAST_ENTRIES:
        return nothing(f"only {counts[use].sum():g} entries, {_LEAST_ENTRIES:g} are needed")
    background = choose_background(counts, spectrum.edges, use)
    if background is None:
        return nothing("failed: no background fit converged")
    z, good = significances(counts, spectrum.edges, use, background.order, background.coefficients)
    if not good[use].all():
        return nothing(f"failed: the fit of a bump did not converge in {int((~good[use]).sum())} bins")
    at = int(np.argmax(z))
    observed, window = hunt(counts[None], background.expected[None], use)
    first, width = (int(item) for item in window[0])
    rng = np.random.default_rng([seed, *spectrum.name.encode()])
    drawn = rng.poisson(background.expected, (toys, len(counts))).astype(np.float64)
    design = basis(spectrum.edges, background.order)
    c, fitted = fit_many(drawn, design, use, start=background.coefficients)
    if fitted.mean() < 0.9:
        return nothing(f"failed: {int((~fitted).sum())} of {toys} toys could not be fitted")
    spread, _ = hunt(drawn[fitted], np.exp(np.clip(c[fitted] @ design.T, -40, 40)), use)
    expected_z = None
    if injection is not None:
        b = np.maximum(background.expected, 1e-9)
        expected_z = float(np.sqrt(2 * np.sum(((added + b) * np.log1p(added / b) - added)[use])))
    return BumpResult(
        name=spectrum.name, nbins=len(counts), entries=entries, z_max=float(z[at]), bin=at,
        mass_gev=float((spectrum.edges[at] + spectrum.edges[at + 1]) / 2), p_local=float(ndtr(-z[at])),
        p_global=tail_probability(spread, float(observed[0])),
        background=f"exp(Legendre polynomial of order {background.order} in ln m)",
        chi2_ndf=background.chi2_ndf,
        window=(float(spectrum.edges[first]), float(spectrum.edges[first + width])) if width else None,
        expected_z=expected_z,
    )  # fmt: skip


def search_all(
    spectra: Sequence[SpectrumToSearch], *, toys: int = 400, seed: int = 1, injection: Injection | None = None
) -> dict[str, Any]:
    """``search`` of fit.json: every spectrum and what they say together."""
    results = [search(item, toys=toys, seed=seed, injection=injection) for item in spectra]
    out: dict[str, Any] = {
        "method": {
            "background": "exp(Legendre polynomial), order by likelihood ratio at 5 %",
            "local": "profile likelihood of a Gaussian of one bin's width in each bin, background refitted",
            "global": f"BumpHunter, windows of 2 to 5 bins, {toys} toys fitted like the data; beyond their "
            "90 % quantile an exponential with the toys' mean excess",
            "seed": seed,
        },
        "histograms": [item.to_json() for item in results],
        "global": combined(results, {item.name: item.group for item in spectra}),
    }
    if injection is not None:
        out["injection"] = asdict(injection)
    return out


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

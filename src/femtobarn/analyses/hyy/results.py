"""From the diphoton spectrum to a peak: fit, tables, figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.analysis import Normalisation, Stored
from femtobarn.catalog import RELEASES
from femtobarn.normalise import sample_rows, simulation_factors, spectrum

__all__ = ["figures", "headline", "infer", "normalise", "tables"]

SIGNAL: Final = "signal"


def normalise(stored: Stored) -> dict[str, Normalisation]:
    """Factors from sample table, fileset metadata or the files' own statements."""
    parameters = stored.parameters
    return simulation_factors(
        stored, release=RELEASES[parameters.release], lumi=parameters.lumi, xsec=parameters.xsec
    )


def _expected(stored: Stored) -> float | None:
    """Signal events expected in the fit range."""
    shown = spectrum(stored, normalise(stored), "myy", "all")
    total = float(shown.total([SIGNAL])[0].sum())
    return total if total > 0 else None


def infer(stored: Stored) -> dict[str, Any]:
    """The peak on its background: binned in 1 GeV and unbinned, and what the choice of background does."""
    from femtobarn.errors import FitError
    from femtobarn.stats import MassFitOptions, choose_order, fit_mass, spurious_signal

    parameters = stored.parameters
    masses = _masses(stored)
    if parameters.blind is not None or len(masses) < _FEWEST:
        reason = (
            "the data are blinded" if parameters.blind else f"too few candidates for a fit: {len(masses)}"
        )
        return {"results": {"candidates": len(masses)}, "warnings": [reason]}
    names = ("background", "order", "signal", "mass", "width", "fix_mass", "fix_width")
    options = MassFitOptions(
        **{name: getattr(parameters, name) for name in names}, expected=_expected(stored)
    )
    edges = stored.outcome.histograms["myy"].spec.axes[0].edges
    window = (edges[0], edges[-1])
    binned = fit_mass(masses, window=window, binning=1.0, options=options)
    unbinned = fit_mass(masses, window=window, options=options)
    results: dict[str, Any] = {
        "candidates": len(masses),
        "binned": binned.to_json() | {"spectrum": _curves(binned)},
        "unbinned": unbinned.to_json(),
    }
    warnings = [*binned.warnings, *unbinned.warnings]
    try:
        choice = choose_order(binned.data, binned.edges, parameters.background)
        spurious = spurious_signal(binned.data, binned.edges, options)
    except FitError as error:
        warnings.append(f"the background could not be studied: {error.what}")
    else:
        results["background_choice"] = choice.to_json()
        results["spurious_signal"] = spurious.to_json()
    failed = next((fit for fit in (binned, unbinned) if fit.status != "ok"), None)
    status = {"status": "failed", "message": failed.message} if failed is not None else {"status": "ok"}
    return {"results": results, "warnings": warnings, **status}


#: Fewer candidates than this cannot hold up a background shape.
_FEWEST: Final = 50


def _masses(stored: Stored) -> NDArray[np.float64]:
    """Masses of the data candidates."""
    table = stored.outcome.table("candidates")
    if not table:
        return np.zeros(0)
    data = [dataset.name for dataset in stored.datasets if dataset.kind == "data"]
    return np.asarray(table["myy"][np.isin(table["dataset"], data)], dtype=np.float64)


def _curves(fit: Any) -> dict[str, Any]:
    return {
        "edges": fit.edges.tolist(), "data": fit.data.tolist(),
        "background": fit.fitted_background.tolist(), "total": fit.fitted_total.tolist(),
    }  # fmt: skip


def tables(stored: Stored) -> dict[str, Mapping[str, Any]]:
    """samples: what was read and how it is weighted."""
    return {"samples": sample_rows(stored, normalise(stored))}


def figures(stored: Stored, fit: Mapping[str, Any]) -> Iterable[Any]:
    """The fitted mass spectrum, and data against simulation."""
    from femtobarn.plot import Label, ProcessStyle, stack
    from femtobarn.plot.mass_spectra import mass_fit

    release = RELEASES[stored.parameters.release]
    experiment = "femtobarn toy simulation" if stored.is_toy else f"{release.experiment} Open Data"
    stated = {float(d.metadata["lumi"]) for d in stored.datasets if "lumi" in d.metadata}
    label = Label(
        experiment, sqrt_s=release.sqrt_s, lumi_fb=stored.parameters.lumi or (max(stated) if stated else None)
    )
    binned = (fit.get("results") or {}).get("binned")
    factors = normalise(stored)
    shown = spectrum(stored, factors, "myy", "all")
    if binned is not None:
        curve = binned["spectrum"]
        middle = 0.5 * (np.asarray(curve["edges"])[1:] + np.asarray(curve["edges"])[:-1])
        yield mass_fit(
            shown.axis, np.asarray(curve["data"]), middle, np.asarray(curve["total"]),
            np.asarray(curve["background"]), name="myy", label=label, parameters=_box(binned),
        )  # fmt: skip
    styles = {"other": ProcessStyle("#94a4a2"), SIGNAL: ProcessStyle("#bd1f01", r"H $\to \gamma\gamma$")}
    simulated = any(dataset.kind == "mc" for dataset in stored.datasets)
    yield stack(
        shown, name="myy_prediction" if binned else "myy", label=label, styles=styles, signal=(SIGNAL,),
        blind=stored.parameters.blind, note=r"H $\to \gamma\gamma$",
    )  # fmt: skip
    if simulated:
        for name in ("ptyy", "photon1_pt"):
            yield stack(
                spectrum(stored, factors, name, "all"),
                name=name,
                label=label,
                styles=styles,
                signal=(SIGNAL,),
            )


def _box(binned: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The fitted numbers for the plot."""

    def number(estimate: Mapping[str, Any], digits: int, unit: str = "") -> str:
        error = estimate["error"]
        text = f"{estimate['value']:.{digits}f}" + (f" ± {error:.{digits}f}" if error is not None else "")
        return f"{text} {unit}".strip()

    return [
        ("N(signal)", number(binned["n_sig"], 0)),
        ("m", number(binned["m_h"], 2, "GeV")),
        ("σ", number(binned["sigma"], 2, "GeV")),
        ("χ²/ndf", f"{binned['chi2']:.1f} / {binned['ndf']}"),
    ]


def headline(stored: Stored, fit: Mapping[str, Any]) -> str:
    """One sentence: what was found, with its error."""
    results = fit.get("results") or {}
    if "binned" not in results:
        count = results.get("candidates", 0)
        return f"{count or 'No'} diphoton candidate{'' if count == 1 else 's'} in the data."
    found = results["binned"]
    n, m, z = found["n_sig"], found["m_h"], found["Z0"]
    text = f"{n['value']:.0f} ± {n['error'] or 0:.0f} signal events at {m['value']:.2f}"
    text += f" ± {m['error']:.2f} GeV" if m["error"] is not None else " GeV (fixed)"
    mu = found["mu"]
    if mu is not None:
        text += f", mu = {mu['value']:.2f} ± {mu['error'] or 0:.2f}"
    return f"{text}, {z:.1f} standard deviations (statistics only)." if z is not None else f"{text}."

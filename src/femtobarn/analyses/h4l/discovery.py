"""From the four-lepton histograms to a discovery: significance, signal strength, plot, tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np

from femtobarn.analyses.h4l.quartet import REGIONS
from femtobarn.analysis import Normalisation, Stored
from femtobarn.catalog import RELEASES, Release
from femtobarn.normalise import DATA, Spectrum, sample_rows, simulation_factors, spectrum

__all__ = ["STYLES", "figures", "headline", "infer", "model", "normalise", "tables"]

SIGNAL: Final = ("signal", "H")
ZZ: Final = ("ZZ*", "ZZ")
#: Signal windows in GeV; those that are not made of whole bins are left out.
_WINDOWS: Final = ((121, 130), (118, 130), (121, 127), (115, 130), (120, 130))


def _release(stored: Stored) -> Release:
    return RELEASES[stored.parameters.release]


def normalise(stored: Stored) -> dict[str, Normalisation]:
    """Factors from sample table, fileset metadata or the files' own statements."""
    return simulation_factors(
        stored, release=_release(stored), lumi=stored.parameters.lumi, xsec=stored.parameters.xsec
    )


def _fit_observable(stored: Stored) -> str:
    """Published CMS files come in the plot's binning only; ntuples are fitted in 2.5 GeV bins."""
    return "m4l_fit" if stored.parameters.release.startswith("atlas") else "m4l"


def _spectra(stored: Stored, observable: str) -> Spectrum:
    return spectrum(stored, normalise(stored), observable, "4l")


def infer(stored: Stored) -> dict[str, Any]:
    """The ``results`` of fit.json: counting in windows, and shape fits of the summed spectrum."""
    from femtobarn.stats.counting import count
    from femtobarn.stats.strength import fit_shape

    shown = _spectra(stored, _fit_observable(stored))
    signal = shown.total(SIGNAL)[0]
    background, variance = shown.total([name for name in shown.processes if name not in SIGNAL])
    notes = []
    if shown.data is None:
        notes.append("no collision data among the inputs: nothing to fit")
    elif signal.sum() <= 0 or background.sum() <= 0:
        notes.append("signal or background prediction is missing: nothing to fit")
    if stored.parameters.blind is not None:
        notes.append("the data are blinded: nothing is fitted")
    fittable = not notes
    notes += _duplicates(stored)
    if not fittable or shown.data is None:
        return {"results": {}, "warnings": notes}
    counting = {}
    edges = np.asarray(shown.axis.edges)
    for low, high in _WINDOWS:
        if not np.isin((low, high), np.round(edges, 9)).all():
            continue
        inside = (edges[:-1] >= low) & (edges[1:] <= high)
        counting[f"{low}-{high}"] = count(
            float(shown.data[inside].sum()),
            float(background[inside].sum()),
            float(signal[inside].sum()),
            b_error=float(np.sqrt(variance[inside].sum())),
        ).to_json()
    zz = shown.total([name for name in ZZ if name in shown.processes])[0]
    signal, background, zz = (np.maximum(array, 0) for array in (signal, background, zz))
    results: dict[str, Any] = {
        "counting": counting,
        "shape": fit_shape(shown.data, signal, background).to_json(),
        "shape_free_background": fit_shape(shown.data, signal, background, free_background=True).to_json(),
    }
    if zz.sum() > 0 and stored.parameters.zz_norm > 0:
        results["shape_zz_constrained"] = fit_shape(
            shown.data,
            signal,
            np.maximum(background - zz, 0),
            constrained=zz,
            constraint=stored.parameters.zz_norm,
        ).to_json()
    return {"results": results, "warnings": [*notes, *_warnings(shown, results)]}


def _duplicates(stored: Stored) -> list[str]:
    """Collision events that are among the candidates more than once, from overlapping streams or files."""
    table = stored.outcome.table("candidates")
    data = [dataset.name for dataset in stored.datasets if dataset.kind == "data"]
    if not table or not data:
        return []
    mine = np.isin(table["dataset"], data) & (np.asarray(table["run"]) >= 0)
    identity = np.stack([np.asarray(table[name])[mine] for name in ("run", "lumi", "event")], axis=1)
    extra = len(identity) - len(np.unique(identity, axis=0))
    if not extra:
        return []
    overlap = "the inputs overlap, their events count twice"
    return [f"{extra} candidates are listed more than once (same run, lumi section and event): {overlap}"]


def model(stored: Stored) -> Any:
    """The HistFactory model of the summed spectrum, None when something to fit is missing.

    Signal strength mu; MC statistics; luminosity, lepton efficiency and ZZ norm as relative errors of
    yields; the lepton momentum scale as shape, where simulation states it.
    """
    from femtobarn.stats.histfactory.build import (
        ChannelAxis,
        ChannelSpec,
        NormFactorSpec,
        SampleSpec,
        SystematicSpec,
        WorkspaceSpec,
    )

    parameters = stored.parameters
    shown = _spectra(stored, _fit_observable(stored))
    if shown.data is None or parameters.blind is not None:
        return None
    samples = []
    for name, (values, variances) in shown.processes.items():
        if not values.sum() > 0:
            continue
        systematics = [
            SystematicSpec("lepton_efficiency", parameters.lepton_efficiency, -parameters.lepton_efficiency)
        ]
        if name in ZZ and parameters.zz_norm > 0:
            systematics.append(SystematicSpec("zz_norm", parameters.zz_norm, -parameters.zz_norm))
        for source in sorted({label.rpartition("_")[0] for label in shown.variations}):
            sides = [np.maximum(shown.variations[f"{source}_{side}"][name], 0) for side in ("up", "down")]
            systematics.append(SystematicSpec(source, sides[0].tolist(), sides[1].tolist()))
        samples.append(
            SampleSpec(
                name,
                np.maximum(values, 0).tolist(),
                variances.tolist(),
                tuple(systematics),
                normfactors=("mu",) if name in SIGNAL else (),
                lumi=True,
            )
        )
    if not any(sample.normfactors for sample in samples) or len(samples) < 2:
        return None
    axis = ChannelAxis(shown.axis.label, shown.axis.unit, shown.axis.edges)
    return WorkspaceSpec(
        channels=(ChannelSpec("four_leptons", shown.data.tolist(), tuple(samples), axis),),
        measurement="h4l", poi="mu", normfactors=(NormFactorSpec("mu", 1.0, (0.0, 10.0)),),
        lumi_error=parameters.lumi_error,
    )  # fmt: skip


def _warnings(shown: Spectrum, results: Mapping[str, Any]) -> list[str]:
    bins = results["shape"]["zero_prediction_bins"]
    if not bins:
        return []
    edges = shown.axis.edges
    places = ", ".join(f"{edges[i]:g}-{edges[i + 1]:g} GeV" for i in bins)
    return [f"data but no prediction in {places}: these bins are not in the shape fit"]


def tables(stored: Stored) -> dict[str, Mapping[str, Any]]:
    """samples, m4l and objects."""
    factors = normalise(stored)
    out: dict[str, Mapping[str, Any]] = {"samples": sample_rows(stored, factors)}
    rows: dict[str, list[Any]] = {
        name: [] for name in ("region", "process", "low", "high", "value", "variance")
    }
    for region in REGIONS:
        shown = spectrum(stored, factors, "m4l", region)
        contents = dict(shown.processes)
        if shown.data is not None:
            contents = {DATA: (shown.data, shown.data), **contents}
        for process, (values, variances) in contents.items():
            for i, (value, variance) in enumerate(zip(values, variances, strict=True)):
                row = (region, process, shown.axis.edges[i], shown.axis.edges[i + 1], value, variance)
                for column, item in zip(rows.values(), row, strict=True):
                    column.append(item)
    out["m4l"] = rows
    objects: dict[str, list[Any]] = {"dataset": [], "object": [], "all": [], "good": []}
    for dataset in stored.datasets:
        for kind in ("muon", "electron"):
            if f"{kind}_all" in stored.outcome.sums.get(dataset.name, {}):
                objects["dataset"].append(dataset.name)
                objects["object"].append(kind)
                for state in ("all", "good"):
                    objects[state].append(int(stored.outcome.sum_of(dataset.name, f"{kind}_{state}")))
    if objects["dataset"]:
        out["objects"] = objects
    return out


def figures(stored: Stored, fit: Mapping[str, Any]) -> Iterable[Any]:
    """The discovery plot of all channels, of each channel, and the masses of the pairs."""
    from femtobarn.plot import Label, ProcessStyle, stack

    experiment = "femtobarn toy simulation" if stored.is_toy else f"{_release(stored).experiment} Open Data"
    label = Label(experiment, sqrt_s=energy(stored), lumi_fb=luminosity(stored))
    styles = {name: ProcessStyle(*style) for name, style in STYLES.items()}
    factors = normalise(stored)
    for observable, region, name in (
        ("m4l", "4l", "m4l"),
        *(("m4l", region, f"m4l_{region}") for region in REGIONS[:3]),
        ("m12", "4l", "m12"),
        ("m34", "4l", "m34"),
        ("m_pair", "pair", "m_pair"),
    ):
        shown = spectrum(stored, factors, observable, region)
        empty = shown.data is None or not shown.data.sum()
        if name != "m4l" and empty and not shown.total()[0].sum():
            continue  # published histogram files hold the four-lepton mass only
        blind = stored.parameters.blind if observable == "m4l" else None
        yield stack(
            shown, name=name, label=label, styles=styles, signal=SIGNAL, blind=blind, note=_CHANNEL[region]
        )


#: Colour and legend text of a process, from the bottom of the stack to its top (colours that
#: colour-blind readers can tell apart).
STYLES: Final = {
    "DY": ("#3a8f5c", "Z + jets"),
    "ttbar": ("#9a9a9a", r"$t\bar{t}$"),
    "other": ("#c7a76c", "other"),
    **dict.fromkeys(ZZ, ("#4c78c8", "ZZ*")),
    **dict.fromkeys(SIGNAL, ("#d62728", r"H $\to$ ZZ*, m = 125 GeV")),
}
_CHANNEL: Final = {
    "pair": "lepton pairs",
    "4l": r"H $\to$ ZZ* $\to$ 4$\ell$",
    "4e": "4e",
    "4mu": r"4$\mu$",
    "2e2mu": r"2e2$\mu$",
}


def energy(stored: Stored) -> float | str:
    """Collision energy in TeV; several as text."""
    years = {name[-2:] for name in stored.by_name if name.endswith(("11", "12", "2011", "2012"))}
    if stored.parameters.release == "cms-run1" and years:
        energies = sorted({"11": "7", "12": "8"}[year] for year in years)
        return ", ".join(energies)
    return _release(stored).sqrt_s


def luminosity(stored: Stored) -> float | None:
    """fb-1 shown on plots: parameter, else the datasets' (each year once), else the release's."""
    if stored.parameters.lumi is not None:
        return float(stored.parameters.lumi)
    stated = {float(d.metadata["lumi"]) for d in stored.datasets if "lumi" in d.metadata}
    if stated:
        return sum(stated)
    simulated = any(dataset.kind == "mc" for dataset in stored.datasets)
    return _release(stored).lumi if simulated else None


def headline(stored: Stored, fit: Mapping[str, Any]) -> str:
    """One sentence: what was found, with its error."""
    selected = sum(
        stored.outcome.cutflow(d.name)[-1].events
        for d in stored.datasets
        if d.kind == "data" and stored.outcome.cutflow(d.name)
    )
    results = fit.get("results") or {}
    if "shape" not in results:
        if not any(d.kind == "data" for d in stored.datasets):
            return "No collision data among the inputs; the prediction is shown."
        shown = _spectra(stored, "m4l_full").data
        selected = selected or (int(shown.sum()) if shown is not None else 0)
        pairs = stored.outcome.histograms["m_pair"].blocks
        if pairs:
            return f"{selected} lepton pairs of known resonances in the data: a check of the mass scale."
        return f"{selected or 'No'} four-lepton candidate{'' if selected == 1 else 's'} in the data."
    mu, z = results["shape"]["mu"], results["shape"]["Z0"]
    up, down = mu["error_up"], mu["error_down"]
    errors = f" +{up:.2f}" if up is not None else ""
    errors += f" -{down:.2f}" if down is not None else ""
    strength = f"Signal strength mu = {mu['value']:.2f}{errors} (statistics only)"
    return f"{strength}, {z:.1f} standard deviations above background." if z is not None else f"{strength}."

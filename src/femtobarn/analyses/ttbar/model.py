"""The HistFactory model of the two regions, with the strength of top pairs as its parameter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.analyses.ttbar.columns import REGIONS
from femtobarn.analyses.ttbar.normalised import PSEUDODATA, templates
from femtobarn.analysis import Stored, Template
from femtobarn.normalise import DATA

__all__ = ["CHANNELS", "EDGES", "POI", "SAMPLES", "build", "infer", "missing", "model", "rebin"]

Array = NDArray[np.float64]

POI: Final = "ttbar_norm"
#: Region -> channel, process -> sample, in the names of the Grand Challenge's own model.
CHANNELS: Final = {"4j1b": "4j1b CR", "4j2b": "4j2b SR"}
SAMPLES: Final = {
    "ttbar": "ttbar",
    "wjets": "W+jets",
    "single_top_s_chan": "single top, s-channel",
    "single_top_t_chan": "single top, t-channel",
    "single_top_tW": "tW",
}
#: GeV: pairs of the histograms' bins from 110 on (below, trigger and selection shape the spectrum).
EDGES: Final = tuple(float(edge) for edge in range(110, 551, 40))
_LUMI_ERROR: Final = 0.03


@dataclass(frozen=True, slots=True)
class _Source:
    """A nuisance parameter: the histograms that define it and the process it is limited to."""

    name: str
    up: str
    down: str = ""
    process: str = ""


_SOURCES: Final = (
    _Source("ME variation", "ME_var", process="ttbar"),
    _Source("PS variation", "PS_var", process="ttbar"),
    _Source("ttbar scale variations", "scaleup", "scaledown", process="ttbar"),
    _Source("Jet energy scale", "pt_scale_up"),
    _Source("Jet energy resolution", "pt_res_up"),
    *(_Source(f"b-tag NP {i + 1}", f"btag_var_{i}_up", f"btag_var_{i}_down") for i in range(4)),
    _Source("W+jets scale variations", "scale_var_up", "scale_var_down", process="wjets"),
)


def rebin(template: Template, flow: Array) -> Array:
    """Contents in the model's bins; what lies outside of them is dropped."""
    edges = np.asarray(template.axis.edges)
    first = np.searchsorted(edges, EDGES)
    if not np.allclose(edges[first], EDGES):
        raise ValueError("the model's edges must be edges of the histogram")
    return np.add.reduceat(flow[1:-1], first[:-1])[: len(EDGES) - 1]


def missing(named: Mapping[str, Template]) -> str:
    """Why there is nothing to fit; empty if there is."""
    region = next(iter(REGIONS))
    if f"{region}_{DATA}" not in named and f"{region}_{PSEUDODATA}" not in named:
        return (
            "nothing to fit: no collision data, and pseudo-data need ttbar__ME_var, ttbar__PS_var and wjets "
            "(version 1.4: single_top_t_chan, too)"
        )
    if not any(
        rebin(named[f"{r}_ttbar"], named[f"{r}_ttbar"].values).sum() > 0
        for r in REGIONS
        if f"{r}_ttbar" in named
    ):
        return "nothing to fit: no ttbar prediction"
    return ""


def build(named: Mapping[str, Template], *, bounded: bool = False) -> Any:
    """The model from normalised histograms by name (``{region}_{process}[_{variation}]``).

    Data are collision data if there are any, else pseudo-data.  Systematics whose histograms are missing
    are left out.  ``bounded`` keeps every varied rate from falling below zero: a bin without nominal
    events has no variation, and a one-sided variation (which is mirrored) at most doubles a bin.
    """
    from femtobarn.stats.histfactory.build import ChannelAxis, ChannelSpec, NormFactorSpec, WorkspaceSpec

    channels = []
    for region, channel in CHANNELS.items():
        data = named[f"{region}_{DATA}" if f"{region}_{DATA}" in named else f"{region}_{PSEUDODATA}"]
        samples = tuple(
            _sample(named, region, process, bounded=bounded)
            for process in SAMPLES
            if f"{region}_{process}" in named
        )
        axis = ChannelAxis(data.axis.label or data.axis.name, "GeV", EDGES)
        channels.append(ChannelSpec(channel, rebin(data, data.values).tolist(), samples, axis))
    return WorkspaceSpec(
        channels=tuple(channels), measurement="CMS_ttbar", poi=POI,
        normfactors=(NormFactorSpec(POI, 1.0, (0.0, 10.0)),), negative="zero",
    )  # fmt: skip


def _sample(named: Mapping[str, Template], region: str, process: str, *, bounded: bool) -> Any:
    from femtobarn.stats.histfactory.build import SampleSpec, SystematicSpec

    nominal = named[f"{region}_{process}"]
    systematics = []
    for source in _SOURCES:
        labels = [label for label in (source.up, source.down) if label]
        absent = any(f"{region}_{process}_{label}" not in named for label in labels)
        if source.process not in ("", process) or absent:
            continue
        values, up, down = _sides(named, f"{region}_{process}", labels, bounded=bounded)
        if not _usable(values, up, down):
            continue
        if down:
            systematics.append(SystematicSpec(source.name, up, down[0]))
        else:
            systematics.append(SystematicSpec(source.name, up, symmetrize="mirror"))
    systematics.append(SystematicSpec("Luminosity", _LUMI_ERROR, -_LUMI_ERROR))
    return SampleSpec(
        SAMPLES[process], rebin(nominal, nominal.values).tolist(), rebin(nominal, nominal.variances).tolist(),
        tuple(systematics), normfactors=(POI,) if process == "ttbar" else (),
    )  # fmt: skip


def _bounded(
    nominal: Array, up: list[float], down: list[list[float]]
) -> tuple[list[float], list[list[float]]]:
    """Variations that vanish where the nominal does; a mirrored one leaves room for its mirror image."""
    if down:
        return np.where(nominal > 0, up, 0.0).tolist(), [
            np.where(nominal > 0, one, 0.0).tolist() for one in down
        ]
    limit = 2.0 * nominal * (sum(up) / float(nominal.sum()))
    return np.clip(up, 0.0, np.maximum(limit, 0.0)).tolist(), []


def _usable(nominal: Array, up: list[float], down: list[list[float]]) -> bool:
    """Whether a variation is a positive factor on the yield, on both sides.

    A handful of simulated events may double or vanish in a variation; that says nothing about physics.
    """
    yields = [sum(up), *map(sum, down)]
    total = float(nominal.sum())
    return total > 0 and all(0 < one < 2 * total for one in yields)


def model(stored: Stored) -> Any:
    """The statistical model of a run, None when something to fit is missing."""
    named = templates(stored)
    return None if missing(named) else build(named, bounded=stored.parameters.mode != "compat")


def infer(stored: Stored) -> dict[str, Any]:
    """What a reader of fit.json must know about the model."""
    named = templates(stored)
    reason = missing(named)
    if reason:
        return {"warnings": [reason]}
    bounded = stored.parameters.mode != "compat"
    return {"warnings": [*_absent(named, bounded=bounded), *_outside(named)]}


def _absent(named: Mapping[str, Template], *, bounded: bool) -> Iterable[str]:
    region = next(iter(REGIONS))
    present = [process for process in SAMPLES if f"{region}_{process}" in named]
    lost = [SAMPLES[process] for process in SAMPLES if process not in present]
    if lost:
        yield "not in the model, because there is no such dataset: " + ", ".join(lost)
    for source in _SOURCES:
        processes = [source.process] if source.process else present
        labels = [label for label in (source.up, source.down) if label]
        if any(f"{region}_{p}_{label}" not in named for p in processes if p in present for label in labels):
            yield f"no uncertainty for {source.name!r}: its histograms are missing"
            continue
        for where in REGIONS:
            poor = [
                SAMPLES[p]
                for p in processes
                if p in present and not _usable(*_sides(named, f"{where}_{p}", labels, bounded=bounded))
            ]
            if poor:
                who = ", ".join(poor)
                yield f"{where}: no uncertainty for {source.name!r} of {who}: too few simulated events"


def _sides(
    named: Mapping[str, Template], name: str, labels: list[str], *, bounded: bool
) -> tuple[Array, list[float], list[list[float]]]:
    """Nominal, up and (if there is one) down contents; signed weights cannot make a rate negative."""
    up, *down = (
        np.maximum(rebin(named[f"{name}_{one}"], named[f"{name}_{one}"].values), 0.0).tolist()
        for one in labels
    )
    nominal = rebin(named[name], named[name].values)
    return nominal, *(_bounded(nominal, up, down) if bounded and nominal.sum() > 0 else (up, down))


def _outside(named: Mapping[str, Template]) -> Iterable[str]:
    for region in REGIONS:
        total = sum(float(t.values.sum()) for p in SAMPLES if (t := named.get(f"{region}_{p}")))
        kept = sum(float(rebin(t, t.values).sum()) for p in SAMPLES if (t := named.get(f"{region}_{p}")))
        if total > 0:
            window = f"{EDGES[0]:g}-{EDGES[-1]:g} GeV"
            yield f"{region}: {1 - kept / total:.1%} of the prediction lies outside of {window}"

"""The pictures of a run, and its one sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np

from femtobarn.analyses.ttbar.columns import REGIONS
from femtobarn.analyses.ttbar.model import POI, SAMPLES
from femtobarn.analyses.ttbar.normalised import PSEUDODATA, luminosity, templates
from femtobarn.analyses.ttbar.variations import NAMES
from femtobarn.analysis import Stored, Template
from femtobarn.normalise import DATA, Spectrum

__all__ = ["STYLES_OF_MODEL", "figures", "headline"]

#: Colour and legend text of a process, from the bottom of the stack to its top.
_STYLES: Final = {
    "wjets": ("#3a8f5c", "W + jets"),
    "single_top_s_chan": ("#c7a76c", "single top, s-channel"),
    "single_top_t_chan": ("#e0b96a", "single top, t-channel"),
    "single_top_tW": ("#8a6d3b", "tW"),
    "ttbar": ("#4c78c8", r"$t\bar{t}$"),
}
#: The same by the names that the model has for the processes.
STYLES_OF_MODEL: Final = {SAMPLES[name]: style for name, style in _STYLES.items()}
_NOTES: Final = {"4j1b": r"$\geq$4 jets, 1 b tag", "4j2b": r"$\geq$4 jets, $\geq$2 b tags"}
_OVERLAYS: Final = {
    "btag": tuple(name for name in NAMES if name.startswith("btag_var")),
    "jets": ("pt_scale_up", "pt_res_up"),
}


def figures(stored: Stored, fit: Mapping[str, Any]) -> Iterable[Any]:
    """Stacks of both regions with data or pseudo-data; b-tag and jet variations of ttbar."""
    from femtobarn.plot import Label, ProcessStyle, stack
    from femtobarn.plot.variations import variations

    named = templates(stored)
    text = "femtobarn toy simulation" if stored.is_toy else "CMS Open Data"
    label = Label(text, sqrt_s=13, lumi_fb=luminosity(stored) / 1000.0)
    styles = {name: ProcessStyle(*style) for name, style in _STYLES.items()}
    for region in REGIONS:
        shown = _spectrum(named, region)
        if shown is None:
            continue
        pseudo = f"{region}_{DATA}" not in named and shown.data is not None
        note = _NOTES[region] + (", pseudo-data" if pseudo else "")
        yield stack(shown, name=region, label=label, styles=styles, note=note)
        process = "ttbar" if "ttbar" in shown.processes else next(iter(shown.processes))
        nominal = named[f"{region}_{process}"]
        for name, wanted in _OVERLAYS.items():
            varied = {
                v: _inside(named[f"{region}_{process}_{v}"])
                for v in wanted
                if f"{region}_{process}_{v}" in named
            }
            if varied:
                yield variations(
                    nominal.axis, _inside(nominal), nominal.variances[1:-1], varied, name=f"{region}_{name}",
                    label=label, note=f"{_STYLES.get(process, ('', process))[1]}, {_NOTES[region]}",
                )  # fmt: skip


def _inside(template: Template) -> Any:
    return template.values[1:-1]


def _spectrum(named: Mapping[str, Template], region: str) -> Spectrum | None:
    """The region as a stack: processes, varied processes, data or (rounded to counts) pseudo-data."""
    found = {name.removeprefix(f"{region}_"): t for name, t in named.items() if name.startswith(f"{region}_")}
    data = found.pop(DATA, None) or found.get(PSEUDODATA)
    found.pop(PSEUDODATA, None)
    varied: dict[str, dict[str, Any]] = {}
    processes: dict[str, tuple[Any, Any]] = {}
    for name, template in found.items():
        label = next((one for one in NAMES if name.endswith(f"_{one}")), "")
        if label:
            varied.setdefault(label, {})[name.removesuffix(f"_{label}")] = _inside(template)
        else:
            processes[name] = (np.maximum(_inside(template), 0.0), template.variances[1:-1])
    if not processes:
        return None
    axis = next(iter(found.values())).axis
    known = {label: {p: v for p, v in one.items() if p in processes} for label, one in varied.items()}
    return Spectrum(axis, region, None if data is None else _inside(data), processes, known)


def headline(stored: Stored, fit: Mapping[str, Any]) -> str:
    """One sentence: the strength of ttbar with its error, or what was selected."""
    found = (fit.get("mle") or {}).get("parameters", {}).get(POI)
    if found is not None and found.get("hesse") is not None:
        pseudo = "" if any(d.kind == "data" for d in stored.datasets) else " to pseudo-data"
        return f"{POI} = {found['value']:.3f} ± {found['hesse']:.3f} in a fit{pseudo} of both regions."
    counts = dict.fromkeys(REGIONS, 0)
    for dataset in stored.datasets:
        for row in stored.outcome.cutflow(dataset.name):
            if row.cut in counts:
                counts[row.cut] += row.events
    words = " and ".join(f"{count} events in {region}" for region, count in counts.items())
    if not any(counts.values()):
        return "The selection keeps no event of this input."
    return f"{words[0].upper()}{words[1:]} are selected."

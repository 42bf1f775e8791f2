"""From raw sums to expected events: factors, yields, templates by name, pseudo-data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from femtobarn.analyses.ttbar.columns import REGIONS
from femtobarn.analyses.ttbar.tasks import TASKS
from femtobarn.analyses.ttbar.variations import variations
from femtobarn.analysis import Normalisation, Stored, Template
from femtobarn.catalog.agc import LUMINOSITY_PB
from femtobarn.normalise import sample_rows
from femtobarn.records import NOMINAL, Dataset

__all__ = ["PSEUDODATA", "normalise", "pseudodata", "tables", "templates", "yields"]

PSEUDODATA: Final = "pseudodata"
#: A sum of signed weights below this fraction of the sum of their sizes is noise, not a norm.
_CANCELLED: Final = 0.01


def normalise(stored: Stored) -> dict[str, Normalisation]:
    """Factor of every dataset: xsec x 3378/pb over the weight that was processed."""
    return {dataset.name: _factor(stored, dataset) for dataset in stored.datasets}


def luminosity(stored: Stored) -> float:
    """pb-1 that the prediction is made for: of the generated pseudo-experiment, else of the 2015 data."""
    stated = {float(d.metadata["lumi"]) for d in stored.datasets if "lumi" in d.metadata}
    return 1000.0 * stated.pop() if len(stated) == 1 else LUMINOSITY_PB


def _factor(stored: Stored, dataset: Dataset) -> Normalisation:
    process = dataset.process
    if dataset.kind == "data":
        return Normalisation(process, 1.0, f"{LUMINOSITY_PB:g}/pb are before certification of the data")
    meta = dataset.metadata
    fraction = stored.fraction_processed(dataset.name)
    notes = [] if fraction == 1 else [f"{fraction:.4g} of its events were processed; the norm uses what was"]
    processed = stored.outcome.sum_of(dataset.name, "sumw")
    stated = meta.get("nevts")
    if meta.get("skim"):
        # Only selected events are left; the totals before the selection travel with them.
        name = "nevts" if stored.parameters.mode == "compat" else "sumw"
        if name not in meta:
            return Normalisation(process, 0.0, f"the skim's metadata lack {name!r}", usable=False)
        processed = float(meta[name]) * fraction
        notes += [str(meta["warning"])] if "warning" in meta else []
        notes.append(
            f"its files are a skim of {meta['nevts']} events" if "nevts" in meta else "its files are a skim"
        )
    elif stated is not None and int(stated) != stored.entries[dataset.name][1]:
        entries = stored.entries[dataset.name][1]
        notes.append(
            f"metadata say nevts={stated}, its files hold {entries}; the norm uses what was processed"
        )
    negative, events = (stored.outcome.sum_of(dataset.name, name) for name in ("negative", "events"))
    if "negative" in meta:
        negative, events = float(meta["negative"]), float(meta["nevts"])
    if negative and stored.parameters.mode != "compat":
        share = negative / max(events, 1.0)
        notes.append(f"{share:.2%} of its generator weights are negative")
    size = float(meta.get("sumw_abs", stored.outcome.sum_of(dataset.name, "sumw_abs"))) or abs(processed)
    if processed == 0 or abs(processed) < _CANCELLED * size:
        what = "no event was processed" if size == 0 else "its signed weights cancel"
        return Normalisation(process, 0.0, "; ".join([f"cannot be normalised: {what}", *notes]), usable=False)
    return Normalisation(process, float(meta["xsec"]) * luminosity(stored) / processed, "; ".join(notes))


def _labels(stored: Stored, dataset: Dataset) -> list[str]:
    """Variations of a dataset's histograms, the nominal one first, in declared order.

    Asked of the declaration, not of the file: that holds zeros for combinations that do not exist.
    """
    own = str(dataset.metadata.get("variation", NOMINAL.label))
    declared = variations(stored.parameters.systematics, dataset)
    return [own if variation == NOMINAL else variation.label for variation in declared]


def templates(stored: Stored) -> dict[str, Template]:
    """``{region}_{process}[_{variation}]`` and ``{region}_pseudodata``, in the Grand Challenge's names."""
    factors = normalise(stored)
    out: dict[str, Template] = {}
    for title, histogram in stored.outcome.histograms.items():
        (axis,) = histogram.spec.axes
        # Features of the jet assignment are of the signal region and named by themselves.
        region, name_of = (title, title) if title in REGIONS else ("4j2b", title.removeprefix("ml/"))
        for dataset in stored.datasets:
            factor = factors[dataset.name].factor
            for label in _labels(stored, dataset):
                key = (region, dataset.process, label)
                name = f"{name_of}_{dataset.process}" + ("" if label == NOMINAL.label else f"_{label}")
                out[name] = Template(
                    axis,
                    histogram.values(key, flow=True) * factor,
                    histogram.variances(key, flow=True) * factor**2,
                )
        mixed = pseudodata(stored, out, name_of)
        if mixed is not None:
            out[f"{name_of}_{PSEUDODATA}"] = mixed
    return out


def pseudodata(stored: Stored, named: Mapping[str, Template], region: str) -> Template | None:
    """The mean of the two alternative ttbar samples plus the backgrounds of the task's version.

    None if an input is missing.  Variances are those of the sum.
    """
    parts = [(f"{region}_ttbar_ME_var", 0.5), (f"{region}_ttbar_PS_var", 0.5)]
    parts += [(f"{region}_{process}", 1.0) for process in TASKS[stored.parameters.task].pseudodata]
    if any(name not in named for name, _ in parts):
        return None
    axis = named[parts[0][0]].axis
    values = np.sum([share * named[name].values for name, share in parts], axis=0)
    variances = np.sum([share**2 * named[name].variances for name, share in parts], axis=0)
    return Template(axis, values, variances)


def yields(stored: Stored) -> dict[str, Any]:
    """``yields.json``: region -> process -> value, statistical error, variations (flow included)."""
    named = templates(stored)
    out: dict[str, Any] = {}
    for region in REGIONS:
        rows: dict[str, Any] = {}
        for dataset in stored.datasets:
            nominal = named.get(f"{region}_{dataset.process}")
            row = rows.setdefault(dataset.process, {"value": None, "stat": None, "variations": {}})
            if nominal is not None:
                row["value"] = float(nominal.values.sum())
                row["stat"] = float(np.sqrt(nominal.variances.sum()))
            for label in _labels(stored, dataset):
                if label != NOMINAL.label:
                    row["variations"][label] = float(
                        named[f"{region}_{dataset.process}_{label}"].values.sum()
                    )
        if f"{region}_{PSEUDODATA}" in named:
            mixed = named[f"{region}_{PSEUDODATA}"]
            rows[PSEUDODATA] = {
                "value": float(mixed.values.sum()),
                "stat": float(np.sqrt(mixed.variances.sum())),
                "variations": {},
            }
        out[region] = rows
    return out


def tables(stored: Stored) -> dict[str, Mapping[str, Any]]:
    """What was read of every dataset and how it is weighted."""
    return {"samples": sample_rows(stored, normalise(stored))}

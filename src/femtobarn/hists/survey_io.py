"""Surveys on disk: each spectrum a sparse UHI histogram in ``hists.zip``, and its sums beside it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from femtobarn.hists.spectra import Grid, Spectra
from femtobarn.kernels.exact import DIGITS, exact_sum, rounded

__all__ = ["read_surveys", "survey_entries", "survey_names"]

#: Name of the entry of a dataset that counts events by final state.
STATES: Final = "final_states"
_SCHEMA: Final = 1


def survey_entries(surveys: Mapping[str, Spectra]) -> Iterator[tuple[str, str]]:
    """Names and JSON of the UHI histograms of surveys, ``<dataset>/<state>/<item>``, sorted."""
    for dataset, spectra in sorted(surveys.items()):
        yield f"{dataset}/{STATES}", json.dumps(_states(spectra), sort_keys=True)
        named = sorted(
            (spectra.names[int(spectra.of[i])], spectra.items[spectra.item[i]], i)
            for i in range(len(spectra))
        )
        values, variances = spectra.bin_weights()
        totals, (sumw, sumw2) = spectra.totals(), spectra.sums_of_weights()
        for state, item, i in named:
            at = slice(int(spectra.offsets[i]), int(spectra.offsets[i + 1]))
            bins = spectra.bins[at].tolist()
            beyond = int(spectra.overflow[i])
            filled, errors = values[at].tolist(), variances[at].tolist()
            about = {
                "state": int(spectra.of[i]), "n": int(spectra.n[i]), "sum": float(totals[i]),
                "low": float(spectra.low[i]), "high": float(spectra.high[i]), "overflow": beyond,
                "sumw": float(sumw[i]), "sumw2": float(sumw2[i]), "counts": spectra.counts[at].tolist(),
            }  # fmt: skip
            if beyond:
                bins = [*bins, spectra.grid.bins]
                filled = [*filled, float(sumw[i] - sum(filled))]
                errors = [*errors, float(sumw2[i] - sum(errors))]
            storage = {"type": "weighted", "index": [bins], "values": filled, "variances": errors}
            axis = {
                "type": "regular", "lower": 0.0, "upper": spectra.grid.high, "bins": spectra.grid.bins,
                "underflow": False, "overflow": True, "circular": False,
                "metadata": {"name": "mass", "label": "mass [GeV]"},
            }  # fmt: skip
            content = {
                "uhi_schema": _SCHEMA,
                "axes": [axis],
                "storage": storage,
                "metadata": {"survey": about},
            }
            yield f"{dataset}/{state}/{item}", json.dumps(content, sort_keys=True)


def _states(spectra: Spectra) -> dict[str, Any]:
    names = [spectra.names[int(state)] for state in spectra.state]
    events = spectra.state_events.astype(float).tolist()
    sumw = rounded(spectra.state_sumw).tolist() if spectra.weighted else events
    return {
        "uhi_schema": _SCHEMA,
        "axes": [
            {"type": "category_str", "categories": names, "flow": False, "metadata": {"name": "final_state"}}
        ],
        "storage": {"type": "double", "values": events},
        "metadata": {"survey": {
            "state": [int(state) for state in spectra.state], "sumw": sumw, "weighted": spectra.weighted,
            "states_of": spectra.states_of, "items": list(spectra.items),
            "grid": [spectra.grid.width, spectra.grid.bins],
        }},
    }  # fmt: skip


def survey_names(names: Sequence[str]) -> tuple[str, ...]:
    """What the names of entries begin with that belong to surveys."""
    return tuple(name.removesuffix(STATES) for name in names if name.endswith(f"/{STATES}"))


def read_surveys(archive: zipfile.ZipFile) -> dict[str, Spectra]:
    """Surveys from the entries of ``hists.zip``; sums come back as they were rounded."""
    names = [name.removesuffix(".json") for name in archive.namelist() if name.endswith(".json")]
    found = {}
    for name in names:
        dataset, _, rest = name.rpartition("/")
        if rest == STATES:
            inside = [other for other in names if other.startswith(f"{dataset}/") and other != name]
            found[dataset] = _read(archive, name, inside)
    return found


def _read(archive: zipfile.ZipFile, states: str, names: list[str]) -> Spectra:
    head = json.loads(archive.read(f"{states}.json"))
    about = head["metadata"]["survey"]
    items = tuple(about["items"])
    number = {item: i for i, item in enumerate(items)}
    rows = []
    for name in names:
        content = json.loads(archive.read(f"{name}.json"))
        rows.append((content["metadata"]["survey"]["state"], number[name.rsplit("/", 1)[1]], content))
    rows.sort(key=lambda row: row[:2])
    meta = [row[2]["metadata"]["survey"] for row in rows]
    storage = [_within(row[2]["storage"], about["grid"][1]) for row in rows]
    filled = [len(item["values"]) for item in storage]
    weighted = bool(about["weighted"])
    weights = {}
    if weighted:
        weights = {
            "state_sumw": _digits(about["sumw"]),
            "sumw": _digits(item["sumw"] for item in meta),
            "sumw2": _digits(item["sumw2"] for item in meta),
            "bin_sumw": _digits(value for item in storage for value in item["values"]),
            "bin_sumw2": _digits(value for item in storage for value in item["variances"]),
        }
    return Spectra(
        Grid(*about["grid"]), about["states_of"], items, weighted,
        names=dict(zip(about["state"], head["axes"][0]["categories"], strict=True)),
        state=_ints(about["state"]), state_events=_ints(head["storage"]["values"]),
        of=_ints(row[0] for row in rows), item=_ints(row[1] for row in rows),
        n=_ints(item["n"] for item in meta), total=_digits(item["sum"] for item in meta),
        low=np.array([item["low"] for item in meta]), high=np.array([item["high"] for item in meta]),
        overflow=_ints(item["overflow"] for item in meta),
        offsets=np.concatenate([[0], np.cumsum(filled)]).astype(np.int64),
        bins=_ints(value for item in storage for value in item["index"][0]),
        counts=_ints(value for item in meta for value in item["counts"]), **weights,
    )  # fmt: skip


def _within(storage: dict[str, Any], bins: int) -> dict[str, Any]:
    """The storage without its overflow bin."""
    index = storage["index"][0]
    keep = len(index) - (1 if index and index[-1] == bins else 0)
    return {
        "index": [index[:keep]],
        "values": storage["values"][:keep],
        "variances": storage["variances"][:keep],
    }


def _ints(values: Any) -> Any:
    return np.array(list(values), dtype=np.int64)


def _digits(values: Any) -> Any:
    found = [exact_sum([value]) for value in values]
    return np.array(found, dtype=np.int64).reshape(-1, DIGITS)

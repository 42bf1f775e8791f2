"""Surveys on disk: each spectrum a sparse UHI histogram in ``hists.zip``, and its sums beside it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.hists.spectra import Grid, Spectra, Spectrum, count_type
from femtobarn.kernels.exact import exact, packed, rounded

__all__ = ["read_surveys", "survey_entries", "survey_names"]

#: Name of the entry of a dataset that counts events by final state.
STATES: Final = "final_states"
_SCHEMA: Final = 1


def survey_entries(surveys: Mapping[str, Spectra]) -> Iterator[tuple[str, str]]:
    """Names and JSON of the UHI histograms of surveys, ``<dataset>/<state>/<item>``, sorted."""
    for dataset, spectra in sorted(surveys.items()):
        yield f"{dataset}/{STATES}", json.dumps(_states(spectra), sort_keys=True)
        axes = json.dumps([_axis(spectra.grid)], sort_keys=True)
        named = sorted(
            (spectra.names[int(spectra.of[i])], spectra.items[spectra.item[i]], i)
            for i in range(len(spectra))
        )
        totals = spectra.totals().tolist()
        for state, item, i in named:
            yield f"{dataset}/{state}/{item}", _entry(spectra.spectrum(i, totals[i]), spectra, axes)


def _axis(grid: Grid) -> dict[str, Any]:
    return {
        "type": "regular", "lower": 0.0, "upper": grid.high, "bins": grid.bins,
        "underflow": False, "overflow": True, "circular": False,
        "metadata": {"name": "mass", "label": "mass [GeV]"},
    }  # fmt: skip


def _entry(one: Spectrum, spectra: Spectra, axes: str) -> str:
    """JSON of a spectrum, keys sorted.  There are a hundred thousand: lists are written as Python does."""
    about = json.dumps(
        {
            "state": one.state, "n": one.n, "sum": one.total, "low": one.low, "high": one.high,
            "overflow": one.overflow, "sumw": one.sumw, "sumw2": one.sumw2,
        },
        sort_keys=True,
    )  # fmt: skip
    bins, counts = one.bins.tolist(), one.counts.tolist()
    if spectra.weighted:
        values, variances = one.values.tolist(), one.variances.tolist()
        if one.overflow:
            values.append(one.sumw - sum(values))
            variances.append(one.sumw2 - sum(variances))
        filled, errors = str(values), str(variances)
    else:
        everything = str([*counts, one.overflow] if one.overflow else counts)
        filled = errors = (
            everything.replace(",", ".0,").replace("]", ".0]") if counts or one.overflow else "[]"
        )
    index = str([*bins, spectra.grid.bins] if one.overflow else bins)
    return (
        f'{{"axes": {axes}, "metadata": {{"survey": {{"counts": {counts}, {about[1:]}}}, '
        f'"storage": {{"index": [{index}], "type": "weighted", "values": {filled}, "variances": {errors}}}, '
        f'"uhi_schema": {_SCHEMA}}}'
    )


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
    grid, items, weighted = Grid(*about["grid"]), tuple(about["items"]), bool(about["weighted"])
    number = {item: i for i, item in enumerate(items)}
    rows = sorted(
        ((_stored(archive, name, number, grid, weighted=weighted)) for name in names), key=lambda row: row.key
    )
    column = {name: [row.sums[name] for row in rows] for name in _SUMS}
    counts = np.concatenate([np.zeros(0, dtype=np.int64), *(row.counts for row in rows)])
    weights: dict[str, Any] = {}
    if weighted:
        weights = {
            "state_sumw": exact(about["sumw"]), "sumw": exact(column["sumw"]),
            "sumw2": exact(column["sumw2"]),
            "bin_sumw": np.concatenate([row.values for row in rows]),
            "bin_sumw2": np.concatenate([row.variances for row in rows]),
        }  # fmt: skip
    return Spectra(
        grid, about["states_of"], items, weighted,
        names=dict(zip(about["state"], head["axes"][0]["categories"], strict=True)),
        state=_ints(about["state"]), state_events=_ints(head["storage"]["values"]),
        of=_ints([row.key[0] for row in rows]), item=_ints([row.key[1] for row in rows]),
        n=_ints(column["n"]), total=exact(column["sum"]),
        low=np.array(column["low"], dtype=np.float64), high=np.array(column["high"], dtype=np.float64),
        overflow=_ints(column["overflow"]),
        offsets=_ints(np.cumsum([0, *(len(row.bins) for row in rows)])),
        bins=np.concatenate([np.zeros(0, dtype=grid.bin_type), *(row.bins for row in rows)]),
        counts=counts.astype(count_type(int(counts.max(initial=0)))), **weights,
    )  # fmt: skip


#: Sums of a spectrum that stand beside its histogram.
_SUMS: Final = ("n", "sum", "low", "high", "overflow", "sumw", "sumw2")


@dataclass(frozen=True, slots=True)
class _Stored:
    """One entry, made small at once: lists of Python numbers would take gigabytes."""

    key: tuple[int, int]
    sums: dict[str, Any]
    bins: NDArray[Any]
    counts: NDArray[np.int64]
    values: NDArray[np.uint32]
    variances: NDArray[np.uint32]


def _stored(
    archive: zipfile.ZipFile, name: str, number: Mapping[str, int], grid: Grid, *, weighted: bool
) -> _Stored:
    content = json.loads(archive.read(f"{name}.json"))
    about, storage = content["metadata"]["survey"], content["storage"]
    index = storage["index"][0]
    # Without the overflow bin.
    inside = slice(0, len(index) - (1 if index and index[-1] == grid.bins else 0))
    sums = [packed(exact(storage[key][inside] if weighted else [])) for key in ("values", "variances")]
    return _Stored(
        (about["state"], number[name.rsplit("/", 1)[1]]), {name: about[name] for name in _SUMS},
        np.array(index[inside], dtype=grid.bin_type), _ints(about["counts"]), sums[0], sums[1],
    )  # fmt: skip


def _ints(values: Any) -> NDArray[np.int64]:
    return np.array(values, dtype=np.int64)

"""What tag and probe leaves behind: yields, efficiencies, warnings, headline."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.analyses.tagprobe.parameters import Method, Sidebands, TagProbeParameters, file_safe
from femtobarn.analyses.tagprobe.weights import GENERATOR_SUM, NORMALISED
from femtobarn.analysis import Stored
from femtobarn.folders import folder_of
from femtobarn.hists import Compensated, Sparse
from femtobarn.kernels.jagged import Jagged
from femtobarn.outcome import Outcome, Shard
from femtobarn.physics.filterbits import KINDS
from femtobarn.stats.intervals import weighted_efficiency
from femtobarn.stats.passfail.sideband import subtract_sidebands

__all__ = ["efficiencies", "files", "headline", "settle", "tables", "verdict", "yields"]

_YIELD: Final = "yield|"
_SCHEMA: Final = 1
_COLUMNS: Final = (
    "method", "dataset", "filter", "hist", "bin", "passing", "failing", "n_eff", "efficiency", "low", "high",
)  # fmt: skip
#: Of histograms with more dimensions only filled bins are listed.
_LISTED: Final = 2


# -- once, over all parts -------------------------------------------------------------------------------


def settle(outcome: Outcome, parameters: TagProbeParameters) -> list[str]:
    """Divide weights of simulation by the sum of generator weights, and say which bits nobody has."""
    for dataset, sums in outcome.sums.items():
        total = float(sums.get(GENERATOR_SUM, Compensated()))
        if total:
            _divide(outcome, dataset, parameters, 1.0 / total)
    return [*_missing_bits(outcome, parameters), *_decided(outcome)]


def _divide(outcome: Outcome, dataset: str, parameters: TagProbeParameters, factor: float) -> None:
    folder = folder_of(dataset)
    sums = outcome.sums[dataset]
    for method in parameters.methods:
        place = f"{folder}/{method.label}/"
        for name, shards in outcome.tables.items():
            if name.startswith(place):
                outcome.tables[name] = [_divided(shard, factor) for shard in shards]
        if method.weight not in NORMALISED:
            continue
        for name, histogram in outcome.sparse.items():
            if name.startswith(place):
                outcome.sparse[name] = histogram.scaled(factor)
        for name, total in sums.items():
            if name.startswith((f"{_YIELD}{method.label}/", f"yield2|{method.label}/")):
                by = factor**2 if name.startswith("yield2|") else factor
                sums[name] = Compensated(total.value * by, total.compensation * by)


def _divided(shard: Shard, factor: float) -> Shard:
    columns: dict[str, NDArray[Any] | Jagged] = {}
    for name, column in shard.columns.items():
        if name in NORMALISED:
            columns[name] = (
                column.like(column.values * factor) if isinstance(column, Jagged) else column * factor
            )
        else:
            columns[name] = column
    return Shard(shard.part, columns)


def _missing_bits(outcome: Outcome, parameters: TagProbeParameters) -> Iterator[str]:
    """Filters whose bit no trigger object of the whole run has."""
    seen: dict[tuple[str, int], dict[int, float]] = {}
    occur: dict[int, set[int]] = {}
    for sums in outcome.sums.values():
        for name, total in sums.items():
            what, *rest = name.split("|")
            if what == "filter":
                bits = seen.setdefault((rest[0], int(rest[1])), {})
                bits[int(rest[2])] = bits.get(int(rest[2]), 0.0) + float(total)
            elif what == "bit":
                occur.setdefault(int(rest[0]), set()).add(int(rest[1]))
    for (name, kind), bits in sorted(seen.items()):
        if any(bits.values()):
            continue
        there = ", ".join(map(str, sorted(occur.get(kind, ())))) or "none"
        which = parameters.tag_trigger.path if name == "tag" else name
        number = " or ".join(map(str, bits))
        yield (
            f"NO {KINDS.get(kind, kind)} trigger object of this run has bit {number}, which {which} "
            f"asks for: nothing can pass it. Bits that occur: {there}. Ask for the bit by its name."
        )


def _decided(outcome: Outcome) -> Iterator[str]:
    for dataset, facts in sorted(outcome.facts.items()):
        if len(facts.get("simulated", ())) > 1:
            yield f"{dataset}: some of its files look like data and some like simulation; set isMC"


# -- tables ---------------------------------------------------------------------------------------------


def yields(stored: Stored) -> dict[str, Any]:
    """Sums of weights of the probes in the window, by region and dataset."""
    out: dict[str, Any] = {}
    for dataset, sums in stored.outcome.sums.items():
        for name, total in sums.items():
            if name.startswith(_YIELD):
                region = name.removeprefix(_YIELD)
                square = float(sums[f"yield2|{region}"])
                out.setdefault(region, {})[dataset] = {
                    "value": float(total), "stat": float(np.sqrt(max(square, 0.0))), "variations": {},
                }  # fmt: skip
    return out


def efficiencies(stored: Stored, *, binned: bool = True) -> list[dict[str, Any]]:
    """Rows of ``tables/efficiency``: inclusive ones (bin None), and one a bin of each histogram."""
    parameters: TagProbeParameters = stored.parameters
    rows = []
    for dataset in stored.datasets:
        sums = stored.outcome.sums.get(dataset.name, {})
        for method in parameters.methods:
            for name in method.filter:
                key = f"{method.label}/{name}"
                if f"{_YIELD}{key}/passing" not in sums:
                    continue
                numbers = [
                    np.array([float(sums[f"{kind}|{key}/{verdict}"])])
                    for kind in ("yield", "yield2") for verdict in ("passing", "failing")
                ]  # fmt: skip
                about = {"method": method.label, "dataset": dataset.name, "filter": name}
                rows += _rows(about | {"hist": None}, [None], *numbers)
                if not binned:
                    continue
                for hist, passing, failing in _histograms(stored, dataset.name, method, name):
                    rows += _of_histogram(about | {"hist": hist}, passing, failing)
    return rows


def _rows(
    about: Mapping[str, Any],
    bins: Sequence[Any],
    wp: NDArray[Any],
    wf: NDArray[Any],
    p2: NDArray[Any],
    f2: NDArray[Any],
) -> list[dict[str, Any]]:
    found, low, high, n_eff = weighted_efficiency(wp, wf, p2, f2)
    return [
        {**about, "bin": one, "passing": float(wp[i]), "failing": float(wf[i]), "n_eff": _number(n_eff[i]),
         "efficiency": _number(found[i]), "low": _number(low[i]), "high": _number(high[i])}
        for i, one in enumerate(bins)
    ]  # fmt: skip


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _histograms(
    stored: Stored, dataset: str, method: Method, name: str, *, mass: bool = False
) -> Iterator[tuple[str, Sparse, Sparse]]:
    """Name within the filter, passing and failing histogram; summed over the mass unless it is wanted."""
    place = f"{folder_of(dataset)}/{method.label}/{file_safe(name)}/"
    for path, histogram in sorted(stored.outcome.sparse.items()):
        if path.startswith(place) and path.endswith("passing"):
            inner = path.removeprefix(place).removesuffix("passing").rstrip("/")
            failing = stored.outcome.sparse[path.removesuffix("passing") + "failing"]
            axes = [axis.name for axis in histogram.axes if mass or axis.name != "mll"]
            yield inner or "nd", histogram.project(*axes), failing.project(*axes)


def _of_histogram(about: Mapping[str, Any], passing: Sparse, failing: Sparse) -> list[dict[str, Any]]:
    (wp, p2), (wf, f2) = passing.dense(), failing.dense()
    inner = tuple(slice(1, -1) for _ in passing.axes)
    wp, p2, wf, f2 = wp[inner], p2[inner], wf[inner], f2[inner]
    places = list(np.ndindex(wp.shape))
    if len(passing.axes) > _LISTED:
        places = [place for place in places if p2[place] or f2[place]]
    index = tuple(np.array(places, dtype=np.int64).reshape(-1, wp.ndim).T)
    bins = [
        {axis.name: [axis.edges[i], axis.edges[i + 1]] for axis, i in zip(passing.axes, place, strict=True)}
        for place in places
    ]
    return _rows(about, bins, wp[index], wf[index], p2[index], f2[index])


def subtracted(stored: Stored) -> list[dict[str, Any]]:
    """Rows of ``tables/efficiency_sideband``: the background under the peak taken off, bin by bin."""
    parameters: TagProbeParameters = stored.parameters
    windows = parameters.sidebands
    if windows is None:
        return []
    rows = []
    for dataset in stored.datasets:
        for method in parameters.methods:
            if method.cut_and_count or not method.histograms:
                continue
            for name in method.filter:
                about = {"method": method.label, "dataset": dataset.name, "filter": name}
                for hist, passing, failing in _histograms(stored, dataset.name, method, name, mass=True):
                    rows += _signal_rows(about | {"hist": hist}, passing, failing, windows)
    return rows


def _signal_rows(
    about: Mapping[str, Any], passing: Sparse, failing: Sparse, windows: Sidebands
) -> list[dict[str, Any]]:
    edges = np.asarray(passing.axes[-1].edges)
    names = [axis.name for axis in passing.axes[:-1]]
    inner = tuple(slice(1, -1) for _ in names)
    sides = (windows.low, windows.high)
    found = [
        subtract_sidebands(edges, values[..., 1:-1], variances[..., 1:-1], windows.peak, sides)
        for values, variances in (passing.dense(), failing.dense())
    ]
    whole = [(np.array([value.sum()]), np.array([variance.sum()])) for value, variance in found]
    rows = _rows(about, [None], whole[0][0], whole[1][0], whole[0][1], whole[1][1])
    (wp, p2), (wf, f2) = ((value[inner], variance[inner]) for value, variance in found)
    places = [place for place in np.ndindex(wp.shape) if p2[place] or f2[place]]
    index = tuple(np.array(places, dtype=np.int64).reshape(-1, wp.ndim).T)
    bins = [
        {axis.name: [axis.edges[i], axis.edges[i + 1]] for axis, i in zip(passing.axes, place, strict=False)}
        for place in places
    ]
    return rows + _rows(about, bins, wp[index], wf[index], p2[index], f2[index])


def tables(stored: Stored) -> dict[str, dict[str, list[Any]]]:
    """``efficiency.csv``; the bin as text, one column an end would differ from method to method."""
    found = {"efficiency": efficiencies(stored), "efficiency_sideband": subtracted(stored)}
    return {name: _as_columns(rows) for name, rows in found.items() if rows}


def _as_columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    out: dict[str, list[Any]] = {name: [row[name] for row in rows] for name in _COLUMNS}
    out["bin"] = ["" if one is None else "; ".join(f"{k} {v[0]:g} to {v[1]:g}" for k, v in one.items())
                  for one in out["bin"]]  # fmt: skip
    out["hist"] = [one or "" for one in out["hist"]]
    return out


def files(stored: Stored) -> Iterator[tuple[str, bytes]]:
    """``efficiency.json``, and ``efficiency_sideband.json`` where asked for."""
    for name, rows in (("efficiency", efficiencies(stored)), ("efficiency_sideband", subtracted(stored))):
        if rows:
            text = json.dumps({"schema_version": _SCHEMA, "rows": rows}, sort_keys=True, allow_nan=False)
            yield f"tables/{name}.json", (text + "\n").encode()


# -- in words -------------------------------------------------------------------------------------------


def headline(stored: Stored, fitted: Mapping[str, Any]) -> str:
    """How many pairs, and the inclusive efficiencies."""
    parts = []
    everything = efficiencies(stored, binned=False)
    for dataset in stored.datasets:
        rows = [row for row in everything if row["dataset"] == dataset.name]
        counts = {name: row.events for name, row in stored.outcome.cutflows.get(dataset.name, {}).items()}
        text = f"{dataset.name}: {counts.get('pairs', 0)} pairs in {counts.get('all', 0)} events"
        shown: dict[str, str] = {}
        for row in rows:
            if row["efficiency"] is not None:
                shown.setdefault(
                    row["filter"],
                    f"{row['filter']} {row['efficiency']:.4f} [{row['low']:.4f}, {row['high']:.4f}]",
                )
        parts.append("; ".join([text, *list(shown.values())[:3]]))
    more = f" (and {len(parts) - 3} more datasets)" if len(parts) > 3 else ""
    said = parts[:3]
    if fitted.get("fits"):
        # Loads the whole fitter, which a run without fits does not need.
        from femtobarn.stats.passfail.scale_factors import how_many_good

        said = [how_many_good(fitted["fits"]), *said]
    return ". ".join(said) + more + "."


def verdict(stored: Stored) -> str:
    """Why this is no result: there were no events at all."""
    empty = [name for name, (_, total) in stored.entries.items() if not total]
    if empty and len(empty) == len(stored.entries):
        return f"there are no events in {', '.join(empty)}"
    return ""

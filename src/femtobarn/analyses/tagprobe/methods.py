"""What each task makes of the pairs: tables, histograms, sums.  One call a part serves all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from femtobarn.analyses.tagprobe.names import meaning
from femtobarn.analyses.tagprobe.pairs import Pairs
from femtobarn.analyses.tagprobe.parameters import Method, TagProbeParameters, file_safe
from femtobarn.analyses.tagprobe.selection import Selected
from femtobarn.analysis import Context
from femtobarn.errors import DataError
from femtobarn.folders import folder_of
from femtobarn.hists import Sparse
from femtobarn.kernels.jagged import Jagged
from femtobarn.outcome import Outcome

__all__ = ["run_method", "table_columns"]

Mask = NDArray[np.bool_]


def run_method(method: Method, selected: Selected, ctx: Context, out: Outcome) -> None:
    """Add what one method makes of the pairs of a part."""
    parameters: TagProbeParameters = ctx.parameters
    low, high = parameters.window(method)
    pairs = selected.pairs
    inside = (pairs.mass > low) & (pairs.mass < high)
    place = f"{folder_of(ctx.dataset.name)}/{method.label}"
    if method.name in ("get_tnp_arrays", "get_ntuples"):
        chosen = pairs.rows(inside)
        _sum(out, f"{method.label}/all", chosen.weight(method.weight))
        _table(out, f"{place}/NTuples-part.parquet", chosen, method, ctx)
        return
    for name in method.filter:
        passed = selected.passing[name]
        for verdict, mask in (("passing", inside & passed), ("failing", inside & ~passed)):
            chosen = pairs.rows(mask)
            weight = chosen.weight(method.weight)
            _sum(out, f"{method.label}/{name}/{verdict}", weight)
            if not method.histograms:
                table = f"{place}/{verdict}_{file_safe(name)}_NTuples-part.parquet"
                _table(out, table, chosen, method, ctx)
                continue
            make = _one_dimensional if "1d" in method.name else _many_dimensional
            for path, histogram in make(method, chosen, weight, parameters):
                out.sparse[f"{place}/{file_safe(name)}/{path}{verdict}"] = histogram


def _sum(out: Outcome, region: str, weight: NDArray[np.float64]) -> None:
    out.add_sum(f"yield|{region}", weight)
    out.add_sum(f"yield2|{region}", weight**2)


# -- histograms ---------------------------------------------------------------------------------------


def _values(pairs: Pairs, name: str, parameters: TagProbeParameters) -> NDArray[Any]:
    found = pairs.get(meaning(name, parameters.source))
    if isinstance(found, Jagged):
        raise DataError(f"{name!r} has several values an event and cannot be histogrammed a pair")
    return found


def _many_dimensional(
    method: Method, pairs: Pairs, weight: NDArray[np.float64], parameters: TagProbeParameters
) -> Iterator[tuple[str, Sparse]]:
    names = parameters.variables(method)
    axes = [parameters.axis(name) for name in names]
    values = [_values(pairs, name, parameters) for name in names]
    if not method.cut_and_count:
        axes.append(parameters.mass_axis())
        values.append(pairs.mass)
    yield "", Sparse.of(tuple(axes), values, weight)


def _one_dimensional(
    method: Method, pairs: Pairs, weight: NDArray[np.float64], parameters: TagProbeParameters
) -> Iterator[tuple[str, Sparse]]:
    names = dict(zip(("pt", "eta", "phi"), parameters.variables(method), strict=True))
    values = {what: _values(pairs, name, parameters) for what, name in names.items()}
    size = {what: np.abs(values[what]) for what in ("eta", "phi")}
    plateau = np.ones(len(pairs), dtype=np.bool_)
    if method.plateau_cut is not None:
        plateau = values["pt"] > method.plateau_cut
    everything = np.ones(len(pairs), dtype=np.bool_)
    for what, regions, by, also in (
        ("pt", method.eta_regions_pt, "eta", everything),
        ("eta", method.phi_regions_eta, "phi", plateau),
        ("phi", method.eta_regions_phi, "eta", plateau),
    ):
        axes = [parameters.axis(names[what], called=what)]
        if not method.cut_and_count:
            axes.append(parameters.mass_axis())
        for region, (low, high) in regions.items():
            keep = (size[by] > low) & (size[by] < high) & also
            columns = [values[what][keep]]
            if not method.cut_and_count:
                columns.append(pairs.mass[keep])
            yield f"{what}/{region}/", Sparse.of(tuple(axes), columns, weight[keep])


# -- tables -------------------------------------------------------------------------------------------


def _table(out: Outcome, name: str, pairs: Pairs, method: Method, ctx: Context) -> None:
    part = ctx.part.number if ctx.part is not None else 0
    names = _wanted(pairs, method, ctx.parameters)
    out.add_table(name, table_columns(pairs, names, ctx.parameters, flat=method.flat), part=part)


def _wanted(pairs: Pairs, method: Method, parameters: TagProbeParameters) -> list[str]:
    """Names of a table's columns; mass and weights are always there."""
    workflow = parameters.source
    names: list[str] = []
    if method.vars == "all":
        probe, tag = pairs.probe, pairs.tag
        if workflow.source == "nanoaod":
            names += [f"{workflow.tag_prefix}{name}" for name in tag.names(pairs.events)]
            names += [f"{workflow.prefix}{name}" for name in probe.names(pairs.events)]
            collections = (probe.collection, tag.collection, "TrigObj_", "GenPart_", "HLT_", "PV_x", "PV_y")
            names += [
                name
                for name in pairs.events.names
                if not name.startswith(collections)
                and not isinstance(pairs.events[name], Jagged)
                and name not in ("genWeight", "LHEWeight_originalXWGTUP")
            ]
        else:
            names += list(pairs.events.names)
        names += list(pairs.extra)
    else:
        names += parameters.variables(method)
        if workflow.source == "ntuples":
            names += [n for n in pairs.events.names if "weight" in n.lower() and n != "psWeight"]
    names += ["pair_mass", *pairs.weights]
    return list(dict.fromkeys(name for name in names if name != "psWeight"))


def table_columns(
    pairs: Pairs, names: Sequence[str], parameters: TagProbeParameters, *, flat: bool
) -> dict[str, NDArray[Any] | Jagged]:
    """Columns of a table: one row a pair, or one an event with lists of the pairs' values."""
    if flat:
        found: dict[str, NDArray[Any] | Jagged] = {}
        for name in names:
            column = pairs.get(meaning(name, parameters.source))
            if isinstance(column, Jagged):
                raise DataError(f"{name!r} has several values an event: it cannot be written one row a pair",
                                action="set flat to false, or leave it out of vars")  # fmt: skip
            found[name] = column
        return found
    events, first = np.unique(pairs.event, return_index=True)
    offsets = np.append(first, len(pairs)).astype(np.int64)
    out: dict[str, NDArray[Any] | Jagged] = {}
    for name in names:
        what = meaning(name, parameters.source)
        of_event = what.side == "event" and what.column in pairs.events
        column = pairs.rows_of(events, what) if of_event else pairs.get(what)
        out[name] = column if of_event or isinstance(column, Jagged) else Jagged(offsets, column)
    return out

"""Calibration ntuples: one pair of electrons an event, for energy scale and smearing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.analyses.tagprobe.parameters import Method, TagProbeParameters
from femtobarn.analyses.tagprobe.selection import event_cuts
from femtobarn.analyses.tagprobe.weights import event_weights, is_simulated
from femtobarn.analysis import Columns, Context
from femtobarn.errors import DataError
from femtobarn.folders import folder_of
from femtobarn.kernels.fourvec import FourVectors
from femtobarn.kernels.jagged import Jagged
from femtobarn.kernels.pairs import best_in_event, pairs_within
from femtobarn.outcome import Outcome
from femtobarn.physics.ecal import in_gap, photon_sc_position
from femtobarn.read.columns import Events

__all__ = ["energy_columns", "process_energy"]

_EVENT: Final = {
    "event": ("event",), "lumi": ("luminosityBlock",), "run": ("run",), "nPV": ("PV_npvs",),
    # Named otherwise in NanoAOD v9.
    "fixedGridRhoAll": ("Rho_fixedGridRhoAll", "fixedGridRhoAll", "fixedGridRhoFastjetAll"),
}  # fmt: skip
_NEEDED: Final = ("pt", "eta", "phi", "charge", "photonIdx")


def _patterns(parameters: TagProbeParameters) -> list[str]:
    """Beginnings of the trigger branches that count."""
    return [f"HLT_{path.removeprefix('HLT_').rstrip('*')}" for path in parameters.trigger_paths]


def _wanted(parameters: TagProbeParameters) -> Mapping[str, Any]:
    """Variables asked for, by collection."""
    found: dict[str, Any] = {}
    for method in parameters.methods:
        given = method.vars if isinstance(method.vars, Mapping) else {"Electron": "all", "Photon": "all"}
        found |= given
    return found


def energy_columns(parameters: TagProbeParameters) -> Columns:
    """What the calibration ntuples read."""
    optional = [
        "Electron_mass", "Electron_superclusterEta", "Electron_deltaEtaSC", "Electron_genPartIdx",
        "GenPart_pt", "GenPart_pdgId", "GenVtx_z", "PV_x", "PV_y", "PV_z", "genWeight", "Pileup_nTrueInt",
        "LHEWeight_originalXWGTUP", *(name for names in _EVENT.values() for name in names),
    ]  # fmt: skip
    needed = [f"Electron_{name}" for name in _NEEDED]
    for collection, names in _wanted(parameters).items():
        if names == "all":
            optional.append(f"{collection}_*")
            continue
        for name in names:
            derived = name == "superclusterEta"
            (optional if derived else needed).append(f"{collection}_{name}")
            if derived and collection == "Photon":
                optional += ["Photon_eta", "Photon_phi", "Photon_isScEtaEB", "Photon_isScEtaEE"]
    optional += [f"{start}*" for start in _patterns(parameters)]
    first = tuple(dict.fromkeys(needed))
    return Columns(first, tuple(name for name in dict.fromkeys(optional) if name not in first))


def process_energy(events: Events, ctx: Context, out: Outcome) -> None:
    """The best pair of each event, as rows of a table."""
    parameters: TagProbeParameters = ctx.parameters
    simulated = is_simulated(events, ctx)
    out.add_fact("simulated", np.array([float(simulated)]))
    weights = event_weights(events, ctx, out, simulated=simulated)
    selection = ctx.select(events, weights["weight"])
    event_cuts(events, ctx, selection, simulated=simulated, trigger=_fired(events, parameters))
    for method in parameters.methods:
        low, high = parameters.window(method)
        event, lead, sub = _pairs(events, parameters, selection.mask)
        total = _momenta(events, lead) + _momenta(events, sub)
        keep = (total.mass > low) & (total.mass < high)
        charge = events.jagged("Electron_charge").values
        keep &= charge[lead] != charge[sub]
        keep[keep] = best_in_event(event[keep], -total.pt[keep])
        event, lead, sub, total = event[keep], lead[keep], sub[keep], total[keep]
        if method.number == 1:
            selection.rows.append(("pairs", weights["weight"][event]))
        columns = _columns(events, event, lead, sub, total, method, weights, simulated=simulated)
        weight = weights["weight"][event]
        out.add_sum(f"yield|{method.label}/all", weight)
        out.add_sum(f"yield2|{method.label}/all", weight**2)
        if parameters.keep_null_rows:
            columns = _with_nulls(columns, event, np.flatnonzero(selection.mask))
        part = ctx.part.number if ctx.part is not None else 0
        out.add_table(
            f"{folder_of(ctx.dataset.name)}/{method.label}/NTuples-part.parquet", columns, part=part
        )
    out.add_cutflow(selection)


def _fired(events: Events, parameters: TagProbeParameters) -> NDArray[np.bool_] | None:
    starts = tuple(_patterns(parameters))
    if not starts:
        return None
    names = [name for name in events.names if name.startswith(starts)]
    if not names:
        raise DataError(
            f"no trigger starts with {' or '.join(starts)}", action="see: femtobarn data probe FILE"
        )
    fired = np.zeros(len(events), dtype=np.bool_)
    for name in names:
        fired |= events.flat(name).astype(np.bool_)
    return fired


def _sc_eta(events: Events) -> NDArray[np.float64]:
    if "Electron_superclusterEta" in events:
        return np.asarray(events.jagged("Electron_superclusterEta").values)
    if "Electron_deltaEtaSC" not in events:
        raise DataError("there is neither Electron_superclusterEta nor Electron_deltaEtaSC")
    return np.asarray(events.jagged("Electron_eta").values + events.jagged("Electron_deltaEtaSC").values)


def _pairs(
    events: Events, parameters: TagProbeParameters, good: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Event, leading and second electron of all pairs."""
    pt = events.jagged("Electron_pt")
    eta = _sc_eta(events)
    keep = (pt.values > parameters.sublead_pt_cut) & (events.jagged("Electron_photonIdx").values != -1)
    keep &= (np.abs(eta) < parameters.eta_cut) & np.repeat(good, pt.counts)
    if parameters.avoid_ecal_transition:
        keep &= ~in_gap(eta)
    event, first, second = pairs_within(pt.offsets, keep, keep)
    # Once a pair: the harder one leads, of equal ones the first stored.
    a, b = pt.values[first], pt.values[second]
    ordered = ((a > b) | ((a == b) & (first < second))) & (a > parameters.lead_pt_cut)
    return event[ordered], first[ordered], second[ordered]


def _momenta(events: Events, index: NDArray[np.int64]) -> FourVectors:
    pt, eta, phi = (events.jagged(f"Electron_{name}").values[index] for name in ("pt", "eta", "phi"))
    mass: Any = events.jagged("Electron_mass").values[index] if "Electron_mass" in events else 0.0
    return FourVectors.from_mass(pt, eta, phi, mass)


def _columns(
    events: Events, event: NDArray[np.int64], lead: NDArray[np.int64], sub: NDArray[np.int64],
    total: FourVectors, method: Method, weights: Mapping[str, NDArray[np.float64]], *, simulated: bool,
) -> dict[str, NDArray[Any]]:  # fmt: skip
    """All columns of the table, one row a pair."""
    wanted = method.vars if isinstance(method.vars, Mapping) else {"Electron": "all", "Photon": "all"}
    out: dict[str, NDArray[Any]] = {}
    for which, index in (("lead", lead), ("sublead", sub)):
        out |= {f"{which}_{name}": column[index]
                for name, column in _members(events, "Electron", wanted.get("Electron", ()))}  # fmt: skip
        if "Photon" in wanted:
            photon = _photon_of(events, event, index)
            out |= {f"{which}_pho_{name}": column[photon]
                    for name, column in _members(events, "Photon", wanted["Photon"])}  # fmt: skip
    charge = events.jagged("Electron_charge").values
    pt = total.pt
    out |= {
        "pt": pt, "eta": np.arcsinh(total.pz / np.where(pt > 0, pt, 1.0)),
        "phi": np.arctan2(total.py, total.px),
        "mass": total.mass, "charge": charge[lead] + charge[sub], "rapidity": total.rapidity,
    }  # fmt: skip
    for name, branches in _EVENT.items():
        branch = next((one for one in branches if one in events), None)
        if branch is not None:
            out[name] = events.flat(branch)[event]
    for collection, names in wanted.items():
        if collection not in ("Electron", "Photon"):
            out |= {
                f"{collection}_{name}": column[event] for name, column in _members(events, collection, names)
            }
    out["dZ"] = np.zeros(len(event))
    if simulated:
        out |= _simulated(events, event, lead, sub)
    out["weight_central"] = weights["weight"][event] / weights.get("weight_gen", np.ones(len(events)))[event]
    return out | {name: values[event] for name, values in weights.items() if name != "weight_gen"}


def _members(events: Events, collection: str, names: Any) -> Iterator[tuple[str, NDArray[Any]]]:
    """The columns of a collection that are asked for, flat."""
    start = f"{collection}_"
    if names == "all":
        names = [name.removeprefix(start) for name in events.names if name.startswith(start)]
    for name in names:
        full = f"{start}{name}"
        if full in events:
            column = events[full]
            yield name, np.asarray(column.values if isinstance(column, Jagged) else column)
        elif full == "Electron_superclusterEta":
            yield name, _sc_eta(events)
        elif full == "Photon_superclusterEta":
            yield name, photon_sc_position(events)[0]


def _photon_of(events: Events, event: NDArray[np.int64], electron: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions of the photons that electrons are, in the flat columns."""
    photons = next(events.jagged(name) for name in events.names if name.startswith("Photon_"))
    local = events.jagged("Electron_photonIdx").values[electron].astype(np.int64)
    return np.asarray(photons.offsets[event] + local)


def _simulated(
    events: Events, event: NDArray[np.int64], lead: NDArray[np.int64], sub: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    out: dict[str, NDArray[Any]] = {}
    if "GenVtx_z" in events and "PV_z" in events:
        out["dZ"] = (events.flat("GenVtx_z") - events.flat("PV_z"))[event]
    for name, branch in (("genWeight", "genWeight"), ("nTrueInt", "Pileup_nTrueInt")):
        if branch in events:
            out[name] = events.flat(branch)[event]
    if "GenPart_pt" in events and "Electron_genPartIdx" in events:
        generated = events.jagged("GenPart_pt")
        local = events.jagged("Electron_genPartIdx").values.astype(np.int64)
        for which, index in (("lead", lead), ("sublead", sub)):
            has = local[index] >= 0
            column = np.full(len(index), np.nan)
            column[has] = generated.values[generated.offsets[event[has]] + local[index[has]]]
            out[f"{which}_gen_pt"] = column
    return out


def _with_nulls(
    columns: Mapping[str, NDArray[Any]], event: NDArray[np.int64], all_events: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    """Rows for the other events, too: nan in every column."""
    place = np.searchsorted(all_events, event)
    out = {}
    for name, column in columns.items():
        full = np.full(len(all_events), np.nan)
        full[place] = column
        out[name] = full
    return out

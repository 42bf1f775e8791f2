"""Four-lepton selections of the ATLAS releases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.analyses.h4l.parameters import H4lParameters
from femtobarn.analyses.h4l.quartet import (
    LEPTON_SCALE,
    Quartet,
    channel_of,
    fill,
    inside,
    list_candidates,
)
from femtobarn.analysis import Columns, Context
from femtobarn.kernels import FourVectors, exactly, scatter
from femtobarn.outcome import Outcome
from femtobarn.physics.leptons import ELECTRON, MUON, good_atlas_2020
from femtobarn.physics.pairing import pair_four_leptons
from femtobarn.physics.weights import FACTS, GENERATOR, weigh
from femtobarn.read.columns import Events
from femtobarn.records import NOMINAL, Dataset

__all__ = ["columns", "process"]

Mask = NDArray[np.bool_]
Array = NDArray[np.float64]

#: Rows of the cutflow: (name, decision), in order, by release and selection.
STEPS: Final[Mapping[tuple[str, str], tuple[tuple[str, str], ...]]] = {
    ("atlas-2020", "loose"): (("four_leptons", "four"), ("charge", "neutral"), ("flavour", "flavour")),
    ("atlas-2020", "full"): (
        ("trigger", "trigger"), ("four_good_leptons", "four"), ("flavour", "flavour"),
        ("charge", "neutral_flavours"), ("pt", "pt_25_15_10"), ("z_windows", "z_windows"),
    ),
    ("atlas-2025", "loose"): (("four_leptons", "four"), ("charge", "neutral"), ("flavour", "flavour")),
    ("atlas-2025", "full"): (
        ("trigger", "trigger"), ("trigger_matched", "trigger_matched"), ("pt", "pt_20_15_10"),
        ("id_iso", "id_iso"), ("flavour", "flavour"), ("charge", "neutral"),
        ("sfos_pairs", "neutral_flavours"),
    ),
    ("atlas-2016", "loose"): (("four_leptons", "four"), ("charge", "neutral"), ("flavour", "flavour")),
    ("atlas-2016", "full"): (
        ("trigger", "trigger"), ("four_leptons", "four"), ("charge", "neutral"), ("flavour", "flavour"),
    ),
}  # fmt: skip

_SCALE_FACTORS: Final = ("sf.electron", "sf.muon", "sf.lepton_trigger", "sf.pileup")


def columns(parameters: H4lParameters, schema: str, dataset: Dataset) -> Columns:
    """What the selection of an ATLAS release reads."""
    lepton = ["pt", "eta", "phi", "e", "charge", "type"]
    full = parameters.selection == "full"
    if full and schema == "atlas-2020":
        lepton += ["ptcone", "etcone", "z0", "d0", "d0_error"]
    if full and schema == "atlas-2025":
        lepton += ["trigger_matched", "medium_id", "loose_id", "loose_iso"]
    needed = ["run", "event", *(f"lepton.{name}" for name in lepton)]
    if full:
        needed += ["trigger.electron", "trigger.muon"]
    optional = ["jet.pt", "jet.eta"]
    if dataset.kind == "mc":
        needed += [GENERATOR, *_SCALE_FACTORS]
        optional += ["lepton.pt_syst", *(f"fact.{name}" for name in FACTS)]
    return Columns(tuple(needed), tuple(optional))


def process(events: Events, ctx: Context) -> Outcome:
    """Select four leptons, fill the histograms and list the candidates of one part."""
    out = ctx.outcome()
    weight = weigh(events, _SCALE_FACTORS, out, is_data=ctx.is_data)
    jets = _count_jets(events)
    for variation in ctx.variations:
        moves_leptons = variation.name == LEPTON_SCALE
        if moves_leptons and "lepton.pt_syst" not in events:
            continue
        scale = 1 + variation.sign * events.jagged("lepton.pt_syst").values if moves_leptons else 1.0
        quartet, masks, objects = _atlas_masks(events, ctx, scale)
        selection = ctx.select(events, weight)
        for cut, decision in STEPS[ctx.schema, ctx.parameters.selection]:
            if _wanted(cut, ctx.parameters):
                selection.require(cut, masks[decision])
        chosen = quartet.rows(selection.mask[quartet.events])
        own = weight[chosen.events]
        counted = None if jets is None else jets[chosen.events]
        factor = ctx.parameters.mass_factor(variation)
        fill(out, chosen, own, variation=variation.label, jets=counted, mass_scale=factor)
        if variation == NOMINAL:
            out.add_cutflow(selection)
            list_candidates(out, chosen, own, {name: events.flat(name) for name in ("run", "event")})
            for kind, number in objects.items():
                out.add_sum(kind, float(number))
    return out


def _wanted(cut: str, parameters: H4lParameters) -> bool:
    return {"z_windows": parameters.z_windows, "sfos_pairs": parameters.sfos}.get(cut, True)


def _count_jets(events: Events) -> NDArray[np.int64] | None:
    """(n,) jets with pT > 30 GeV and |eta| < 4.4."""
    if "jet.pt" not in events or "jet.eta" not in events:
        return None
    pt = events.jagged("jet.pt")
    good = (pt.values > 30) & (np.abs(events.jagged("jet.eta").values) < 4.4)
    return pt.where(good).counts


def _atlas_masks(
    events: Events, ctx: Context, scale: Array | float
) -> tuple[Quartet, dict[str, Mask], dict[str, int]]:
    """The four-lepton events, every decision as a mask over all events, and object counts."""
    parameters = ctx.parameters
    full = parameters.selection == "full"
    stored = events.jagged("lepton.pt")
    pt = stored.values * scale
    types = events.jagged("lepton.type").values.astype(np.int64)
    good = good_atlas_2020(events, pt) if full and ctx.schema == "atlas-2020" else np.ones(len(pt), np.bool_)
    rows, index = exactly(4, stored.offsets, good)

    def lepton(name: str) -> NDArray[Any]:
        return events.jagged(f"lepton.{name}").values[index]

    energy = (events.jagged("lepton.e").values * scale)[index]
    eta, phi, charge = lepton("eta"), lepton("phi"), lepton("charge").astype(np.int64)
    vectors = FourVectors.from_energy(pt[index], eta, phi, energy)
    kinds = types[index]
    pairs = pair_four_leptons(vectors, charge, kinds, z_mass=parameters.m_z)
    quartet = Quartet(rows, vectors, eta, phi, kinds, charge, pairs, channel_of(kinds))

    def among(passed: Any) -> Mask:
        return scatter(len(events), rows, passed)

    ordered = -np.sort(-pt[index], axis=1)
    if parameters.pt_order == "unsorted":
        ordered = np.take_along_axis(pt[index], np.argsort(kinds != ELECTRON, axis=1, kind="stable"), axis=1)
    electrons = kinds == ELECTRON
    masks = {
        "four": among(True),
        "flavour": among(quartet.channel != ""),
        "neutral": among(charge.sum(axis=1) == 0),
        "neutral_flavours": among(
            ((charge * electrons).sum(axis=1) == 0) & ((charge * ~electrons).sum(axis=1) == 0)
        ),
        "pt_25_15_10": among((ordered[:, :3] > (25, 15, 10)).all(axis=1)),
        "pt_20_15_10": among((ordered[:, :3] > (20, 15, 10)).all(axis=1)),
        "z_windows": among(inside(pairs.m12, parameters.z1_window) & inside(pairs.m34, parameters.z2_window)),
    }
    if full:
        masks["trigger"] = events.flat("trigger.electron") | events.flat("trigger.muon")
    if full and ctx.schema == "atlas-2025":
        matched = events.jagged("lepton.trigger_matched")
        masks["trigger_matched"] = matched.where(matched.values).counts > 0
        identified = np.where(electrons, lepton("loose_id"), lepton("medium_id")) & lepton("loose_iso")
        masks["id_iso"] = among(identified.all(axis=1))
    objects = {
        f"{name}_{state}": int((which & keep).sum())
        for name, which in (("electron", types == ELECTRON), ("muon", types == MUON))
        for state, keep in (("all", np.ones_like(good)), ("good", good))
    }
    return quartet, masks, objects

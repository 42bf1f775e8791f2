"""The CMS Run-1 four-lepton selection on NanoAOD columns (which the AOD reader speaks, too)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.analyses.h4l.parameters import H4lParameters
from femtobarn.analyses.h4l.published import routed
from femtobarn.analyses.h4l.quartet import Quartet, channel_of, fill, inside, join, list_candidates
from femtobarn.analysis import Columns, Context
from femtobarn.errors import DataError
from femtobarn.kernels import FourVectors, leading
from femtobarn.outcome import Outcome
from femtobarn.physics.leptons import ELECTRON, MASS, MUON, good_nanoaod, kinematic_nanoaod
from femtobarn.physics.pairing import pair_four_leptons
from femtobarn.physics.weights import GENERATOR, weigh
from femtobarn.read.columns import Events

__all__ = ["columns", "process"]

#: Pair windows of the CMS selection, GeV, and its Z mass.
Z1_WINDOW: Final = (40.0, 120.0)
Z2_WINDOW: Final = (12.0, 120.0)
Z_MASS: Final = 91.1876

CUTS: Final = ("four_leptons", "charge", "pairs", "pt", "z_windows", "m4l_70")


def columns(parameters: H4lParameters) -> Columns:
    """What the CMS selections read; columns that only EDM files have are optional."""
    kinematics = ("pt", "eta", "phi", "charge")
    impact = ("dxy", "dz", "dxyErr", "dzErr")
    muons = [f"muon.{name}" for name in kinematics]
    electrons = [f"electron.{name}" for name in kinematics]
    edm = ("isPF", "isPFIsolationValid", "hasGlobalTrack", "passPflowPreselection", "isEB", "isEE",
           "expectedMissingInnerHits", "superclusterEta")  # fmt: skip
    optional = [
        "run",
        "lumi",
        "event",
        GENERATOR,
        *(f"{k}.{name}" for k in ("muon", "electron") for name in edm),
    ]
    if parameters.selection == "kinematic":
        return Columns(tuple(muons), (*optional, *electrons))
    muons += ["muon.pfRelIso04_all", *(f"muon.{name}" for name in impact)]
    electrons += ["electron.pfRelIso03_all", *(f"electron.{name}" for name in impact)]
    return Columns((*muons, *electrons), tuple(optional))


def process(events: Events, ctx: Context) -> Outcome:
    """CMS Run 1 on NanoAOD columns: channels 4mu, 4e, 2e2mu, in this order of preference."""
    out = ctx.outcome()
    weight = weigh(events, (), out, is_data=ctx.is_data)
    selection = ctx.select(events, weight)
    mask = ctx.resources.get("lumi_mask")
    if mask is not None and ctx.is_data:
        if "run" not in events or "lumi" not in events:
            raise DataError("a lumi mask cannot be applied: the file does not state run and lumi section")
        selection.require("lumi_mask", mask(events.flat("run"), events.flat("lumi")))
    passed = np.zeros((len(CUTS), len(events)), dtype=np.bool_)
    chosen: list[Quartet] = []
    for quartet, decisions in _channels(events, ctx, out):
        alive = np.logical_and.accumulate(decisions, axis=0)
        # An event may offer several channels; it is taken once, in the first that passes everything.
        fresh = alive[-1] & ~passed[-1, quartet.events]
        passed[:, quartet.events] |= alive
        chosen.append(quartet.rows(fresh))
    for cut, mask in zip(CUTS, passed, strict=True):
        selection.require(cut, mask)
    out.add_cutflow(selection)
    if not chosen:
        return out
    candidates = join(chosen)
    candidates = candidates.rows(selection.mask[candidates.events])
    for variation in ctx.variations:
        factor = ctx.parameters.mass_factor(variation)
        fill(out, candidates, weight[candidates.events], variation=variation.label, mass_scale=factor)
    identity = {name: events.flat(name) for name in ("run", "lumi", "event") if name in events}
    list_candidates(out, candidates, weight[candidates.events], identity)
    return out


def _channels(events: Events, ctx: Context, out: Outcome) -> Iterator[tuple[Quartet, NDArray[np.bool_]]]:
    """For each channel the events with its four leptons, and (cuts, rows) decisions."""
    kinds = [(MUON, "muon")] + ([(ELECTRON, "electron")] if "electron.pt" in events else [])
    define = kinematic_nanoaod if ctx.parameters.selection == "kinematic" else good_nanoaod
    good = {kind: define(events, kind) for kind, _ in kinds}
    for kind, name in kinds:
        out.add_sum(f"{name}_all", float(len(good[kind])))
        out.add_sum(f"{name}_good", float(good[kind].sum()))

    def lead(kind: int, number: int) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
        """Events with so many good leptons of a kind, and their columns (rows, number)."""
        name = dict(kinds)[kind]
        pt = events.jagged(f"{name}.pt")
        rows, index = leading(number, pt.offsets, good[kind], pt.values)
        taken = {
            field: events.jagged(f"{name}.{field}").values[index] for field in ("pt", "eta", "phi", "charge")
        }
        return rows, taken | {"kind": np.full(index.shape, kind), "mass": np.full(index.shape, MASS[kind])}

    channels = {"4mu": (MUON,), "4e": (ELECTRON,), "2e2mu": (MUON, ELECTRON)}
    for channel in routed(ctx.dataset, channels):
        wanted = channels[channel]
        if not set(wanted) <= set(good):
            continue
        parts = [lead(kind, 4 // len(wanted)) for kind in wanted]
        rows = parts[0][0] if len(parts) == 1 else np.intersect1d(parts[0][0], parts[1][0])
        table = {
            field: np.concatenate([taken[field][np.searchsorted(own, rows)] for own, taken in parts], axis=1)
            for field in parts[0][1]
        }
        yield _quartet(rows, table)


def _quartet(rows: NDArray[np.int64], table: Mapping[str, NDArray[Any]]) -> tuple[Quartet, NDArray[np.bool_]]:
    """Pair the leptons of one channel and decide its cuts."""
    vectors = FourVectors.from_mass(table["pt"], table["eta"], table["phi"], table["mass"])
    charge, kinds = table["charge"].astype(np.int64), table["kind"]
    pairs = pair_four_leptons(vectors, charge, kinds, z_mass=Z_MASS)
    quartet = Quartet(rows, vectors, table["eta"], table["phi"], kinds, charge, pairs, channel_of(kinds))
    first = -np.sort(-np.take_along_axis(table["pt"], pairs.first, axis=1), axis=1)
    neutral = np.array([(charge * (kinds == kind)).sum(axis=1) for kind in (ELECTRON, MUON)])
    decisions = np.array(
        [
            np.ones(len(rows), dtype=np.bool_),
            (neutral == 0).all(axis=0),
            pairs.exists,
            (first[:, 0] > 20) & (first[:, 1] > 10),
            inside(pairs.m12, Z1_WINDOW) & inside(pairs.m34, Z2_WINDOW),
            quartet.mass > 70,
        ]
    )
    return quartet, decisions

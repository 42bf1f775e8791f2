"""Pairs from files that hold one pair a row: the older tools' ntuples, or anybody's table of pairs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from femtobarn.analyses.tagprobe.pairs import Member, Pairs
from femtobarn.analyses.tagprobe.parameters import TagProbeParameters
from femtobarn.analyses.tagprobe.workflows import Layout
from femtobarn.analysis import Context
from femtobarn.physics.ecal import in_gap
from femtobarn.read.columns import Events

__all__ = ["flat_pairs"]

Mask = NDArray[np.bool_]


def _layout(parameters: TagProbeParameters) -> Layout:
    found = parameters.source.layout
    if found is not None:
        return found
    names = parameters.columns
    return Layout(
        names["probe_pt"], names["probe_eta"], names["probe_eta"], "", names["tag_pt"], names["tag_eta"],
        names["tag_eta"], "", names.get("lumi", "lumi"), mass=names["mass"],
    )  # fmt: skip


def flat_pairs(events: Events, ctx: Context, good: Mask, weights: Mapping[str, NDArray[np.float64]]) -> Pairs:
    """Rows that pass the cuts on tag and probe."""
    parameters: TagProbeParameters = ctx.parameters
    layout = _layout(parameters)
    tag_eta = events.flat(layout.tag_sc_eta if parameters.use_sc_eta else layout.tag_eta)
    eta = events.flat(layout.sc_eta if parameters.use_sc_eta else layout.eta)
    keep = good & (events.flat(layout.tag_pt) > parameters.tags_pt_cut)
    keep &= np.abs(tag_eta) < parameters.tags_abseta_cut
    keep &= (events.flat(layout.pt) > parameters.probe_threshold) & (
        np.abs(eta) < parameters.probes_abseta_cut
    )
    if parameters.avoid_ecal_transition_tags:
        keep &= ~in_gap(tag_eta)
    if parameters.avoid_ecal_transition_probes:
        keep &= ~in_gap(eta)
    total = None
    if layout.charge:
        total = np.sign(events.flat(layout.charge)) * np.sign(events.flat(layout.tag_charge))
    elif "charge" in parameters.columns:
        # The charge of the pair: 0 if its members' charges are opposite.
        total = np.where(events.flat(parameters.columns["charge"]) == 0, -1.0, 1.0)
    if total is not None and parameters.charge != "any":
        keep &= total > 0 if parameters.charge == "same" else total < 0
    rows = np.flatnonzero(keep).astype(np.int64)
    workflow = parameters.source
    extra = {"pair_mass": np.asarray(events.flat(layout.mass), dtype=np.float64)[rows]}
    return Pairs(
        events, rows, Member(workflow.tag_prefix, rows), Member(workflow.prefix, rows), extra, weights
    )

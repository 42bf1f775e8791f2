"""Which jet came from which quark: the truth that the jet assignment learns from."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from femtobarn.analyses.ttbar.assignment import lepton_of
from femtobarn.analyses.ttbar.columns import jet_columns
from femtobarn.analyses.ttbar.selection import one_lepton
from femtobarn.analyses.ttbar.tasks import TASKS
from femtobarn.analysis import Context
from femtobarn.kernels.multijet import (
    SIGNAL,
    Rows,
    eligible_jets,
    largest_factor,
    narrow,
    order_by_pt,
    select_jets,
)
from femtobarn.kernels.permutations import FEATURES, assignment_features, permutations
from femtobarn.read.columns import Events

__all__ = ["PARTICLES", "Labelled", "labelled", "partons", "right_permutation"]

#: What is read of the generated particles.
PARTICLES: Final = tuple(f"GenPart_{n}" for n in ("pdgId", "genPartIdxMother", "statusFlags", "eta", "phi"))
_TOP, _W, _LAST_COPY = 6, 24, 1 << 13
_RADIUS: Final = 0.4
_JETS: Final = 4


class Labelled(NamedTuple):
    """Events whose four leading jets are the four quarks of a top pair.

    Attributes
    ----------
    event : (n,) uint64
        Event numbers.
    features : (n, 12, 20) float32
        Of all permutations of the four jets.
    right : (n,) int64
        The right permutation.
    btag : (n, 4) float64
        Discriminants of the four jets.
    looked_at : int
        Events in the signal region, matched or not.
    """

    event: NDArray[np.uint64]
    features: NDArray[np.float32]
    right: NDArray[np.int64]
    btag: NDArray[np.float64]
    looked_at: int


def partons(pdg: NDArray[Any], mother: NDArray[Any], flags: NDArray[Any], offsets: NDArray[np.int64]) -> Any:
    """(m,) what each generated particle is: 24 or -24 a quark from a W, 6 or -6 a b quark from a top, else 0.

    Copies of a particle are followed to the particle that it decayed from; only last copies count.
    """
    starts = np.repeat(offsets[:-1], np.diff(offsets))
    place = np.where(mother >= 0, mother + starts, -1)
    parent = place.copy()
    while True:
        copy = (parent >= 0) & (pdg[np.maximum(parent, 0)] == pdg)
        if not copy.any():
            break
        parent = np.where(copy, place[np.maximum(parent, 0)], parent)
    above = np.where(parent >= 0, pdg[np.maximum(parent, 0)], 0)
    last = (flags & _LAST_COPY) != 0
    quark = last & (np.abs(pdg) >= 1) & (np.abs(pdg) <= 5)
    from_w, from_top = quark & (np.abs(above) == _W), quark & (np.abs(above) == _TOP) & (np.abs(pdg) == 5)
    return np.where(from_w | from_top, above, 0)


def right_permutation(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) the permutation of four jets with these labels (n, 4) that is right; -1 where there is none.

    Two quarks of one W, the b quark of its top and that of the other: 24, 24, 6, -6 or -24, -24, -6, 6.
    """
    out = np.full(len(labels), -1, dtype=np.int64)
    for number, (w1, w2, had, lep) in enumerate(permutations(_JETS)):
        boson = labels[:, w1]
        sign = np.sign(boson)
        fits = (np.abs(boson) == _W) & (labels[:, w2] == boson)
        fits &= (labels[:, had] == _TOP * sign) & (labels[:, lep] == -_TOP * sign)
        out[fits] = number
    return out


def _jets(events: Events, ctx: Context, index: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n, 4) positions of the leading selected jets of these events."""
    offsets, pt, eta, _, _, _, jet_id, _, _, _, kinds, sizes, cuts = jet_columns(events, ctx)
    most = largest_factor(kinds, sizes)
    found, room = np.empty((len(index), _JETS), dtype=np.int64), np.empty(256, dtype=np.int64)
    for row, event in enumerate(index):
        count = eligible_jets(offsets[event], offsets[event + 1], pt, eta, jet_id, most, cuts, room)
        chosen = room[:count].copy()
        if cuts.resort:
            order_by_pt(pt[chosen].astype(np.float64), chosen, count)
        found[row] = chosen[:_JETS]
    return found


def _label(events: Events, index: NDArray[np.int64], jets: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n, 4) label of the quark nearest to each jet, 0 beyond the radius or if two jets share one."""
    generated = {name: events.jagged(name) for name in PARTICLES}
    offsets = generated["GenPart_pdgId"].offsets
    pdg, mother, flags = (generated[name].values for name in PARTICLES[:3])
    kinds = partons(pdg, mother, flags, offsets)
    eta, phi = generated["GenPart_eta"].values, generated["GenPart_phi"].values
    jet_eta, jet_phi = events.jagged("jet.eta").values, events.jagged("jet.phi").values
    labels = np.zeros(jets.shape, dtype=np.int64)
    for row, event in enumerate(index):
        here = offsets[event] + np.flatnonzero(kinds[offsets[event] : offsets[event + 1]])
        if len(here) < _JETS:
            continue
        a = jet_eta[jets[row]][:, None] - eta[here]
        b = (jet_phi[jets[row]][:, None] - phi[here] + np.pi) % (2 * np.pi) - np.pi
        distance = np.hypot(a, b)
        nearest = distance.argmin(axis=1)
        if (distance.min(axis=1) < _RADIUS).all() and len(set(nearest.tolist())) == _JETS:
            labels[row] = kinds[here[nearest]]
    return labels


def labelled(events: Events, ctx: Context) -> Labelled:
    """The events of the signal region with four matched jets, and all their permutations."""
    leptons = one_lepton(events, TASKS[ctx.parameters.task])
    found, _ = select_jets(leptons.one, *jet_columns(events, ctx))
    rows = Rows(*found)
    index = rows.event[(rows.region == SIGNAL) & (rows.variation == 0)]
    jets = _jets(events, ctx, index)
    right = right_permutation(_label(events, index, jets))
    kept = right >= 0
    index, jets = index[kept], jets[kept]
    table = permutations(_JETS)
    starts = np.arange(len(index) + 1, dtype=np.int64) * len(table)
    # The four leading jets, however many there are.
    features = assignment_features(
        index, np.zeros(len(index), dtype=np.int8), starts, table, table, table,
        lepton_of(events, index, leptons), narrow(events.stored("jet.qgl").values),
        ctx.parameters.mode != "compat", *jet_columns(events, ctx),
    )  # fmt: skip
    tags = events.jagged(f"jet.{ctx.parameters.btag}").values[jets]
    numbers = events.flat("event")[index].astype(np.uint64)
    return Labelled(
        numbers, features.reshape(len(index), len(table), len(FEATURES)), right[kept], tags, len(kept)
    )

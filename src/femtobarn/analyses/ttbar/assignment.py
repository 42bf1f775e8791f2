"""Which jet is which?  The best permutation of jets by a classifier, in the signal region."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from femtobarn.analyses.ttbar.columns import category, jet_columns
from femtobarn.analyses.ttbar.models import adopted, score_by_parity
from femtobarn.analyses.ttbar.variations import object_variations, weight_of, weight_variations
from femtobarn.analysis import Context
from femtobarn.hists import HistSpec, regular
from femtobarn.kernels.leptons import last_passing
from femtobarn.kernels.multijet import SIGNAL, Rows, narrow
from femtobarn.kernels.permutations import FEATURES, assignment_features, permutation_count, permutations
from femtobarn.outcome import Outcome
from femtobarn.read.columns import Events

__all__ = ["Best", "assign", "features_of", "fill", "histograms", "lepton_of"]

_REGION: Final = "4j2b"
_BINS: Final = 25


class Best(NamedTuple):
    """The best permutation of each row in the signal region.

    Attributes
    ----------
    row : (s,) int64
        Position among the rows of the selection.
    jets : (s, 4) int64
        w1, w2, b of the hadronic top, b of the leptonic top: positions among the selected jets.
    score : (s,) float64
    features : (s, 20) float32
    """

    row: NDArray[np.int64]
    jets: NDArray[np.int64]
    score: NDArray[np.float64]
    features: NDArray[np.float32]


def _range(feature: str) -> tuple[float, float, str]:
    if feature.startswith("deltar"):
        return 0.0, 6.0, ""
    if feature in ("mass_leptonbtoplep", "mass_w1w2"):
        return 50.0, 300.0, "GeV"
    if feature in ("mass_w1w2btophad", "pt_w1w2btophad"):
        return 50.0, 550.0, "GeV"
    if feature.startswith("pt_"):
        return 25.0, 300.0, "GeV"
    return (0.0, 1.0, "") if feature.startswith("btag") else (-1.0, 1.0, "")


def histograms() -> tuple[HistSpec, ...]:
    """One histogram a feature, ``ml/<feature>``."""
    specs = []
    for feature in FEATURES:
        low, high, unit = _range(feature)
        specs.append(
            HistSpec(f"ml/{feature}", (regular(_BINS, low, high, "observable", label=feature, unit=unit),))
        )
    return tuple(specs)


def lepton_of(events: Events, index: NDArray[np.int64], leptons: Any) -> NDArray[np.float64]:
    """(s, 4) pt, eta, phi, mass of the only lepton of these events."""
    out = np.empty((len(index), 4))
    for name, passing in (("electron", leptons.electron), ("muon", leptons.muon)):
        at = last_passing(events.stored(f"{name}.pt").offsets, passing)[index]
        here = at >= 0
        for i, field in enumerate(("pt", "eta", "phi", "mass")):
            out[here, i] = events.jagged(f"{name}.{field}").values[at[here]]
    return out


def features_of(
    events: Events, ctx: Context, rows: Rows, leptons: Any
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Rows in the signal region, the first permutation of each, and the features of all."""
    at = np.flatnonzero(rows.region == SIGNAL)
    index = rows.event[at]
    counts = permutation_count(rows.njet[at])
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    features = assignment_features(
        index, rows.variation[at], starts, permutations(4), permutations(5), permutations(6),
        lepton_of(events, index, leptons), narrow(events.stored("jet.qgl").values),
        ctx.parameters.mode != "compat", *jet_columns(events, ctx),
    )  # fmt: skip
    return at, starts, features


def assign(events: Events, ctx: Context, rows: Rows, leptons: Any) -> Best:
    """Score all permutations once an object variation; the first of the highest wins."""
    at, starts, features = features_of(events, ctx, rows, leptons)
    parity = (events.flat("event")[rows.event[at]] % 2).astype(np.int64)
    scores = score_by_parity(ctx.resources, features, np.repeat(parity, np.diff(starts)))
    best = _first_highest(scores, starts)
    jets = np.empty((len(at), 4), dtype=np.int64)
    for number in (4, 5, 6):
        here = np.minimum(rows.njet[at], 6) == number
        jets[here] = permutations(number)[best[here] - starts[:-1][here]]
    return Best(at, jets, scores[best], features[best])


def _first_highest(scores: NDArray[np.float64], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """(s,) position of the first of the highest scores of each stretch ``starts[i]:starts[i + 1]``."""
    if len(starts) < 2:
        return np.empty(0, dtype=np.int64)
    highest = np.repeat(np.maximum.reduceat(scores, starts[:-1]), np.diff(starts))
    found = np.flatnonzero(scores == highest)
    return found[np.searchsorted(found, starts[:-1])]


def fill(out: Outcome, best: Best, rows: Rows, weight: NDArray[np.float64], ctx: Context) -> None:
    """The features of the best permutation in all variations."""
    if ctx.part is not None and ctx.part.number == 0 and adopted(ctx.parameters):
        out.warn("the models have no models.json: what they were trained on is taken from their names")
    weights = weight_variations(ctx.parameters.systematics, ctx.dataset)
    for number, variation in enumerate(object_variations(ctx.parameters.systematics, ctx.dataset)):
        here = rows.variation[best.row] == number
        at = best.row[here]
        own = weight[rows.event[at]]
        labels, columns = [variation.label], [own]
        if number == 0:
            labels += [v.label for v in weights]
            columns += [own * weight_of(v, rows.pt[at]) for v in weights]
        keys = [category(_REGION, ctx, label) for label in labels]
        table = np.stack(columns, axis=1)
        for i, feature in enumerate(FEATURES):
            out.histograms[f"ml/{feature}"].fill_each(keys, best.features[here, i], weights=table)

"""All ways to give jets the roles of a top pair's decay, and what each way looks like."""

from __future__ import annotations

from functools import cache
from itertools import permutations as arrangements
from typing import Any, Final

import numba
import numpy as np
from numpy.typing import NDArray

from femtobarn.kernels.counter_random import event_key
from femtobarn.kernels.multijet import MAX_JETS, SMEAR, eligible_jets, factor_of, largest_factor, order_by_pt

__all__ = ["FEATURES", "MOST_JETS", "assignment_features", "permutation_count", "permutations"]

#: Jets that are looked at, the first of an event.
MOST_JETS: Final = 6
#: The features of a permutation, in the order that models are trained with.
FEATURES: Final = (
    "deltar_leptonbtoplep", "deltar_w1w2", "deltar_w1btophad", "deltar_w2btophad",
    "mass_leptonbtoplep", "mass_w1w2", "mass_w1w2btophad", "pt_w1w2btophad",
    "pt_w1", "pt_w2", "pt_btophad", "pt_btoplep",
    "btag_w1", "btag_w2", "btag_btophad", "btag_btoplep",
    "qgl_w1", "qgl_w2", "qgl_btophad", "qgl_btoplep",
)  # fmt: skip


@cache
def permutations(jets: int) -> NDArray[np.int64]:
    """(p, 4) positions of w1, w2, b (hadronic top), b (leptonic top), w1 > w2, lexicographic.

    12, 60 and 180 ways for 4, 5 and 6 jets.
    """
    found = [row for row in arrangements(range(jets), 4) if row[0] > row[1]]
    return np.array(found, dtype=np.int64)


def permutation_count(jets: NDArray[Any]) -> NDArray[np.int64]:
    """(n,) ways for these numbers of jets (at least 4; from 6 on only six are looked at)."""
    table = np.array([len(permutations(n)) if n >= 4 else 0 for n in range(MOST_JETS + 1)], dtype=np.int64)
    return np.asarray(table[np.minimum(jets, MOST_JETS)])


@numba.njit(cache=True)
def _distance(eta1: float, phi1: float, eta2: float, phi2: float, wrap: bool) -> Any:  # noqa: FBT001
    d = phi1 - phi2
    if wrap:
        d = (d + np.pi) % (2 * np.pi) - np.pi
    return np.sqrt((eta1 - eta2) ** 2 + d * d)


@numba.njit(cache=True)
def _mass(p: Any) -> Any:
    return np.sqrt(max(p[3] * p[3] - p[0] * p[0] - p[1] * p[1] - p[2] * p[2], 0.0))


@numba.njit(cache=True)
def _vector(pt: float, eta: float, phi: float, mass: float) -> Any:
    out = np.empty(4)
    out[0], out[1], out[2] = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    out[3] = np.sqrt((pt * np.cosh(eta)) ** 2 + mass * mass)
    return out


@numba.njit(cache=True, nogil=True)
def assignment_features(
    row_event: Any, row_variation: Any, starts: Any, table4: Any, table5: Any, table6: Any,
    lepton: Any, qgl: Any, wrap: Any,
    offsets: Any, pt: Any, eta: Any, phi: Any, mass: Any, btag: Any, jet_id: Any,
    run: Any, lumi: Any, event: Any, kinds: Any, sizes: Any, cuts: Any,
) -> Any:  # fmt: skip
    """Features of all permutations of selected events.

    Parameters
    ----------
    row_event, row_variation : (r,) int
        Events in the signal region and the object variation.
    starts : (r + 1,) int64
        First permutation of each row, :func:`permutation_count` summed up.
    table4, table5, table6 : (p, 4) int64
        :func:`permutations` of 4, 5 and 6 jets.
    lepton : (r, 4) float, GeV
        pt, eta, phi, mass of the event's lepton.
    qgl : (m,) float
        Quark-gluon likelihood of the jets.
    wrap : bool
        Differences of azimuths are brought to [-pi, pi).
    offsets ... cuts
        As for :func:`~femtobarn.kernels.multijet.select_jets`.

    Returns
    -------
    (starts[-1], 20) float32
    """
    out = np.empty((starts[-1], 20), np.float32)
    eligible, index = np.empty(MAX_JETS, np.int64), np.empty(MAX_JETS, np.int64)
    vpt, factors = np.empty(MAX_JETS), np.empty(MAX_JETS)
    vectors = np.empty((6, 4))
    most = largest_factor(kinds, sizes)
    smeared = np.any(kinds == SMEAR)
    for r in range(len(row_event)):
        i, v = row_event[r], row_variation[r]
        first, last = offsets[i], offsets[i + 1]
        key = event_key(cuts.seed, run[i], lumi[i], event[i]) if smeared else np.uint64(0)
        n_eligible = eligible_jets(first, last, pt, eta, jet_id, most, cuts, eligible)
        n = 0
        for e in range(n_eligible):
            f = factor_of(kinds[v], sizes[v], key, eligible[e] - first)
            p = np.float64(pt[eligible[e]]) * f
            if p > cuts.pt_min:
                index[n], vpt[n], factors[e] = e, p, f
                n += 1
        if cuts.resort:
            order_by_pt(vpt, index, n)
        n = min(n, 6)
        for a in range(n):
            j = eligible[index[a]]
            g = factors[index[a]] if cuts.vary_vectors == 2 else 1.0
            vectors[a] = _vector(vpt[a], np.float64(eta[j]), np.float64(phi[j]), np.float64(mass[j]) * g)
        l_vector = _vector(lepton[r, 0], lepton[r, 1], lepton[r, 2], lepton[r, 3])
        table = table4 if n == 4 else table5 if n == 5 else table6
        for t in range(len(table)):
            w1, w2, h, b = table[t]
            j1, j2, jh, jb = eligible[index[w1]], eligible[index[w2]], eligible[index[h]], eligible[index[b]]
            e1, e2, eh = np.float64(eta[j1]), np.float64(eta[j2]), np.float64(eta[jh])
            p1, p2, ph = np.float64(phi[j1]), np.float64(phi[j2]), np.float64(phi[jh])
            row = out[starts[r] + t]
            row[0] = _distance(lepton[r, 1], lepton[r, 2], np.float64(eta[jb]), np.float64(phi[jb]), wrap)
            row[1] = _distance(e1, p1, e2, p2, wrap)
            row[2] = _distance(e1, p1, eh, ph, wrap)
            row[3] = _distance(e2, p2, eh, ph, wrap)
            w = vectors[w1] + vectors[w2]
            top = w + vectors[h]
            row[4] = _mass(l_vector + vectors[b])
            row[5] = _mass(w)
            row[6] = _mass(top)
            row[7] = np.sqrt(top[0] * top[0] + top[1] * top[1])
            row[8], row[9], row[10], row[11] = vpt[w1], vpt[w2], vpt[h], vpt[b]
            row[12], row[13], row[14], row[15] = btag[j1], btag[j2], btag[jh], btag[jb]
            row[16], row[17], row[18], row[19] = qgl[j1], qgl[j2], qgl[jh], qgl[jb]
    return out

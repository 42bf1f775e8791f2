"""Jet selection, regions and observables of all object variations in one pass over the events.

Everything that no variation changes (leptons, acceptance, identification) is decided once; a variation
then costs a few multiplications a jet, and the four-vectors are made only for events that reach the
search for the best three jets.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from femtobarn.kernels.counter_random import event_key, normal
from femtobarn.kernels.trigonometry import sincos, sinh_of

__all__ = [
    "CONTROL", "MAX_JETS", "NOMINAL", "SCALE", "SIGNAL", "SMEAR", "JetCuts", "Rows", "best_trijet", "narrow",
    "select_jets",
]  # fmt: skip

#: Kinds of object variation: none, all jets times a number, jets smeared by a relative width.
NOMINAL, SCALE, SMEAR = 0, 1, 2
#: Regions of a row: selected but in none, one tag, at least two tags.
CONTROL, SIGNAL = 1, 2
#: Jets of an event beyond this number cannot be held; such events do not exist in 13 TeV collisions.
MAX_JETS: Final = 256
#: Word that separates jet smearing from other draws for the same object.
_JER: Final = np.uint64(1)
#: No jet can have more momentum than the beams, GeV.
_PT_LIMIT: Final = 13000.0


class JetCuts(NamedTuple):
    """What is asked of jets, and how they are varied.

    Attributes
    ----------
    pt_min, eta_max : float, GeV
    id_bits : int
        Bits of the jet identification of which one must be set; 0 asks for nothing.
    btag_cut : float
    closed_control : bool
        In the control region a jet exactly at the threshold counts as tagged.
    energy_given : bool
        The fourth column is the energy, not the mass.
    vary_vectors : int
        How a variation acts on the vectors of the trijet: 0 not at all, 1 on the momentum, 2 on all of it.
    resort : bool
        Order the selected jets by their varied momentum; else stored order.
    seed : int
    """

    pt_min: float
    eta_max: float
    id_bits: int
    btag_cut: float
    closed_control: bool
    energy_given: bool
    vary_vectors: int
    resort: bool
    seed: int


class Rows(NamedTuple):
    """Selected events, one row an event and object variation, in event order.

    Attributes
    ----------
    event : (r,) int64
        Number of the event within the part.
    variation : (r,) int8
        Position of the variation in what was asked for.
    region : (r,) int8
        0 (four jets, no tag), CONTROL or SIGNAL.
    observable : (r,) float64, GeV
        Sum of the jets' pT in the control region, mass of the best trijet in the signal region.
    njet, nbtag : (r,) int16
    pt : (r, 4) float64, GeV
        The first four selected jets.
    """

    event: Any
    variation: Any
    region: Any
    observable: Any
    njet: Any
    nbtag: Any
    pt: Any


def narrow(values: NDArray[Any]) -> NDArray[Any]:
    """The values as float32 if nothing is lost: kernels are compiled for what files store."""
    if values.dtype != np.float64:
        return values
    small = values.astype(np.float32)
    return small if np.array_equal(values, small, equal_nan=True) else values


@numba.njit(cache=True)
def best_trijet(px: Any, py: Any, tagged: Any, n: int) -> Any:
    """The three jets, at least one tagged, whose vector sum has the largest pT; (-1, -1, -1) without any.

    Parameters
    ----------
    px, py : (>= n,) float, GeV
    tagged : (>= n,) bool
    n : int

    The first in lexicographic order wins among equals.
    """
    best, which = -1.0, -1
    for i in range(n - 2):
        for j in range(i + 1, n - 1):
            x2, y2 = px[i] + px[j], py[i] + py[j]
            tagged2 = tagged[i] | tagged[j]
            for k in range(j + 1, n):
                x, y = x2 + px[k], y2 + py[k]
                # Selections, not jumps: which three are the best cannot be guessed.
                square = x * x + y * y if tagged2 | tagged[k] else -1.0
                better = square > best
                which = (i * MAX_JETS + j) * MAX_JETS + k if better else which
                best = square if better else best
    if which < 0:
        return -1, -1, -1
    return which // MAX_JETS**2, which // MAX_JETS % MAX_JETS, which % MAX_JETS


@numba.njit(cache=True)
def order_by_pt(pt: Any, index: Any, n: int) -> None:
    """Sort the first n jets by falling pT in place, keeping the order of equals (insertion sort)."""
    for i in range(1, n):
        p, k = pt[i], index[i]
        j = i - 1
        while j >= 0 and pt[j] < p:
            pt[j + 1], index[j + 1] = pt[j], index[j]
            j -= 1
        pt[j + 1], index[j + 1] = p, k


@numba.njit(cache=True)
def factor_of(kind: int, size: float, key: Any, index: int) -> Any:
    """What a variation multiplies the pT of the stored jet ``index`` with."""
    if kind == SCALE:
        return size
    if kind == SMEAR:
        return max(0.0, 1.0 + size * normal(key, np.uint64(index), _JER))
    return 1.0


@numba.njit(cache=True)
def largest_factor(kinds: Any, sizes: Any) -> Any:
    """No variation multiplies a pT with more than this (a 53-bit uniform bounds the normal at 8.65)."""
    most = 1.0
    for v in range(len(kinds)):
        if kinds[v] == SCALE:
            most = max(most, sizes[v])
        elif kinds[v] == SMEAR:
            most = max(most, 1.0 + 8.66 * sizes[v])
    return most


@numba.njit(cache=True)
def eligible_jets(
    first: int, last: int, pt: Any, eta: Any, jet_id: Any, most: float, cuts: Any, out: Any
) -> Any:
    """Number of jets that may pass under some variation; their positions go to ``out``."""
    n = 0
    for j in range(first, last):
        # Every jet is written and only those that may pass are counted: no jump to guess.
        out[n] = j
        inside = (np.float64(pt[j]) * most > cuts.pt_min) & (abs(np.float64(eta[j])) < cuts.eta_max)
        n += inside & (cuts.id_bits == 0 or (jet_id[j] & cuts.id_bits) != 0)
    return n


@numba.njit(cache=True)
def _jet_vector(
    j: int, pt: Any, eta: Any, phi: Any, mass: Any, energy_given: Any, out: Any, row: int
) -> None:
    p, h, a, m = np.float64(pt[j]), np.float64(eta[j]), np.float64(phi[j]), np.float64(mass[j])
    sine, cosine = sincos(a)
    out[row, 0] = p * cosine
    out[row, 1] = p * sine
    out[row, 2] = p * sinh_of(h)
    out[row, 3] = m if energy_given else m * m


@numba.njit(cache=True)
def _trijet_mass(jets: Any, vector: Any, factors: Any, cuts: Any) -> Any:
    """Mass of three of the eligible jets under a variation; energies are needed of these three only."""
    x, y, z, energy = 0.0, 0.0, 0.0, 0.0
    for e in jets:
        f = factors[e] if cuts.vary_vectors > 0 else 1.0
        g = f if cuts.vary_vectors == 2 else 1.0
        jx, jy, jz = vector[e, 0] * f, vector[e, 1] * f, vector[e, 2] * f
        x, y, z = x + jx, y + jy, z + jz
        if cuts.energy_given:
            energy += vector[e, 3] * g
        else:
            energy += np.sqrt(jx * jx + jy * jy + jz * jz + vector[e, 3] * g * g)
    return np.sqrt(max(energy * energy - x * x - y * y - z * z, 0.0))


@numba.njit(cache=True)
def _all_possible(pt: Any) -> Any:
    """Whether these momenta are numbers that the beams allow."""
    least, most = pt.dtype.type(0.0), pt.dtype.type(_PT_LIMIT)
    good = True
    for j in range(len(pt)):
        # Without a jump, so that many are compared at a time; not-a-number is neither.
        good &= (pt[j] >= least) & (pt[j] <= most)
    return good


@numba.njit(cache=True)
def impossible_events(offsets: Any, pt: Any) -> Any:
    """(n,) events with a jet pT that is no number, negative or above 13 TeV, or with too many jets."""
    n = len(offsets) - 1
    bad = np.empty(n, np.bool_)
    for i in range(n):
        bad[i] = offsets[i + 1] - offsets[i] > MAX_JETS
    if not _all_possible(pt[offsets[0] : offsets[n]]):
        for i in range(n):
            bad[i] |= not _all_possible(pt[offsets[i] : offsets[i + 1]])
    return bad


@numba.njit(cache=True)
def events_of_four(chosen: Any, bad: Any, offsets: Any) -> Any:
    """Numbers of the chosen good events with at least four stored jets."""
    out = np.empty(len(chosen), np.int64)
    n = 0
    for i in range(len(chosen)):
        out[n] = i
        n += chosen[i] & (not bad[i]) & (offsets[i + 1] - offsets[i] >= 4)
    return out[:n]


@numba.njit(cache=True, nogil=True)
def select_jets(
    chosen: Any, offsets: Any, pt: Any, eta: Any, phi: Any, mass: Any, btag: Any, jet_id: Any,
    run: Any, lumi: Any, event: Any, kinds: Any, sizes: Any, cuts: Any,
) -> Any:  # fmt: skip
    """Regions and observables of all object variations.

    Parameters
    ----------
    chosen : (n,) bool
        Events to look at.
    offsets : (n + 1,) int64
    pt, eta, phi, mass, btag : (m,) float, GeV
        Jets; ``mass`` may be the energy, see ``cuts``.
    jet_id : (m,) int, or empty if ``cuts.id_bits`` is 0
    run, lumi, event : (n,) int
        Name the smearing; may be empty if nothing is smeared.
    kinds : (v,) int64, sizes : (v,) float64
        The variations.
    cuts : JetCuts

    Returns
    -------
    rows : Rows of events with at least four jets
    bad : (n,) bool
        Events with a jet pT that is no number, negative or above 13 TeV (they are in no row).
    """
    bad = impossible_events(offsets, pt)
    candidates = events_of_four(chosen, bad, offsets)
    room = len(kinds) * len(candidates)
    r_event = np.empty(room, np.int64)
    r_variation = np.empty(room, np.int8)
    r_region = np.empty(room, np.int8)
    r_observable = np.empty(room, np.float64)
    r_njet = np.empty(room, np.int16)
    r_nbtag = np.empty(room, np.int16)
    r_pt = np.empty((room, 4), np.float64)
    eligible = np.empty(MAX_JETS, np.int64)
    index = np.empty(MAX_JETS, np.int64)
    vpt = np.empty(MAX_JETS)
    factors = np.empty(MAX_JETS)
    vector = np.empty((MAX_JETS, 4))
    px, py, tagged = np.empty(MAX_JETS), np.empty(MAX_JETS), np.empty(MAX_JETS, np.bool_)
    smeared = np.any(kinds == SMEAR)
    most = largest_factor(kinds, sizes)
    row = 0
    for i in candidates:
        first, last = offsets[i], offsets[i + 1]
        n_eligible = eligible_jets(first, last, pt, eta, jet_id, most, cuts, eligible)
        if n_eligible < 4:
            continue
        key = event_key(cuts.seed, run[i], lumi[i], event[i]) if smeared else np.uint64(0)
        have_vectors = False
        for v in range(len(kinds)):
            n = 0
            for e in range(n_eligible):
                j = eligible[e]
                f = factor_of(kinds[v], sizes[v], key, j - first)
                p = np.float64(pt[j]) * f
                index[n], vpt[n], factors[e] = e, p, f
                n += p > cuts.pt_min
            if n < 4:
                continue
            if cuts.resort:
                order_by_pt(vpt, index, n)
            open_tags, closed_tags, total = 0, 0, 0.0
            for a in range(n):
                score = np.float64(btag[eligible[index[a]]])
                tagged[a] = score > cuts.btag_cut
                open_tags += tagged[a]
                closed_tags += score >= cuts.btag_cut
                total += vpt[a]
            control = closed_tags if cuts.closed_control else open_tags
            region, observable = 0, 0.0
            if open_tags >= 2:
                region = SIGNAL
                if not have_vectors:
                    for e in range(n_eligible):
                        _jet_vector(eligible[e], pt, eta, phi, mass, cuts.energy_given, vector, e)
                    have_vectors = True
                for a in range(n):
                    e = index[a]
                    f = factors[e] if cuts.vary_vectors > 0 else 1.0
                    px[a], py[a] = vector[e, 0] * f, vector[e, 1] * f
                b1, b2, b3 = best_trijet(px, py, tagged, n)
                # There is none only if a direction is no number.
                observable = -1.0
                if b1 >= 0:
                    observable = _trijet_mass((index[b1], index[b2], index[b3]), vector, factors, cuts)
            elif control == 1:
                region, observable = CONTROL, total
            r_event[row], r_variation[row], r_region[row] = i, v, region
            r_observable[row], r_njet[row], r_nbtag[row] = observable, n, open_tags
            for a in range(4):
                r_pt[row, a] = vpt[a]
            row += 1
    rows = (
        r_event[:row], r_variation[:row], r_region[:row], r_observable[:row],
        r_njet[:row], r_nbtag[:row], r_pt[:row],
    )  # fmt: skip
    return rows, bad

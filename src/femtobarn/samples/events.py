"""What passes between generation, detector and file formats: plain arrays in GeV, cm and radians.

Truth has a fixed number of slots per event (``present`` says which are filled), so that generation
is plain array arithmetic; reconstructed objects are jagged: ``counts`` and flat columns.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Bools",
    "Floats",
    "Ints",
    "Jets",
    "Leptons",
    "Photons",
    "RecoEvents",
    "TruthEvents",
    "join_truth",
    "pick_objects",
    "select_objects",
    "take_truth",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class TruthEvents:
    """Generated events before the detector.

    Attributes
    ----------
    mass : (n,) float, GeV
        Mass of the generated resonance or system.
    lepton : (n, k, 4) float, GeV
        Four-vectors (px, py, pz, E); slots without a lepton are zero.
    flavour, charge : (n, k) int
        11 or 13; -1 or +1.
    present, prompt : (n, k) bool
        Slot filled; from a boson (True) or from a hadron decay or fake (False).
    photon : (n, p, 4) float, GeV
        Four-vectors of photon candidates.
    photon_prompt : (n, p) bool
        False where a jet fakes the photon.
    jet : (n, j, 4) float, GeV
        Partons of the hard process (b quarks of top decays).
    invisible : (n, 2) float, GeV
        Transverse momentum of the neutrinos (px, py).
    process : (n,) int
        Position of the process in the job's list; kept for pseudo-data bookkeeping only.
    """

    mass: Floats
    lepton: Floats
    flavour: Ints
    charge: Ints
    present: Bools
    prompt: Bools
    photon: Floats
    photon_prompt: Bools
    jet: Floats
    invisible: Floats
    process: Ints

    def __len__(self) -> int:
        return len(self.mass)


@dataclass(frozen=True, slots=True)
class Leptons:
    """Reconstructed leptons, highest pT first within an event.

    Attributes
    ----------
    counts : (n,) int
        Leptons per event; the other columns have ``counts.sum()`` entries.
    pt, eta, phi : float, GeV, -, radians
    flavour, charge : int
        11 or 13; -1 or +1.
    track_iso, calo_iso : float, GeV
        Sum of pT of tracks (cone 0.3) and of calorimeter energy (cone 0.2; may be negative).
    d0, d0_error, z0, z0_error : float, cm
        Impact parameters with respect to the primary vertex.
    id_level : int
        0 fails all, 1 loose, 2 medium, 3 tight (nested).
    fired : bool
        Matched to a single-lepton trigger.
    prompt : bool
        Truth: comes from a boson.
    scale_error : float
        Relative uncertainty of the momentum scale.
    """

    counts: Ints
    pt: Floats
    eta: Floats
    phi: Floats
    flavour: Ints
    charge: Ints
    track_iso: Floats
    calo_iso: Floats
    d0: Floats
    d0_error: Floats
    z0: Floats
    z0_error: Floats
    id_level: Ints
    fired: Bools
    prompt: Bools
    scale_error: Floats


@dataclass(frozen=True, slots=True)
class Photons:
    """Reconstructed photons, highest pT first; columns as for :class:`Leptons`."""

    counts: Ints
    pt: Floats
    eta: Floats
    phi: Floats
    track_iso: Floats
    calo_iso: Floats
    id_level: Ints
    fired: Bools
    prompt: Bools
    electron_veto: Bools
    converted: Bools


@dataclass(frozen=True, slots=True)
class Jets:
    """Reconstructed jets, highest pT first; ``btag`` in 0..1, ``flavour`` 5 for b, else 0."""

    counts: Ints
    pt: Floats
    eta: Floats
    phi: Floats
    mass: Floats
    btag: Floats
    flavour: Ints


@dataclass(frozen=True, slots=True)
class RecoEvents:
    """Reconstructed events with their weights, ready for a file format.

    ``weight`` is the generator weight, ``sf_*`` multiply it (1 on average); ``met`` is in GeV.
    """

    leptons: Leptons
    photons: Photons
    jets: Jets
    met: Floats
    met_phi: Floats
    vertices: Ints
    trigger_e: Bools
    trigger_m: Bools
    trigger_p: Bools
    weight: Floats
    sf_pileup: Floats
    sf_electron: Floats
    sf_muon: Floats
    sf_photon: Floats
    sf_lepton_trigger: Floats
    sf_photon_trigger: Floats

    def __len__(self) -> int:
        return len(self.met)


Objects = TypeVar("Objects", Leptons, Photons, Jets)


def pick_objects(objects: Objects, event: Ints, index: Ints) -> Objects:
    """The objects at ``index``, in that order, with counts to match.

    Parameters
    ----------
    objects : Leptons, Photons or Jets
        ``counts`` gives the number of events; its content is not used.
    event : (m,) int
        Event of each object.
    index : (k,) int
        Objects to take; their events must not decrease.
    """
    counts = np.bincount(event[index], minlength=len(objects.counts)).astype(np.int64)
    columns = {
        item.name: getattr(objects, item.name)[index] for item in fields(objects) if item.name != "counts"
    }
    return replace(objects, counts=counts, **columns)


def select_objects(objects: Objects, mask: Bools) -> Objects:
    """The objects where ``mask`` (flat, one entry an object) is true, with counts to match."""
    event = np.repeat(np.arange(len(objects.counts)), objects.counts)
    return pick_objects(objects, event, np.flatnonzero(mask))


def take_truth(events: TruthEvents, index: Ints) -> TruthEvents:
    """The truth events at ``index``, in that order."""
    return TruthEvents(*(getattr(events, item.name)[index] for item in fields(events)))


def join_truth(parts: list[TruthEvents]) -> TruthEvents:
    """One event list out of several; slots are padded to the widest part."""
    joined = []
    for item in fields(TruthEvents):
        arrays = [getattr(part, item.name) for part in parts]
        if arrays[0].ndim > 1:
            width = max(array.shape[1] for array in arrays)
            arrays = [_pad(array, width) for array in arrays]
        joined.append(np.concatenate(arrays))
    return TruthEvents(*joined)


def _pad(array: NDArray[np.generic], width: int) -> NDArray[np.generic]:
    missing = [(0, 0)] * array.ndim
    missing[1] = (0, width - array.shape[1])
    return np.pad(array, missing)

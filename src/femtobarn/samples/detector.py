"""The detector: resolution, efficiency, isolation, impact parameters, identification, triggers, weights.

Numbers are of the size of those of ATLAS and CMS and are chosen so that each cut of a selection
removes something; a few of them (resolutions, efficiencies) are the truth of closure tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from femtobarn.samples.events import (
    Bools,
    Floats,
    Ints,
    Jets,
    Leptons,
    Photons,
    RecoEvents,
    TruthEvents,
    pick_objects,
)

__all__ = ["ATLAS", "CMS", "Detector", "photon_resolution", "reconstruct"]


@dataclass(frozen=True, slots=True)
class Detector:
    """Acceptance and resolution of an experiment.

    Attributes
    ----------
    electron_eta, muon_eta, photon_eta : float
        Largest |eta|.
    electron_pt, muon_pt, photon_pt : float, GeV
        Lowest reconstructed pT.
    electron_efficiency, muon_efficiency, photon_efficiency : float
        Of reconstruction, inside the acceptance.
    muon_resolution : (constant, slope)
        sigma(pT)/pT = constant + slope * pT[GeV].
    electron_resolution, photon_resolution : (stochastic, constant)
        sigma(E)/E = stochastic/sqrt(E[GeV]) (+) constant, added in quadrature.
    """

    electron_eta: float
    muon_eta: float
    photon_eta: float
    electron_pt: float = 5.0
    muon_pt: float = 4.0
    photon_pt: float = 15.0
    electron_efficiency: float = 0.93
    muon_efficiency: float = 0.97
    photon_efficiency: float = 0.95
    muon_resolution: tuple[float, float] = (0.014, 1.0e-4)
    electron_resolution: tuple[float, float] = (0.12, 0.010)
    photon_resolution: tuple[float, float] = (0.13, 0.012)


ATLAS: Final = Detector(electron_eta=2.47, muon_eta=2.5, photon_eta=2.5)
CMS: Final = Detector(electron_eta=2.5, muon_eta=2.4, photon_eta=2.5, muon_resolution=(0.012, 0.8e-4))

_ELECTRON_TRIGGER = (26.0, 0.93)  # pT threshold [GeV], plateau
_MUON_TRIGGER = (24.0, 0.82)
_PHOTON_TRIGGER = (35.0, 25.0, 0.98)
# Loose, medium, tight plateau of prompt and of other candidates.
_PROMPT_ID = np.array([0.985, 0.96, 0.86])
_OTHER_ID = np.array([0.75, 0.55, 0.30])
_PROMPT_PHOTON_ID = np.array([0.98, 0.95, 0.90])
_OTHER_PHOTON_ID = np.array([0.70, 0.40, 0.30])


def photon_resolution(detector: Detector, energy: Floats) -> Floats:
    """sigma(E)/E of photons of this energy [GeV]."""
    stochastic, constant = detector.photon_resolution
    return np.asarray(np.hypot(stochastic / np.sqrt(energy), constant))


def _kinematics(p4: Floats) -> tuple[Floats, Floats, Floats]:
    """pT, eta, phi of (m, 4) four-vectors; an empty slot must have been removed before."""
    pt = np.hypot(p4[:, 0], p4[:, 1])
    return pt, np.arcsinh(p4[:, 2] / pt), np.arctan2(p4[:, 1], p4[:, 0])


def _kept(event: Ints, pt: Floats, mask: Bools) -> Ints:
    """Positions of the objects in ``mask``, event by event, highest pT first."""
    order = np.lexsort((-pt, event))
    return np.asarray(order[mask[order]])


def _levels(rng: np.random.Generator, prompt: Bools, good: Floats, other: Floats) -> Ints:
    """Nested identification levels 0..3, one random number a candidate."""
    chance = np.where(prompt[:, None], good, other)
    levels = np.sum(rng.uniform(size=len(prompt))[:, None] < chance, axis=1)
    return np.asarray(levels, dtype=np.int64)


def _isolation(rng: np.random.Generator, pt: Floats, prompt: Bools) -> tuple[Floats, Floats]:
    """Track and calorimeter isolation [GeV]: pile-up around prompt candidates, a jet around others."""
    n = len(pt)
    track = np.where(rng.uniform(size=n) < 0.78, 0.0, 0.5 + rng.exponential(1.2, n))
    calo = rng.normal(0.2, 0.6, n)
    busy_track = pt * rng.exponential(0.30, n)
    busy_calo = pt * rng.exponential(0.16, n)
    return np.where(prompt, track, track + busy_track), np.where(prompt, calo, calo + busy_calo)


def _impact(rng: np.random.Generator, pt: Floats, prompt: Bools) -> tuple[Floats, Floats, Floats, Floats]:
    """d0, its error, z0, its error [cm]; non-prompt leptons fly 0.08 mm on average."""
    n = len(pt)
    d0_error = np.hypot(0.0012, 0.012 / pt) * np.exp(rng.normal(0.0, 0.1, n))
    z0_error = np.hypot(0.0040, 0.020 / pt) * np.exp(rng.normal(0.0, 0.1, n))
    flight = np.where(prompt, 0.0, rng.exponential(0.008, n))
    along = np.where(prompt, 0.0, rng.laplace(0.0, 0.010, n))
    sign = np.where(rng.uniform(size=n) < 0.5, -1.0, 1.0)
    d0 = sign * flight + d0_error * rng.normal(size=n)
    z0 = along + z0_error * rng.normal(size=n)
    return d0, d0_error, z0, z0_error


def _leptons(rng: np.random.Generator, truth: TruthEvents, detector: Detector) -> Leptons:
    n, slots = truth.present.shape
    chosen = truth.present.ravel()
    event = np.repeat(np.arange(n), slots)[chosen]
    p4 = truth.lepton.reshape(-1, 4)[chosen]
    flavour, charge = truth.flavour.ravel()[chosen], truth.charge.ravel()[chosen]
    prompt = truth.prompt.ravel()[chosen]
    true_pt, eta, phi = _kinematics(p4)
    electron = flavour == 11
    muon_sigma = detector.muon_resolution[0] + detector.muon_resolution[1] * true_pt
    stochastic, constant = detector.electron_resolution
    electron_sigma = np.hypot(stochastic / np.sqrt(true_pt * np.cosh(eta)), constant)
    sigma = np.where(electron, electron_sigma, np.minimum(muon_sigma, 0.2))
    pt = true_pt * np.maximum(1.0 + sigma * rng.normal(size=len(event)), 0.2)
    efficiency = np.where(electron, detector.electron_efficiency, detector.muon_efficiency)
    found = rng.uniform(size=len(event)) < efficiency
    inside = np.abs(eta) < np.where(electron, detector.electron_eta, detector.muon_eta)
    hard = pt > np.where(electron, detector.electron_pt, detector.muon_pt)
    d0, d0_error, z0, z0_error = _impact(rng, pt, prompt)
    track_iso, calo_iso = _isolation(rng, pt, prompt)
    threshold = np.where(electron, _ELECTRON_TRIGGER[0], _MUON_TRIGGER[0])
    plateau = np.where(electron, _ELECTRON_TRIGGER[1], _MUON_TRIGGER[1])
    fired = (pt > threshold) & (rng.uniform(size=len(event)) < plateau)
    seen = Leptons(
        counts=np.full(n, slots),
        pt=pt,
        eta=eta,
        phi=phi,
        flavour=flavour,
        charge=charge,
        track_iso=track_iso,
        calo_iso=calo_iso,
        d0=d0,
        d0_error=d0_error,
        z0=z0,
        z0_error=z0_error,
        id_level=_levels(rng, prompt, _PROMPT_ID, _OTHER_ID),
        fired=fired,
        prompt=prompt,
        scale_error=np.where(electron, 0.004, 0.002) * (1.0 + 0.5 * np.abs(eta)),
    )
    return pick_objects(seen, event, _kept(event, pt, found & inside & hard))


def _photons(rng: np.random.Generator, truth: TruthEvents, detector: Detector) -> Photons:
    n, slots = truth.photon_prompt.shape
    event = np.repeat(np.arange(n), slots)
    p4, prompt = truth.photon.reshape(-1, 4), truth.photon_prompt.ravel()
    true_pt, eta, phi = _kinematics(p4)
    sigma = photon_resolution(detector, p4[:, 3])
    pt = true_pt * (1.0 + sigma * rng.normal(size=len(event)))
    found = rng.uniform(size=len(event)) < detector.photon_efficiency
    track_iso, calo_iso = _isolation(rng, pt, prompt)
    id_level = _levels(rng, prompt, _PROMPT_PHOTON_ID, _OTHER_PHOTON_ID)
    seen = Photons(
        counts=np.full(n, slots),
        pt=pt,
        eta=eta,
        phi=phi,
        track_iso=track_iso,
        calo_iso=calo_iso,
        id_level=id_level,
        fired=(pt > _PHOTON_TRIGGER[1]) & (id_level > 0),
        prompt=prompt,
        electron_veto=rng.uniform(size=len(event)) < 0.99,
        converted=rng.uniform(size=len(event)) < 0.3,
    )
    inside = (np.abs(eta) < detector.photon_eta) & (pt > detector.photon_pt)
    return pick_objects(seen, event, _kept(event, pt, found & inside))


def _jets(rng: np.random.Generator, truth: TruthEvents) -> Jets:
    n, hard = truth.jet.shape[:2]
    # A slot without a parton (pseudo-data mixes processes) has no energy.
    filled = truth.jet[:, :, 3].ravel() > 0.0
    b_event = np.repeat(np.arange(n), hard)[filled]
    b_pt, b_eta, b_phi = _kinematics(truth.jet.reshape(-1, 4)[filled])
    extra = rng.poisson(0.8, n)
    event = np.concatenate([b_event, np.repeat(np.arange(n), extra)])
    m = len(event) - len(b_event)
    pt = np.concatenate([b_pt, 20.0 + rng.exponential(22.0, m)])
    pt = pt * np.maximum(1.0 + 0.12 * rng.normal(size=len(event)), 0.2)
    eta = np.concatenate([b_eta, np.clip(rng.normal(0.0, 2.0, m), -4.4, 4.4)])
    phi = np.concatenate([b_phi, rng.uniform(-np.pi, np.pi, m)])
    flavour = np.concatenate([np.full(len(b_event), 5), np.zeros(m, dtype=np.int64)])
    btag = np.where(flavour == 5, rng.beta(5.0, 1.5, len(event)), rng.beta(1.2, 6.0, len(event)))
    mass = pt * rng.uniform(0.06, 0.18, len(event))
    seen = Jets(np.zeros(n, dtype=np.int64), pt, eta, phi, mass, btag, flavour)
    return pick_objects(seen, event, _kept(event, pt, (pt > 20.0) & (np.abs(eta) < 4.5)))


def _any_fired(counts: Ints, fired: Bools) -> Bools:
    event = np.repeat(np.arange(len(counts)), counts)
    return np.bincount(event[fired], minlength=len(counts)) > 0


def _diphoton_trigger(rng: np.random.Generator, photons: Photons) -> Bools:
    """Two photons above the lower threshold, one of them above the upper."""
    n = len(photons.counts)
    event = np.repeat(np.arange(n), photons.counts)
    pairs = np.bincount(event[photons.fired], minlength=n) > 1
    leading = _any_fired(photons.counts, photons.fired & (photons.pt > _PHOTON_TRIGGER[0]))
    return np.asarray(pairs & leading & (rng.uniform(size=n) < _PHOTON_TRIGGER[2]))


def _scale_factor(rng: np.random.Generator, n: int, width: float) -> Floats:
    """Weights of mean one (cut symmetrically), so that they change no expected yield."""
    return 1.0 + np.clip(rng.normal(0.0, width, n), -3.0 * width, 3.0 * width)


def reconstruct(
    rng: np.random.Generator,
    truth: TruthEvents,
    detector: Detector,
    *,
    weight: float = 1.0,
    negative_share: float = 0.0,
) -> RecoEvents:
    """What the detector makes of truth events.

    Parameters
    ----------
    rng : numpy.random.Generator
    truth : TruthEvents
    detector : Detector
    weight : float
        Mean size of the generator weights; they spread by 5 % if it is not 1.
    negative_share : float
        Share of events with a negative generator weight, the same everywhere in phase space.
    """
    n = len(truth)
    leptons = _leptons(rng, truth, detector)
    photons = _photons(rng, truth, detector)
    jets = _jets(rng, truth)
    electron = leptons.flavour == 11
    met_x, met_y = (truth.invisible + rng.normal(0.0, 14.0, (n, 2))).T
    spread = _scale_factor(rng, n, 0.05) if weight != 1.0 else np.ones(n)
    sign = np.where(rng.uniform(size=n) < negative_share, -1.0, 1.0)
    return RecoEvents(
        leptons=leptons,
        photons=photons,
        jets=jets,
        met=np.hypot(met_x, met_y),
        met_phi=np.arctan2(met_y, met_x),
        vertices=1 + rng.poisson(20.0, n),
        trigger_e=_any_fired(leptons.counts, leptons.fired & electron),
        trigger_m=_any_fired(leptons.counts, leptons.fired & ~electron),
        trigger_p=_diphoton_trigger(rng, photons),
        weight=weight * spread * sign,
        sf_pileup=_scale_factor(rng, n, 0.10),
        sf_electron=_scale_factor(rng, n, 0.02),
        sf_muon=_scale_factor(rng, n, 0.01),
        sf_photon=_scale_factor(rng, n, 0.02),
        sf_lepton_trigger=_scale_factor(rng, n, 0.01),
        sf_photon_trigger=_scale_factor(rng, n, 0.01),
    )

"""The physics processes of the Higgs jobs: each function returns ``n`` truth events (GeV).

These are shapes, not predictions: masses, thresholds and topologies are right enough for every step
of an analysis to matter; cross-sections are set by the jobs.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from femtobarn.samples.decays import (
    Z_WIDTH,
    breit_wigner,
    higgs_to_zz_masses,
    produce,
    two_body,
    zz_masses,
)
from femtobarn.samples.events import Bools, Floats, Ints, TruthEvents
from femtobarn.units import ELECTRON_MASS, MUON_MASS, Z_MASS

__all__ = [
    "continuum_yy",
    "continuum_zz",
    "drell_yan",
    "higgs_to_four_leptons",
    "higgs_to_two_photons",
    "top_pairs",
]

_TOP_MASS: Final = 172.57  # Review of Particle Physics 2024, GeV
_W_MASS: Final = 80.369
_B_MASS: Final = 4.18
#: Share of events with one more, non-prompt lepton.
_EXTRA_LEPTON: Final = 0.03


def _lepton_mass(flavour: Ints) -> Floats:
    return np.where(flavour == 11, ELECTRON_MASS, MUON_MASS)


def _nonprompt(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Floats, Ints, Ints]:
    """Soft leptons from hadron decays or fakes: four-vectors, flavours, charges."""
    pt = 5.0 + rng.exponential(9.0, shape)
    eta = np.clip(rng.normal(0.0, 1.4, shape), -4.0, 4.0)
    phi = rng.uniform(-np.pi, np.pi, shape)
    flavour = np.where(rng.uniform(size=shape) < 0.6, 13, 11)
    charge = np.where(rng.uniform(size=shape) < 0.5, -1, 1)
    momentum = [pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)]
    energy = np.hypot(pt * np.cosh(eta), _lepton_mass(flavour))
    return np.stack([*momentum, energy], axis=-1), flavour, charge


def _assemble(
    rng: np.random.Generator,
    mass: Floats,
    prompt: list[tuple[Floats, Ints, int]],
    *,
    nonprompt: int = 0,
    jets: list[Floats] | None = None,
    invisible: Floats | None = None,
) -> TruthEvents:
    """Truth events out of prompt leptons (four-vector, flavour, charge) and soft non-prompt ones.

    One more non-prompt slot is filled in a few per cent of the events.
    """
    n, slots = len(mass), nonprompt + 1
    soft, soft_flavour, soft_charge = _nonprompt(rng, (n, slots))
    extra = rng.uniform(size=n) < _EXTRA_LEPTON
    soft[~extra, -1] = 0.0
    present = np.ones((n, len(prompt) + slots), dtype=bool)
    present[:, -1] = extra
    first = [np.stack([p4 for p4, _, _ in prompt], axis=1)] if prompt else []
    flavour = [np.stack([kind for _, kind, _ in prompt], axis=1)] if prompt else []
    charge = [np.tile([sign for _, _, sign in prompt], (n, 1))] if prompt else []
    from_boson = np.zeros(present.shape, dtype=bool)
    from_boson[:, : len(prompt)] = True
    return TruthEvents(
        mass=mass,
        lepton=np.concatenate([*first, soft], axis=1),
        flavour=np.concatenate([*flavour, soft_flavour], axis=1),
        charge=np.concatenate([*charge, soft_charge], axis=1),
        present=present,
        prompt=from_boson,
        photon=np.zeros((n, 0, 4)),
        photon_prompt=np.zeros((n, 0), dtype=bool),
        jet=np.stack(jets, axis=1) if jets else np.zeros((n, 0, 4)),
        invisible=np.zeros((n, 2)) if invisible is None else invisible,
        process=np.zeros(n, dtype=np.int64),
    )


def _two_pairs(rng: np.random.Generator, parent: Floats, mass: Floats, m1: Floats, m2: Floats) -> TruthEvents:
    """Decay ``parent -> Z1 Z2 -> 4 leptons``; half the events are 2e2mu, a quarter each 4e and 4mu."""
    n = len(mass)
    z1, z2 = two_body(rng, parent, mass, m1, m2)
    flavour1 = np.where(rng.uniform(size=n) < 0.5, 11, 13)
    flavour2 = np.where(rng.uniform(size=n) < 0.5, 11, 13)
    leptons = []
    for z, m, flavour in ((z1, m1, flavour1), (z2, m2, flavour2)):
        lepton_mass = _lepton_mass(flavour)
        minus, plus = two_body(rng, z, m, lepton_mass, lepton_mass)
        leptons += [(minus, flavour, -1), (plus, flavour, 1)]
    return _assemble(rng, mass, leptons)


def higgs_to_four_leptons(rng: np.random.Generator, n: int, *, mass: float = 125.0) -> TruthEvents:
    """``n`` events of gg -> H -> ZZ* -> 4l; the width (4 MeV) is neglected."""
    masses = np.full(n, mass)
    m1, m2 = higgs_to_zz_masses(rng, mass, n)
    return _two_pairs(rng, produce(rng, masses, pt_scale=60.0), masses, m1, m2)


def continuum_zz(rng: np.random.Generator, n: int) -> TruthEvents:
    """``n`` events of ZZ* -> 4l: the Z -> 4l peak at 91 GeV, a low continuum, and ZZ above 2 mZ."""
    which = rng.uniform(size=n)
    peak = breit_wigner(rng, n, Z_MASS, Z_WIDTH, low=70.0, high=110.0)
    # Falling linearly from 95 to 185 GeV, by half.
    low = 95.0 + 90.0 * (2.0 - np.sqrt(4.0 - 3.0 * rng.uniform(size=n)))
    high = 2 * Z_MASS - 2.0 + rng.gamma(1.2, 50.0, n)
    mass = np.where(which < 0.17, peak, np.where(which < 0.45, low, high))
    m1, m2 = zz_masses(rng, mass)
    return _two_pairs(rng, produce(rng, mass, pt_scale=40.0, y_width=1.2), mass, m1, m2)


def drell_yan(rng: np.random.Generator, n: int) -> TruthEvents:
    """``n`` events of Z -> ll with two non-prompt leptons from jets."""
    mass = breit_wigner(rng, n, Z_MASS, Z_WIDTH, low=60.0, high=120.0)
    flavour = np.where(rng.uniform(size=n) < 0.5, 11, 13)
    lepton_mass = _lepton_mass(flavour)
    parent = produce(rng, mass, pt_scale=35.0, y_width=1.3)
    minus, plus = two_body(rng, parent, mass, lepton_mass, lepton_mass)
    return _assemble(rng, mass, [(minus, flavour, -1), (plus, flavour, 1)], nonprompt=2)


def top_pairs(rng: np.random.Generator, n: int) -> TruthEvents:
    """``n`` events of tt -> bb l+l- nu nu with two non-prompt leptons from the b quarks' decays."""
    mass = 2 * _TOP_MASS + 1.0 + rng.gamma(1.5, 80.0, n)
    top_mass, w_mass, b_mass = np.full(n, _TOP_MASS), np.full(n, _W_MASS), np.full(n, _B_MASS)
    tops = two_body(rng, produce(rng, mass, pt_scale=50.0), mass, top_mass, top_mass)
    leptons: list[tuple[Floats, Ints, int]] = []
    jets: list[Floats] = []
    invisible = np.zeros((n, 2))
    for top, charge in zip(tops, (1, -1), strict=True):
        w, b = two_body(rng, top, top_mass, w_mass, b_mass)
        flavour = np.where(rng.uniform(size=n) < 0.5, 11, 13)
        lepton, neutrino = two_body(rng, w, w_mass, _lepton_mass(flavour), np.zeros(n))
        leptons.append((lepton, flavour, charge))
        jets.append(b)
        invisible += neutrino[:, :2]
    return _assemble(rng, mass, leptons, nonprompt=2, jets=jets, invisible=invisible)


def _with_photons(events: TruthEvents, photon: Floats, prompt: Bools) -> TruthEvents:
    return TruthEvents(
        mass=events.mass,
        lepton=events.lepton,
        flavour=events.flavour,
        charge=events.charge,
        present=events.present,
        prompt=events.prompt,
        photon=photon,
        photon_prompt=prompt,
        jet=events.jet,
        invisible=events.invisible,
        process=events.process,
    )


def _diphoton(rng: np.random.Generator, mass: Floats, pt_scale: float, fake_share: float) -> TruthEvents:
    n = len(mass)
    massless = np.zeros(n)
    pair = two_body(rng, produce(rng, mass, pt_scale=pt_scale), mass, massless, massless)
    prompt = np.ones((n, 2), dtype=bool)
    prompt[:, 1] = rng.uniform(size=n) >= fake_share
    return _with_photons(_assemble(rng, mass, []), np.stack(pair, axis=1), prompt)


def higgs_to_two_photons(rng: np.random.Generator, n: int, *, mass: float = 125.0) -> TruthEvents:
    """``n`` events of gg -> H -> yy."""
    return _diphoton(rng, np.full(n, mass), pt_scale=60.0, fake_share=0.0)


def continuum_yy(rng: np.random.Generator, n: int) -> TruthEvents:
    """``n`` diphoton events with a falling mass, 90 to 250 GeV; in 30 % a jet fakes one photon."""
    low, slope, span = 90.0, 38.0, 160.0
    mass = low - slope * np.log1p(rng.uniform(size=n) * np.expm1(-span / slope))
    return _diphoton(rng, mass, pt_scale=30.0, fake_share=0.3)

"""Partons, leptons and generated particles of top and W events, in fixed slots (GeV, radians).

Shapes, not predictions: masses, thresholds, multiplicities and angles are right enough for every step of
the one-lepton analysis to matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from femtobarn.samples.decays import breit_wigner, produce, two_body
from femtobarn.samples.events import Bools, Floats, Ints

__all__ = ["HardEvents", "Shape", "single_top", "top_pairs", "w_jets"]

_TOP_MASS: Final = 172.57  # Review of Particle Physics 2024, GeV
_TOP_WIDTH: Final = 1.42
_W_MASS: Final = 80.369
_W_WIDTH: Final = 2.085
_B_MASS: Final = 4.18
#: Status flags of generated particles: from the hard process, and the last copy (bits of NanoAOD).
_HARD, _LAST = 1 << 8, 1 << 13


@dataclass(frozen=True, slots=True)
class Shape:
    """What an alternative sample changes: spectrum of the system, extra jets, their hardness."""

    pt_scale: float = 60.0
    extra_jets: float = 1.4
    extra_pt: float = 28.0
    top_pt: float = 1.0


@dataclass(frozen=True, slots=True)
class HardEvents:
    """Events before the detector; slots that are not ``present`` hold nothing.

    Attributes
    ----------
    parton : (n, s, 4) float, GeV
        Four-vectors (px, py, pz, E) of quarks and gluons that become jets.
    parton_flavour : (n, s) int
        PDG numbers.
    parton_present : (n, s) bool
    lepton : (n, k, 4), lepton_flavour (n, k) int (signed PDG), lepton_present (n, k)
        Prompt electrons and muons.
    particle : (n, g, 4), particle_pdg, particle_mother, particle_flags (n, g) int
        Generated particles; the mother is a position in the same list or -1; pdg 0 is no particle.
    """

    parton: Floats
    parton_flavour: Ints
    parton_present: Bools
    lepton: Floats
    lepton_flavour: Ints
    lepton_present: Bools
    particle: Floats
    particle_pdg: Ints
    particle_mother: Ints
    particle_flags: Ints


class _Book:
    """Collects slots."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.partons: list[tuple[Floats, Ints, Bools]] = []
        self.leptons: list[tuple[Floats, Ints, Bools]] = []
        self.particles: list[tuple[Floats, Ints, int, int]] = []

    def particle(self, p4: Floats, pdg: Ints | int, mother: int = -1, *, last: bool = True) -> int:
        """List a generated particle; its position."""
        flags = _HARD | (_LAST if last else 0)
        self.particles.append((p4, np.broadcast_to(np.asarray(pdg, np.int64), (self.n,)), mother, flags))
        return len(self.particles) - 1

    def parton(self, p4: Floats, pdg: Ints | int, present: Bools | None = None) -> None:
        """A quark or gluon that becomes a jet."""
        kept = np.ones(self.n, dtype=np.bool_) if present is None else present
        self.partons.append((p4, np.broadcast_to(np.asarray(pdg, np.int64), (self.n,)), kept))

    def events(self) -> HardEvents:
        """Everything in arrays."""

        def stack(rows: list[tuple[Floats, Ints, Bools]]) -> tuple[Floats, Ints, Bools]:
            return (
                np.stack([row[0] for row in rows], axis=1),
                np.stack([row[1] for row in rows], axis=1),
                np.stack([row[2] for row in rows], axis=1),
            )

        g = len(self.particles)
        return HardEvents(
            *stack(self.partons),
            *stack(self.leptons),
            np.stack([row[0] for row in self.particles], axis=1),
            np.stack([row[1] for row in self.particles], axis=1),
            np.broadcast_to(np.array([row[2] for row in self.particles]), (self.n, g)),
            np.broadcast_to(np.array([row[3] for row in self.particles]), (self.n, g)),
        )


def _decay_w(rng: np.random.Generator, book: _Book, w: Floats, mass: Floats, sign: int, mother: int) -> None:
    """W -> two quarks (6 in 9), or e, mu, tau (1 in 9 each); taus are lost."""
    n = len(mass)
    first, second = two_body(rng, w, mass, np.full(n, 0.3), np.full(n, 0.1))
    choice = rng.integers(0, 9, n)
    hadronic = choice < 6
    charmed = rng.uniform(size=n) < 0.5
    up, down = np.where(charmed, 4, 2), np.where(charmed, 3, 1)
    kind = np.select([choice == 6, choice == 7], [11, 13], 15)
    book.particle(first, np.where(hadronic, sign * up, -sign * kind), mother)
    book.particle(second, np.where(hadronic, -sign * down, sign * (kind + 1)), mother)
    book.parton(first, sign * up, hadronic)
    book.parton(second, -sign * down, hadronic)
    book.leptons.append((first, -sign * kind, ~hadronic & (kind < 15)))


def _decay_top(rng: np.random.Generator, book: _Book, top: Floats, mass: Floats, sign: int) -> None:
    """T -> b W, listed with a first and a last copy as generators do."""
    n = len(mass)
    early = book.particle(top, 6 * sign, last=False)
    late = book.particle(top, 6 * sign, early)
    w_mass = breit_wigner(rng, n, _W_MASS, _W_WIDTH, low=60.0, high=100.0)
    w, b = two_body(rng, top, mass, w_mass, np.full(n, _B_MASS))
    mother = book.particle(w, 24 * sign, late)
    book.particle(b, 5 * sign, late)
    book.parton(b, 5 * sign)
    _decay_w(rng, book, w, w_mass, sign, mother)


def _radiation(
    rng: np.random.Generator, book: _Book, shape: Shape, *, at_least: int = 0, slots: int = 7
) -> None:
    """Additional jets with a falling spectrum; three in a hundred are b quarks, eight charm."""
    count = at_least + rng.poisson(shape.extra_jets, book.n)
    for i in range(slots):
        pt = 12.0 + rng.exponential(shape.extra_pt, book.n)
        eta = np.clip(rng.normal(0.0, 1.8, book.n), -4.5, 4.5)
        phi = rng.uniform(-np.pi, np.pi, book.n)
        draw = rng.uniform(size=book.n)
        flavour = np.where(draw < 0.03, 5, np.where(draw < 0.11, 4, np.where(draw < 0.5, 1, 21)))
        p4 = np.column_stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta)])
        book.parton(p4, flavour, count > i)


def _slowed(top: Floats, mass: Floats, factor: float) -> Floats:
    """The same tops with another transverse momentum scale."""
    out = top.copy()
    out[:, :2] *= factor
    out[:, 3] = np.sqrt(mass**2 + np.sum(out[:, :3] ** 2, axis=1))
    return out


def top_pairs(rng: np.random.Generator, n: int, shape: Shape) -> HardEvents:
    """``n`` events of top pairs with all their decays."""
    book = _Book(n)
    m1, m2 = (breit_wigner(rng, n, _TOP_MASS, _TOP_WIDTH, low=160.0, high=185.0) for _ in range(2))
    system = m1 + m2 + 8.0 + rng.gamma(1.6, 75.0, n)
    tops = two_body(rng, produce(rng, system, pt_scale=shape.pt_scale), system, m1, m2)
    for top, mass, sign in zip(tops, (m1, m2), (1, -1), strict=True):
        _decay_top(rng, book, _slowed(top, mass, shape.top_pt), mass, sign)
    _radiation(rng, book, shape)
    return book.events()


def single_top(rng: np.random.Generator, n: int, shape: Shape, *, channel: str) -> HardEvents:
    """``n`` events with one top quark: ``t`` (with a forward quark), ``s`` (with a b) or ``tW``."""
    book = _Book(n)
    mass = breit_wigner(rng, n, _TOP_MASS, _TOP_WIDTH, low=160.0, high=185.0)
    other = (
        breit_wigner(rng, n, _W_MASS, _W_WIDTH, low=60.0, high=100.0)
        if channel == "tW"
        else np.full(n, _B_MASS)
    )
    system = mass + other + 10.0 + rng.gamma(1.5, 80.0, n)
    top, partner = two_body(rng, produce(rng, system, pt_scale=shape.pt_scale), system, mass, other)
    _decay_top(rng, book, top, mass, 1)
    if channel == "tW":
        _decay_w(rng, book, partner, other, -1, book.particle(partner, -24))
    else:
        book.particle(partner, -5 if channel == "s" else 1)
        book.parton(partner, -5 if channel == "s" else 1)
    _radiation(rng, book, shape)
    return book.events()


def w_jets(rng: np.random.Generator, n: int, shape: Shape) -> HardEvents:
    """``n`` events of a W boson with at least three jets."""
    book = _Book(n)
    mass = breit_wigner(rng, n, _W_MASS, _W_WIDTH, low=60.0, high=100.0)
    w = produce(rng, mass, pt_scale=1.5 * shape.pt_scale)
    _decay_w(rng, book, w, mass, 1, book.particle(w, 24))
    _radiation(rng, book, shape, at_least=3)
    return book.events()

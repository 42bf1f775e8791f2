"""Decay kinematics: four-vectors are (..., 4) arrays of (px, py, pz, E) in GeV."""

from __future__ import annotations

from typing import Final

import numpy as np

from femtobarn.samples.events import Floats, Ints
from femtobarn.units import Z_MASS

__all__ = [
    "Z_WIDTH",
    "boost",
    "breit_wigner",
    "higgs_to_zz_masses",
    "momentum_in_decay",
    "produce",
    "two_body",
    "zz_masses",
]

#: GeV; Review of Particle Physics 2024.
Z_WIDTH: Final = 2.4955
#: GeV; lowest dilepton mass generated, above the J/psi.
_LOWEST_PAIR: Final = 4.0


def momentum_in_decay(mass: Floats, m1: Floats, m2: Floats) -> Floats:
    """Momentum [GeV] of either product in the rest frame of ``mass -> m1 m2`` (Källén function)."""
    product = (mass**2 - (m1 + m2) ** 2) * (mass**2 - (m1 - m2) ** 2)
    return np.asarray(np.sqrt(np.maximum(product, 0.0)) / (2.0 * mass))


def boost(p4: Floats, parent: Floats, mass: Floats) -> Floats:
    """``p4`` of the parent's rest frame seen where the parent has four-momentum ``parent``.

    Parameters
    ----------
    p4, parent : (n, 4) float, GeV
    mass : (n,) float, GeV
        The parent's mass; given, because E^2 - p^2 of a fast parent has lost its digits.
    """
    along = np.sum(p4[:, :3] * parent[:, :3], axis=1)
    energy = (parent[:, 3] * p4[:, 3] + along) / mass
    factor = along / (mass * (mass + parent[:, 3])) + p4[:, 3] / mass
    return np.column_stack([p4[:, :3] + factor[:, None] * parent[:, :3], energy])


def two_body(
    rng: np.random.Generator, parent: Floats, mass: Floats, m1: Floats, m2: Floats
) -> tuple[Floats, Floats]:
    """Decay each parent isotropically into two bodies.

    Parameters
    ----------
    rng : numpy.random.Generator
    parent : (n, 4) float, GeV
    mass, m1, m2 : (n,) float, GeV
        Masses of the parent and its two products, ``m1 + m2 <= mass``.

    Returns
    -------
    (n, 4), (n, 4) float, GeV
        The products in the frame of ``parent``.
    """
    n = len(mass)
    cosine = rng.uniform(-1.0, 1.0, n)
    angle = rng.uniform(-np.pi, np.pi, n)
    p = momentum_in_decay(mass, m1, m2)
    across = p * np.sqrt(1.0 - cosine**2)
    momentum = np.column_stack([across * np.cos(angle), across * np.sin(angle), p * cosine])
    first = np.column_stack([momentum, np.hypot(p, m1)])
    second = np.column_stack([-momentum, np.hypot(p, m2)])
    return boost(first, parent, mass), boost(second, parent, mass)


def breit_wigner(
    rng: np.random.Generator, n: int, mass: float, width: float, *, low: Floats | float, high: Floats | float
) -> Floats:
    """Masses [GeV] from a (non-relativistic) Breit-Wigner cut to ``low``..``high`` (numbers or (n,))."""
    start = np.arctan((np.asarray(low) - mass) / (0.5 * width))
    stop = np.arctan((np.asarray(high) - mass) / (0.5 * width))
    return np.asarray(mass + 0.5 * width * np.tan(start + (stop - start) * rng.uniform(size=n)))


def produce(rng: np.random.Generator, mass: Floats, *, pt_scale: float, y_width: float = 1.1) -> Floats:
    """Four-momenta of systems made in proton collisions.

    The pT spectrum is pT / (1 + pT^2/s^2)^2.5: a peak near ``pt_scale``/2 and a power-law tail.
    The rapidity is Gaussian with ``y_width``, cut at 3.

    Returns
    -------
    (n, 4) float, GeV
    """
    n = len(mass)
    pt = pt_scale * np.sqrt((1.0 - rng.uniform(size=n)) ** (-2.0 / 3.0) - 1.0)
    pt = np.minimum(pt, 1000.0)
    y = np.clip(rng.normal(0.0, y_width, n), -3.0, 3.0)
    phi = rng.uniform(-np.pi, np.pi, n)
    transverse = np.hypot(mass, pt)
    return np.column_stack(
        [pt * np.cos(phi), pt * np.sin(phi), transverse * np.sinh(y), transverse * np.cosh(y)]
    )


def higgs_to_zz_masses(rng: np.random.Generator, mass: float, n: int) -> tuple[Floats, Floats]:
    """Masses of the two Z of H -> ZZ*, larger first [GeV].

    The density is the tree-level one, BW(m1) BW(m2) sqrt(L) (L + 12 m1^2 m2^2 / mH^4) with L the
    Källén function over mH^4 (A. Djouadi, Phys. Rept. 457 (2008) 1, eq. 2.30), tabulated in cells
    of about 0.25 GeV.  One table serves because the Higgs boson is narrow.
    """
    steps = max(int((mass - 2 * _LOWEST_PAIR) / 0.25), 50)
    edges = np.linspace(_LOWEST_PAIR, mass - _LOWEST_PAIR, steps + 1)
    centre = 0.5 * (edges[1:] + edges[:-1])
    first, second = np.meshgrid(centre, centre, indexing="ij")
    # A cell is used only if its far corner is allowed, so a point inside it always is.
    allowed = (edges[1:, None] + edges[None, 1:] < mass) & (first >= second)
    x1, x2 = (first / mass) ** 2, (second / mass) ** 2
    kallen = np.where(allowed, (1.0 - x1 - x2) ** 2 - 4.0 * x1 * x2, 0.0)
    line = centre**3 / ((centre**2 - Z_MASS**2) ** 2 + (Z_MASS * Z_WIDTH) ** 2)
    density = line[:, None] * line[None, :] * np.sqrt(np.maximum(kallen, 0.0)) * (kallen + 12.0 * x1 * x2)
    total = np.cumsum(np.where(allowed, density, 0.0).ravel())
    cell = np.searchsorted(total, rng.uniform(0.0, total[-1], n), side="right")
    i, j = np.divmod(cell, steps)
    width = edges[1] - edges[0]
    m1, m2 = edges[i] + width * rng.uniform(size=n), edges[j] + width * rng.uniform(size=n)
    return np.maximum(m1, m2), np.minimum(m1, m2)


def zz_masses(rng: np.random.Generator, mass: Floats) -> tuple[Floats, Floats]:
    """Masses of the two pairs of continuum ZZ*, given the four-lepton masses [GeV].

    Above two Z masses both pairs are Z bosons; below, the lighter one is a virtual photon or Z* with
    density 1/m.  Points are kept with a probability of the phase-space momentum, else drawn again.
    """
    n = len(mass)
    m1, m2 = np.empty(n), np.empty(n)
    left: Ints = np.arange(n)
    while len(left):
        m = mass[left]
        light = breit_wigner(
            rng, len(left), Z_MASS, Z_WIDTH, low=_LOWEST_PAIR, high=np.minimum(m - 20.0, 115.0)
        )
        virtual = _LOWEST_PAIR * (np.minimum(m - 20.0, 80.0) / _LOWEST_PAIR) ** rng.uniform(size=len(left))
        light = np.where(
            (m > 2 * Z_MASS - 2 * Z_WIDTH) & (rng.uniform(size=len(left)) < 0.95), light, virtual
        )
        heavy = breit_wigner(rng, len(left), Z_MASS, Z_WIDTH, low=12.0, high=np.minimum(m - light, 115.0))
        chance = 2.0 * momentum_in_decay(m, heavy, light) / m
        kept = rng.uniform(size=len(left)) < chance
        m1[left[kept]], m2[left[kept]] = heavy[kept], light[kept]
        left = left[~kept]
    return np.maximum(m1, m2), np.minimum(m1, m2)

"""Momenta are those of the C library to the last bit, whatever the processor."""

from __future__ import annotations

import math

import numpy as np

from femtobarn.kernels.momenta import cartesian, mass_from_energy


def test_momenta_and_masses_are_those_of_plain_python():
    rng = np.random.default_rng(7)
    pt, eta = rng.exponential(60.0, 3000), rng.uniform(-5.0, 5.0, 3000)
    phi, mass = rng.uniform(-math.pi, math.pi, 3000), rng.exponential(5.0, 3000)
    found = cartesian(pt, eta, phi, mass)
    expected, masses = [], []
    for p, y, f, m, e in zip(*(a.tolist() for a in (pt, eta, phi, mass, found[:, 3])), strict=True):
        total = p * math.cosh(y)
        expected.append(
            (p * math.cos(f), p * math.sin(f), p * math.sinh(y), math.sqrt(total * total + m * m))
        )
        masses.append(math.sqrt(max(e * e - total * total, 0.0)))
    assert found.tolist() == [list(item) for item in expected]
    assert mass_from_energy(pt, eta, found[:, 3].copy()).tolist() == masses


def test_a_mass_is_never_made_of_what_is_no_number():
    found = mass_from_energy(np.array([10.0, np.nan, 10.0]), np.zeros(3), np.array([1.0, 20.0, np.inf]))
    assert found[0] == 0.0
    assert np.isnan(found[1])
    assert np.isinf(found[2])

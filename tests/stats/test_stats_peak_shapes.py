from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, special

from femtobarn.stats.shapes.basic import Cells, probabilities
from femtobarn.stats.shapes.peaks import CmsShape, Voigt, chebyshev_basis

EDGES = np.linspace(50.0, 130.0, 81)
SHAPES = [
    (Voigt(), [91.2, 2.0, 2.5]),
    (Voigt(), [91.2, 0.4, 2.5]),
    (CmsShape(), [60.0, 0.05, 0.03]),
    (CmsShape(), [75.0, 0.3, 0.08]),
    (CmsShape(), [60.0, 0.02, 0.0]),
]


@pytest.mark.parametrize(("shape", "p"), SHAPES)
def test_bins_are_integrals_of_the_density(shape, p):
    p = np.array(p)
    bins, _ = probabilities(shape, Cells.bins(EDGES), p)

    def density(x):
        return shape.density(np.array([x]), p)[0][0]

    norm = sum(
        integrate.quad(density, a, a + 10, epsabs=1e-13, epsrel=1e-12)[0]
        for a in np.arange(50.0, 130.0, 10.0)
    )
    assert bins.sum() == pytest.approx(1.0, abs=1e-12)
    for k in (0, 20, 40, 41, 79):
        want = integrate.quad(density, EDGES[k], EDGES[k + 1], epsabs=1e-14, epsrel=1e-13)[0]
        assert bins[k] == pytest.approx(want / norm, rel=1e-10)


@pytest.mark.parametrize(("shape", "p"), SHAPES)
@pytest.mark.parametrize("cells", [Cells.bins(EDGES), Cells.events([55.0, 88.0, 91.3, 120.0], 50.0, 130.0)])
def test_gradients_agree_with_differences(shape, p, cells):
    p = np.array(p)
    _, gradient = probabilities(shape, cells, p)
    for k in range(p.size):
        up, down = p.copy(), p.copy()
        up[k] += 1e-5
        down[k] -= 1e-5
        numeric = (probabilities(shape, cells, up)[0] - probabilities(shape, cells, down)[0]) / 2e-5
        assert gradient[k] == pytest.approx(numeric, rel=1e-5, abs=1e-7)


def test_voigt_is_the_known_profile_and_wide_bins_are_cut():
    x = np.array([85.0, 91.2, 97.0])
    assert Voigt().density(x, np.array([91.2, 2.0, 2.5]))[0] == pytest.approx(
        special.voigt_profile(x - 91.2, 2.0, 1.25)
    )
    wide, _ = probabilities(Voigt(), Cells.bins([50.0, 91.2, 130.0]), np.array([91.2, 0.4, 2.5]))
    fine, _ = probabilities(Voigt(), Cells.bins(np.linspace(50.0, 132.4, 401)), np.array([91.2, 0.4, 2.5]))
    assert wide[0] / wide[1] == pytest.approx(fine[:200].sum() / fine[200 : 200 + 188].sum(), rel=0.05)
    assert wide.sum() == pytest.approx(1.0)


def test_chebyshev_rows_are_exact():
    basis = chebyshev_basis(Cells.bins(EDGES), 3)
    assert basis[0] == pytest.approx(np.full(80, 1 / 80))
    assert basis[1].sum() == pytest.approx(0.0, abs=1e-14)
    assert basis[2].sum() == pytest.approx(-1 / 3)  # mean of 2u^2 - 1 over -1..1
    points = chebyshev_basis(Cells.events([90.0, 110.0], 50.0, 130.0), 2)
    assert points[:, 0] == pytest.approx([1 / 80, 0.0, -1 / 80])
    assert points[:, 1] == pytest.approx([1 / 80, 0.5 / 80, -0.5 / 80])

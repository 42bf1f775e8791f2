from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, special

from femtobarn.kernels.peaks import cms_integral, double_crystal_ball_integral, voigt_integral

X = np.linspace(50.0, 130.0, 81)
RULE = (1, *np.polynomial.legendre.leggauss(9))
CASES = [
    (double_crystal_ball_integral, (), [91.0, 2.2, 1.3, 2.5, 1.7, 4.0]),
    (double_crystal_ball_integral, (), [91.0, 2.2, 1.3, 1.0, 1.7, 0.7]),
    (cms_integral, RULE, [62.0, 0.06, 0.03]),
    (voigt_integral, RULE, [91.2, 1.8, 2.5]),
]


@pytest.mark.parametrize(("kernel", "rule", "p"), CASES)
def test_derivatives_are_those_of_the_values(kernel, rule, p):
    p = np.array(p)
    values, slopes = kernel(X, p[:, None], *rule)
    for i in range(p.size):
        h = 1e-6 * max(1.0, abs(p[i]))
        batch = np.stack([p, p], axis=1)
        batch[i] += [h, -h]
        moved, _ = kernel(X, batch, *rule)
        # Integrals are known up to a constant: differences between edges count.
        want = np.diff((moved[0] - moved[1]) / (2 * h))
        assert np.diff(slopes[i, 0]) == pytest.approx(want, rel=1e-5, abs=1e-7)
    assert values.shape == (1, X.size)


def test_a_batch_is_its_points_one_by_one():
    points = np.array([[91.0, 2.2, 1.3, 2.5, 1.7, 4.0], [90.0, 3.0, 0.8, 1.2, 2.0, 9.0]]).T
    values, slopes = double_crystal_ball_integral(X, points)
    for j in (0, 1):
        one, slope = double_crystal_ball_integral(X, points[:, j : j + 1])
        assert np.array_equal(values[j], one[0])
        assert np.array_equal(slopes[:, j], slope[:, 0])


def test_voigt_is_scipys_integral():
    values, _ = voigt_integral(X, np.array([[91.2], [1.8], [2.5]]), *RULE)
    for k in (20, 40, 41, 60):
        want = integrate.quad(
            lambda x: special.voigt_profile(x - 91.2, 1.8, 1.25), X[k], X[k + 1], epsabs=1e-15, epsrel=1e-13
        )[0]
        assert np.diff(values[0])[k] == pytest.approx(want, rel=1e-9)

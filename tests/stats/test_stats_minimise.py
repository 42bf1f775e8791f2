from __future__ import annotations

import numpy as np
import pytest

from femtobarn.stats.minimise import crossing, minimise


def rosenbrock(x):
    a, b = x
    value = 100.0 * (b - a**2) ** 2 + (1.0 - a) ** 2
    gradient = np.array([-400.0 * a * (b - a**2) - 2.0 * (1.0 - a), 200.0 * (b - a**2)])
    hessian = np.array([[1200.0 * a**2 - 400.0 * b + 2.0, -400.0 * a], [-400.0 * a, 200.0]])
    return value, gradient, hessian


def test_a_curved_valley_is_followed_to_its_end():
    result = minimise(rosenbrock, [-1.2, 1.0], [-5, -5], [5, 5])
    assert result.status == "ok"
    assert result.x == pytest.approx([1.0, 1.0], abs=1e-6)


def test_the_minimum_on_a_wall_is_found_and_named():
    result = minimise(rosenbrock, [-1.2, 1.0], [-5, -5], [0.5, 5])
    assert result.status == "ok"
    assert result.x == pytest.approx([0.5, 0.25], abs=1e-7)
    assert result.active.tolist() == [True, False]


def test_equal_bounds_fix_a_parameter():
    result = minimise(rosenbrock, [0.0, 0.0], [0.3, -5], [0.3, 5])
    assert result.x == pytest.approx([0.3, 0.09], abs=1e-9)


def test_nothing_floating_is_a_valid_fit():
    result = minimise(rosenbrock, [0.0, 0.0], [0.0, 0.0], [0.0, 0.0])
    assert result.status == "ok"
    assert result.value == 1.0


def test_a_flat_direction_fails_with_the_reason():
    def flat(x):
        return x[0] ** 2, np.array([2 * x[0], 0.0]), np.diag([2.0, 0.0])

    result = minimise(flat, [1.0, 1.0], [-5, -5], [5, 5])
    assert result.status == "failed"
    assert "positive definite" in result.message


def test_crossing_of_a_correlated_parabola_is_its_error():
    covariance = np.array([[2.0, 1.2], [1.2, 1.0]])
    curvature = np.linalg.inv(covariance)

    def parabola(x):
        return float(x @ curvature @ x), 2.0 * curvature @ x, 2.0 * curvature

    wide = np.array([10.0, 10.0])
    best = minimise(parabola, [3.0, 3.0], -wide, wide)
    up = crossing(parabola, best, 0, 1, lower=-wide, upper=wide)
    assert up.value == pytest.approx(np.sqrt(2.0), abs=1e-5)
    two = crossing(parabola, best, 0, -1, lower=-wide, upper=wide, level=4.0)
    assert two.value == pytest.approx(-2.0 * np.sqrt(2.0), abs=1e-5)
    walled = crossing(parabola, best, 0, 1, lower=-wide, upper=np.array([1.0, 10.0]))
    assert walled.value is None
    assert walled.reason == "hits_bound"


class Corner:
    """|x| with different slopes at 0 plus a bowl around (c, 0): the first parameter may end on its corner."""

    corners = (0,)

    def __init__(self, centre, left, right):
        self.centre, self.left, self.right = centre, left, right

    def __call__(self, x):
        slope = self.right if x[0] >= 0.0 else self.left
        value = slope * x[0] + (x[0] - self.centre) ** 2 + (x[1] - x[0]) ** 2
        gradient = np.array(
            [slope + 2 * (x[0] - self.centre) - 2 * (x[1] - x[0]), 2 * (x[1] - x[0])],
        )
        return value, gradient, np.array([[4.0, -2.0], [-2.0, 2.0]])


@pytest.mark.parametrize(
    ("centre", "left", "right", "want"),
    [(0.3, -1.0, 1.0, 0.0), (2.0, -1.0, 1.0, 1.5), (-2.0, -1.0, 1.0, -1.5), (0.5, 0.0, 0.4, 0.3)],
)
@pytest.mark.parametrize("start", [-1.0, 0.0, 1.0])
def test_corners_are_crossed_or_kept(centre, left, right, want, start):
    result = minimise(Corner(centre, left, right), [start, 0.0], [-5, -5], [5, 5])
    assert result.status == "ok"
    assert result.x == pytest.approx([want, want], abs=1e-7)
    assert not result.active.any()

"""What lies under a peak is taken off, with its uncertainty."""

from __future__ import annotations

import numpy as np
import pytest

from femtobarn.stats.passfail.sideband import subtract_sidebands

EDGES = np.linspace(50, 130, 81)
CENTRES = 0.5 * (EDGES[1:] + EDGES[:-1])


def test_a_straight_background_vanishes():
    background = 100 - 0.5 * (CENTRES - 91)
    peak = np.where(np.abs(CENTRES - 91) < 5, 300.0, 0.0)
    signal, variance = subtract_sidebands(
        EDGES, np.stack([background, background + peak]), np.stack([background, background + peak]),
        (81, 101), ((61, 71), (111, 121)),
    )  # fmt: skip
    assert signal == pytest.approx([0.0, 3000.0], abs=1e-9)
    inside = np.abs(CENTRES - 91) < 10
    assert variance[0] == pytest.approx(background[inside].sum() + 2000.0)


def test_pulls_have_unit_width():
    rng = np.random.default_rng(4)
    expected = 20 + np.where(np.abs(CENTRES - 91) < 5, 40.0, 0.0)
    toys = rng.poisson(expected, (400, 80)).astype(float)
    signal, variance = subtract_sidebands(EDGES, toys, toys, (81, 101), ((61, 71), (111, 121)))
    pulls = (signal - 400) / np.sqrt(variance)
    assert abs(pulls.mean()) < 0.15
    assert 0.9 < pulls.std() < 1.1


@pytest.mark.parametrize(
    ("peak", "sides"), [((81, 101), ((95, 110),)), ((81, 101), ((200, 210),)), ((91, 91), ((60, 70),))]
)
def test_windows_must_hold_bins_and_lie_apart(peak, sides):
    with pytest.raises(ValueError, match="bins"):
        subtract_sidebands(EDGES, CENTRES, CENTRES, peak, sides)

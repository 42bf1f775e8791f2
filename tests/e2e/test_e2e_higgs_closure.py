"""The truth that was generated comes back, within errors of the right size (200 toys are in bench/)."""

from __future__ import annotations

import numpy as np
import pytest

from femtobarn.api.closure import closure, pull


@pytest.mark.parametrize("mu", [1.0, 2.0])
def test_h4l_signal_strength(mu: float) -> None:
    toys = closure("h4l", release="atlas-2020", seeds=range(30), mu=mu)
    pulls = np.array([pull(toy.fit["results"]["shape"]["mu"], mu) for toy in toys], dtype=float)
    # 30 toys: the mean of a unit pull scatters by 0.18, its width by 0.13; limits at three of these.
    assert abs(pulls.mean()) < 0.55
    assert abs(pulls.std(ddof=1) - 1) < 0.40


def test_hyy_signal_strength_and_mass() -> None:
    toys = closure("hyy", release="atlas-2020", seeds=range(12))
    for name, truth in (("mu", 1.0), ("m_h", 125.0)):
        pulls = np.array([pull(toy.fit["results"]["binned"][name], truth) for toy in toys], dtype=float)
        assert np.isfinite(pulls).all()
        assert abs(pulls.mean()) < 0.87  # three times 1/sqrt(12)
        assert 0.4 < pulls.std(ddof=1) < 1.65

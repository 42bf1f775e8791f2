"""Sine, cosine and hyperbolic sine against numpy's."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from femtobarn.kernels.trigonometry import sincos, sinh_of


@given(st.floats(allow_nan=False, allow_infinity=False, width=64))
def test_sine_and_cosine(x: float) -> None:
    sine, cosine = sincos(x)
    np.testing.assert_allclose([sine, cosine], [np.sin(x), np.cos(x)], rtol=0, atol=3e-16)


def test_every_eighth_of_a_turn() -> None:
    for k in range(-40, 41):
        x = k * math.pi / 8
        np.testing.assert_allclose(sincos(x), (math.sin(x), math.cos(x)), rtol=0, atol=3e-16)
    assert all(map(math.isnan, sincos(math.nan)))


@given(st.floats(-20, 20))
def test_hyperbolic_sine(x: float) -> None:
    np.testing.assert_allclose(sinh_of(x), math.sinh(x), rtol=1e-12)

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from femtobarn.kernels.combinations import sort_selected
from femtobarn.kernels.exact import DIGITS, carried, exact, exact_sum, packed, rounded, unpacked

NUMBERS = st.lists(
    st.floats(-1e20, 1e20, allow_nan=False).filter(lambda x: x == 0 or abs(x) > 1e-30), max_size=30
)


@settings(deadline=None)
@given(NUMBERS)
def test_sum_is_the_exact_one_rounded_once(values):
    expected = sum((Fraction(value) for value in values), Fraction(0))
    found = float(rounded(exact_sum(values)))
    assert found == float(expected)


@settings(deadline=None)
@given(NUMBERS, st.randoms())
def test_order_and_grouping_change_no_bit(values, random):
    shuffled = list(values)
    random.shuffle(shuffled)
    cut = random.randint(0, len(values))
    parts = exact_sum(shuffled[:cut]) + exact_sum(shuffled[cut:])
    assert np.array_equal(carried(parts), exact_sum(values))


def test_sum_agrees_with_fsum_over_many_magnitudes():
    rng = np.random.default_rng(3)
    values = rng.normal(size=5000) * 10.0 ** rng.integers(-12, 12, 5000)
    assert float(rounded(exact_sum(values))) == math.fsum(values)


def test_what_does_not_fit_is_refused():
    for bad in (np.nan, np.inf, 2.0**84):
        with pytest.raises(ValueError, match="finite"):
            exact_sum([1.0, bad])


def test_digits_are_canonical():
    assert exact_sum([]).tolist() == [0] * DIGITS
    assert np.array_equal(exact_sum([1.5, -1.5]), exact_sum([]))


def test_sorting_is_stable_and_survives_crowds():
    rng = np.random.default_rng(5)
    counts = np.array([3, 0, 1000, 7])
    offsets = np.concatenate([[0], np.cumsum(counts)])
    key = rng.integers(0, 50, counts.sum()).astype(float)
    keep = rng.uniform(size=counts.sum()) < 0.8
    kept, positions = sort_selected(offsets, keep, key)
    for i in range(4):
        inside = [j for j in range(offsets[i], offsets[i + 1]) if keep[j]]
        assert positions[kept[i] : kept[i + 1]].tolist() == sorted(inside, key=lambda j: (-key[j], j))


@settings(deadline=None)
@given(NUMBERS)
def test_packed_sums_are_the_same_sums(values):
    digits = exact(values)
    assert np.array_equal(unpacked(packed(digits)), digits)
    assert np.array_equal(carried(digits.sum(axis=0)), exact_sum(values))
    assert rounded(digits).tolist() == values

"""The best three jets and the events that have enough of them, against plain loops."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from femtobarn.kernels.multijet import best_trijet, events_of_four, impossible_events


def slow_trijet(px, py, tagged):
    best, found = -1.0, (-1, -1, -1)
    for three in combinations(range(len(px)), 3):
        x, y = px[three[0]] + px[three[1]] + px[three[2]], py[three[0]] + py[three[1]] + py[three[2]]
        if any(tagged[i] for i in three) and x * x + y * y > best:
            best, found = x * x + y * y, three
    return found


@pytest.mark.parametrize("n", [2, 3, 4, 7, 20])
def test_best_trijet(n):
    random = np.random.default_rng(n)
    for trial in range(50):
        px, py = random.normal(0, 50, (2, n)).round(0 if trial % 2 else 9)
        px[random.random(n) < 0.05] = np.nan
        tagged = random.random(n) < 0.3
        assert tuple(best_trijet(px, py, tagged, n)) == slow_trijet(px, py, tagged)


def test_without_a_tag_or_a_direction_there_is_none():
    ones, nothing = np.ones(5), np.full(5, np.nan)
    assert best_trijet(ones, ones, np.zeros(5, np.bool_), 5) == (-1, -1, -1)
    assert best_trijet(nothing, ones, np.ones(5, np.bool_), 5) == (-1, -1, -1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [np.nan, -1e-30, 13000.01, np.inf])
def test_impossible_events(dtype, value):
    offsets = np.array([0, 2, 5, 5, 300], dtype=np.int64)
    pt = np.full(300, 13000.0, dtype=dtype)
    # More jets than there can be.
    assert impossible_events(offsets, pt).tolist() == [False, False, False, True]
    pt[3] = value
    assert impossible_events(offsets, pt).tolist() == [False, True, False, True]


def test_events_of_four():
    offsets = np.array([0, 4, 7, 12, 17], dtype=np.int64)
    chosen = np.array([True, True, True, False])
    bad = np.array([False, False, True, False])
    assert events_of_four(chosen, bad, offsets).tolist() == [0]

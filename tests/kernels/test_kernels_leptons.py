"""Counting leptons without branches, against a loop with all of them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from femtobarn.kernels.leptons import (
    exactly_one,
    last_passing,
    passing_above,
    passing_electrons,
    passing_muons,
)

COUNTS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=0, max_size=12)


@given(counts=COUNTS, seed=st.integers(0, 2**31))
def test_events_with_exactly_one(counts: list[tuple[int, int]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = np.array(counts, dtype=np.int64).reshape(-1, 2)
    offsets = [np.concatenate([[0], np.cumsum(sizes[:, k])]).astype(np.int64) for k in (0, 1)]
    passing = [rng.uniform(size=int(each[-1])) < 0.4 for each in offsets]
    got = exactly_one(offsets[0], passing[0], offsets[1], passing[1])
    ends = [last_passing(each, good) for each, good in zip(offsets, passing, strict=True)]
    for i in range(len(counts)):
        found = [np.flatnonzero(passing[k][offsets[k][i] : offsets[k][i + 1]]) for k in (0, 1)]
        assert got[i] == (sum(map(len, found)) == 1)
        for k in (0, 1):
            assert ends[k][i] == (offsets[k][i] + found[k][-1] if len(found[k]) else -1)


def test_each_cut_decides_and_nothing_at_a_threshold_passes() -> None:
    below = np.nextafter(np.float32(30), np.float32(0))
    pt = np.array([31, 30, below, np.nan, 31, 31, 31, 31], dtype=np.float32)
    # 2.1 is a little less in float32, so it passes the cut at 2.1
    eta = np.array([-2.1, 0, 0, 0, 2.2, 0, 0, np.nan], dtype=np.float32)
    level, sip = np.array([4, 4, 4, 4, 4, 3, 4, 4]), np.array([3.9] * 6 + [4, 3.9], dtype=np.float32)
    assert passing_electrons(pt, eta, level, sip, 30.0, 2.1, 4.0).tolist() == [True] + [False] * 7
    tight, isolation = level == 4, np.array([0.1] * 8, dtype=np.float32)
    assert (
        passing_muons(pt, eta, tight, sip, isolation, 30.0, 2.1, 4.0, 0.15).tolist() == [True] + [False] * 7
    )
    isolation[0] = 0.15  # a little more in float32
    assert not passing_muons(pt, eta, tight, sip, isolation, 30.0, 2.1, 4.0, 0.15).any()
    assert passing_above(pt, 30.0).tolist() == [True] + [False] * 3 + [True] * 4

"""Memory is given again only when nobody can see what was in it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from femtobarn.read.recycling import Recycler, recycled

MANY = 100_000


def place(array):
    return array.__array_interface__["data"][0]


def test_what_is_dropped_is_used_again():
    recycler = Recycler()
    first = recycler.empty(MANY, np.float32)
    where = place(first)
    del first
    assert place(recycler.empty(MANY - 10, np.int32)) == where


@pytest.mark.parametrize(
    "hold",
    [
        lambda array: array[5:],
        lambda array: array[::2].reshape(-1, 2)[1:],
        lambda array: array.view(np.uint8),
        memoryview,
        lambda array: np.frombuffer(memoryview(array), dtype=np.int32),
    ],
)
def test_whatever_still_looks_at_it_keeps_it(hold):
    recycler = Recycler()
    first = recycler.empty(MANY, np.float32)
    first[:] = 1.0
    held, where = hold(first), place(first)
    before = np.array(held)
    del first
    second = recycler.empty(MANY, np.float32)
    second[:] = 2.0
    assert place(second) != where
    np.testing.assert_array_equal(np.array(held), before)


def test_a_larger_one_replaces_one_that_is_too_small():
    recycler = Recycler()
    for count in (MANY, 2 * MANY, 4 * MANY):
        recycler.empty(count, np.float32)[:] = 0.0
    assert len(recycler._buffers) == 1


def test_small_ones_and_too_many_are_fresh():
    recycler = Recycler()
    recycler.empty(10, np.float64)
    held = [recycler.empty(1 << 25, np.uint8) for _ in range(10)]
    assert len({place(array) for array in held}) == 10
    assert sum(map(len, recycler._buffers)) <= 1 << 28


def test_every_thread_has_its_own():
    def fill(value):
        array = recycled(MANY, np.int64)
        array[:] = value
        return [int(recycled(MANY, np.int64).sum() * 0 + array.sum()) for _ in range(20)]

    with ThreadPoolExecutor(4) as pool:
        for value, sums in enumerate(pool.map(fill, range(8))):
            assert sums == [value * MANY] * 20

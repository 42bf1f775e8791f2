from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from femtobarn.kernels.jagged import Jagged, exactly, leading

# Few distinct values, so that ties are common; no NaN, whose order is nobody's.
VALUES = st.sampled_from([-1.5, 0.0, 1.0, 2.0, 7.0])
EVENTS = st.lists(st.lists(VALUES, max_size=5), max_size=12)
#: Events of (value, kept) pairs.
KEPT = st.lists(st.lists(st.tuples(VALUES, st.booleans()), max_size=5), max_size=12)


def jagged(events, dtype=np.float64):
    offsets = np.cumsum([0, *map(len, events)]).astype(np.int64)
    return Jagged(offsets, np.array([value for event in events for value in event], dtype=dtype))


def lists(column):
    edges = zip(column.offsets[:-1], column.offsets[1:], strict=True)
    return [column.values[low:high].tolist() for low, high in edges]


@given(EVENTS)
def test_structure(events):
    column = jagged(events)
    assert len(column) == len(events)
    assert column.counts.tolist() == [len(event) for event in events]
    assert column.parents.tolist() == [number for number, event in enumerate(events) for _ in event]
    assert lists(column.like(2 * column.values)) == [[2 * value for value in event] for event in events]


@given(EVENTS, st.data())
def test_rows(events, data):
    """Any numbers in any order, repeated or not."""
    numbers = data.draw(st.lists(st.integers(0, len(events) - 1), max_size=15) if events else st.just([]))
    picked = jagged(events).rows(np.array(numbers, dtype=np.int64))
    assert lists(picked) == [events[number] for number in numbers]


@given(KEPT)
def test_where(events):
    column = jagged([[value for value, _ in event] for event in events])
    keep = jagged([[kept for _, kept in event] for event in events], bool).values
    assert lists(column.where(keep)) == [[value for value, kept in event if kept] for event in events]


def split(events):
    column = jagged([[value for value, _ in event] for event in events])
    return column, jagged([[kept for _, kept in event] for event in events], bool).values


@given(st.integers(1, 4), KEPT)
def test_exactly(k, events):
    column, keep = split(events)
    numbers, index = exactly(k, column.offsets, keep)
    expected_numbers, expected_index, position = [], [], 0
    for number, event in enumerate(events):
        kept = [position + i for i, (_, flag) in enumerate(event) if flag]
        position += len(event)
        if len(kept) == k:
            expected_numbers.append(number)
            expected_index.append(kept)
    assert numbers.tolist() == expected_numbers
    assert index.shape == (len(expected_numbers), k)
    assert index.tolist() == expected_index


@given(st.integers(1, 4), KEPT)
def test_leading(k, events):
    column, keep = split(events)
    numbers, index = leading(k, column.offsets, keep, column.values)
    expected_numbers, expected_index, position = [], [], 0
    for number, event in enumerate(events):
        kept = [(-value, position + i) for i, (value, flag) in enumerate(event) if flag]
        position += len(event)
        if len(kept) >= k:
            expected_numbers.append(number)
            # Python sorts by value, then by position: equal values keep their order.
            expected_index.append([at for _, at in sorted(kept)[:k]])
    assert numbers.tolist() == expected_numbers
    assert index.shape == (len(expected_numbers), k)
    assert index.tolist() == expected_index


@given(KEPT)
def test_leading_of_a_subset_of_events_is_the_subset_of_leading(events):
    """A part of the events gives what the whole gives there."""
    column, keep = split(events)
    half = len(events) // 2
    end = column.offsets[half]
    part = leading(2, column.offsets[: half + 1], keep[:end], column.values[:end])
    whole = leading(2, column.offsets, keep, column.values)
    first = whole[0] < half
    np.testing.assert_array_equal(part[0], whole[0][first])
    np.testing.assert_array_equal(part[1], whole[1][first])


@pytest.mark.parametrize("offsets", [[0, 2], [1, 3], [0, 4]])
def test_offsets_must_span_the_values(offsets):
    with pytest.raises(ValueError, match="offsets"):
        Jagged(np.array(offsets), np.zeros(3))


@pytest.mark.parametrize("length", [0, 2, 4])
def test_mask_of_another_length_is_refused(length):
    with pytest.raises(ValueError, match=f"a mask of {length} entries cannot select from 3"):
        jagged([[1.0, 2.0], [3.0]]).where(np.ones(length, dtype=bool))
    with pytest.raises(ValueError, match="number of values"):
        exactly(1, np.array([0, 2, 3]), np.ones(length, dtype=bool))
    with pytest.raises(ValueError, match="number of values"):
        leading(1, np.array([0, 2, 3]), np.ones(length, dtype=bool), np.zeros(3))

"""Outcomes add up: whatever the order and the grouping, counts are exact and sums agree to 1e-12."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from femtobarn.hists import HistSpec, regular
from femtobarn.outcome import Outcome
from femtobarn.run.codec import decode, encode

SPEC = HistSpec("x", (regular(4, -2, 2, "x"),))
numbers = st.floats(-1e12, 1e12, allow_nan=False, allow_subnormal=False)
events = st.lists(st.tuples(st.floats(-3, 3), numbers), max_size=12)


def outcome(part: int, found: list[tuple[float, float]], dataset: str = "zz") -> Outcome:
    x, w = (np.array([item[i] for item in found], dtype=float) for i in (0, 1))
    out = Outcome.empty(dataset, (SPEC,))
    out.fill("x", x, weight=w)
    out.fill("x", x, weight=w, region="positive" if part % 2 else "negative")
    out.add_sum("sumw", w)
    out.add_fact("parity", np.array([float(part % 2)]))
    out.add_table("rows", {"x": x}, part=part)
    if found:
        out.warn("events", len(found))
    return out


def assert_same(a: Outcome, b: Outcome, scale: float) -> None:
    assert a.warnings == b.warnings
    assert a.facts == b.facts
    assert a.sums.keys() == b.sums.keys()
    for dataset in a.sums:
        assert abs(a.sum_of(dataset, "sumw") - b.sum_of(dataset, "sumw")) <= 1e-15 * scale
    assert a.histograms["x"].blocks.keys() == b.histograms["x"].blocks.keys()
    for key in a.histograms["x"].blocks:
        first, second = (item.histograms["x"].values(key, flow=True) for item in (a, b))
        np.testing.assert_allclose(first, second, rtol=0, atol=1e-15 * scale)
    assert a.table("rows")["x"].tolist() == b.table("rows")["x"].tolist()


@settings(max_examples=60, deadline=None)
@given(st.lists(events, min_size=3, max_size=3))
def test_any_order_and_grouping(found):
    a, b, c = (outcome(i, item) for i, item in enumerate(found))
    scale = sum(abs(w) for item in found for _, w in item)
    reference = (a + b) + c
    assert_same(a + (b + c), reference, scale)
    for one, two, three in itertools.permutations((a, b, c)):
        assert_same((one + two) + three, reference, scale)


@settings(max_examples=40, deadline=None)
@given(events)
def test_nothing_is_neutral(found):
    a, nothing = outcome(3, found), Outcome.empty("zz", (SPEC,))
    for total in (a + nothing, nothing + a):
        assert_same(total, a, 0.0)


@settings(max_examples=40, deadline=None)
@given(st.lists(events, min_size=1, max_size=4))
def test_adding_leaves_the_summands_alone(found):
    parts = [outcome(i, item) for i, item in enumerate(found)]
    before = [encode(part) for part in parts]
    total = Outcome()
    for part in parts:
        total.absorb(part)
    assert [encode(part) for part in parts] == before


@settings(max_examples=40, deadline=None)
@given(events)
def test_storing_changes_nothing(found):
    before = outcome(5, found)
    after = decode(encode(before), part=5)
    assert encode(after) == encode(before)
    assert_same(before, after, 0.0)


def test_cancellation_keeps_its_digits():
    """A naive sum of these weights is 0 or 2, depending on the order; the truth is 1."""
    weights = [1e16, 1.0, -1e16]
    for order in itertools.permutations(weights):
        total = Outcome()
        for part, weight in enumerate(order):
            total.absorb(outcome(part, [(0.0, weight)]))
        assert total.sum_of("zz", "sumw") == 1.0


def test_contradicting_facts_are_kept():
    total = Outcome()
    for part in range(2):
        total.absorb(outcome(part, []))
    assert total.facts["zz"]["parity"] == (0.0, 1.0)

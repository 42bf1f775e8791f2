"""Numbers and nested results as people read them."""

from __future__ import annotations

import math

import pytest

from femtobarn.report.values import (
    Grid,
    Group,
    cell,
    duration,
    grid,
    moment,
    node,
    number,
    percent,
    plus_minus,
    size,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"), (True, "yes"), (82, "82"), (1234567, "1\u202f234\u202f567"), (3.0, "3"), (-0.5, "−0.5"),
        (1.23456789, "1.235"), (3.21e-05, "3.21 × 10⁻⁵"), (6.02e23, "6.02 × 10²³"), (math.nan, "–"),
        (math.inf, "–"), ("text", "text"), (-12345, "−12\u202f345"),
    ],
)  # fmt: skip
def test_number(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((383.2, 188.1), "383 ± 188"),
        ((0.96077, 0.10821), "0.96 ± 0.11"),
        ((1.0004, 0.486, -0.396), "1.00 +0.49 −0.40"),
        ((-0.31, 0.97), "−0.31 ± 0.97"),
        ((5.0, 0.0), "5"),
        ((1.0, 1e-9), "1 ± 1 × 10⁻⁹"),
    ],
)
def test_errors_keep_two_digits(numbers, text):
    assert plus_minus(*numbers) == text


def test_percent_does_not_round_a_loss_away():
    assert percent(1e-7) == "< 0.01 %"
    assert percent(0.0) == "0 %"
    assert percent(0.0751) == "7.51 %"
    assert percent(None) == "–"


def test_sizes_and_times():
    assert (size(0), size(999), size(5_300_000), size(None)) == ("0 B", "999 B", "5.3 MB", "–")
    assert size(4.2e15) == "4.2e+03 TB"
    assert (duration(0.5), duration(125), duration(7384)) == ("0.5 s", "2 min 5 s", "2 h 3 min")
    assert moment("2025-01-02T03:04:05+00:00") == "2025-01-02 03:04 UTC"
    assert moment("some day") == "some day"


def test_cells_hold_estimates_and_short_lists():
    assert cell({"value": 1.2, "error": 0.3}) == "1.20 ± 0.30"
    assert cell({"value": 0.85, "hesse": 0.01, "minos": [-0.011, 0.012]}) == "0.850 +0.012 −0.011"
    assert cell({"value": 3.0, "hesse": None}) == "3"
    assert cell({"value": 3.0, "something": 1}) is None
    assert cell([1, 2.5, None]) == "1, 2.5, –"
    assert cell(list(range(9))) is None
    assert cell([[1]]) is None


def test_columns_of_numbers_are_found():
    made = grid(
        "t", ("name", "n", "text", "mixed", "empty"), [("1", "−2.5", "a", "1", ""), ("2", "", "b", "x", "")]
    )
    assert made.numeric == (False, True, False, False, False)
    versions = grid("t", ("what", "which"), [("numpy", "2.4.0"), ("when", "2025-01-02 03:04 UTC")])
    assert versions.numeric == (False, False)


def test_equal_mappings_become_one_table():
    made = node("counting", {"121-130": {"n": 11, "Z": 3.0}, "80-100": {"n": 20, "p0": 0.5}})
    assert isinstance(made, Grid)
    assert made.columns == ("name", "n", "Z", "p0")
    assert made.rows == (("121-130", "11", "3", ""), ("80-100", "20", "", "0.5"))


def test_mixed_results_are_nested():
    made = node("results", {"mu": {"value": 1.0, "error": 0.1}, "Z0": 3.3, "scan": {"x": {"deep": {"y": 1}}}})
    assert isinstance(made, Group)
    pairs, inner = made.items
    assert pairs.rows == (("mu", "1.00 ± 0.10"), ("Z0", "3.3"))
    assert inner.title == "scan"


def test_lists_of_fits_are_flattened_and_cut():
    fits = [
        {"label": f"bin{i}", "bin": {"index": i, "edges": {"pt": [20, 35]}}, "covariance": [[1]]}
        for i in range(50)
    ]
    made = node("fits", fits)
    assert made.columns == ("label", "bin.index", "bin.edges.pt")
    assert made.rows[3] == ("bin3", "3", "20, 35")
    assert len(made.rows) == 40
    assert "the first 40 of 50 rows" in made.note


def test_rows_begin_with_what_they_are_about():
    made = node("search", [{"z_max": 3.1, "entries": 5, "name": "m_ee"}])
    assert made.columns == ("name", "z_max", "entries")


def test_nothing_is_nothing():
    assert node("x", {}) is None
    assert node("x", []) is None
    assert node("x", {"a": {}}) is None
    assert node("x", {"a": {}, "b": []}).rows == (("b", "none"),)
    assert node("x", 3).rows == (("x", "3"),)

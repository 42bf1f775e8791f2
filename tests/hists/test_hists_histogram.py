"""Accumulation that does not depend on the cutting into parts; files that give back what they were given."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from femtobarn.errors import StoreError
from femtobarn.hists import (
    Compensated,
    Histogram,
    HistSpec,
    read_hists,
    regular,
    to_hist,
    variable,
    write_hists,
)
from femtobarn.hists.io import same_content

SPEC = HistSpec("x", (regular(4, 0, 4, "x", label="X", unit="GeV"),))
KEY = ("all", "mc", "nominal")
WEIGHTS = st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), max_size=40)


@given(WEIGHTS, st.integers(1, 7))
def test_sums_do_not_depend_on_the_parts(weights: list[float], parts: int) -> None:
    array = np.array(weights)
    total = Compensated()
    for piece in np.array_split(array, parts):
        total = total + Compensated.of(piece)
    exact = math.fsum(weights)
    assert float(total) == pytest.approx(exact, rel=1e-15, abs=1e-15 * max(map(abs, weights), default=0))


@given(WEIGHTS, WEIGHTS, WEIGHTS)
def test_addition_is_associative_and_commutative(a: list[float], b: list[float], c: list[float]) -> None:
    def of(weights: list[float]) -> Histogram:
        histogram = Histogram(SPEC)
        histogram.fill(KEY, np.full(len(weights), 1.5), weight=np.array(weights))
        return histogram

    x, y, z = of(a), of(b), of(c)
    left, right, turned = (x + y) + z, x + (y + z), z + (y + x)
    scale = 1e-13 * (1 + sum(map(abs, a + b + c)))
    for other in (right, turned):
        assert left.values(KEY) == pytest.approx(other.values(KEY), rel=1e-13, abs=scale)


def test_flow_edges_and_nan() -> None:
    histogram = Histogram(SPEC)
    histogram.fill(KEY, np.array([-1.0, 0.0, 1.0, 3.999, 4.0, np.nan, np.inf]))
    assert histogram.values(KEY, flow=True).tolist() == [1, 1, 1, 0, 1, 3]


def test_variable_bins_and_two_axes() -> None:
    spec = HistSpec("xy", (variable([0, 1, 10], "x"), regular(2, 0, 2, "y")))
    histogram = Histogram(spec)
    histogram.fill(KEY, np.array([0.5, 5.0, 5.0]), np.array([0.5, 1.5, 5.0]), weight=2.0)
    assert histogram.values(KEY).tolist() == [[2, 0], [0, 2]]
    assert histogram.variances(KEY).tolist() == [[4, 0], [0, 4]]
    assert histogram.values(KEY, flow=True).sum() == 6


def test_other_binning_is_refused() -> None:
    other = Histogram(HistSpec("x", (regular(5, 0, 4, "x"),)))
    with pytest.raises(ValueError, match="binnings differ"):
        Histogram(SPEC).absorb(other)


def filled() -> Histogram:
    histogram = Histogram(SPEC)
    histogram.fill(KEY, np.array([0.5, 1.5, 9.0]), weight=np.array([0.1, -2.0, 3.0]))
    histogram.fill(("sr", "other", "up"), np.array([2.5]))
    histogram.fill(("sr", "other", "down"), np.array([]))
    return histogram


def test_files_are_reproducible_and_give_back_everything(tmp_path: Path) -> None:
    for name in ("a.zip", "b.zip"):
        write_hists(tmp_path / name, [filled()], {"x": (("all", "cr"), ("mc", "never"), ("nominal",))})
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    back = read_hists(tmp_path / "a.zip")["x"]
    assert back.spec == SPEC
    assert same_content(back, filled())
    # Filled with nothing is remembered; never filled is not made up.
    assert set(back.blocks) == {KEY, ("sr", "other", "up"), ("sr", "other", "down")}


def test_every_category_asked_for_is_an_axis_entry() -> None:
    hist = to_hist(filled(), (("cr",), ("never", "mc"), ("nominal",)))
    assert [axis.name for axis in hist.axes] == ["x", "region", "process", "variation"]
    assert list(hist.axes["process"]) == ["never", "mc", "other"]
    assert hist[:, "all", "mc", "nominal"].values().tolist() == [0.1, -2.0, 0, 0]
    assert hist[:, "cr", "never", "nominal"].values().sum() == 0


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "h.zip"
    write_hists(path, [filled()], {})
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StoreError, match=r"h\.zip"):
        read_hists(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.json", "{}")
    with pytest.raises(StoreError, match=r"h\.zip"):
        read_hists(path)

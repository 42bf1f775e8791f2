"""Sparse histograms against dense ones, added in any order, and through a file."""

from __future__ import annotations

import zipfile

import hist
import numpy as np
import uhi.io
import uhi.io.zip

from femtobarn.hists import Sparse, read_sparse, regular, variable, write_hists

AXES = (
    variable([0, 1, 3.5, 9], "pt", label="pT", unit="GeV"),
    regular(20, -1, 1, "eta"),
    regular(30, 50, 130, "mll"),
)


def values(n, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.uniform(-1, 10, n), rng.normal(0, 0.7, n), rng.normal(91, 20, n)], rng.normal(1, 0.5, n)


def test_what_is_filled_is_what_a_dense_histogram_has():
    columns, weight = values(2000)
    found = Sparse.of(AXES, columns, weight)
    expected = hist.Hist(
        hist.axis.Variable([0, 1, 3.5, 9]), hist.axis.Regular(20, -1, 1), hist.axis.Regular(30, 50, 130),
        storage=hist.storage.Weight(),
    ).fill(*columns, weight=weight)  # fmt: skip
    content, variance = found.dense()
    np.testing.assert_allclose(content, expected.values(flow=True), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(variance, expected.variances(flow=True), rtol=1e-12)
    np.testing.assert_allclose(
        found.project("pt").dense()[0], expected.values(flow=True).sum(axis=(1, 2)), rtol=1e-11
    )
    np.testing.assert_allclose(found.total(), (weight.sum(), (weight**2).sum()), rtol=1e-13)


def test_parts_add_up_in_any_order():
    columns, weight = values(900)
    whole = Sparse.of(AXES, columns, weight)
    parts = [Sparse.of(AXES, [c[i::3] for c in columns], weight[i::3]) for i in range(3)]
    for order in ((0, 1, 2), (2, 0, 1)):
        total = Sparse(AXES)
        for i in order:
            total = total + parts[i]
        assert np.array_equal(total.bins, whole.bins)
        np.testing.assert_allclose(total.values, whole.values, rtol=1e-14)
    assert (parts[0] + parts[1]).same(parts[1] + parts[0])


def test_files_hold_them_sparse_or_dense(tmp_path):
    columns, weight = values(50)
    few = Sparse.of(AXES, columns, weight)
    one = Sparse.of(AXES[2:], columns[2:], weight)
    write_hists(tmp_path / "h.zip", (), {}, None, {"d/few": few, "d/one": one})
    back = read_sparse(tmp_path / "h.zip")
    assert back["d/few"].same(few)
    assert back["d/one"].same(one)
    assert back["d/few"].axes == AXES
    with zipfile.ZipFile(tmp_path / "h.zip") as archive:
        content = uhi.io.zip.read(archive, "d/few")
        assert "index" in content["storage"]
        assert "index" not in uhi.io.zip.read(archive, "d/one")["storage"]
        read = hist.Hist(uhi.io.from_sparse(content))
    np.testing.assert_allclose(read.values(flow=True), few.dense()[0])
    assert [axis.name for axis in read.axes] == ["pt", "eta", "mll"]

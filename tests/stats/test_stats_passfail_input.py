from __future__ import annotations

import zipfile

import hist
import numpy as np
import pytest
import uhi.io
import uhi.io.zip
import uproot

from femtobarn.errors import DataError
from femtobarn.stats.passfail.input import (
    chosen_bins,
    number_text,
    read_probe_sets,
    read_root_bins,
    write_probe_sets,
)


def th1(values):
    return np.asarray(values, dtype=float), np.linspace(60.0, 120.0, len(values) + 1)


def write_root(path, names):
    with uproot.recreate(path) as file:
        for i, name in enumerate(names):
            file[name] = th1([1.0 + i, 2.0, 3.0, 4.0])
    return path


def test_more_than_ten_bins_and_fractional_edges(tmp_path):
    names = []
    for i in range(12):
        stem = (
            f"bin{i:02d}_el_eta_m2p50Tom1p57_el_pt_{number_text(10 + 2.5 * i)}To{number_text(12.5 + 2.5 * i)}"
        )
        names += [f"{stem}_Pass", f"{stem}_Fail"]
    found = read_root_bins(write_root(tmp_path / "x.root", names), "D")
    assert len(found.bins) == 12
    assert [place.index for place, _ in found.bins] == list(range(12))
    assert found.bins[11][0].edges == {"el_eta": (-2.5, -1.57), "el_pt": (37.5, 40.0)}
    assert found.bins[1][1].counts.tolist() == [[3, 2, 3, 4], [4, 2, 3, 4]]
    assert [place.index for place, _ in chosen_bins(found, ["bin10", "2"]).bins] == [10, 2]
    with pytest.raises(DataError, match="there is no bin 'bin12'"):
        chosen_bins(found, ["bin12"])


def test_muon_names(tmp_path):
    names = [
        f"NUM_{num}_DEN_blp_abseta_{a}_pt_{i}_{side}"
        for num in ("gold", "silver") for a in (1, 2) for i in (0, 10) for side in ("Pass", "Fail")
    ]  # fmt: skip
    path = write_root(tmp_path / "x.root", names)
    found = read_root_bins(path, "D", numerator="gold", denominator="blp", abseta=2, ranges=[(5.0, 7.0)])
    assert [place.index for place, _ in found.bins] == [0, 10]
    assert found.filter == "gold"
    assert found.bins[0][0].edges == {"pt": (5.0, 7.0)}


def test_any_two_names(tmp_path):
    path = write_root(tmp_path / "x.root", ["good", "bad"])
    found = read_root_bins(path, "D", names=("good", "bad"), ranges=[(5.0, 7.0)])
    assert found.bins[0][0].edges == {"pt": (5.0, 7.0)}
    with pytest.raises(DataError, match="no histogram 'god'"):
        read_root_bins(path, "D", names=("god", "bad"))


def test_half_a_bin_and_no_bins_are_errors(tmp_path):
    with pytest.raises(DataError, match="has no histogram _Fail"):
        read_root_bins(write_root(tmp_path / "x.root", ["bin0_pt_5p00To7p00_Pass"]), "D")
    with pytest.raises(DataError, match="holds no histograms of passing and failing probes"):
        read_root_bins(write_root(tmp_path / "y.root", ["mass"]), "D")
    with pytest.raises(DataError, match="no such file"):
        read_root_bins(tmp_path / "z.root", "D")


def test_own_sets_come_back(tmp_path):
    path = write_root(
        tmp_path / "x.root",
        [f"bin{i}_pt_{5 + i}p00To{6 + i}p00_{s}" for i in (0, 1) for s in ("Pass", "Fail")],
    )
    made = read_root_bins(path, "D")
    write_probe_sets(tmp_path / "hists.zip", [made])
    (back,) = read_probe_sets(tmp_path / "hists.zip")
    assert (back.dataset, back.filter, back.path, back.region) == ("D", "passing", "fits_1/passing", "")
    for (a, one), (b, two) in zip(made.bins, back.bins, strict=True):
        assert (a.index, a.name, dict(a.edges)) == (b.index, b.name, dict(b.edges))
        assert np.array_equal(one.counts, two.counts)
        assert np.array_equal(one.edges, two.edges)


@pytest.mark.parametrize("sparse", [False, True])
def test_histograms_of_a_run(tmp_path, sparse):
    h = hist.Hist(
        hist.axis.Variable([10, 20, 50], name="el_pt"), hist.axis.Regular(2, -2, 2, name="el_eta"),
        hist.axis.Regular(6, 60, 120, name="mll"), storage=hist.storage.Weight(),
    )  # fmt: skip
    h.fill([15, 15, 30], [-1, -1, 1], [65, 91, 91], weight=[1.0, 2.0, 3.0])
    one = hist.Hist(hist.axis.Regular(2, 10, 50, name="pt"), hist.axis.Regular(6, 60, 120, name="mll"),
                    storage=hist.storage.Weight())  # fmt: skip
    counted = hist.Hist(hist.axis.Regular(2, 10, 50, name="pt"), storage=hist.storage.Weight())
    with zipfile.ZipFile(tmp_path / "hists.zip", "w") as archive:
        for side in ("passing", "failing"):
            for name, content in (("nd_1/f", h), ("oned_1/f/pt/barrel", one), ("cc_1/f/pt/barrel", counted)):
                shape = uhi.io.to_sparse(content._to_uhi_()) if sparse else content
                uhi.io.zip.write(archive, f"d/{name}/{side}", shape)
    sets = {one.path: one for one in read_probe_sets(tmp_path / "hists.zip")}
    assert set(sets) == {"nd_1/f", "oned_1/f/pt/barrel"}  # without a mass there is nothing to fit
    assert sets["oned_1/f/pt/barrel"].region == "pt/barrel"
    bins = sets["nd_1/f"].bins
    assert len(bins) == 4
    assert bins[0][0].edges == {"el_pt": (10.0, 20.0), "el_eta": (-2.0, 0.0)}
    assert bins[0][0].name == "bin0_el_pt_10p00To20p00_el_eta_m2p00To0p00"
    assert bins[0][1].counts[0].tolist() == [1, 0, 0, 2, 0, 0]
    assert bins[0][1].variances[1].tolist() == [1, 0, 0, 4, 0, 0]
    assert bins[3][1].counts[0].sum() == 3.0

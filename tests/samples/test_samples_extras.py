"""CMS histogram files, the dimuon file and broken inputs."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
import uproot

from femtobarn.errors import DataError, UsageError
from femtobarn.samples import corrupt, make_cms_histograms, make_dimuon
from femtobarn.units import Z_MASS

CHANNELS = ("4mu", "4e", "2mu2e")
BINNING = {"8TeV_low": (37, 70, 181), "8TeV": (74, 70, 810), "7TeV": (51, 98, 608), "full": (300, 0, 900)}
#: 11580 pb-1 x cross-section x scale factor / generated events of the published 2012 example.
WEIGHT = {
    "HZZ": 11580 * 0.0065 / 299973,
    "ZZ4mu": 11580 * 0.077 * 1.386 / 1499064,
    "ZZ4e": 11580 * 0.077 * 1.386 / 1499093,
    "ZZ2mu2e": 11580 * 0.18 * 1.386 / 1497445,
}


@pytest.fixture(scope="module")
def histograms(tmp_path_factory):
    return make_cms_histograms(tmp_path_factory.mktemp("cms"), seed=4)


def content(folder, stem, name):
    with uproot.open(folder / f"Toy_{stem}12.root") as file:
        return file[f"demo/mass{name}"].values()


def test_layout_is_the_published_one(histograms):
    stems = {path.name for path in histograms.iterdir()}
    expected = ("DoubleMu", "DoubleE", "HZZ", "ZZ4mu", "ZZ4e", "ZZ2mu2e", "DY50TuneZ", "DY10", "TTBar")
    assert stems == {f"Toy_{stem}12.root" for stem in expected}
    with uproot.open(histograms / "Toy_HZZ12.root") as file:
        assert file.classnames()["demo;1"] == "TDirectory"
        assert file.classnames()["demo/e_RelPFIso_pT;1"] == "TH2D"
        for channel in CHANNELS:
            for suffix, (bins, low, high) in BINNING.items():
                found = file[f"demo/mass{channel}_{suffix}"]
                edges = found.axis().edges()
                assert found.classname == "TH1D"
                assert (len(edges) - 1, edges[0], edges[-1]) == (bins, low, high)


def test_weighted_yields_are_the_published_example_s(histograms):
    signal = (
        sum(content(histograms, "HZZ", f"{channel}_8TeV_low").sum() for channel in CHANNELS) * WEIGHT["HZZ"]
    )
    zz = sum(
        content(histograms, stem, f"{channel}_8TeV_low").sum() * WEIGHT[stem]
        for stem, channel in (("ZZ4mu", "4mu"), ("ZZ4e", "4e"), ("ZZ2mu2e", "2mu2e"))
    )
    assert signal == pytest.approx(8.000, rel=0.02)
    assert zz == pytest.approx(66.259, rel=0.02)
    assert content(histograms, "ZZ4mu", "4e_8TeV_low").sum() == 0


def test_double_electron_repeats_some_of_the_double_muon_events(histograms):
    muon, electron = (content(histograms, stem, "2mu2e_full") for stem in ("DoubleMu", "DoubleE"))
    assert 0 < electron.sum() < muon.sum()
    assert np.all(electron <= muon)
    assert content(histograms, "DoubleMu", "4e_full").sum() == 0
    assert content(histograms, "DoubleE", "4mu_full").sum() == 0


def test_pseudo_data_follow_mu(tmp_path):
    near = slice(17, 20)  # 121 to 130 GeV in the low binning
    counts = {}
    for mu in (0.0, 20.0):
        folder = make_cms_histograms(tmp_path / str(mu), seed=4, mu=mu)
        counts[mu] = sum(
            content(folder, stem, f"{channel}_8TeV_low")[near].sum()
            for stem, channel in (("DoubleMu", "4mu"), ("DoubleMu", "2mu2e"), ("DoubleE", "4e"))
        )
    signal = 20 * 6.8
    assert abs(counts[20.0] - counts[0.0] - signal) < 5 * np.sqrt(signal)
    with pytest.raises(UsageError):
        make_cms_histograms(tmp_path / "x", mu=-1.0)


def test_dimuon_file_shows_the_z(tmp_path):
    path = make_dimuon(tmp_path / "deep" / "dimuon.root", events=8000, seed=3)
    with uproot.open(path) as file:
        assert file["Events"].num_entries == 8000
        events = file["Events"].arrays()
    assert set(np.unique(events.nMuon)) == {0, 1, 2}
    pair = events[events.nMuon == 2]
    assert ak.all(pair.Muon_pt[:, 0] >= pair.Muon_pt[:, 1])
    assert ak.all(ak.sum(pair.Muon_charge, axis=1) == 0)
    pt, eta, phi = (ak.to_numpy(pair[f"Muon_{name}"]).astype(float) for name in ("pt", "eta", "phi"))
    mass = np.sqrt(2 * pt[:, 0] * pt[:, 1] * (np.cosh(eta[:, 0] - eta[:, 1]) - np.cos(phi[:, 0] - phi[:, 1])))
    peak = mass[np.abs(mass - Z_MASS) < 10]
    assert np.median(peak) == pytest.approx(Z_MASS, abs=0.3)
    assert len(peak) > 2 * np.sum((mass > 60) & (mass < 80))
    with pytest.raises(UsageError):
        make_dimuon(tmp_path / "none.root", events=0)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return make_dimuon(tmp_path_factory.mktemp("good") / "good.root", events=9000)


def test_unreadable_files(good, tmp_path):
    assert corrupt.zero_byte(good, tmp_path / "zero.root").stat().st_size == 0
    assert b"<html>" in corrupt.not_root(good, tmp_path / "page.root").read_bytes()
    cut = corrupt.truncated(good, tmp_path / "cut.root", keep=0.5)
    assert cut.stat().st_size == good.stat().st_size // 2
    with pytest.raises(Exception, match=r".+"), uproot.open(cut) as file:
        file["Events"].arrays()


def test_wrong_tree_and_missing_branch(good, tmp_path):
    with uproot.open(good) as file:
        before = file["Events"].arrays()
    with uproot.open(corrupt.wrong_tree(good, tmp_path / "tree.root")) as file:
        assert list(file.classnames(cycle=False)) == ["CollectionTree"]
        assert ak.array_equal(file["CollectionTree"].arrays(), before)
    with uproot.open(corrupt.missing_branch(good, tmp_path / "branch.root", branch="Muon_eta")) as file:
        assert set(file["Events"].keys()) == set(before.fields) - {"Muon_eta"}
    with pytest.raises(DataError):
        corrupt.missing_branch(good, tmp_path / "x.root", branch="Muon_charm")


def test_nan_values(good, tmp_path):
    with uproot.open(corrupt.nan_values(good, tmp_path / "nan.root", branch="Muon_pt", every=7)) as file:
        events = file["Events"].arrays()
    spoilt = np.isnan(ak.to_numpy(ak.flatten(events.Muon_pt)))
    assert spoilt[0]
    assert spoilt.sum() == -(-len(spoilt) // 7)
    assert not np.isnan(ak.to_numpy(ak.flatten(events.Muon_eta))).any()


def test_corrupted_basket_spoils_one_branch_only(good, tmp_path):
    path = corrupt.corrupted_basket(good, tmp_path / "basket.root", branch="Muon_pt", basket=1)
    assert path.stat().st_size == good.stat().st_size
    with uproot.open(path) as file:
        tree = file["Events"]
        assert len(tree["Muon_eta"].array()) == 9000
        assert len(tree["Muon_pt"].array(entry_stop=4000)) == 4000
        with pytest.raises(Exception, match="decompress"):
            tree["Muon_pt"].array()

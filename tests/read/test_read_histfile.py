from __future__ import annotations

import json

import numpy as np
import pytest
import uproot

from femtobarn.errors import DataError
from femtobarn.read import open_source, read_events
from femtobarn.records import FileRef

MASS = "demo/mass4mu_8TeV_low"


def write(path, names, *, two_dimensional=()):
    with uproot.recreate(path) as file:
        for name in names:
            file[name] = (np.array([1.0, 2.0, 4.0]), np.array([0.0, 1.0, 2.0, 5.0]))
        for name in two_dimensional:
            file[name] = np.histogram2d([0.5], [0.5], bins=2)


def opened(path, *candidates):
    return open_source(FileRef(str(path)), candidates)


def test_content(tmp_path):
    write(tmp_path / "h.root", [MASS, "demo/other"], two_dimensional=["demo/plane"])
    source = opened(tmp_path / "h.root")
    assert source.schema.name == "cms-histograms"
    assert (source.entries, source.clusters()) == (1, [0, 1])
    assert source.branches == {MASS, "demo/other", "demo/plane"}
    assert set(source.objects) == {MASS, "demo/other"}
    assert source.two_dimensional == 1
    assert 0 < source.stored_bytes([MASS]) < source.size
    histogram = source.objects[MASS]
    assert histogram.name == MASS
    assert histogram.edges.tolist() == [0, 1, 2, 5]
    assert histogram.values.tolist() == [0, 1, 2, 4, 0]
    assert histogram.variances.tolist() == [0, 1, 2, 4, 0]
    source.close()


def test_events_carry_the_histograms(tmp_path):
    write(tmp_path / "h.root", [MASS])
    source = opened(tmp_path / "h.root")
    events = read_events(source, ["muon.pt"], [], 0, 1, where="h.root")
    assert len(events) == 1
    assert list(events.objects) == [MASS]
    with pytest.raises(DataError, match="histograms, not events"):
        source.read(["Muon_pt"], 0, 1)
    source.close()


def test_flow_and_weights(tmp_path):
    import hist

    filled = hist.Hist.new.Reg(4, 0, 4).Weight()
    filled.fill([-1.0, 0.5, 0.5, 3.5, 9.0, 9.0], weight=[1.0, 2.0, -0.5, 1.0, 3.0, 1.0])
    with uproot.recreate(tmp_path / "h.root") as file:
        file[MASS] = filled
    histogram = opened(tmp_path / "h.root").objects[MASS]
    assert histogram.values.tolist() == [1, 1.5, 0, 0, 1, 4]
    assert histogram.variances.tolist() == [1, 4.25, 0, 0, 1, 10]


def test_published_files(shared):
    source = opened(shared("data/B/HiggsExample_DoubleMu12.root"), "cms-aod", "cms-histograms")
    assert source.schema.name == "cms-histograms"
    assert (len(source.branches), source.two_dimensional) == (95, 1)
    for name, bins in (
        ("mass4mu_8TeV_low", 37),
        ("mass4mu_8TeV", 74),
        ("mass4mu_7TeV", 51),
        ("mass4mu_full", 300),
    ):
        assert len(source.objects[f"demo/{name}"].edges) == bins + 1
    source.close()


def test_published_data_are_the_oracles(shared):
    """4mu and 2e2mu from DoubleMu, 4e from DoubleE: the 2012 data, bin by bin."""
    oracle = json.loads(shared("oracles/higgs/cms_histograms.json").read_text())["2012"]["bins"]["data"]
    total = np.zeros(37)
    for stem, channels in (("DoubleMu", ("4mu", "2mu2e")), ("DoubleE", ("4e",))):
        source = opened(shared(f"data/B/HiggsExample_{stem}12.root"))
        for channel in channels:
            total += source.objects[f"demo/mass{channel}_8TeV_low"].values[1:-1]
        source.close()
    np.testing.assert_array_equal(total, oracle)


def test_unknown_histograms_are_raw_or_refused(tmp_path):
    write(tmp_path / "h.root", ["demo/mass4mu_8TeV_lo"])
    assert opened(tmp_path / "h.root").schema.name == "raw"
    with pytest.raises(DataError, match="lacks the histogram") as caught:
        opened(tmp_path / "h.root", "cms-histograms")
    assert caught.value.near == ("demo/mass4mu_8TeV_lo",)
    with pytest.raises(DataError, match="holds histograms, not events; it is not atlas-2020"):
        opened(tmp_path / "h.root", "atlas-2020")


def test_known_histograms_for_another_release(tmp_path):
    write(tmp_path / "h.root", [MASS])
    with pytest.raises(DataError, match="looks like cms-histograms"):
        opened(tmp_path / "h.root", "atlas-2020")


def test_damaged_histogram_is_named(tmp_path):
    write(tmp_path / "h.root", [MASS, "demo/other"])
    with uproot.open(tmp_path / "h.root") as file:
        key = file["demo"].key("other")
        at, size = key.data_cursor.index, key.data_compressed_bytes
    data = bytearray((tmp_path / "h.root").read_bytes())
    data[at : at + size] = b"\xff" * size
    (tmp_path / "h.root").write_bytes(data)
    with pytest.raises(DataError, match=r"h\.root.*demo/other"):
        opened(tmp_path / "h.root")


def test_truncated(tmp_path):
    write(tmp_path / "h.root", [MASS])
    data = (tmp_path / "h.root").read_bytes()
    for size in (10, len(data) // 2, len(data) - 1):
        (tmp_path / "cut.root").write_bytes(data[:size])
        with pytest.raises(DataError) as caught:
            opened(tmp_path / "cut.root")
        assert caught.value.where == str(tmp_path / "cut.root")

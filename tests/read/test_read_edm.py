from __future__ import annotations

import json
import struct

import numpy as np
import pytest

from femtobarn.errors import DataError
from femtobarn.kernels.jagged import Jagged
from femtobarn.read import open_source, read_events
from femtobarn.read.edm_decode import (
    REFERENCE,
    branch_id,
    count_hits,
    decode_event_id,
    decode_lumi_id,
    follow,
    impact_errors,
    impact_parameters,
    referred_products,
)
from femtobarn.records import FileRef

AOD = "data/B/sample_cms_opendata_1507_0025907B4F20.root"
MUON = ("pt", "eta", "phi", "charge", "pfRelIso04_all", "dxy", "dz", "dxyErr", "dzErr", "isGlobal", "isPF",
        "isPFIsolationValid", "hasGlobalTrack")  # fmt: skip
ELECTRON = ("pt", "eta", "phi", "charge", "superclusterEta", "pfRelIso03_all", "dxy", "dz", "dxyErr", "dzErr",
            "isEB", "isEE", "passPflowPreselection", "expectedMissingInnerHits")  # fmt: skip
NAMES = (*(f"muon.{name}" for name in MUON), *(f"electron.{name}" for name in ELECTRON))


@pytest.fixture(scope="module")
def source(shared):
    opened = open_source(FileRef(str(shared(AOD))), ["cms-nanoaod", "cms-aod"])
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def events(source):
    return read_events(source, NAMES, ["nMuon", "nElectron"], 0, source.entries, where="AOD")


@pytest.fixture(scope="module")
def oracle(shared):
    return json.loads(shared("oracles/higgs/cms_aod.json").read_text())


def test_content_selects_the_schema(source):
    assert source.schema.name == "cms-aod"
    assert source.entries == 10
    assert {
        name.replace("muon.", "Muon_").replace("electron.", "Electron_") for name in NAMES
    } < source.branches


def good_objects(events):
    """The definition of good muons and electrons, from the columns."""
    mu = {name: events[f"muon.{name}"].values for name in MUON}
    el = {name: events[f"electron.{name}"].values for name in ELECTRON}

    def near(c):
        return (
            (np.hypot(c["dxy"], c["dz"]) / np.hypot(c["dxyErr"], c["dzErr"]) < 4)
            & (abs(c["dxy"]) < 0.5)
            & (abs(c["dz"]) < 1)
        )

    muons = (mu["pt"] > 5) & (abs(mu["eta"]) < 2.4) & (mu["pfRelIso04_all"] < 0.4) & near(mu)
    muons &= mu["isPF"] & mu["isPFIsolationValid"] & mu["hasGlobalTrack"]
    electrons = (el["pt"] > 7) & (abs(el["superclusterEta"]) < 2.5) & (el["pfRelIso03_all"] < 0.4) & near(el)
    electrons &= (el["isEB"] | el["isEE"]) & el["passPflowPreselection"]
    electrons &= el["expectedMissingInnerHits"] <= 1
    return muons, electrons


def test_good_objects(events, oracle):
    muons, electrons = good_objects(events)
    assert muons.sum() == oracle["total_good_muons"] == 13
    assert electrons.sum() == oracle["total_good_electrons"] == 5
    per_event = events["muon.pt"].like(muons).where(muons).counts
    assert per_event.tolist() == [event["n_good_muons"] for event in oracle["events"]]
    per_event = events["electron.pt"].like(electrons).where(electrons).counts
    assert per_event.tolist() == [event["n_good_electrons"] for event in oracle["events"]]


def test_object_counts(events, oracle):
    assert events["nMuon"].tolist() == oracle["n_reco_muons"]
    assert events["nElectron"].tolist() == oracle["n_gsf_electrons"]


@pytest.mark.parametrize(
    ("collection", "listed", "isolation"),
    [("muon", "global_pf_muons", "pfRelIso04_all"), ("electron", "gsf_electrons", "pfRelIso03_all")],
)
def test_every_value_of_the_oracle(events, oracle, collection, listed, isolation):
    columns = {
        name: events[f"{collection}.{name}"]
        for name in ("pt", "eta", "charge", "dxy", "dz", "dxyErr", "dzErr")
    }
    columns["iso"] = events[f"{collection}.{isolation}"]
    compared = 0
    for number, event in enumerate(oracle["events"]):
        rows = [
            {name: column.rows(np.array([number])).values[i] for name, column in columns.items()}
            for i in range(columns["pt"].counts[number])
        ]
        for expected in event[listed]:
            row = min(
                rows, key=lambda row: abs(row["pt"] - expected["pt"]) + abs(row["eta"] - expected["eta"])
            )
            sip = np.hypot(row["dxy"], row["dz"]) / np.hypot(row["dxyErr"], row["dzErr"])
            found = [row["pt"], row["eta"], row["dxy"], row["dz"], row["iso"], sip]
            wanted = [expected[key] for key in ("pt", "eta", "dxy_cm", "dz_cm", "pf_iso_rel", "sip")]
            assert found == pytest.approx(wanted, abs=1e-4)
            assert row["charge"] == expected["charge"]
            compared += 1
    assert compared == sum(len(event[listed]) for event in oracle["events"]) > 5


def test_muons_without_global_track_have_no_impact_parameter(events):
    has = events["muon.hasGlobalTrack"].values
    assert not has.all()
    assert np.array_equal(np.isfinite(events["muon.dxy"].values), has)
    assert np.array_equal(events["muon.isGlobal"].values, has)


def test_superclusters_are_near_but_not_the_track(events):
    """The track points at the vertex, the cluster is seen from the origin."""
    difference = abs(events["electron.superclusterEta"].values - events["electron.eta"].values)
    assert difference.min() > 0
    assert difference.max() < 0.1


def test_supercluster_energy_and_momentum_agree(source):
    """An independent member, the four-momentum by the cluster, points where the cluster is."""
    electrons = "recoGsfElectrons_gsfElectrons__RECO."
    p4 = [
        source.member(electrons, f"corrections_.fromSuperClusterP4.fCoordinates.f{axis}", 0, 10).values
        for axis in "XYZ"
    ]
    eta = np.arcsinh(p4[2] / np.hypot(p4[0], p4[1]))
    found = source.read(["Electron_superclusterEta"], 0, 10)["Electron_superclusterEta"].values
    assert np.max(abs(found - eta)) < 0.1


def test_identity(source):
    columns = source.read(["run", "luminosityBlock", "event"], 0, 10)
    assert columns["run"].tolist() == [1] * 10
    assert columns["luminosityBlock"].tolist() == [67] * 10
    assert columns["event"].tolist() == list(range(6601, 6611))


def test_ranges_add_up_to_the_whole(source, events):
    # Event 6 has no object at all; an empty range is a range.
    ranges = ((0, 3), (3, 4), (4, 6), (6, 7), (7, 7), (7, 10))
    parts = [read_events(source, NAMES, [], *edges, where="AOD") for edges in ranges]
    for name in NAMES:
        joined = np.concatenate([part[name].values for part in parts])
        np.testing.assert_array_equal(joined, events[name].values)


def test_bytes_and_unknown_columns(source):
    assert source.stored_bytes(["Muon_dxy"]) > source.stored_bytes(["Muon_pt"]) > 0
    assert source.stored_bytes(["event"]) > 0
    assert source.stored_bytes([]) == 0
    assert source.clusters(["Muon_pt"]) == [0, 10]
    with pytest.raises(DataError, match="Muon_mvaId"):
        source.read(["Muon_mvaId"], 0, 1)


def test_damaged_member_names_file_and_branch(shared, tmp_path):
    """Bytes in the middle of one basket are overwritten."""
    original = shared(AOD)
    source = open_source(FileRef(str(original)), ["cms-aod"])
    basket = source._branch("recoMuons_muons__RECO.", "pt_").basket(0)
    at, size = int(basket.cursor.index), basket.compressed_bytes
    seek = source._branch("recoMuons_muons__RECO.", "pt_").member("fBasketSeek")[0]
    source.close()
    data = bytearray(original.read_bytes())
    data[seek : seek + at + size] = bytes(at + size)
    damaged = tmp_path / "damaged.root"
    damaged.write_bytes(data)
    source = open_source(FileRef(str(damaged)), ["cms-aod"])
    with pytest.raises(DataError, match=r"damaged\.root.*pt_"):
        source.read(["Muon_pt"], 0, 10)
    source.close()


# -- decoders -------------------------------------------------------------------------------------


def header(body: bytes, version: int = 10) -> bytes:
    return struct.pack(">IH", 0x40000000 | (len(body) + 2), version) + body


def auxiliary(identity: bytes, lumi: int) -> bytes:
    hashed = header(header(b"\x10" + bytes(16), 9))
    return (
        hashed
        + header(identity)
        + header(b"\x24" + b"g" * 36, 9)
        + header(bytes(8))
        + struct.pack(">I", lumi)
    )


@pytest.mark.parametrize(
    "identity",
    [
        struct.pack(">II", 190456, 77),
        struct.pack(">III", 190456, 12, 77),
        struct.pack(">IIQ", 190456, 12, 77),
    ],
)
def test_event_identity_of_every_age(identity):
    assert decode_event_id(auxiliary(identity, 12)) == (190456, 12, 77)


def test_large_event_numbers():
    assert decode_event_id(auxiliary(struct.pack(">IIQ", 1, 2, 2**40), 2)) == (1, 2, 2**40)


@pytest.mark.parametrize("entry", [b"", b"\x00" * 60, auxiliary(bytes(12), 1)[:30], auxiliary(bytes(9), 1)])
def test_other_bytes_are_no_identity(entry):
    assert decode_event_id(entry) is None


def test_lumi_identity():
    hashed = header(header(b"\x10" + bytes(16), 9))
    assert decode_lumi_id(hashed + header(struct.pack(">II", 1, 67))) == (1, 67)
    assert decode_lumi_id(hashed + header(bytes(4))) is None
    assert decode_lumi_id(b"\x40") is None


def references(rows):
    return np.array([(11, *row) for row in rows], dtype=REFERENCE)


def test_following_references():
    tracks = "recoTracks_globalMuons__RECO."
    lists = [np.array([5], dtype=np.uint32), np.array([7, branch_id(tracks)], dtype=np.uint32)]
    # Events with 2, 0 and 2 references; the first process of the second event is list 1.
    refs = Jagged(np.array([0, 2, 2, 4]), references([(2, 2, 1), (0, 0, 0xFFFFFFFF), (1, 2, 0), (1, 1, 0)]))
    indexes = Jagged(np.array([0, 2, 4, 6]), np.array([0, 1, 0, 1, 1, 0]))
    products = referred_products(refs, indexes, lists)
    assert products.tolist() == [branch_id(tracks), 0, branch_id(tracks), 7]
    column = Jagged(np.array([0, 2, 3, 4]), np.zeros(4))
    assert follow(refs, products, tracks, column, where="f").tolist() == [1, -1, 3, -1]
    short = Jagged(np.array([0, 1, 2, 3]), np.zeros(3))
    with pytest.raises(DataError, match="past the end"):
        follow(refs, products, tracks, short, where="f")


def test_references_elsewhere_are_not_taken_for_null(source, monkeypatch):
    """Were the file's list of products another, no muon would have a track: that must not pass."""
    shuffled = [np.roll(products, 1) for products in source.lists()]
    monkeypatch.setattr(source, "_lists", shuffled)
    with pytest.raises(
        DataError, match=r"references of recoMuons.*do not point into 'recoTracks_globalMuons"
    ) as e:
        source.read(["Muon_dxy"], 0, 10)
    assert e.value.where == source.ref.url


def test_identity_that_does_not_fit_the_file_is_refused(source, monkeypatch):
    monkeypatch.setattr(source, "_lumis", frozenset({(1, 66)}))
    assert not source._identity_is_sound()
    with pytest.raises(DataError, match="entry 3 of 'EventAuxiliary'"):
        source.read(["run"], 3, 5)


def test_null_references_only():
    refs = Jagged(np.array([0, 1]), references([(0, 0, 0xFFFFFFFF)]))
    assert referred_products(refs, Jagged(np.array([0, 0]), np.zeros(0)), []).tolist() == [0]


def test_hits_are_counted_across_words():
    fields = np.zeros((3, 72), dtype=np.uint64)
    fields[1, [2, 5, 71]] = [1, 0x400, 0x7FF]
    fields[2] = 3
    words = np.zeros((3, 25), dtype=np.uint32)
    for row, pattern in enumerate(fields):
        number = sum(int(value) << (11 * i) for i, value in enumerate(pattern))
        words[row] = [(number >> (32 * i)) & 0xFFFFFFFF for i in range(25)]
    assert count_hits(words).tolist() == [0, 3, 72]
    assert count_hits(words[:0]).tolist() == []


def test_impact_parameters_by_hand():
    """A track at 45 degrees in the x-z plane, offset by 0.1 cm in y and 0.2 cm in z."""
    points = np.array([[0.0, 0.1, 0.2], [3.0, 0.1, 3.2]])
    momenta = np.array([[10.0, 0.0, 10.0], [10.0, 0.0, 10.0]])
    dxy, dz = impact_parameters(points, momenta, np.zeros((2, 3)))
    assert dxy == pytest.approx([0.1, 0.1])
    assert dz == pytest.approx([0.2, 0.2])
    covariance = np.zeros((2, 15))
    covariance[:, 9], covariance[:, 14] = 4e-6, 9e-6
    covariance[1, 9] = -1
    errors = impact_errors(covariance, momenta)
    assert errors[0][0] == pytest.approx(2e-3)
    assert np.isnan(errors[0][1])
    assert errors[1] == pytest.approx(3e-3 * np.sqrt(2))

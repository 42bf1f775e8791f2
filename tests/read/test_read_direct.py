from __future__ import annotations

import random
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from numpy.testing import assert_array_equal

from femtobarn.errors import DataError, FemtobarnError
from femtobarn.kernels.treescan import after_block, scan_branches
from femtobarn.read import open_source, read_events
from femtobarn.read.columns import widened
from femtobarn.read.plain import PlainTree, open_plain
from femtobarn.read.rootbytes import RootBytes, Unusual, unpack_blocks
from femtobarn.records import FileRef


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Numbers and lists of every kind in five baskets."""
    path = tmp_path_factory.mktemp("direct") / "x.root"
    rng = np.random.default_rng(1)
    with uproot.recreate(path, compression=uproot.ZLIB(1)) as file:
        kinds = {"event": "uint64", "x": "float32", "d": "float64", "i": "int32", "s": "int16", "ok": "bool"}
        file.mktree("Events", {**kinds, "Jet": "var * {pt: float32, id: int32, tight: bool}"})
        for size in (7, 1, 30, 12, 50):
            counts = rng.integers(0, 5, size)
            flat = {
                name: rng.normal(0, 100, size).astype(kind) for name, kind in kinds.items() if name != "event"
            }
            total = int(counts.sum())
            jets = {"pt": rng.normal(50, 9, total).astype("f4"), "id": rng.integers(0, 7, total).astype("i4"),
                    "tight": rng.random(total) < 0.5}  # fmt: skip
            jagged = ak.zip({name: ak.unflatten(values, counts) for name, values in jets.items()})
            file["Events"].extend({"event": rng.integers(0, 2**60, size).astype("u8"), **flat, "Jet": jagged})
    return path


def columns_of(found):
    return {name: (column.values if hasattr(column, "offsets") else column) for name, column in found.items()}


@pytest.mark.parametrize(("start", "stop"), [(0, 100), (0, 0), (6, 9), (8, 38), (37, 99), (99, 100)])
def test_same_columns_as_the_general_reader(written, start, stop):
    source = open_source(FileRef(str(written)))
    assert isinstance(source, PlainTree)
    names = sorted(source.branches)
    mine, theirs = source.read(names, start, stop), source.general().read(names, start, stop)
    for name in names:
        a, b = mine[name], theirs[name]
        assert type(a) is type(b), name
        if hasattr(a, "offsets"):
            assert_array_equal(a.offsets, b.offsets)
        x, y = columns_of({name: a})[name], columns_of({name: b})[name]
        assert x.dtype == y.dtype, name
        assert_array_equal(x, y)
    source.close()


def test_metadata_as_the_general_reader_says(written):
    source = open_source(FileRef(str(written)))
    general = source.general()
    assert (source.entries, source.uuid, source.size) == (general.entries, general.uuid, general.size)
    assert source.branches == general.branches
    assert source.clusters() == general.clusters() == [0, 7, 8, 38, 50, 100]
    assert source.clusters(["event", "Jet_pt"]) == general.clusters(["event", "Jet_pt"])
    for name in source.branches:
        assert source.stored_bytes([name]) == general.stored_bytes([name])
    source.close()


def test_files_written_by_the_experiments(shared):
    path = shared("data/C/NanoAODv5_sample.root")
    source = open_source(FileRef(str(path)), ("cms-nanoaod",))
    assert isinstance(source, PlainTree)
    names = ["event", "nJet", "Jet_pt", "Jet_jetId", "Muon_tightId", "HLT_IsoMu24", "GenPart_pdgId"]
    mine, theirs = source.read(names, 130, 870), source.general().read(names, 130, 870)
    for name in names:
        assert_array_equal(columns_of(mine)[name], columns_of(theirs)[name])
    assert source.clusters() == source.general().clusters()
    assert len(source.branches) == 1479


def test_precision_is_kept_until_somebody_asks(written):
    source = open_source(FileRef(str(written)))
    events = read_events(source, ["x", "Jet_pt"], (), 0, 50, where="")
    assert events.stored("x").dtype == np.float32
    assert events.stored("Jet_pt").values.dtype == np.float32
    assert events.flat("x").dtype == np.float64
    assert events.jagged("Jet_pt").values.dtype == np.float64
    assert events["Jet_pt"] is events["Jet_pt"]
    assert_array_equal(widened(events.stored("x")), events["x"])
    with pytest.raises(DataError, match="was not read"):
        events.stored("y")
    source.close()


def test_objects_are_left_to_the_general_reader(tmp_path):
    path = tmp_path / "h.root"
    with uproot.recreate(path) as file:
        file["h"] = np.histogram(np.arange(5.0))
    assert open_plain(FileRef(str(path)), ()) is None
    text = tmp_path / "t.root"
    text.write_bytes(b"root but not quite" * 20)
    assert open_plain(FileRef(str(text)), ()) is None


def test_a_cut_file_is_refused_in_words(written, tmp_path):
    short = tmp_path / "short.root"
    short.write_bytes(Path(written).read_bytes()[:-100])
    with pytest.raises(DataError, match="is truncated"):
        open_source(FileRef(str(short)))


def test_blocks_must_fit():
    data = np.frombuffer(b"ZS\x01\xff\x00\x00\x10\x00\x00abc", dtype=np.uint8)
    with pytest.raises(DataError, match="longer than what holds it"):
        unpack_blocks(data, np.empty(16, np.uint8))
    with pytest.raises(DataError, match="end after 0 of 16"):
        unpack_blocks(data[:5], np.empty(16, np.uint8))
    with pytest.raises(Unusual):
        unpack_blocks(
            np.frombuffer(b"??\x01\x03\x00\x00\x03\x00\x00abc", dtype=np.uint8), np.empty(3, np.uint8)
        )


def test_titles_of_branches_are_those_that_uproot_finds(shared):
    path = shared("data/D/DYto2E.root")
    source = open_source(FileRef(str(path), tree="Events"))
    assert isinstance(source, PlainTree)
    with uproot.open(path) as file:
        titles = {name: branch.title for name, branch in file["Events"].items()}
    assert {name: source.branch_title(name) for name in source.branches} == titles
    assert any(len(title) > 20 for title in titles.values())


def test_lengths_that_lead_out_of_the_data():
    """The compiled scan must not follow them: what lies there may be nobody's memory."""
    data = np.frombuffer(b"\x40\x00\x00\x08" + bytes(60), dtype=np.uint8)
    assert after_block(data, 0) == 12
    for at in (-1, 61, 64, 10**9, 10**15, -(10**15)):
        assert after_block(data, at) == -1
    for at in (0, 63, 10**15, -(10**15)):
        assert len(scan_branches(data, at, 3)) == 0


def test_any_damage_is_refused_in_words_or_harmless(written, tmp_path):
    """Header, directory and tree with a few bytes changed: columns, or a sentence."""
    choose = random.Random(6)  # noqa: S311 - places, not secrets
    good = written.read_bytes()
    file = RootBytes(str(written))
    keys = file.directory()
    places = [
        (0, 100),
        *((key.at, key.length) for key in keys),
        *((key.at, key.length + key.stored_length) for key in keys),
    ]
    file.close()
    bad = tmp_path / "bad.root"
    refused = 0
    for _ in range(80):
        out = bytearray(good)
        for _ in range(choose.randint(1, 4)):
            at, length = choose.choice(places)
            out[at + choose.randrange(length)] = choose.choice([0, 0x7F, 0x80, 0xFF, choose.randrange(256)])
        bad.write_bytes(out)
        try:
            source = open_source(FileRef(str(bad)))
            source.read(sorted(source.branches), 0, min(source.entries, 100))
            source.close()
        except FemtobarnError:
            refused += 1
    assert 10 < refused < 80

from __future__ import annotations

import itertools

import awkward as ak
import numpy as np
import pytest
import uproot

from femtobarn.errors import ConfigError, DataError, UsageError
from femtobarn.kernels.jagged import Jagged
from femtobarn.read import Events, check_unit, find_schema, open_source, read_events, schema_names
from femtobarn.read.schema import load_schema
from femtobarn.read.source import common_edges
from femtobarn.records import FileRef

EVENTS = 40
RNG = np.random.default_rng(7)
COUNTS = RNG.integers(0, 5, EVENTS)
TOTAL = int(COUNTS.sum())


def lists(values):
    return ak.unflatten(values, COUNTS)


COLUMNS = {
    "lep_pt": lists(RNG.uniform(5e3, 9e4, TOTAL).astype(np.float32)),
    "lep_eta": lists(RNG.uniform(-2.5, 2.5, TOTAL).astype(np.float32)),
    "lep_E": lists(RNG.uniform(5e3, 9e4, TOTAL).astype(np.float32)),
    "lep_charge": lists(RNG.choice([-1, 1], TOTAL).astype(np.int32)),
    "lep_isTightID": lists(RNG.random(TOTAL) < 0.5),
    "lep_z0": lists(RNG.normal(0, 1, TOTAL).astype(np.float32)),
    "eventNumber": np.arange(EVENTS, dtype=np.int64) + 2**40,
    "trigE": RNG.random(EVENTS) < 0.5,
    "met_et": RNG.uniform(0, 1e5, EVENTS).astype(np.float32),
    "scaleFactor_LepTRIGGER": np.ones(EVENTS, dtype=np.float32),
}


def write(path, *, ntuple=False, columns=COLUMNS, name="mini", baskets=4):
    """The same columns as a TTree of several baskets, or as an RNTuple of several clusters."""
    steps = np.linspace(0, len(next(iter(columns.values()))), baskets + 1).astype(int)
    chunks = [{key: c[a:b] for key, c in columns.items()} for a, b in itertools.pairwise(steps)]
    with uproot.recreate(path) as file:
        if ntuple:
            target = file.mkrntuple(name, chunks[0])
            rest = chunks[1:]
        else:
            types = {key: c.dtype if isinstance(c, np.ndarray) else c.type for key, c in columns.items()}
            target = file.mktree(name, types)
            rest = chunks
        for chunk in rest:
            target.extend(chunk)
    return path


@pytest.fixture(scope="module", params=["ttree", "rntuple"])
def source(request, tmp_path_factory):
    path = write(tmp_path_factory.mktemp("events") / "t.root", ntuple=request.param == "rntuple")
    opened = open_source(FileRef(str(path)), ["atlas-2025", "atlas-2020"])
    yield opened
    opened.close()


NEEDED = [
    "lepton.pt",
    "lepton.eta",
    "lepton.charge",
    "lepton.tight_id",
    "event",
    "trigger.electron",
    "met.pt",
]


def test_columns_in_house_units(source):
    assert source.schema.name == "atlas-2020"
    events = read_events(source, NEEDED, [], 0, EVENTS, where="t.root")
    pt = events.jagged("lepton.pt")
    assert pt.values.dtype == np.float64
    np.testing.assert_array_equal(pt.counts, COUNTS)
    # Promoted to float64 before the unit is applied, so a cut compares one number everywhere.
    np.testing.assert_array_equal(
        pt.values, ak.to_numpy(ak.flatten(COLUMNS["lep_pt"])).astype(np.float64) * 1e-3
    )
    np.testing.assert_array_equal(events.flat("met.pt"), COLUMNS["met_et"].astype(np.float64) * 1e-3)
    np.testing.assert_array_equal(events.flat("event"), COLUMNS["eventNumber"])
    assert events.flat("trigger.electron").dtype == np.bool_
    assert events["lepton.tight_id"].values.dtype == np.bool_
    assert events["lepton.charge"].values.dtype == np.int32
    assert events.flat("event").dtype.isnative


def test_millimetres(source):
    raw = source.read(["lep_z0"], 0, EVENTS)["lep_z0"].values
    read = read_events(source, ["lepton.z0"], [], 0, EVENTS, where="t")["lepton.z0"].values
    np.testing.assert_array_equal(read, raw * 0.1)


def test_optional_columns_may_be_absent(source):
    events = read_events(source, ["lepton.pt"], ["photon.pt", "lepton.eta"], 0, 5, where="t")
    assert "photon.pt" not in events
    assert "lepton.eta" in events
    with pytest.raises(DataError, match=r"'lepton\.et' was not read") as caught:
        events["lepton.et"]
    assert "lepton.eta" in caught.value.near


def test_needed_columns_must_be_there(source):
    with pytest.raises(
        DataError, match=r"t\.root: tree 'mini' lacks branches 'lep_phi', 'lepp_pt'"
    ) as caught:
        read_events(source, ["lepton.phi", "lepp_pt"], [], 0, 5, where="t.root")
    assert "lepton.phi" in caught.value.action
    with pytest.raises(DataError, match="lacks branch 'lep_ptt'") as caught:
        read_events(source, ["lep_ptt"], [], 0, 5, where="t.root")
    assert caught.value.near[0] == "lep_pt"


@pytest.mark.parametrize("size", [1, 7, 16, 40])
def test_chunks_add_up_to_the_whole(source, size):
    whole = read_events(source, NEEDED, [], 0, EVENTS, where="t")
    edges = [(low, min(low + size, EVENTS)) for low in range(0, EVENTS, size)]
    parts = [read_events(source, NEEDED, [], *edge, where="t") for edge in edges]
    assert [len(part) for part in parts] == [high - low for low, high in edges]
    for name in NEEDED:
        columns = [part[name] for part in parts]
        if isinstance(whole[name], Jagged):
            np.testing.assert_array_equal(np.concatenate([c.counts for c in columns]), whole[name].counts)
            np.testing.assert_array_equal(np.concatenate([c.values for c in columns]), whole[name].values)
        else:
            np.testing.assert_array_equal(np.concatenate(columns), whole[name])


def test_clusters_and_bytes(source):
    assert source.clusters() == [0, 10, 20, 30, 40]
    assert source.clusters(["lep_pt"]) == [0, 10, 20, 30, 40]
    sizes = {name: source.stored_bytes([name]) for name in source.branches}
    assert min(sizes.values()) > 0
    assert source.stored_bytes(["lep_pt", "met_et", "absent"]) == sizes["lep_pt"] + sizes["met_et"]
    assert sum(sizes[name] for name in COLUMNS) < source.size


def test_few_branches_may_share_more_edges():
    """A branch whose baskets are cut elsewhere takes edges from all, not from the others."""

    class Branch:
        def __init__(self, *edges):
            self.entry_offsets = edges
            self.num_baskets = len(edges) - 1

    assert common_edges([Branch(0, 4, 8), Branch(0, 2, 4, 6, 8)], 8) == [0, 4, 8]
    assert common_edges([Branch(0, 2, 4, 6, 8)], 8) == [0, 2, 4, 6, 8]
    assert common_edges([Branch(0, 4, 8), Branch(0, 3, 8), Branch(0)], 8) == [0, 8]
    assert common_edges([], 0) == [0]


def test_rows_and_masks(source):
    events = read_events(source, NEEDED, [], 0, EVENTS, where="t")
    mask = events["trigger.electron"]
    picked = events.rows(mask)
    assert len(picked) == mask.sum()
    np.testing.assert_array_equal(picked["event"], events["event"][mask])
    assert picked["lepton.pt"].counts.tolist() == COUNTS[mask].tolist()
    assert events.rows([3, 1])["event"].tolist() == [2**40 + 3, 2**40 + 1]
    for wrong in (mask[:-1], np.ones(EVENTS + 1, dtype=bool), mask[:0]):
        with pytest.raises(ValueError, match="cannot select from 40 events"):
            events.rows(wrong)


def test_awkward_view_of_a_collection(source):
    events = read_events(source, NEEDED, [], 0, EVENTS, where="t")
    leptons = events.lepton
    assert leptons.fields == ["pt", "eta", "charge", "tight_id"]
    assert ak.num(leptons).tolist() == COUNTS.tolist()
    tight = leptons[leptons.tight_id & (leptons.pt > 20)]
    pt, flag = events["lepton.pt"], events["lepton.tight_id"].values
    assert ak.to_list(tight.pt) == ak.to_list(
        ak.unflatten(pt.where(flag & (pt.values > 20)).values, pt.where(flag & (pt.values > 20)).counts)
    )
    assert events.met.pt.tolist() == events["met.pt"].tolist()
    with pytest.raises(DataError, match="no column of a collection 'leptons'") as caught:
        _ = events.leptons
    assert caught.value.near == ("lepton",)


def test_shape_is_what_was_asked_for(source):
    events = read_events(source, NEEDED, [], 0, 3, where="t")
    with pytest.raises(DataError, match="several values per event"):
        events.flat("lepton.pt")
    with pytest.raises(DataError, match="one value per event"):
        events.jagged("met.pt")


def test_columns_must_have_the_events_length():
    with pytest.raises(ValueError, match="'a' has 2 events, not 3"):
        Events(3, {"a": np.zeros(2)})


def test_collections_must_agree_on_their_objects():
    a, b = Jagged(np.array([0, 1, 1]), np.zeros(1)), Jagged(np.array([0, 0, 1]), np.zeros(1))
    with pytest.raises(DataError, match="differ in their number of objects"):
        _ = Events(2, {"x.a": a, "x.b": b}).x


def test_strings_small_integers_and_fixed_arrays(tmp_path):
    path = tmp_path / "kinds.root"
    columns = {
        "small": np.array([1, 2, 255], np.uint8),
        "flag": np.array([True, False, True]),
        "fixed": np.arange(6, dtype=np.float32).reshape(3, 2),
    }
    with uproot.recreate(path) as file:
        tree = file.mktree("t", {k: np.dtype((c.dtype, c.shape[1:])) for k, c in columns.items()})
        tree.extend(columns)
        file.mktree("words", {"name": "string"}).extend({"name": ["a", "bb", ""]})
    source = open_source(FileRef(str(path), "t"))
    read = source.read(list(columns), 1, 3)
    assert (read["small"].dtype, read["small"].tolist()) == (np.uint8, [2, 255])
    assert (read["flag"].dtype, read["flag"].tolist()) == (np.bool_, [False, True])
    assert read["fixed"].counts.tolist() == [2, 2]
    assert read["fixed"].values.tolist() == [2, 3, 4, 5]
    source.close()
    words = open_source(FileRef(str(path), "words"))
    assert words.read(["name"], 0, 3)["name"].tolist() == ["a", "bb", ""]
    words.close()


def test_nested_and_record_columns_are_refused_by_name(tmp_path):
    path = tmp_path / "deep.root"
    deep = ak.Array([[[1.0], []], [], [[2.0, 3.0]]])
    records = ak.Array([[{"x": 1}], [], [{"x": 2}]])
    with uproot.recreate(path) as file:
        file.mkrntuple("t", {"deep": deep, "record": records})
    source = open_source(FileRef(str(path)))
    for name in ("deep", "record"):
        with pytest.raises(DataError, match=f"branch '{name}'") as caught:
            source.read([name], 0, 3)
        assert caught.value.where == str(path)
        assert source.stored_bytes([name]) > 0
    assert source.read(["record.x"], 0, 3)["record.x"].values.tolist() == [1, 2]
    source.close()


@pytest.mark.parametrize(
    ("name", "tree", "branch", "entries"),
    [
        ("DAOD_PHYSLITE_21.2.108.0.art.pool", "CollectionTree", "EventInfoAux.runNumber", 40),
        ("PHYSLITE_example", "CollectionTree", "EventInfoAuxDyn.runNumber", 100),
        ("uproot-physlite-rntuple_v1-0-0-0", "EventData", "EventInfoAuxDyn:runNumber", 100),
    ],
)
def test_members_of_split_objects(shared, name, tree, branch, entries):
    source = open_source(FileRef(str(shared(f"data/E/{name}.root")), tree))
    assert branch in source.branches
    run = source.read([branch], 0, entries)[branch]
    assert len(np.unique(run)) == 1
    assert source.stored_bytes([branch]) > 0
    pt = next(
        n for n in sorted(source.branches) if n.startswith("AnalysisElectronsAuxDyn") and n.endswith("pt")
    )
    assert (source.read([pt], 0, entries)[pt].values > 1000).all()
    source.close()


# -- units -----------------------------------------------------------------------------------------


def test_unit_mistakes_are_refused(tmp_path):
    columns = {**COLUMNS, "lep_pt": COLUMNS["lep_pt"] * 1e-3}
    source = open_source(FileRef(str(write(tmp_path / "gev.root", columns=columns))), ["atlas-2020"])
    with pytest.raises(DataError, match=r"gev\.root: branch 'lep_pt' has a median of 0\.0\d+ GeV"):
        check_unit(source, where="gev.root")
    source.close()


@pytest.mark.parametrize(
    ("median", "refused"), [(0.05, "hold GeV"), (120.0, ""), (40.0, "hold GeV"), (2e6, ""), (9e6, "hold keV")]
)
def test_a_schema_in_mev_has_bounds_on_both_sides(tmp_path, median, refused):
    """Jets of two TeV are possible, more than a beam holds is not."""
    columns = {**COLUMNS, "lep_pt": ak.Array([[median]] * EVENTS)}
    source = open_source(FileRef(str(write(tmp_path / "t.root", columns=columns))), ["atlas-2020"])
    if refused:
        with pytest.raises(DataError, match=refused):
            check_unit(source, where="t.root")
    else:
        check_unit(source, where="t.root")
    source.close()


@pytest.mark.parametrize(("median", "refused"), [(0.2, "hold TeV"), (30.0, ""), (1200.0, "hold MeV")])
def test_a_schema_in_gev_has_bounds_on_both_sides(tmp_path, median, refused):
    path = write(tmp_path / "t.root", columns={"Muon_pt": ak.Array([[median]] * EVENTS)}, name="Events")
    source = open_source(FileRef(str(path)), ["cms-nanoaod"])
    if refused:
        with pytest.raises(DataError, match=refused):
            check_unit(source, where="t.root")
    else:
        check_unit(source, where="t.root")
    source.close()


def test_the_leading_one_counts(tmp_path):
    """Many soft objects stored before a hard one are no unit mistake."""
    columns = {**COLUMNS, "lep_pt": ak.Array([[10.0, 50e3]] * EVENTS)}
    source = open_source(FileRef(str(write(tmp_path / "t.root", columns=columns))), ["atlas-2020"])
    check_unit(source, where="t.root")
    source.close()


def test_unit_of_good_and_empty_files(source, tmp_path):
    check_unit(source, where="t.root")
    empty = {name: column[:0] for name, column in COLUMNS.items()}
    path = tmp_path / "empty.root"
    with uproot.recreate(path) as file:
        file.mktree("mini", {k: c.dtype if isinstance(c, np.ndarray) else c.type for k, c in empty.items()})
    opened = open_source(FileRef(str(path)), ["atlas-2020"])
    check_unit(opened, where="empty.root")
    assert opened.clusters() == [0]
    assert len(read_events(opened, NEEDED, [], 0, 0, where="empty.root")["lepton.pt"]) == 0
    opened.close()


# -- schemas ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", schema_names())
def test_shipped_schemas(name):
    import pickle

    schema = find_schema(name)
    assert schema.name == name
    assert schema.format in ("tree", "csv", "histograms", "edm", "arrays")
    assert schema.title
    # Schemas travel to worker processes.
    copy = pickle.loads(pickle.dumps(schema))  # noqa: S301 - our own bytes
    assert (copy.name, dict(copy.columns)) == (schema.name, dict(schema.columns))


def test_stars_and_logical_names():
    schema = find_schema("cms-nanoaod")
    assert schema.resolve("muon.pt").name == "Muon_pt"
    assert schema.resolve("Muon_pt").name == "Muon_pt"
    assert schema.resolve("lumi").name == "luminosityBlock"
    assert schema.logical(["Muon_pt", "luminosityBlock", "other"]) == ["muon.pt", "lumi", "other"]


def test_schema_faults():
    with pytest.raises(UsageError) as caught:
        find_schema("atlas-2021")
    assert "atlas-2020" in caught.value.near
    with pytest.raises(ConfigError, match=r"'pt'.*not 'branch' or"):
        load_schema("name: x\ncolumns:\n  pt: lep_pt [furlong]\n", where="x.yaml")
    with pytest.raises(ConfigError, match="unknown key 'colums'"):
        load_schema("name: x\ncolumns: {}\ncolums: {}\n", where="x.yaml")
    with pytest.raises(ConfigError, match="needs the keys"):
        load_schema("[]", where="x.yaml")

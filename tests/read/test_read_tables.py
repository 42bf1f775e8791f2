from __future__ import annotations

import hashlib
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from femtobarn.errors import DataError
from femtobarn.kernels.jagged import Jagged
from femtobarn.read import open_source, read_events
from femtobarn.records import FileRef

DIPHOTON = "Run,Event,pt1,eta1,phi1,pt2,eta2,phi2,M\n"
ROW = "1,{event},50.5,0.1,0.2,40,-0.3,1.4,{mass}\n"


def table(tmp_path, text, *candidates, name="t.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return open_source(FileRef(str(path)), candidates)


def diphotons(*masses):
    return DIPHOTON + "".join(ROW.format(event=i + 1, mass=mass) for i, mass in enumerate(masses))


# -- CSV -----------------------------------------------------------------------------------------------


def test_header_decides_the_schema(tmp_path):
    source = table(tmp_path, diphotons(125.5, 124))
    assert source.schema.name == "cms-diphotons"
    assert (source.entries, source.clusters(), source.tree) == (2, [0, 2], "")
    names = ["run", "event", "mass", "photon2.eta"]
    events = read_events(source, names, ["photon1.r9"], 0, 2, where="t.csv")
    assert events.names == tuple(names)
    assert events["mass"].tolist() == [125.5, 124.0]
    assert events["mass"].dtype == np.float64
    assert events["event"].dtype == np.int64


@pytest.mark.parametrize(
    ("name", "rows", "schema"),
    [
        ("2e2mu_2011", 13, "cms-candidates"),
        ("4e_2011", 7, "cms-candidates"),
        ("4mu_2011", 18, "cms-candidates"),
        ("4mu_2012", 95, "cms-candidates"),
        ("Zmumu_Run2011A", 10583, "cms-dileptons"),
        ("peakdata3", 19519, "cms-dileptons"),
        ("diphoton", 10, "cms-diphotons"),
    ],
)
def test_published_tables(shared, name, rows, schema):
    source = open_source(FileRef(str(shared(f"data/B/{name}.csv"))))
    assert (source.schema.name, source.entries) == (schema, rows)
    columns = source.read(sorted(source.branches), 0, rows)
    assert {len(column) for column in columns.values()} == {rows}
    known = {branch.name for branch in source.schema.columns.values()}
    assert source.branches <= known


def test_masses_of_four_leptons_recompute(shared):
    oracle = json.loads(shared("oracles/higgs/cms_candidates.json").read_text())
    for name in ("2e2mu_2011", "4e_2011", "4mu_2011", "4mu_2012"):
        source = open_source(FileRef(str(shared(f"data/B/{name}.csv"))), ["cms-candidates"])
        momenta = [f"lepton{i}.{axis}" for i in range(1, 5) for axis in ("e", "px", "py", "pz")]
        events = read_events(source, [*momenta, "mass"], [], 0, source.entries, where=name)
        e, x, y, z = (
            sum(events[f"lepton{i}.{axis}"] for i in range(1, 5)) for axis in ("e", "px", "py", "pz")
        )
        deviation = np.max(abs(np.sqrt(e**2 - x**2 - y**2 - z**2) / events["mass"] - 1))
        assert deviation == pytest.approx(oracle[f"{name}.csv"]["max_rel_dev_recomputed_M"], rel=1e-3)


def test_words_are_text(shared):
    source = open_source(FileRef(str(shared("data/B/peakdata3.csv"))))
    assert set(np.unique(source.read(["Type1"], 0, 50)["Type1"])) <= {"G", "T"}


def test_ranges(tmp_path):
    source = table(tmp_path, diphotons(*range(100, 110)))
    whole = source.read(["M"], 0, 10)["M"]
    parts = [source.read(["M"], *edges)["M"] for edges in ((0, 3), (3, 3), (3, 10))]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_header_only_is_no_error(tmp_path):
    source = table(tmp_path, DIPHOTON)
    assert (source.entries, source.clusters()) == (0, [0])
    assert read_events(source, ["mass"], [], 0, 0, where="t")["mass"].tolist() == []


def test_last_line_may_lack_its_end_and_lines_may_be_empty(tmp_path):
    text = diphotons(125, 126).replace("1,2,", "\n1,2,").rstrip()
    assert table(tmp_path, text).entries == 2
    assert table(tmp_path, text.replace("\n", "\r\n")).entries == 2
    assert table(tmp_path, b"\xef\xbb\xbf" + text.encode()).schema.name == "cms-diphotons"


def test_identity_is_the_content(tmp_path):
    a, b = table(tmp_path, diphotons(125), name="a.csv"), table(tmp_path, diphotons(125), name="b.csv")
    c = table(tmp_path, diphotons(126), name="c.csv")
    assert a.uuid == b.uuid == hashlib.sha256(diphotons(125).encode()).hexdigest()
    assert a.uuid != c.uuid


def test_bytes_are_shared_among_columns(tmp_path):
    source = table(tmp_path, diphotons(125))
    assert source.stored_bytes(sorted(source.branches)) == source.size == len(diphotons(125))
    assert source.stored_bytes(["nothing"]) == 0


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (diphotons(125, 126).replace(",126\n", "\n"), 3, "Expected 9 columns, got 8"),
        (
            diphotons(125) + "\n" + diphotons(126)[len(DIPHOTON) :].replace(",126", ""),
            4,
            "Expected 9 columns",
        ),
        (diphotons(125, "oops", 126, 127), 3, "'M' holds numbers, but here 'oops'"),
        (diphotons(125) + "\n" + ROW.format(event=2, mass=""), 4, "'M' has an empty cell"),
        (diphotons(""), 2, "'M' is empty"),
        (DIPHOTON.replace("eta2", "eta1") + ROW, 1, "repeats the column 'eta1'"),
        ("a,,b\n1,2,3\n", 1, "column without name"),
        ('a,b\n1,x\n2,"y\n3,z\n', 3, "unclosed quote"),
    ],
)
def test_broken_lines_are_named(tmp_path, text, line, reason):
    with pytest.raises(DataError, match=reason) as caught:
        table(tmp_path, text)
    assert caught.value.where == f"{tmp_path / 't.csv'}:{line}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [(b"", "0 bytes"), (b"\n \n", "no header line"), (b"root\x00\x01\x02,\n", "binary data")],
)
def test_files_that_are_no_tables(tmp_path, text, reason):
    with pytest.raises(DataError, match=reason) as caught:
        table(tmp_path, text)
    assert caught.value.where.endswith("t.csv")


def test_missing_column_has_neighbours(tmp_path):
    with pytest.raises(DataError, match="lacks the column 'phi2'") as caught:
        table(tmp_path, diphotons(125).replace("phi2", "phi_2"), "cms-diphotons")
    assert caught.value.near[0] == "phi_2"
    source = table(tmp_path, diphotons(125))
    with pytest.raises(DataError, match=r"the table lacks column 'photon1\.r9'"):
        read_events(source, ["photon1.r9"], [], 0, 1, where="t.csv")
    with pytest.raises(DataError, match="has no column 'Mass'"):
        source.read(["Mass"], 0, 1)


def test_other_kind_of_table(tmp_path):
    with pytest.raises(DataError, match="not cms-candidates: it looks like cms-diphotons"):
        table(tmp_path, diphotons(125), "cms-candidates")
    with pytest.raises(DataError, match="is a table, not atlas-2020"):
        table(tmp_path, "a,b\n1,2\n", "atlas-2020")
    assert table(tmp_path, "a,b\n1,2\n").schema.name == "raw"


def test_no_such_file_has_neighbours(tmp_path):
    table(tmp_path, diphotons(125), name="diphoton.csv")
    with pytest.raises(DataError, match="no such file") as caught:
        open_source(FileRef(str(tmp_path / "diphotons.csv")))
    assert caught.value.near == ("diphoton.csv",)


# -- Parquet ---------------------------------------------------------------------------------------------

COLUMNS = {
    "run": pa.array([1, 1, 2, 2, 3], pa.int32()),
    "met": pa.array([1.5, 2.5, 3.5, 4.5, 5.5], pa.float32()),
    "ok": pa.array([True, False, True, True, False]),
    "name": pa.array(["a", "b", "cc", "", "e"]),
    "kind": pa.array(["x", "y", "x", "y", "x"]).dictionary_encode(),
    "pt": pa.array([[1.0], [], [2.0, 3.0], [4.0], []], pa.list_(pa.float32())),
    "flag": pa.array([[True], [], [False, True], [True], []], pa.large_list(pa.bool_())),
    "pair": pa.array([[1, 2]] * 5, pa.list_(pa.int64(), 2)),
}


@pytest.fixture
def parquet(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table(COLUMNS), path, row_group_size=2)
    source = open_source(FileRef(str(path)))
    yield source
    source.close()


def test_parquet_row_groups_are_clusters(parquet):
    assert parquet.entries == 5
    assert parquet.clusters() == [0, 2, 4, 5]
    assert parquet.branches == frozenset(COLUMNS)
    assert 0 < parquet.stored_bytes(["pt"]) < parquet.stored_bytes(["pt", "met"]) < parquet.size


@pytest.mark.parametrize("edges", [(0, 5), (1, 4), (2, 4), (3, 3), (4, 5), (5, 5)])
def test_parquet_ranges(parquet, edges):
    start, stop = edges
    columns = parquet.read(sorted(COLUMNS), start, stop)
    for name, expected in COLUMNS.items():
        column = columns[name]
        assert len(column) == stop - start
        if isinstance(column, Jagged):
            rows = [
                column.values[a:b].tolist() for a, b in zip(column.offsets, column.offsets[1:], strict=False)
            ]
        else:
            rows = column.tolist()
        assert rows == expected.to_pylist()[start:stop]
    assert columns["met"].dtype == columns["pt"].values.dtype == np.float64
    assert columns["run"].dtype == np.int32


def test_parquet_with_gaps_is_refused(tmp_path):
    path = tmp_path / "gaps.parquet"
    pq.write_table(pa.table({"a": [1, None], "s": [{"x": 1}, {"x": 2}], "l": [[1], [None]]}), path)
    source = open_source(FileRef(str(path)))
    for name, reason in (("a", "1 missing"), ("l", "1 missing"), ("s", "struct")):
        with pytest.raises(DataError, match=reason) as caught:
            source.read([name], 0, 2)
        assert caught.value.where == str(path)
    source.close()


def test_damaged_parquet(tmp_path, parquet):
    whole = (tmp_path / "t.parquet").read_bytes()
    for name, data in (("cut", whole[: len(whole) // 2]), ("text", b"PAR1 is not enough"), ("none", b"")):
        path = tmp_path / f"{name}.parquet"
        path.write_bytes(data)
        with pytest.raises(DataError) as caught:
            open_source(FileRef(str(path)))
        assert caught.value.where == str(path)


def test_large_files_are_identified_by_their_ends(tmp_path, monkeypatch, parquet):
    monkeypatch.setattr("femtobarn.read.tables._HASHED", 100)
    monkeypatch.setattr("femtobarn.read.tables._END", 50)
    path = tmp_path / "t.parquet"
    first = open_source(FileRef(str(path)))
    again = open_source(FileRef(str(path)))
    assert first.uuid == again.uuid != parquet.uuid
    first.close()
    again.close()


def test_parquet_of_a_tree_schema(tmp_path):
    """A skim of a release that keeps the branches' names."""
    path = tmp_path / "skim.parquet"
    columns = {"lep_pt": [[50e3]], "lep_E": [[60e3]], "scaleFactor_LepTRIGGER": [1.0]}
    pq.write_table(pa.table(columns), path)
    source = open_source(FileRef(str(path)), ["atlas-2020"])
    events = read_events(source, ["lepton.pt"], [], 0, 1, where="skim")
    assert events["lepton.pt"].values.tolist() == [50.0]
    source.close()

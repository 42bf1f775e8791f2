"""UprootRaw beside uproot itself, and the formats at their edges."""

from __future__ import annotations

import awkward as ak
import hist
import numpy as np
import pytest
import uproot

from femtobarn.deliver import UprootRaw, deliver
from femtobarn.deliver.formats import Delivered, read_back, write
from femtobarn.errors import ConfigError, DataError, LossError

EVENTS = ak.Array({
    "n": np.array([2, 0, 3, 1], dtype=np.uint16),
    "pt": [[30.0, 5.0], [], [9.0, 41.0, 7.0], [50.0]],
    "q": [[1, -1], [], [1, 1, -1], [-1]],
    "w": np.array([1.0, 2.0, 3.0, 4.0], dtype=np.float32),
    "name": ["a", "bb", "", "ccc"],
})  # fmt: skip


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("raw") / "in.root"
    with uproot.recreate(path) as out:
        for tree in ("t", "other"):
            columns = {name: EVENTS[name] for name in EVENTS.fields}
            out.mktree(tree, {n: a.type.content for n, a in columns.items()}).extend(columns)
        histogram = hist.Hist.new.Reg(4, 0, 4, name="x").Double()
        histogram.fill([1, 1, 3])
        out["h"] = histogram
        out["folder/h2"] = histogram
    return path


def ask(file, query, kind="parquet", **options):
    spec = {
        "General": {"OutputFormat": kind},
        "Sample": [{"Name": "s", "Dataset": [str(file)], "Query": query}],
    }
    return deliver(spec, **options)["s"][0]


@pytest.mark.parametrize(
    "arguments",
    [
        {"expressions": ["n", "pt"]},
        {"expressions": ["w*2", "sqrt(w)", "n"], "cut": "n > 0"},
        {"expressions": ["double", "n"], "aliases": {"double": "w*2", "big": "double > 3"}, "cut": "big"},
        {"filter_name": ["p*", "n"]},
        {"filter_name": "/[wn]/"},
        {"filter_name": "*", "filter_typename": "float"},
        {"cut": "(n >= 1) & (w < 4)", "filter_name": ["n", "w", "pt"]},
    ],
)
def test_as_uproot_does(file, arguments):
    found = ak.from_parquet(ask(file, UprootRaw({"treename": "t", **arguments})))
    wanted = uproot.open(file)["t"].arrays(**arguments)
    assert set(found.fields) == set(wanted.fields)
    for name in wanted.fields:
        assert ak.array_equal(found[name], wanted[name]), name


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("sum(pt)", [35.0, 0.0, 57.0, 50.0]),
        ("any(pt > 40)", [False, False, True, True]),
        ("max(pt)", [30.0, None, 41.0, 50.0]),
        ("num(pt)", [2, 0, 3, 1]),
        ("ak.count(pt[pt > 8], axis=1)", [1, 0, 2, 1]),
        ("sum(pt, axis=1)", [35.0, 0.0, 57.0, 50.0]),
        ("count_nonzero(q == 1)", [1, 0, 2, 0]),
        ("fill_none(firsts(pt), -1)", [30.0, -1.0, 9.0, 50.0]),
        ("where(w > 2, 1, 0)", [0, 0, 1, 1]),
        ("np.arctan2(w, 1) > 1", [False, True, True, True]),
    ],
)
def test_functions_act_within_events(file, text, wanted):
    found = ak.from_parquet(ask(file, UprootRaw({"treename": "t", "expressions": [text]})))
    assert found[text].tolist() == wanted


def test_the_standard_axis_on_request(file):
    query = UprootRaw(
        {"treename": "t", "expressions": ["n"], "cut": "any(pt > 40)", "use_standard_awkward_axis": True}
    )
    with pytest.raises(LossError, match="has not one value an event"):
        ask(file, query)


def test_nothing_passes_the_cut_and_the_types_stay(file):
    path = ask(file, UprootRaw({"treename": "t", "expressions": ["n", "pt"], "cut": "n > 99"}), "root-ttree")
    assert str(uproot.open(path)["servicex"].arrays(["n", "pt"]).type) == "0 * {n: uint16, pt: var * float64}"


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"treename": "t", "expressions": ["ptt"]}, "has no column 'ptt'"),
        ({"treename": "tt", "expressions": ["pt"], "fail_on_missing_trees": True}, "has no tree 'tt'"),
        ({"treename": "t", "expressions": ["n"], "cut": "pt > 3"}, "has not one value an event"),
        ({"treename": "t", "expressions": ["a"], "aliases": {"a": "b+1", "b": "a+1"}}, "defined by itself"),
        ({"treename": "t", "filter_name": "zz*"}, r"no column of tree 't' fits 'zz\*'"),
    ],
)
def test_mistakes_against_the_file(file, query, says):
    with pytest.raises(LossError, match=says):
        ask(file, UprootRaw(query))


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"treename": "t", "expressions": ["__import__('os')"]}, "not a function that may be called"),
        ({"treename": "t", "cut": "pt.__class__.__mro__[0]()"}, "only functions called by name"),
        ({"treename": "t", "expression": ["a"]}, "unknown key 'expression'"),
        ({"expressions": ["a"]}, "names no tree"),
        ([], "is a list of dictionaries"),
        ({"treename": "t", "aliases": ["a"]}, "must be a dictionary"),
        ("nonsense", "is not JSON"),
    ],
)
def test_mistakes_in_the_query(query, says):
    with pytest.raises(ConfigError, match=says):
        UprootRaw(query)


def test_several_trees_and_histograms(file):
    query = UprootRaw([
        {"treename": ["t", "other"], "expressions": ["n"]},
        {"treename": {"t": "mine"}, "expressions": ["w"]},
        {"copy_histograms": ["h", "folder/*"]},
    ])  # fmt: skip
    path = ask(file, query, "root-ttree")
    with uproot.open(path) as out:
        kinds = out.classnames(cycle=False)
        assert {n: kinds[n] for n in ("t", "other", "mine")} == dict.fromkeys(("t", "other", "mine"), "TTree")
        assert out["h"].values().tolist() == out["folder/h2"].values().tolist() == [0, 2, 0, 1]
    with pytest.raises(LossError, match="Parquet cannot hold histograms"):
        ask(file, query)


def test_several_trees_in_one_parquet_file(file):
    both = ak.from_parquet(ask(file, UprootRaw({"treename": ["t", "other"], "expressions": ["n"]})))
    assert both.treename.tolist() == ["t"] * 4 + ["other"] * 4
    different = UprootRaw(
        [{"treename": ["t"], "expressions": ["n"]}, {"treename": ["other"], "expressions": ["w"]}]
    )
    with pytest.raises(LossError, match="trees with different columns"):
        ask(file, different)


@pytest.mark.parametrize("kind", ["parquet", "root-ttree", "root-rntuple"])
def test_what_is_written_is_what_is_read_back(kind, tmp_path):
    columns = {name: EVENTS[name] for name in EVENTS.fields} | {"nn": ak.Array([1, 2, 3, 4]), "x.y": EVENTS.w}
    if kind == "root-rntuple":
        del columns["x.y"]  # a dot means a part of a field there
    path = tmp_path / "out.x"
    write(path, kind, Delivered({"servicex": columns}), {"a": 1})
    found = read_back(path, kind).trees["servicex"]
    for name, array in columns.items():
        assert ak.array_equal(found[name], array), name
        assert str(found[name].type) == str(array.type), name


def test_a_counter_does_not_take_the_name_of_a_column(tmp_path):
    columns = {"pt": EVENTS.pt, "npt": EVENTS.w}
    write(tmp_path / "o.root", "root-ttree", Delivered({"servicex": columns}), {})
    tree = uproot.open(tmp_path / "o.root")["servicex"]
    assert tree["npt"].array().tolist() == EVENTS.w.tolist()
    assert tree["pt"].array().tolist() == EVENTS.pt.tolist()


def test_lists_of_lists_do_not_fit_into_a_ttree(tmp_path):
    nested = {"jj": ak.Array([[[1], []], [], [[2, 3]]])}
    with pytest.raises(DataError, match=r"a TTree cannot hold 'jj' \(var \* var \* int64\)") as caught:
        write(tmp_path / "o.root", "root-ttree", Delivered({"servicex": nested}), {})
    assert "parquet or root-rntuple" in str(caught.value)
    for kind in ("parquet", "root-rntuple"):
        write(tmp_path / "o.x", kind, Delivered({"servicex": nested}), {})
        assert ak.array_equal(read_back(tmp_path / "o.x", kind).trees["servicex"]["jj"], nested["jj"])

"""Deliveries on the reference files give what func-adl-uproot and uproot gave, in all formats."""

from __future__ import annotations

import json

import awkward as ak
import numpy as np
import pytest
import uproot
import yaml

from femtobarn.deliver import deliver

FUNC_ADL = (
    "agc_ttbar", "any_all_ifexp", "bracket_name", "columns", "event_where", "nested_count", "order_first",
    "seed_atlas_4l", "sum_min_max", "where_after_select_on_jagged", "zip_object_where",
)  # fmt: skip
RAW = ("cut_aliases", "filter_name", "rntuple")
FORMATS = ("parquet", "root-ttree", "root-rntuple")


@pytest.fixture(scope="module")
def oracle(shared):
    return json.loads(shared("oracles/delivery/queries.json").read_text())


def write_spec(folder, query, tag, file, kind):
    """A specification file with one sample, as a user writes it."""
    text = query if isinstance(query, str) else json.dumps(query)
    spec = folder / "spec.yaml"
    spec.write_text(
        f"General:\n  OutputFormat: {kind}\nSample:\n  - Name: sample\n    Dataset: !FileList ['{file}']\n"
        f"    Query: {tag} |\n      {text}\n"
    )
    return spec


def columns_in(path):
    """{column: array} of an output in any format."""
    if path.endswith(".parquet"):
        array = ak.from_parquet(path)
    else:
        array = uproot.open(path)["servicex"].arrays()
    return {name: array[name] for name in array.fields}


def check(found, wanted):
    for name, numbers in wanted["columns"].items():
        array = found[name]
        assert len(array) == wanted["events"]
        flat = np.asarray(ak.flatten(array, axis=None)).astype(np.float64)
        assert len(flat) == numbers["values"]
        for key, value in (("sum", flat.sum()), ("min", flat.min()), ("max", flat.max())):
            assert value == pytest.approx(numbers[key], rel=1e-6, abs=1e-12), (name, key)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", FUNC_ADL)
def test_func_adl(name, kind, oracle, shared, tmp_path):
    wanted = oracle["func_adl"][name]
    spec = write_spec(tmp_path, wanted["query"], "!FuncADL_Uproot", shared(f"data/{wanted['file']}"), kind)
    (path,) = deliver(spec)["sample"]
    found = columns_in(path)
    check(found, wanted)
    if kind == "parquet":
        assert set(found) == set(wanted["columns"])
    if kind == "root-ttree":
        assert uproot.open(path).classnames()["servicex;1"] == "TTree"


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", RAW)
def test_uproot_raw(name, kind, oracle, shared, tmp_path):
    wanted = oracle["uproot_raw"][name]
    spec = write_spec(tmp_path, wanted["query"], "!UprootRaw", shared(f"data/{wanted['file']}"), kind)
    (path,) = deliver(spec)["sample"]
    check(columns_in(path), wanted)


@pytest.mark.parametrize("name", ["columns", "nested_count", "seed_atlas_4l"])
def test_qastle_is_the_same_query(name, oracle, shared, tmp_path):
    wanted = oracle["func_adl"][name]
    sample = {"Name": "a", "Codegen": "uproot", "Dataset": [str(shared(f"data/{wanted['file']}"))]}
    spec = {"General": {"OutputFormat": "parquet"}, "Sample": [{**sample, "Query": wanted["qastle"]}]}
    (path,) = deliver(spec)["a"]
    check(columns_in(path), wanted)
    spec["Sample"][0]["Query"] = wanted["query"]
    assert deliver(spec)["a"] == [path]  # the cache knows it by either name


def test_servicex_file_unchanged(shared, oracle, tmp_path):
    found = deliver(
        shared("oracles/delivery/examples/three_queries.yaml"), out=tmp_path / "out", allow_python=True
    )
    assert yaml.safe_load((tmp_path / "out/three.yaml").read_text()) == found
    counts = {
        name: sum(uproot.open(path)["servicex"].num_entries for path in paths)
        for name, paths in found.items()
    }
    assert counts == oracle["three_queries"]


@pytest.mark.parametrize("kind", FORMATS)
def test_types_are_those_of_a_direct_read(kind, shared, tmp_path):
    file = shared("data/A/data_D.4lep.root")
    names = ["lep_pt", "lep_n", "trigE", "lep_type", "runNumber", "eventNumber", "lep_trackd0pvunbiased"]
    query = [{"treename": "mini", "expressions": names}]
    (path,) = deliver(write_spec(tmp_path, query, "!UprootRaw", file, kind))["sample"]
    direct, found = uproot.open(file)["mini"], columns_in(path)
    for name in names:
        read = direct[name].array()
        assert str(found[name].type) == str(read.type)
        assert ak.array_equal(found[name], read)

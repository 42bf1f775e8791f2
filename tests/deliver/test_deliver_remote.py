"""Deliveries from servers: the same numbers, no server needed twice, catalogues as datasets."""

from __future__ import annotations

import json

import awkward as ak
import numpy as np
import pytest
import uproot

from femtobarn.deliver import deliver, read_spec
from femtobarn.errors import ConfigError, LossError
from femtobarn.testing.loopback import Reply, file_reply

QUERY = "FromTree('mini').Select(lambda e: {'pt': e.pt})"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("served")
    for number in range(2):
        numbers = np.random.default_rng(number)
        with uproot.recreate(place / f"in{number}.root", compression=None) as file:
            tree = file.mktree("mini", {"pt": np.float32, **{f"unused{i}": np.float64 for i in range(20)}})
            for _ in range(2):
                tree.extend({
                    "pt": numbers.exponential(30, 5000).astype(np.float32),
                    **{f"unused{i}": numbers.random(5000) for i in range(20)},
                })  # fmt: skip
    return place


def spec_of(*files, **sample):
    return {
        "General": {"OutputFormat": "parquet"},
        "Sample": [{"Name": "s", "Query": QUERY, "Codegen": "uproot", "Dataset": list(files), **sample}],
    }


@pytest.mark.usefixtures("quick_client")
def test_over_http_as_from_the_disk_and_then_without_the_server(loopback, folder):
    server = loopback(folder)
    files = [f"{server.url}/in{i}.root" for i in range(2)]
    remote = deliver(spec_of(*files))["s"]
    local = deliver(spec_of(*(str(folder / f"in{i}.root") for i in range(2))))["s"]
    # One file is one file wherever it is: the local delivery is found in the cache of the remote one.
    assert remote == local
    direct = uproot.open(folder / "in0.root")["mini/pt"].array()
    assert ak.array_equal(ak.from_parquet(remote[0]).pt, direct)
    asked = len(server.seen)
    server.answer = lambda _: Reply(500)
    assert deliver(spec_of(*files))["s"] == remote
    assert len(server.seen) == asked


@pytest.mark.usefixtures("quick_client")
def test_only_the_column_is_read(loopback, folder, tmp_path):
    server = loopback(folder)
    deliver(spec_of(f"{server.url}/in0.root"), out=tmp_path)
    row = json.loads((tmp_path / "servicex_fileset.yaml.json").read_text())["samples"]["s"]["inputs"][0]
    assert 40_000 < row["bytes_read"] < (folder / "in0.root").stat().st_size / 5


@pytest.mark.usefixtures("quick_client")
def test_a_remote_file_that_is_not_there(loopback, folder, tmp_path):
    server = loopback(folder)
    with pytest.raises(LossError, match=r"1 of 2 files failed(.|\n)*in9\.root"):
        deliver(spec_of(f"{server.url}/in0.root", f"{server.url}/in9.root"), out=tmp_path)
    assert not list(tmp_path.glob("*.yaml"))


@pytest.mark.usefixtures("quick_client")
def test_a_record_of_the_portal(loopback, folder, monkeypatch, tmp_path):
    files = [
        {"uri": f"root://eospublic.cern.ch//eos/in{i}.root", "filename": f"in{i}.root",
         "availability": "online", "size": (folder / f"in{i}.root").stat().st_size, "checksum": ""}
        for i in range(2)
    ]  # fmt: skip
    record = {
        "id": 77,
        "metadata": {"recid": "77", "title": "t", "files": files, "type": {"primary": "Dataset"}},
    }
    serve = file_reply(folder)

    def answer(ask):
        if ask.path.startswith("/api/records/77"):
            return Reply(body=json.dumps(record).encode(), headers={"Content-Type": "application/json"})
        return serve(type(ask)(ask.method, "/" + ask.path.rsplit("/", 1)[-1], ask.query, ask.headers))

    server = loopback(answer)
    monkeypatch.setenv("FEMTOBARN_CERNOPENDATA_URL", server.url)
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "General:\n  OutputFormat: parquet\nSample:\n  - Name: s\n    NFiles: 1\n"
        f"    Dataset: !CERNOpenData 77\n    Query: !FuncADL_Uproot {json.dumps(QUERY)}\n"
    )
    (path,) = deliver(spec)["s"]
    assert len(ak.from_parquet(path)) == 10_000


@pytest.mark.parametrize(
    ("dataset", "says"),
    [
        ("rucio://rucio://a:b", "has a prefix twice"),
        ("rucio://nocolon", "names no scope"),
        ([], "must be a list of files"),
        ([1], "must be a list of files"),
    ],
)
def test_wrong_addresses_are_refused_before_anybody_is_asked(dataset, says):
    spec = spec_of("x")
    spec["Sample"][0]["Dataset"] = dataset
    with pytest.raises(ConfigError, match=says):
        read_spec(spec)

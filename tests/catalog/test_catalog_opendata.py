"""The CERN Open Data portal, as it answers: index lists, tape, failures and the older paged list."""

from __future__ import annotations

import json

import pytest

from femtobarn.catalog import Lookup, resolve_address
from femtobarn.catalog.opendata import find_records, read_record, to_protocol
from femtobarn.errors import DataError, NetworkError, UsageError
from femtobarn.testing.loopback import Reply

EOS = "root://eospublic.cern.ch//eos/opendata/cms"


def entry(name, availability="online", **more):
    return {"uri": f"{EOS}/{name}", "size": 10, "checksum": "adler32:0001", "filename": name,
            "availability": availability, **more}  # fmt: skip


RECORD = {
    "id": "30522",
    "metadata": {
        "title": "/DoubleMuon/Run2016G",
        "experiment": ["CMS"],
        "date_created": ["2016"],
        "run_period": ["Run2016G"],
        "type": {"primary": "Dataset", "secondary": ["Collision"]},
        "validation": {"links": [{"recid": "14220"}]},
        "files": [entry("a_file_index.json"), entry("a_file_index.txt"), entry("extra.root")],
        "_file_indices": [
            {"files": [entry("a.root"), entry("b.root"), entry("extra.root")]},
            {"files": [entry("c.root", "on demand"), entry("d.root")]},
        ],
    },
}


@pytest.fixture
def portal(loopback, monkeypatch, quick_client):
    def start(answer):
        server = loopback(answer if callable(answer) else lambda _: Reply(body=json.dumps(answer).encode()))
        monkeypatch.setenv("FEMTOBARN_CERNOPENDATA_URL", server.url)
        return server

    return start


def test_a_record_with_two_index_lists_and_a_file_on_tape(portal, caplog):
    server = portal(RECORD)
    (dataset,) = resolve_address("cernopendata://30522")
    assert server.seen[0].path == "/api/records/30522"
    names = [ref.url.rpartition("/")[2] for ref in dataset.files]
    assert names == ["extra.root", "a.root", "b.root", "d.root"]
    assert "1 of 5 files are not online" in caplog.text
    first = dataset.files[0]
    assert first.url == f"{server.url}/eos/opendata/cms/extra.root"
    assert first.replicas == (f"{EOS}/extra.root",)
    assert (first.size, first.checksum) == (10, "adler32:0001")
    assert dataset.kind == "data"
    assert dataset.metadata["run_period"] == "Run2016G"
    assert dataset.metadata["lumi_mask_links"] == [f"{server.url}/record/14220"]


def test_only_the_first_files_of_one_protocol(portal):
    portal(RECORD)
    (dataset,) = resolve_address("cernopendata://30522?files=2&protocol=root")
    assert [ref.url for ref in dataset.files] == [f"{EOS}/extra.root", f"{EOS}/a.root"]
    assert dataset.files[0].replicas == ()
    (dataset,) = resolve_address("cernopendata://30522", Lookup(limit=1))
    assert len(dataset.files) == 1


def test_several_records(portal):
    portal(lambda ask: Reply(body=json.dumps(
        {"metadata": {**RECORD["metadata"], "files": [entry(ask.path[-1] + ".root")], "_file_indices": []}}
    ).encode()))  # fmt: skip
    assert [d.name for d in resolve_address("cernopendata://1,2")] == ["cernopendata_1", "cernopendata_2"]
    (both,) = resolve_address("cernopendata://1,2", name="data")
    assert len(both.files) == 2


def test_503_twice_and_then_an_answer(portal):
    replies = iter([Reply(503), Reply(503), Reply(body=json.dumps(RECORD).encode())])
    server = portal(lambda _: next(replies))
    (dataset,) = resolve_address("cernopendata://30522")
    assert len(dataset.files) == 4
    assert len(server.seen) == 3
    resolve_address("cernopendata://30522")  # remembered
    assert len(server.seen) == 3


@pytest.mark.parametrize("failing", [True, False])
def test_the_paged_list_is_read_to_its_end(portal, failing):
    def answer(ask):
        if ask.path.startswith("/api"):
            return Reply(500) if failing else Reply(body=b'{"metadata": {"title": "old"}}')
        page = int(ask.path.rpartition("/")[2])
        assert ask.query == {"group": "1"}
        group = {"key": f"index{page}", "files": [entry(f"{page}.root"), entry(f"{page}b.root")]}
        return Reply(body=json.dumps({"index_files": {"total": 3, "files": [group]}}).encode())

    server = portal(answer)
    (dataset,) = resolve_address("cernopendata://5")
    assert len(dataset.files) == 6
    assert sum("filepage" in ask.path for ask in server.seen) == 3


def test_a_paged_list_without_total_ends_with_nothing_new(portal):
    def answer(ask):
        if ask.path.startswith("/api"):
            return Reply(body=b'{"metadata": {}}')
        page = min(int(ask.path.rpartition("/")[2]), 2)
        return Reply(body=json.dumps({"index_files": {"files": [entry(f"{page}.root")]}}).encode())

    portal(answer)
    (dataset,) = resolve_address("cernopendata://5")
    assert len(dataset.files) == 2


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        ({"message": "x"}, NetworkError, "has no 'metadata'"),
        ({"metadata": {"files": [{"size": 3}]}}, NetworkError, "has no 'uri'"),
        ({"metadata": {"files": {"a": 1}}}, NetworkError, "'files' in the answer is no list"),
        ({"metadata": {"files": [entry("a.root", size="big")]}}, NetworkError, "is no number"),
        ({"metadata": {"files": [entry("a.root", "on demand")]}}, DataError, "no file that is online"),
        ([1], NetworkError, "has no 'metadata'"),
    ],
)
def test_answers_of_the_wrong_shape(portal, answer, error, words):
    portal(lambda ask: Reply(body=json.dumps(answer).encode()) if "api" in ask.path else Reply(404))
    with pytest.raises(error, match=words):
        resolve_address("cernopendata://7")


def test_no_such_record(portal):
    portal(lambda _: Reply(404))
    with pytest.raises(DataError, match="no such record"):
        resolve_address("cernopendata://999999")


def test_data_or_simulation_is_what_the_record_says(portal, quick_client, caplog):
    about = {**RECORD["metadata"], "files": [entry("mc_but_data.root")], "_file_indices": []}
    portal(lambda ask: Reply(body=json.dumps({"metadata": {
        **about, "type": {"secondary": [{"1": "Simulated", "2": "Collision"}.get(ask.path[-1], "Derived")]},
    }}).encode()))  # fmt: skip
    kinds = [read_record(number, quick_client).kind for number in ("1", "2", "3")]
    assert kinds == ["mc", "data", ""]
    assert "does not say whether it is data or simulation" in caplog.text
    with pytest.raises(UsageError, match="different kinds"):
        resolve_address("cernopendata://1,2", name="x")


def test_addresses_on_eos(monkeypatch):
    monkeypatch.setenv("FEMTOBARN_CERNOPENDATA_URL", "https://p.org/")
    uri = "simplecache::root://eospublic.cern.ch:1094//eos/opendata/x.root"
    assert to_protocol(uri, "https") == "https://p.org/eos/opendata/x.root"
    assert to_protocol(uri, "root") == "root://eospublic.cern.ch//eos/opendata/x.root"
    assert to_protocol(uri, "eos") == "/eos/opendata/x.root"
    assert to_protocol("https://other.org/x.root", "root") == "https://other.org/x.root"


def test_searching(portal, quick_client):
    hit = {"id": "1", "metadata": {"recid": "1", "title": "T", "type": {"secondary": ["Simulated"]},
                                   "distribution": {"number_files": 3}}}  # fmt: skip
    server = portal({"hits": {"hits": [hit]}})
    assert find_records("top", quick_client) == [
        {"address": "cernopendata://1", "files": 3, "kind": "mc", "title": "T"}
    ]
    assert server.seen[0].query["q"] == "top"


def test_the_shape_of_a_real_record(portal, shared):
    portal(json.loads(shared("oracles/delivery/record_30522_excerpt.json").read_text()))
    (dataset,) = resolve_address("cernopendata://30522")
    assert len(dataset.files) == 3
    assert dataset.files[0].size == 2155974646
    assert dataset.files[0].checksum == "adler32:71602056"

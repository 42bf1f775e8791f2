"""Releases of ATLAS Open Data: pages, skims, missing files, snapshots."""

from __future__ import annotations

import json

import pytest

from femtobarn.catalog import Lookup, datasets_from_files, resolve_address
from femtobarn.catalog.atlas import read_release, save_snapshot
from femtobarn.errors import ConfigError, DataError, NetworkError, UsageError
from femtobarn.testing.loopback import Reply

EOS = "root://eospublic.cern.ch:1094//eos/opendata/atlas"


def dataset(number, **more):
    return {"dataset_number": str(number), "physics_short": f"sample_{number}", "cross_section_pb": 2.0,
            "genFiltEff": 0.5, "kFactor": 1.1, "nEvents": 10, "sumOfWeights": 9.0,
            "file_list": [f"{EOS}/{number}.root"], "release": {"name": "2024r-pp"}, **more}  # fmt: skip


class Service:
    """The metadata service with some datasets; counts what it is asked."""

    def __init__(self, datasets):
        self.datasets = datasets
        self.count = len(datasets)
        self.pages = []

    def __call__(self, ask):
        if ask.path == "/datasets/count":
            return Reply(body=json.dumps({"count": self.count}).encode())
        skip, limit = int(ask.query["skip"]), int(ask.query["limit"])
        self.pages.append((skip, limit))
        return Reply(body=json.dumps(self.datasets[skip : skip + limit]).encode())


@pytest.fixture
def service(loopback, monkeypatch, quick_client):
    def start(datasets):
        made = Service(datasets)
        monkeypatch.setenv("ATLAS_API_BASE_URL", loopback(made).url)
        return made

    return start


def test_1203_datasets_come_in_pages(service, quick_client):
    made = service([dataset(i) for i in range(1203)])
    found = read_release("2024r-pp", quick_client)
    assert len(found) == 1203
    assert made.pages == [(0, 1000), (1000, 1000)]
    assert len(resolve_address("atlas://2024r-pp")) == 1203
    assert len(made.pages) == 2  # remembered


def test_one_dataset(service):
    service([dataset(1), dataset(2)])
    (found,) = resolve_address("atlas://2024r-pp/2")
    assert found.name == "2"
    assert found.kind == "mc"
    assert found.files[0].url == "https://opendata.cern.ch/eos/opendata/atlas/2.root"
    assert found.files[0].replicas == ("root://eospublic.cern.ch//eos/opendata/atlas/2.root",)
    assert {k: found.metadata[k] for k in ("xsec", "filteff", "kfactor", "sumw", "nevts", "release")} == {
        "xsec": 2.0, "filteff": 0.5, "kfactor": 1.1, "sumw": 9.0, "nevts": 10, "release": "2024r-pp",
    }  # fmt: skip
    assert resolve_address("atlas://2024r-pp/sample_2") == (found,)
    (eos,) = resolve_address("atlas://2024r-pp/2?protocol=eos")
    assert eos.files[0].url == "/eos/opendata/atlas/2.root"


SKIMMED = dataset(7, skims=[{"skim_type": "4lep", "file_list": [f"{EOS}/4lep_7.root"]}])
PERIODS = dataset("data", physics_short=None, file_list=[], skims=[
    {"skim_type": "2015", "file_list": [f"{EOS}/15.root"]},
    {"skim_type": "2016", "file_list": [f"{EOS}/16a.root", f"{EOS}/16b.root"]},
])  # fmt: skip


def test_skims_and_periods(service):
    service([SKIMMED, PERIODS])
    (found,) = resolve_address("atlas://2024r-pp/7?skim=4lep")
    assert found.files[0].url.endswith("/4lep_7.root")
    (data,) = resolve_address("atlas://2024r-pp/data?skim=2016")
    assert (data.kind, len(data.files)) == ("data", 2)
    (data,) = resolve_address("atlas://2024r-pp/data")  # the periods together are the whole
    assert len(data.files) == 3
    (mc,) = resolve_address("atlas://2024r-pp/mc")
    assert (mc.name, mc.kind, len(mc.files)) == ("2024r-pp_mc", "mc", 1)
    named = datasets_from_files(["a=atlas://2024r-pp/7", "b=atlas://2024r-pp/7?skim=4lep"])
    assert [d.name for d in named] == ["a", "b"]


@pytest.mark.parametrize(
    ("query", "error", "words"),
    [
        ("7?skim=3lep", UsageError, "has no skim '3lep'.*did you mean '4lep'"),
        ("8", DataError, "has no files"),
        ("sampel_7", UsageError, "there is no dataset 'sampel_7'.*did you mean 'sample_7'"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(service, query, error, words):
    service([SKIMMED, dataset(8, file_list=None)])
    with pytest.raises(error, match=words):
        resolve_address(f"atlas://2024r-pp/{query}")


def test_a_whole_release_says_what_it_leaves_out(service, caplog):
    service([SKIMMED, dataset(8, file_list=[]), PERIODS])
    assert [d.name for d in resolve_address("atlas://2024r-pp")] == ["7"]
    assert "2 of 3 datasets have no files 'noskim' and are left out: 8, data" in caplog.text
    with pytest.raises(
        UsageError, match=r"(?s)no dataset of 2024r-pp has files '5lep'.*skims: 2015, 2016, 4lep"
    ):
        resolve_address("atlas://2024r-pp?skim=5lep")
    assert [d.name for d in datasets_from_files(["2024r-pp"])] == ["7"]
    with pytest.raises(UsageError, match="cannot name them all"):
        datasets_from_files(["x=atlas://2024r-pp"])


def test_fewer_datasets_than_counted_is_an_error(service):
    service([dataset(1), dataset(2)]).count = 3
    with pytest.raises(NetworkError, match="2 different datasets of 3"):
        resolve_address("atlas://2024r-pp/1")


def test_the_same_dataset_on_two_pages_is_an_error(service):
    service([dataset(1), dataset(1)])
    with pytest.raises(NetworkError, match="1 different datasets of 2"):
        resolve_address("atlas://2024r-pp/1")


def test_answers_of_the_wrong_shape(loopback, monkeypatch, quick_client):
    answers = {"/datasets/count": b"{}"}
    server = loopback(lambda ask: Reply(body=answers.get(ask.path, b"[{}]")))
    monkeypatch.setenv("ATLAS_API_BASE_URL", server.url)
    with pytest.raises(NetworkError, match="has no 'count'"):
        resolve_address("atlas://2024r-pp/1")
    answers["/datasets/count"] = b'{"count": 1}'
    monkeypatch.setenv("FEMTOBARN_REFRESH", "1")
    with pytest.raises(NetworkError, match="has no 'dataset_number'"):
        resolve_address("atlas://2024r-pp/1")


def test_offline_the_error_names_the_ways_out(loopback, monkeypatch, quick_client):
    server = loopback(lambda _: Reply(503))
    server.stop()
    monkeypatch.setenv("ATLAS_API_BASE_URL", server.url)
    with pytest.raises(NetworkError) as caught:
        resolve_address("atlas://2024r-pp/1")
    assert server.url.removeprefix("http://") in str(caught.value)
    assert "--snapshot R.json" in str(caught.value)


def test_a_snapshot_needs_no_network(service, loopback, monkeypatch, tmp_path, quick_client):
    service([SKIMMED, PERIODS])
    path = tmp_path / "R.json"
    save_snapshot(path, "2024r-pp", read_release("2024r-pp", quick_client))
    monkeypatch.setenv("ATLAS_API_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("FEMTOBARN_CACHE", str(tmp_path / "none"))
    monkeypatch.setenv("FEMTOBARN_SNAPSHOT", str(path))
    (found,) = resolve_address("atlas://2024r-pp/7?skim=4lep")
    assert found.files[0].url.endswith("/4lep_7.root")
    with pytest.raises(UsageError, match=r"is a snapshot of 2024r-pp, not of 2020e-13tev"):
        resolve_address("atlas://2020e-13tev/7")
    path.write_text("{}")
    with pytest.raises(ConfigError, match="is no snapshot"):
        resolve_address("atlas://2024r-pp/7", Lookup(snapshot=path))


def test_the_shape_of_the_real_service(service, shared):
    service(json.loads(shared("oracles/delivery/atlas_api_example.json").read_text())["datasets"])
    (zprime,) = resolve_address("atlas://2020e-13tev/Zprime_ee_example?skim=4lep")
    assert zprime.metadata["xsec"] == 0.001762
    (data,) = resolve_address("atlas://atlas-2020/data?skim=4lep")
    assert [ref.url.rpartition("/")[2] for ref in data.files] == ["data_A.4lep.root", "data_B.4lep.root"]
    with pytest.raises(DataError, match="dataset 410471 has no files"):
        resolve_address("atlas://2020e-13tev/410471")

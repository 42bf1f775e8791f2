"""DAS by its client, Rucio by a stand-in, and the lists that fetch-datasets takes."""

from __future__ import annotations

import json
import sys

import pytest

from femtobarn.catalog import Lookup, resolve_address
from femtobarn.catalog.datasetlist import datasets_of_list, read_dataset_list
from femtobarn.catalog.grid import rucio_dataset
from femtobarn.errors import ConfigError, DataError, NetworkError, UsageError


@pytest.fixture
def das(tmp_path, monkeypatch):
    """A dasgoclient that writes down how it was called and answers what a test says."""

    def answers(text, code=0):
        (tmp_path / "answer").write_text(text)
        script = tmp_path / "dasgoclient"
        script.write_text(
            f"#!{sys.executable}\nimport sys, pathlib\nhere = pathlib.Path({str(tmp_path)!r})\n"
            "(here / 'called').write_text(' '.join(sys.argv[1:]))\n"
            f"print((here / 'answer').read_text(), end='', file=sys.stderr if {code} else sys.stdout)\n"
            f"sys.exit({code})\n"
        )
        script.chmod(0o755)
        monkeypatch.setenv("FEMTOBARN_DASGOCLIENT", str(script))
        return tmp_path / "called"

    return answers


ROWS = [
    {"das": {}, "file": [{"name": "/store/b.root", "size": 20, "adler32": "0000000b", "nevents": 2}]},
    {"das": {}, "file": [{"name": "/store/a.root", "size": 10, "adler32": "0000000a", "nevents": 1}]},
]


def test_a_dataset_of_das(das):
    called = das(json.dumps(ROWS))
    (dataset,) = resolve_address("das:///A/B-v1/NANOAOD", Lookup(where="Eurasia"))
    assert called.read_text() == "-query=file dataset=/A/B-v1/NANOAOD instance=prod/global -json"
    assert [ref.url for ref in dataset.files] == [
        "root://xrootd-cms.infn.it//store/a.root", "root://xrootd-cms.infn.it//store/b.root",
    ]  # fmt: skip
    first = dataset.files[0]
    assert (first.size, first.entries, first.checksum, first.tree) == (10, 1, "adler32:0000000a", "Events")
    (dataset,) = resolve_address("das:///A/B-v1/NANOAOD", Lookup(xrootd="root://mine", limit=1))
    assert [ref.url for ref in dataset.files] == ["root://mine//store/a.root"]


def test_user_datasets_are_in_phys03(das):
    called = das("/store/user/x.root\n")
    resolve_address("das:///A/B/USER")
    assert "instance=prod/phys03" in called.read_text()
    resolve_address("das:///A/B/USER?instance=prod/phys02")
    assert "instance=prod/phys02" in called.read_text()


@pytest.mark.parametrize(
    ("text", "code", "error", "words"),
    [
        ("[]", 0, DataError, "has no files"),
        ("", 0, DataError, "has no files"),
        ("no proxy\n", 3, NetworkError, "failed.*no proxy"),
        ('[{"x": 1}]', 0, NetworkError, "cannot be understood"),
        ("something else\n", 0, NetworkError, "answered 'something else'"),
    ],
)
def test_a_failed_query_is_no_shorter_list(das, text, code, error, words):
    das(text, code)
    with pytest.raises(error, match=words):
        resolve_address("das:///A/B/C")


def test_no_dasgoclient(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("FEMTOBARN_DASGOCLIENT", raising=False)
    with pytest.raises(UsageError, match="dasgoclient was not found"):
        resolve_address("das:///A/B/C")


class Rucio:
    """What list_replicas of rucio-clients gives."""

    rows = (
        {"name": "b", "bytes": 2, "adler32": "0b", "rses": {"T2_DE_X": ["root://de//b"]}},
        {"name": "a", "bytes": 1, "adler32": "0a", "rses": {
            "T1_US_F": ["root://us//a"], "T2_DE_X": ["davs://de/a", "root://de//a"], "T2_FR_Y": ["root://fr//a"],
        }},
    )  # fmt: skip

    def list_replicas(self, dids, schemes):
        assert dids == [{"scope": "cms", "name": "/A/B/C"}]
        return iter(self.rows)


def test_replicas_of_rucio_and_their_order():
    found = rucio_dataset("cms:/A/B/C", client=Rucio())
    assert [ref.url for ref in found.files] == ["root://us//a", "root://de//b"]
    assert found.files[0].replicas == ("https://de/a", "root://de//a", "root://fr//a")
    assert (found.files[0].size, found.files[0].checksum) == (1, "adler32:0a")
    preferred = rucio_dataset("cms:/A/B/C", client=Rucio(), prefer=["T2_DE"], block=["T1"])
    assert preferred.files[0].url == "https://de/a"
    assert preferred.files[0].replicas == ("root://de//a", "root://fr//a")
    with pytest.raises(DataError, match=r"(?s)b has no replica at the sites that are left.*sites: T2_DE_X"):
        rucio_dataset("cms:/A/B/C", client=Rucio(), allow=["T2_FR", "T1"])


def test_rucio_that_fails_or_is_empty():
    class Failing:
        def list_replicas(self, *_, **__):
            raise RuntimeError("no scope 'cmz'")

    with pytest.raises(NetworkError, match="no scope 'cmz'"):
        rucio_dataset("cmz:x", client=Failing())

    class Empty:
        def list_replicas(self, *_, **__):
            return iter(())

    with pytest.raises(DataError, match="holds no files"):
        rucio_dataset("cms:x", client=Empty())


def folder_of(tmp_path, count):
    folder = tmp_path / "files"
    folder.mkdir()
    for i in range(count):
        (folder / f"{i}.root").write_bytes(b"x")
    return folder


def test_a_local_list_of_five_files_lists_five(tmp_path):
    listed = tmp_path / "samples.txt"
    listed.write_text(f"# comment\nZee {folder_of(tmp_path, 5)}   # more\n\n")
    entries = read_dataset_list(listed)
    (all_of_them,) = datasets_of_list(entries, mode="local")
    assert len(all_of_them.files) == 5
    assert all_of_them.files[0].tree == "Events"
    (two,) = datasets_of_list(entries, mode="local", limit=2)
    assert [ref.url[-6:] for ref in two.files] == ["0.root", "1.root"]
    for limit in (0, -1):
        with pytest.raises(UsageError, match="would list nothing"):
            datasets_of_list(entries, mode="local", limit=limit)


def test_yaml_lists(tmp_path, das):
    das(json.dumps(ROWS))
    listed = tmp_path / "samples.yaml"
    listed.write_text("datasets:\n- {name: a, dataset: [/A/B/NANOAOD], metadata: {isMC: true}}\n")
    (found,) = datasets_of_list(read_dataset_list(listed), where="Yolo")
    assert found.files[0].url == "root://cms-xrd-global.cern.ch//store/a.root"
    assert found.metadata["isMC"] is True


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("l.txt", "a /A/B/C\nb\n", r"l\.txt:2: has 1 words"),
        ("l.txt", "a /A/B/C x\n", r"l\.txt:1: has 3 words"),
        ("l.txt", "a /A/B/C\na /A/B/D\n", "appears twice"),
        ("l.txt", "# nothing\n", "lists no datasets"),
        ("l.yaml", "datasets:\n- {nam: a}\n", "did you mean 'name'"),
        ("l.yaml", "datasets:\n- {name: a}\n", "needs a name and a dataset"),
        ("l.yaml", "x: [\n", "is not valid YAML"),
        ("l.yaml", "- 1\n", "has no list 'datasets'"),
    ],
)
def test_malformed_lists(tmp_path, name, text, words):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_dataset_list(path)


def test_a_missing_folder_is_an_error(tmp_path):
    path = tmp_path / "l.txt"
    path.write_text(f"a {tmp_path}/nowhere\n")
    with pytest.raises(DataError, match="no such file"):
        datasets_of_list(read_dataset_list(path), mode="local")

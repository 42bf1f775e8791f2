"""Query addresses are understood or refused before anybody is asked."""

from __future__ import annotations

import pytest

from femtobarn.catalog import Lookup, datasets_at, datasets_from_files, resolve_address
from femtobarn.catalog.addresses import is_address, parse_address
from femtobarn.errors import ConfigError, DataError, UsageError


def test_an_address_in_parts():
    address = parse_address("atlas://2020e-13tev/data?skim=4lep&files=3&protocol=eos")
    assert (address.provider, address.body, address.files) == ("atlas", "2020e-13tev/data", 3)
    assert dict(address.options) == {"skim": "4lep", "protocol": "eos"}
    assert parse_address("das:///A/B/C").body == "/A/B/C"
    assert parse_address("fileset:a?b.json").body == "a?b.json"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rucio://rucio://cms:x", "doubled"),
        ("cernopendata://cernopendata://1", "doubled"),
        ("atlas://", "names nothing"),
        ("atlas://r/k?skin=1", "did you mean 'skim'"),
        ("atlas://r/k?skim=a&skim=b", "twice"),
        ("atlas://r/k?protocol=http", "did you mean 'https'"),
        ("cernopendata://1?files=0", "must be a number from 1"),
        ("cernopendata://1?files=many", "must be a number from 1"),
        ("cernopnedata://1", "did you mean 'cernopendata'"),
        ("rucio://noscope", "scope:name"),
        ("das:///only/two", "/PRIMARY/PROCESSED/TIER"),
        ("das:///A/B/C?instance=prod/phys9", "did you mean 'prod/phys0"),
        ("cernopendata://abc", "is no record number"),
        ("atlas://2020e-13tve/1", "did you mean '2020e-13tev'"),
        ("atlas://2025r-evgen-13tev/1", "HepMC"),
    ],
)
def test_wrong_addresses_are_refused_without_a_request(text, words):
    class Nobody:
        def __getattr__(self, name):
            raise AssertionError("nobody may be asked")

    with pytest.raises(UsageError, match=words):
        resolve_address(text, Lookup(client=Nobody()))


@pytest.mark.parametrize(
    "text", ["x.root", "a/b*.root", "x.root:Events", "https://h/x.root", "root://h//x", "C:x.root"]
)
def test_files_are_no_addresses(text):
    assert not is_address(text)


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_folders(tmp_path):
    touch(tmp_path, "b.root", "a.root", "note.txt", "deep/c.root", "deep/d.parquet")
    (dataset,) = datasets_from_files([f"x={tmp_path}"])
    assert [ref.url for ref in dataset.files] == [str(tmp_path / "a.root"), str(tmp_path / "b.root")]
    (dataset,) = datasets_at([str(tmp_path)], Lookup(recursive=True))
    assert len(dataset.files) == 3
    (dataset,) = datasets_at([str(tmp_path)], Lookup(recursive=True, extension="parquet"))
    assert len(dataset.files) == 1
    (dataset,) = datasets_at([str(tmp_path)], Lookup(recursive=True, limit=2))
    assert [ref.url for ref in dataset.files] == [str(tmp_path / "a.root"), str(tmp_path / "b.root")]
    with pytest.raises(DataError, match=r"holds no file \*\.csv"):
        datasets_at([str(tmp_path)], Lookup(extension=".csv"))
    touch(tmp_path, "up/in/x.root")
    with pytest.raises(DataError, match="--recursive"):
        datasets_at([str(tmp_path / "up")])


def test_one_file_in_two_datasets(tmp_path):
    touch(tmp_path, "a.root")
    with pytest.raises(ConfigError, match="is in two datasets"):
        datasets_at([f"x={tmp_path}/a.root", f"y={tmp_path}/a.root"])


def test_filesets_as_addresses(tmp_path):
    path = tmp_path / "f.json"
    path.write_text(
        '{"a": {"files": {"https://h/1.root": "t", "https://h/2.root": "t"}, "metadata": {"k": 1}}}'
    )
    (dataset,) = datasets_at([f"fileset:{path}?"[:-1]], Lookup(limit=1))
    assert [ref.url for ref in dataset.files] == ["https://h/1.root"]
    assert dict(dataset.metadata) == {"k": 1}
    (dataset,) = datasets_from_files([f"b=fileset:{path}"])
    assert dataset.name == "b"

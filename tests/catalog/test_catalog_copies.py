from __future__ import annotations

import os

import pytest

from femtobarn import api
from femtobarn.catalog import copies
from femtobarn.errors import FemtobarnError, UsageError
from femtobarn.records import FileRef

URL = "https://host.example:1094//store/../user/a.root"


@pytest.fixture
def fetched(monkeypatch):
    asked = []

    def fetch(addresses, path, *, size, **_):
        asked.append(addresses)
        path.write_bytes(b"x" * (size or 5))

    monkeypatch.setattr(copies, "fetch_file", fetch)
    return asked


def test_missing_files_are_fetched_once(tmp_path, fetched):
    files = (FileRef(URL, "Events", entries=3, size=7, replicas=("root://b//a.root",)), FileRef("here.root"))
    first, second = copies.local_copies(files, tmp_path / "c")
    assert second is files[1]
    assert first == FileRef(str(tmp_path / "c" / "store" / "user" / "a.root"), "Events", entries=3, size=7)
    assert copies.local_copies(files, tmp_path / "c")[0] == first
    assert fetched == [[URL, "root://b//a.root"]]


def test_a_copy_of_another_size_is_fetched_again(tmp_path, fetched):
    place = copies.copy_of(URL, tmp_path)
    place.parent.mkdir(parents=True)
    place.write_bytes(b"cut")
    copies.local_copies([FileRef(URL, size=7)], tmp_path)
    assert len(fetched) == 1
    assert place.stat().st_size == 7


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be made"):
        copies.local_copies([FileRef(URL)], tmp_path / "file" / "c")


@pytest.mark.skipif(os.getuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_that_cannot_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match="cannot be written"):
        copies.local_copies([FileRef(URL)], tmp_path)


@pytest.mark.parametrize("source", ["ssl-dev", "eos"])
def test_contradictions_are_refused(source, tmp_path):
    with pytest.raises(FemtobarnError, match="contradict each other") as caught:
        api.ttbar_fileset(1, settings=(f"source={source}", f"cache_dir={tmp_path}"))
    assert caught.value.exit_code == 2

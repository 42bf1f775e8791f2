"""Names that every system takes, paths that are short enough, and advice when a disk refuses."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from femtobarn.folders import LONGEST_PATH, disk_advice, fitting, legal_name

REFUSED = set('<>:"/\\|?*')


@given(st.text(max_size=40))
def test_a_legal_name_is_one_everywhere(text):
    name = legal_name(text)
    assert name
    assert not REFUSED & set(name)
    assert not name.endswith((".", " "))
    assert name.isascii()
    assert legal_name(name) == name


@pytest.mark.parametrize("name", ["con", "NUL", "com1", "aux.log", "Lpt9.tar.gz"])
def test_devices_are_no_files(name):
    assert legal_name(name) != name
    assert legal_name(name).strip("_") == name


@pytest.mark.parametrize("name", ["m4l_4mu", "console", "a.b-c_1"])
def test_good_names_stay(name):
    assert legal_name(name) == name


def test_a_long_path_is_shortened_with_a_hash_of_its_name(tmp_path):
    folder = tmp_path / "x"
    long, other = (folder / f"{'long' * 80}{end}.json" for end in "ab")
    assert len(str(fitting(long))) == LONGEST_PATH
    assert fitting(long).parent == folder
    assert fitting(long).suffix == ".json"
    assert fitting(long) != fitting(other)
    assert fitting(long) == fitting(long)
    assert fitting(folder / "short.json") == folder / "short.json"
    deep = Path("/", *["folder"] * 60, "name.json")  # nothing helps here but the error that names the setting
    assert len(fitting(deep).stem) == 9


@pytest.mark.parametrize(
    ("number", "name", "says"),
    [
        (errno.ENAMETOOLONG, "x", "LongPathsEnabled"),
        (errno.ENOENT, "x" * 300, "LongPathsEnabled"),  # Windows says only that it finds no such path
        (errno.EACCES, "x", "in which you may write"),
        (errno.ENOSPC, "x", "free some space"),
        (errno.EIO, "x", "mend the disk"),
    ],
)
def test_advice_fits_the_refusal(number, name, says):
    assert says in disk_advice(OSError(number, "refused", name))

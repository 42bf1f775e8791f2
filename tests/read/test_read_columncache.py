from __future__ import annotations

import logging

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from femtobarn.kernels.jagged import Jagged
from femtobarn.read.columncache import CachedColumns, is_sound, load_column, save_column
from femtobarn.read.schema import RAW


class Counting:
    """A source that counts what is asked of it."""

    def __init__(self):
        self.objects, self.schema, self.tree, self.entries = {}, RAW, "t", 100
        self.uuid, self.size, self.branches, self.asked = "u", 10, frozenset({"x", "j", "k"}), []

    def read(self, branches, start, stop):
        self.asked += branches
        offsets = np.arange(0, 2 * (stop - start) + 1, 2)
        lists = {name: Jagged(offsets, np.arange(2 * start, 2 * stop).astype("f4")) for name in ("j", "k")}
        return {name: ({"x": np.arange(start, stop)} | lists)[name] for name in branches}


def entries(folder):
    return sorted(folder.rglob("*.col"))


def test_the_second_pass_reads_nothing(tmp_path):
    source = Counting()
    kept = CachedColumns(source, tmp_path, stamp=1)
    first = kept.read_stored(["x", "j", "k"], 10, 40)
    source.asked.clear()
    second = CachedColumns(source, tmp_path, stamp=1).read_stored(["x", "j", "k"], 10, 40)
    assert not source.asked
    assert_array_equal(first["x"], second["x"])
    assert second["j"].values.dtype == np.float32
    assert_array_equal(first["j"].values, second["j"].values)
    assert second["j"].offsets is second["k"].offsets
    # Who writes into a column is told in the first pass already; and compiled code is made for one kind.
    for columns in (first, second):
        arrays = [columns["x"], columns["j"].values, columns["j"].offsets]
        assert not any(array.flags.writeable for array in arrays)
    # x, j, k and the offsets that j and k share
    assert len(entries(tmp_path)) == 4
    assert kept.read(["j"], 10, 40)["j"].values.dtype == np.float64


@pytest.mark.parametrize("change", [{"stamp": 2}, {"uuid": "v"}, {"size": 11}, {"range": (10, 41)}])
def test_another_file_or_range_is_another_entry(tmp_path, change):
    source = Counting()
    CachedColumns(source, tmp_path, stamp=1).read_stored(["x"], 10, 40)
    source.asked.clear()
    for name in ("uuid", "size"):
        setattr(source, name, change.get(name, getattr(source, name)))
    CachedColumns(source, tmp_path, stamp=change.get("stamp", 1)).read_stored(
        ["x"], *change.get("range", (10, 40))
    )
    assert source.asked == ["x"]


@pytest.mark.parametrize("where", [0, 20, -1])
def test_a_damaged_entry_is_made_again(tmp_path, caplog, where):
    source = Counting()
    CachedColumns(source, tmp_path, stamp=1).read_stored(["x"], 0, 30)
    (path,) = entries(tmp_path)
    data = bytearray(path.read_bytes())
    data[where] ^= 0x40
    path.write_bytes(data)
    assert not is_sound(path)
    source.asked.clear()
    with caplog.at_level(logging.WARNING):
        again = CachedColumns(source, tmp_path, stamp=1).read_stored(["x"], 0, 30)
    assert_array_equal(again["x"], np.arange(30))
    assert source.asked == ["x"]
    assert "damaged" in caplog.text
    source.asked.clear()
    CachedColumns(source, tmp_path, stamp=1).read_stored(["x"], 0, 30)
    assert not source.asked


def test_texts_and_empty_columns(tmp_path):
    save_column(tmp_path, "a" * 40, np.array(["x", "y"]))
    assert load_column(tmp_path, "a" * 40, {}) is None
    save_column(tmp_path, "b" * 40, Jagged(np.zeros(4, np.int64), np.empty(0, np.float32)))
    found = load_column(tmp_path, "b" * 40, {})
    assert len(found) == 3
    assert len(found.values) == 0

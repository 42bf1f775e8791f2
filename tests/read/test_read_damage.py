"""Whatever is wrong with a file, the answer is one DataError that names it."""

from __future__ import annotations

import numpy as np
import pytest
import uproot

from femtobarn.errors import DataError
from femtobarn.read import open_source
from femtobarn.read.models import restore_models
from femtobarn.records import FileRef

COLUMNS = {
    "lep_pt": np.linspace(5e3, 9e4, 4000),
    "lep_E": np.linspace(6e3, 9e4, 4000),
    "scaleFactor_LepTRIGGER": np.ones(4000),
}


def write(path, name, columns, *, ntuple=False):
    with uproot.recreate(path) as file:
        if ntuple:
            file.mkrntuple(name, columns)
        else:
            file.mktree(name, {key: column.dtype for key, column in columns.items()}).extend(columns)
    return path


@pytest.fixture
def good(tmp_path):
    return write(tmp_path / "good.root", "mini", COLUMNS)


@pytest.fixture(params=["ttree", "rntuple"])
def either(tmp_path, request):
    return write(tmp_path / "good.root", "mini", COLUMNS, ntuple=request.param == "rntuple")


def refused(path, *candidates, tree=None):
    with pytest.raises(DataError) as caught:
        open_source(FileRef(str(path), tree), candidates).close()
    assert caught.value.where == str(path)
    return str(caught.value)


def test_the_good_one_is_good(either):
    source = open_source(FileRef(str(either)), ["atlas-2020"])
    assert source.read(["lep_pt"], 0, 4000)["lep_pt"].tolist() == COLUMNS["lep_pt"].tolist()
    source.close()


@pytest.mark.parametrize("fraction", [0.001, 0.01, 0.2, 0.5, 0.9, 0.999])
def test_truncated(either, tmp_path, fraction):
    data = either.read_bytes()
    path = tmp_path / "cut.root"
    path.write_bytes(data[: int(len(data) * fraction)])
    assert "cut.root" in refused(path, "atlas-2020")


def test_truncation_by_one_byte_is_said(either, tmp_path):
    data = either.read_bytes()
    path = tmp_path / "cut.root"
    path.write_bytes(data[:-1])
    assert f"is truncated: {len(data) - 1} of {len(data)} bytes" in refused(path)


@pytest.mark.parametrize(
    "content", [b"", b"<html>404 not found</html>", bytes(5000), b"root" + b"\xff" * 500]
)
def test_not_root(tmp_path, content):
    path = tmp_path / "page.root"
    path.write_bytes(content)
    message = refused(path)
    assert "0 bytes" in message if not content else "cannot be read" in message


def test_missing_and_folder(tmp_path, good):
    with pytest.raises(DataError, match="no such file") as caught:
        open_source(FileRef(str(tmp_path / "godo.root")))
    assert caught.value.near == ("good.root",)
    assert "is a folder" in refused(tmp_path)


def basket(path, branch):
    """Where the compressed bytes of a branch's first basket begin, and how many there are."""
    with uproot.open(path) as file:
        opened = file["mini"][branch]
        seek = int(opened.member("fBasketSeek")[0])
        return seek, int(opened.basket(0).compressed_bytes)


@pytest.mark.parametrize("filler", [b"\x00", b"\xff", b"Z"])
def test_corrupted_basket_names_the_branch(good, filler):
    seek, size = basket(good, "lep_E")
    data = bytearray(good.read_bytes())
    data[seek : seek + size] = filler * size
    good.write_bytes(data)
    source = open_source(FileRef(str(good)), ["atlas-2020"])
    with pytest.raises(DataError, match=r"good\.root: cannot be read at branch 'lep_E', entries 5-50"):
        source.read(["lep_E"], 5, 50)
    assert len(source.read(["lep_pt"], 0, 10)["lep_pt"]) == 10
    source.close()


def test_bytes_flipped_anywhere_never_escape_as_another_error(either, tmp_path):
    """Whatever byte is hit: the right values, other values of the right number, or one DataError."""
    data = either.read_bytes()
    path = tmp_path / "flipped.root"
    rng = np.random.default_rng(1)
    refusals = 0
    for position in rng.integers(0, len(data), 60):
        damaged = bytearray(data)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        try:
            source = open_source(FileRef(str(path)), ["atlas-2020"])
            try:
                source.clusters()
                source.stored_bytes(sorted(source.branches))
                assert len(source.read(["lep_pt", "lep_E"], 0, source.entries)["lep_pt"]) == source.entries
            finally:
                source.close()
        except DataError as error:
            refusals += 1
            assert error.where == str(path)  # noqa: PT017
    assert refusals > 0


def test_wrong_tree(either):
    message = refused(either, "atlas-2020", tree="mimi")
    assert "no tree 'mimi' (did you mean 'mini'?)" in message


def test_tree_of_another_release(either):
    message = refused(either, "atlas-2025")
    assert "is not atlas-2025: it looks like atlas-2020 (tree 'mini')" in message
    assert "--release atlas-2020" in message


def test_tree_of_no_release(tmp_path):
    path = tmp_path / "other.root"
    write(path, "stuff", {"x": np.zeros(3)})
    assert "has no tree 'mini', as atlas-2020 has" in refused(path, "atlas-2020")
    assert "stuff" in refused(path, "atlas-2020")
    source = open_source(FileRef(str(path)))
    assert (source.schema.name, source.tree) == ("raw", "stuff")
    source.close()


def test_lacking_mark_has_neighbours(tmp_path):
    path = tmp_path / "typo.root"
    write(path, "mini", {"lep_pt": np.zeros(3), "lep_En": np.zeros(3)})
    assert "lacks the branch 'lep_E' of atlas-2020 (did you mean 'lep_En'" in refused(path, "atlas-2020")


def test_several_trees(tmp_path):
    path = tmp_path / "two.root"
    with uproot.recreate(path) as file:
        file.mktree("a", {"x": "f8"}).extend({"x": np.zeros(3)})
        file.mkrntuple("b", {"x": np.zeros(4)})
    assert "holds several trees" in refused(path)
    source = open_source(FileRef(str(path), "b"))
    assert source.entries == 4
    source.close()


def test_without_tree(tmp_path):
    path = tmp_path / "words.root"
    with uproot.recreate(path) as file:
        file["note"] = "no events here"
    message = refused(path, "atlas-2020")
    assert "neither a tree nor histograms" in message
    assert "note" in message


def test_empty_root_file(tmp_path):
    path = tmp_path / "nothing.root"
    uproot.recreate(path).close()
    assert "it contains: nothing" in refused(path)


def test_damaged_rntuple(tmp_path):
    path = tmp_path / "n.root"
    write(path, "Events", {"Muon_pt": np.arange(1000.0)}, ntuple=True)
    with uproot.open(path) as file:
        page = file["Events"].page_link_list[0][0].pages[0].locator
        offset, size = int(page.offset), int(page.num_bytes)
    data = bytearray(path.read_bytes())
    data[offset : offset + size] = b"\xff" * size
    path.write_bytes(data)
    source = open_source(FileRef(str(path)))
    try:
        column = source.read(["Muon_pt"], 0, 1000)["Muon_pt"]
    except DataError as error:
        assert "Muon_pt" in str(error)  # noqa: PT017
    else:
        pytest.fail(f"damaged values were believed: {column[:3]}")
    finally:
        source.close()


def test_a_damaged_file_does_not_spoil_the_next(good, tmp_path):
    """A wrong class version makes uproot replace its own TBranch for the whole process."""
    from uproot.models.TBranch import Model_TBranch, Model_TBranch_v13

    data = bytearray(good.read_bytes())
    tag = b"TBranch\0"
    # Class name, byte count (4 bytes), version (2 bytes).
    places = [
        at + len(tag) + 5
        for at in range(len(data))
        if data.startswith(tag, at) and data[at + 12 : at + 14] == b"\0\x0d"
    ]
    assert places
    for at in places:
        data[at] = 77
    path = tmp_path / "version.root"
    path.write_bytes(data)
    with uproot.open(path) as file:
        file["mini"].keys()
    replaced = Model_TBranch.known_versions[13] is not Model_TBranch_v13
    assert replaced, "uproot no longer replaces its classes: femtobarn.read.models may go"
    for opened in (path, good):
        source = open_source(FileRef(str(opened)), ["atlas-2020"])
        assert source.read(["lep_pt"], 0, 3)["lep_pt"].tolist() == COLUMNS["lep_pt"][:3].tolist()
        source.close()
        assert Model_TBranch.known_versions[13] is Model_TBranch_v13


def test_own_classes_are_left_alone():
    """Restoring changes nothing where nothing was replaced."""
    before = {name: dict(getattr(kind, "known_versions", {})) for name, kind in uproot.classes.items()}
    restore_models()
    assert {n: dict(getattr(k, "known_versions", {})) for n, k in uproot.classes.items()} == before
    assert len(before["TBranch"]) > 1

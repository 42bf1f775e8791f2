"""Files brought here: verified, resumed, from replicas; nothing wrong is kept; caches that can be checked."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import uproot

from femtobarn import api
from femtobarn.catalog import read_fileset
from femtobarn.errors import DataError, UsageError
from femtobarn.net.answers import AnswerCache
from femtobarn.net.fetching import check_file, checksum_of
from femtobarn.testing.loopback import Reply, file_reply

DATA = {name: bytes([i]) * 100_000 for i, name in enumerate(("a.root", "b.root", "c.root"))}


@pytest.fixture
def remote(tmp_path):
    folder = tmp_path / "remote"
    folder.mkdir()
    for name, data in DATA.items():
        (folder / name).write_bytes(data)
    return folder


def fileset(tmp_path, server, *, wrong=(), replicas=None, checksum=True):
    files = {}
    for name, data in DATA.items():
        adler = zlib.adler32(b"other" if name in wrong else data)
        files[f"{server.url}/{name}"] = {
            "object_path": "Events", "size": len(data),
            **({"checksum": f"adler32:{adler:08x}"} if checksum else {}),
            **({"replicas": [f"{replicas.url}/{name}"]} if replicas else {}),
        }  # fmt: skip
    path = tmp_path / "set.json"
    path.write_text(json.dumps({"x": {"files": files, "metadata": {"kind": "mc"}}}))
    return str(path)


@pytest.mark.usefixtures("quick_client")
class TestFetch:
    def test_a_fileset_comes_verified(self, loopback, remote, tmp_path):
        server = loopback(remote)
        out = tmp_path / "out"
        done = api.data_fetch([fileset(tmp_path, server)], out)
        assert [row["state"] for row in done.files] == ["fetched"] * 3
        assert {p.name: p.read_bytes() for p in (out / "x").iterdir()} == DATA
        manifest = json.loads((out / "MANIFEST.json").read_text())
        assert manifest["failed"] == []
        assert manifest["files"][0]["verified"] == ["size", "checksum"]
        assert manifest["files"][0]["adler32"] == checksum_of(out / "x" / "a.root")
        (again,) = read_fileset(out / "fileset.json")
        assert [ref.url for ref in again.files] == [str(out / "x" / name) for name in DATA]
        assert again.metadata["kind"] == "mc"

    def test_verified_files_are_not_fetched_again(self, loopback, remote, tmp_path):
        server = loopback(remote)
        source, out = fileset(tmp_path, server), tmp_path / "out"
        api.data_fetch([source], out)
        server.stop()
        assert [row["state"] for row in api.data_fetch([source], out).files] == ["verified"] * 3

    def test_altered_files_are_fetched_again(self, loopback, remote, tmp_path):
        server = loopback(remote)
        source, out = fileset(tmp_path, server, checksum=False), tmp_path / "out"
        api.data_fetch([source], out)
        (out / "x" / "b.root").write_bytes(b"?" * 100_000)
        done = api.data_fetch([source], out)
        assert [row["state"] for row in done.files] == ["verified", "fetched", "verified"]
        assert (out / "x" / "b.root").read_bytes() == DATA["b.root"]

    def test_a_wrong_checksum_is_not_kept(self, loopback, remote, tmp_path):
        server = loopback(remote)
        out = tmp_path / "out"
        done = api.data_fetch([fileset(tmp_path, server, wrong=("b.root",))], out)
        assert sorted(p.name for p in (out / "x").iterdir()) == ["a.root", "c.root"]
        (failed,) = done.failed
        assert failed["url"].endswith("b.root")
        assert "adler32" in failed["error"]
        (kept,) = read_fileset(out / "fileset.json")
        assert len(kept.files) == 2
        assert json.loads((out / "MANIFEST.json").read_text())["failed"] == [failed]

    def test_the_replica_is_tried(self, loopback, remote, tmp_path):
        broken, good = loopback(lambda _: Reply(404)), loopback(remote)
        done = api.data_fetch([fileset(tmp_path, broken, replicas=good)], tmp_path / "out")
        assert not done.failed
        assert done.files[0]["from"].startswith(good.url)

    def test_a_cut_file_is_resumed(self, loopback, remote, tmp_path):
        serve, cuts = file_reply(remote), Counter()

        def answer(ask):
            reply = serve(ask)
            if "range" in ask.headers and ask.range[1] == 32767:
                return reply  # looked at first
            cuts[ask.path] += 1
            return replace(reply, cut=60_000) if cuts[ask.path] == 1 else reply

        server = loopback(answer)
        out = tmp_path / "out"
        assert not api.data_fetch([fileset(tmp_path, server)], out).failed
        assert (out / "x" / "a.root").read_bytes() == DATA["a.root"]
        starts = [ask.range[0] for ask in server.seen if ask.range and ask.path == "/a.root"]
        assert any(start > 0 for start in starts)

    def test_a_part_of_an_earlier_call_is_continued(self, loopback, remote, tmp_path):
        server = loopback(remote)
        part = tmp_path / "out" / "x" / "a.root.part"
        part.parent.mkdir(parents=True)
        part.write_bytes(DATA["a.root"][:70_000])
        assert not api.data_fetch([fileset(tmp_path, server)], tmp_path / "out").failed
        assert any(ask.range and ask.range[0] == 70_000 for ask in server.seen)
        assert not part.exists()

    def test_a_server_without_ranges(self, loopback, remote, tmp_path):
        server = loopback(remote, ranges=False)
        assert not api.data_fetch([fileset(tmp_path, server)], tmp_path / "out").failed

    def test_a_server_with_another_size(self, loopback, remote, tmp_path):
        (remote / "b.root").write_bytes(b"short" * 10_000)
        done = api.data_fetch([fileset(tmp_path, loopback(remote))], tmp_path / "out")
        (failed,) = done.failed
        assert "50000 bytes at the server, stated are 100000" in failed["error"]

    def test_equal_names_do_not_meet_and_none_leads_out(self, loopback, remote, tmp_path):
        server = loopback(lambda ask: Reply(body=ask.path.encode()))
        names = ["1/x.root", "2/x.root", "..%2F..%2Fx.root"]
        path = tmp_path / "f.json"
        path.write_text(json.dumps({"../d": {"files": [f"{server.url}/{name}" for name in names]}}))
        done = api.data_fetch([str(path)], tmp_path / "out")
        assert not done.failed
        assert [row["path"] for row in done.files] == ["_d/x.root", "_d/x-2.root", "_d/x-3.root"]


def test_checksums(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"hello")
    assert checksum_of(path) == "adler32:062c0215"
    assert check_file(path, size=5, checksum="adler32:62C0215") == ""
    assert "stated are 6" in check_file(path, size=6, checksum=None)
    assert "stated is 0" in check_file(path, size=5, checksum="md5:0")
    with pytest.raises(DataError, match="'crc7' cannot be verified"):
        check_file(path, size=None, checksum="crc7:1")


# -- probing with steps ------------------------------------------------------------------------------


@pytest.fixture
def events(tmp_path):
    """Two good files with clusters of 100 entries, one empty tree and one damaged file."""
    for name, clusters in (("a.root", 3), ("b.root", 1), ("none.root", 0)):
        with uproot.recreate(tmp_path / name) as file:
            file.mktree("Events", {"x": "float64"})
            for i in range(clusters):
                file["Events"].extend({"x": np.arange(100.0) + i})
    (tmp_path / "bad.root").write_bytes(b"root?")
    return tmp_path


def write_set(events, *names):
    path = events / "f.json"
    path.write_text(json.dumps({"x": {"files": {str(events / name): "Events" for name in names}}}))
    return str(path)


def test_steps_follow_clusters(events):
    done = api.data_preprocess([write_set(events, "a.root", "b.root", "none.root")], events / "g.json",
                               step_size=250)  # fmt: skip
    content = json.loads((events / "g.json").read_text())["x"]["files"]
    assert [entry["steps"] for entry in content.values()] == [[[0, 200], [200, 300]], [[0, 100]], [[0, 0]]]
    assert [entry["num_entries"] for entry in content.values()] == [300, 100, 0]
    assert all(entry["uuid"] for entry in content.values())
    assert not done.bad
    (again,) = read_fileset(events / "g.json")
    assert again.files[0].steps == ((0, 200), (200, 300))
    api.data_preprocess([str(events / "f.json")], events / "g.json", step_size=30)
    steps = json.loads((events / "g.json").read_text())["x"]["files"][str(events / "b.root")]["steps"]
    assert steps == [[0, 30], [30, 60], [60, 90], [90, 100]]


def test_bad_files_are_apart_with_reasons(events):
    done = api.data_preprocess([write_set(events, "a.root", "bad.root", "absent.root")], events / "g.json")
    assert list(done.bad) == ["x"]
    reasons = json.loads((events / "g.bad.json").read_text())["bad"]["x"]
    assert "no such file" in reasons[str(events / "absent.root")]
    assert len(json.loads((events / "g.json").read_text())["x"]["files"]) == 1
    api.data_preprocess([write_set(events, "a.root")], events / "g.json")
    assert not (events / "g.bad.json").exists()
    with pytest.raises(DataError, match="no file can be read"):
        api.data_preprocess([write_set(events, "bad.root")], events / "g.json")
    with pytest.raises(UsageError, match="at least 1"):
        api.data_preprocess([write_set(events, "a.root")], events / "g.json", step_size=0)


# -- the cache --------------------------------------------------------------------------------------


def test_the_cache_is_listed_verified_and_pruned(loopback, quick_client, remote):
    server = loopback(remote)
    quick_client.remembered(server.url + "/a.root")
    quick_client.remembered(server.url + "/b.root")
    (room,) = api.cache_list()
    assert (room.name, room.files) == ("http", 4)
    assert api.cache_verify() == (2, [])
    first = next(AnswerCache().entries())
    first.path.write_bytes(b"?")
    assert api.cache_verify() == (2, [str(first.folder)])
    assert api.cache_verify() == (1, [])
    assert api.cache_prune().files == 0  # young
    assert api.cache_prune(everything=True).files == 2
    assert api.cache_list() == []


def test_finding(loopback, monkeypatch, quick_client):
    hit = {"hits": {"hits": [{"id": "1", "metadata": {"recid": "1", "title": "DoubleMuon"}}]}}
    server = loopback(lambda _: Reply(body=json.dumps(hit).encode()))
    monkeypatch.setenv("FEMTOBARN_CERNOPENDATA_URL", server.url)
    rows = api.data_find("ZH 13 TeV")
    assert "atlas://2020e-13tev/341947" in [row["address"] for row in rows]
    assert rows[-1]["address"] == "cernopendata://1"
    assert api.data_find("no such thing", where=["tables"]) == []
    with pytest.raises(UsageError, match="unknown place"):
        api.data_find("x", where=["moon"])

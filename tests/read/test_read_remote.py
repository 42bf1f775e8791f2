"""Remote files: needed ranges only, replicas that agree, servers that fail; the numbers of local files."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import uproot

from femtobarn.errors import DataError, NetworkError, UsageError
from femtobarn.net import HttpClient, Limits, RemoteFile, use_network
from femtobarn.net.remote import identity, join_ranges
from femtobarn.read import open_source, read_events
from femtobarn.records import FileRef
from femtobarn.testing.loopback import Reply, file_reply

WIDE = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two files of equal shape: wide.root with 40 branches of 3 baskets, and another of the same size."""
    path = tmp_path_factory.mktemp("remote")
    for name, seed in (("wide.root", 1), ("more.root", 2)):
        random = np.random.default_rng(seed)
        with uproot.recreate(path / name, compression=None) as file:
            file.mktree("t", {f"b{i}": "float64" for i in range(WIDE)})
            for _ in range(3):
                file["t"].extend({f"b{i}": random.random(5000) for i in range(WIDE)})
    return path


def columns(ref, names=("b3", "b7"), start=0, stop=15_000):
    source = open_source(ref)
    try:
        return source.read(list(names), start, stop)
    finally:
        source.close()


def same(left, right):
    return left.keys() == right.keys() and all(np.array_equal(left[name], right[name]) for name in left)


@pytest.fixture
def local(folder):
    return columns(FileRef(str(folder / "wide.root")))


@pytest.mark.usefixtures("quick_client")
class TestReading:
    def test_only_what_is_needed_is_fetched(self, loopback, folder, local):
        server = loopback(folder)
        source = open_source(FileRef(server.url + "/wide.root"))
        before = len(server.seen)
        found = source.read(["b3", "b7"], 0, 15_000)
        source.close()
        assert same(found, local)
        # Two columns of three baskets of 40 kB each.
        assert len(server.seen) - before <= 6
        assert source._remote.received < 0.25 * (folder / "wide.root").stat().st_size

    def test_baskets_that_follow_each_other_are_one_request(self, loopback, folder):
        server = loopback(folder)
        source = open_source(FileRef(server.url + "/wide.root"))
        before = len(server.seen)
        source.read([f"b{i}" for i in range(WIDE)], 0, 5000)
        assert len(server.seen) - before <= 2
        source.close()

    def test_rntuples(self, loopback, tmp_path):
        values = np.arange(20_000.0)
        with uproot.recreate(tmp_path / "n.root") as file:
            file.mkrntuple("n", {f"b{i}": values + i for i in range(10)})
        server = loopback(tmp_path)
        found = columns(FileRef(server.url + "/n.root"), ["b2"], 0, 20_000)
        assert np.array_equal(found["b2"], values + 2)

    def test_tables(self, loopback, tmp_path):
        (tmp_path / "x.csv").write_text("a,b\n1,2\n3,4\n")
        server = loopback(tmp_path)
        assert columns(FileRef(server.url + "/x.csv"), ["b"], 0, 2)["b"].tolist() == [2, 4]

    def test_busy_and_cutting_servers_are_asked_again(self, loopback, folder, local):
        serve, seen = file_reply(folder), Counter()

        def answer(ask):
            reply = serve(ask)
            seen[ask.range] += 1
            if seen[ask.range] == 1:
                return Reply(503)
            return replace(reply, cut=len(reply.body) // 2) if seen[ask.range] == 2 else reply

        server = loopback(answer)
        assert same(columns(FileRef(server.url + "/wide.root")), local)

    def test_a_dead_first_replica(self, loopback, folder, local, caplog):
        dead, alive = loopback(folder), loopback(folder)
        dead.stop()
        ref = FileRef(dead.url + "/wide.root", replicas=(alive.url + "/wide.root",))
        assert same(columns(ref), local)
        assert "the next replica is tried" in caplog.text

    def test_a_replica_that_dies_while_it_is_read(self, loopback, folder, local):
        first, second = loopback(folder), loopback(folder)
        source = open_source(FileRef(first.url + "/wide.root", replicas=(second.url + "/wide.root",)))
        part = source.read(["b3", "b7"], 0, 5000)
        first.stop()
        rest = source.read(["b3", "b7"], 5000, 15_000)
        source.close()
        assert same({name: np.concatenate([part[name], rest[name]]) for name in part}, local)
        assert second.seen

    def test_what_one_replica_gave_is_not_asked_of_the_next(self, loopback, folder, local):
        serve, given = file_reply(folder), []

        def dies(ask):
            if ask.range[0] and len(given) >= 2:
                return Reply(500)
            if ask.range[0]:
                given.append(ask.range)
            return serve(ask)

        first, second = loopback(dies), loopback(folder)
        ref = FileRef(first.url + "/wide.root", replicas=(second.url + "/wide.root",))
        assert same(columns(ref), local)
        asked = [ask.range for ask in second.seen]
        assert given
        assert not set(given) & set(asked)

    def test_no_replica_is_left(self, loopback, folder):
        first, second = loopback(folder), loopback(lambda _: Reply(404))
        first.stop()
        ref = FileRef(first.url + "/wide.root", replicas=(second.url + "/wide.root",))
        with pytest.raises(NetworkError, match=r"none of 2 replicas can be used: .*no connection.*404"):
            open_source(ref)

    def test_a_replica_that_is_another_file_is_refused(self, loopback, folder):
        first, second = loopback(folder), loopback(folder)
        ref = FileRef(first.url + "/wide.root", replicas=(second.url + "/more.root",))
        source = open_source(ref)
        first.stop()
        with pytest.raises(DataError, match="another file: its uuid"):
            source.read(["b3"], 0, 15_000)
        source.close()

    @pytest.mark.parametrize("stated", [{"size": 10}, {"uuid": "00000000-0000-0000-0000-000000000000"}])
    def test_a_file_that_is_not_the_described_one_is_refused(self, loopback, folder, stated):
        server = loopback(folder)
        with pytest.raises(DataError, match="another file"):
            open_source(FileRef(server.url + "/wide.root", **stated))

    def test_a_server_that_lies_about_the_size(self, loopback, folder):
        serve = file_reply(folder)

        def lie(ask):
            reply = serve(ask)
            first, _last = ask.range
            size = (folder / "wide.root").stat().st_size
            if first:  # after the first request: another size
                reply.headers["Content-Range"] = f"bytes {first}-{first + len(reply.body) - 1}/{size + 1}"
            return reply

        with pytest.raises((NetworkError, DataError), match="and before that"):
            columns(FileRef(loopback(lie).url + "/wide.root"))

    def test_a_truncated_remote_file(self, loopback, folder, tmp_path):
        data = (folder / "wide.root").read_bytes()
        (tmp_path / "short.root").write_bytes(data[: len(data) * 2 // 3])
        with pytest.raises(DataError, match=r"truncated|cannot be read"):
            columns(FileRef(loopback(tmp_path).url + "/short.root"))

    def test_empty_and_absent_files(self, loopback, tmp_path):
        (tmp_path / "empty.root").write_bytes(b"")
        server = loopback(tmp_path)
        with pytest.raises(DataError, match="is empty"):
            open_source(FileRef(server.url + "/empty.root"))
        with pytest.raises(NetworkError, match="404"):
            open_source(FileRef(server.url + "/absent.root"))
        assert len(server.seen) == 2  # a 404 is not asked twice

    def test_a_server_without_ranges(self, loopback, folder, local, caplog):
        server = loopback(folder, ranges=False)
        with caplog.at_level(logging.WARNING):
            assert same(columns(FileRef(server.url + "/wide.root")), local)
        assert "the whole file is fetched, once" in caplog.text
        sent = len(server.seen)
        assert same(columns(FileRef(server.url + "/wide.root")), local)
        # The second time it is looked at, and the copy is used.
        assert len(server.seen) == sent + 1

    def test_columns_are_kept(self, loopback, folder, local):
        use_network(cache_remote="columns")
        server = loopback(folder)
        columns(FileRef(server.url + "/wide.root"))
        before = len(server.seen)
        assert same(columns(FileRef(server.url + "/wide.root")), local)
        assert len(server.seen) == before + 1  # is it still the same file?

    def test_a_damaged_kept_range_is_read_again(self, loopback, folder, local, tmp_path, caplog, monkeypatch):
        monkeypatch.setenv("FEMTOBARN_CACHE", str(tmp_path))
        use_network(cache_remote="columns")
        server = loopback(folder)
        columns(FileRef(server.url + "/wide.root"))
        for kept in (tmp_path / "remote" / "columns").rglob("*-*"):
            if kept.is_file():
                kept.write_bytes(kept.read_bytes()[:-1] + b"?")
        assert same(columns(FileRef(server.url + "/wide.root")), local)
        assert "is damaged" in caplog.text

    def test_whole_files_are_kept(self, loopback, folder, local):
        use_network(cache_remote="files")
        server = loopback(folder)
        assert same(columns(FileRef(server.url + "/wide.root")), local)
        before = len(server.seen)
        assert same(columns(FileRef(server.url + "/wide.root"), ["b3", "b7"]), local)
        assert len(server.seen) == before + 1


def test_a_slow_server_has_a_limit(loopback, folder):
    serve = file_reply(folder)
    server = loopback(lambda ask: replace(serve(ask), pause=0.2))
    client = HttpClient(Limits(read=5.0, tries=2, total=0.5))
    with (
        pytest.raises(NetworkError, match="in time"),
        RemoteFile(FileRef(server.url + "/wide.root"), client) as file,
    ):
        file.prefetch([(100_000, 900_000)])


def test_events_over_the_network_count_their_bytes(loopback, folder, quick_client):
    from femtobarn.net import bytes_received

    server = loopback(folder)
    before = bytes_received()
    source = open_source(FileRef(server.url + "/wide.root"))
    read_events(source, ["b1"], (), 0, 100, where="x")
    assert bytes_received() - before == source._remote.received > 0
    source.close()


def test_ranges_are_joined():
    assert join_ranges([(10, 20), (0, 10), (5000, 5010)]) == [(0, 20), (5000, 5010)]
    assert join_ranges([(0, 10), (2, 5)]) == [(0, 10)]
    assert join_ranges([(0, 10), (10, 20)], largest=15) == [(0, 10), (10, 20)]
    assert join_ranges([]) == []


def test_the_uuid_is_read_from_the_header(folder):
    with uproot.open(folder / "wide.root") as file:
        assert identity((folder / "wide.root").read_bytes()[:300]) == str(file.file.uuid)
    assert identity(b"a,b\n") != identity(b"a,c\n")


@pytest.mark.usefixtures("quick_client")
def test_a_replica_of_another_protocol(loopback, folder, local, monkeypatch):
    """Without the extra, a root:// replica is passed over; alone, the error says which extra."""
    from femtobarn.net import transports

    def absent():
        raise UsageError("root:// needs the extra 'xrootd'")

    monkeypatch.setattr(transports, "_xrootd", absent)
    server = loopback(folder)
    ref = FileRef("root://127.0.0.1:9//wide.root", replicas=(server.url + "/wide.root",))
    assert same(columns(ref), local)
    with pytest.raises(UsageError, match="extra 'xrootd'"):
        open_source(FileRef("root://127.0.0.1:9//wide.root"))
    server.stop()
    with pytest.raises(NetworkError, match=r"none of 2 replicas.*no connection.*extra 'xrootd'"):
        open_source(FileRef(server.url + "/wide.root", replicas=("root://127.0.0.1:9//wide.root",)))

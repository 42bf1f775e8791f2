"""The OMS client and the store against a server on the loopback: pages, units, logins, memory."""

from __future__ import annotations

import importlib.util
import json
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from femtobarn.api import refrun_fetch
from femtobarn.catalog.oms import Filter, OmsClient, Row
from femtobarn.catalog.omsauth import make_auth
from femtobarn.catalog.runstore import RunStore, read_store, subtract
from femtobarn.errors import DataError, NetworkError, StoreError, UsageError
from femtobarn.net import Limits

_spec = importlib.util.spec_from_file_location(
    "net_conftest", Path(__file__).parents[1] / "net" / "conftest.py"
)
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
server = _module.server

QUICK = Limits(connect=2.0, read=2.0, backoff=0.001)
UNITS = {"row": {"init_lumi": {"units": "10^{30}cm^{-2}s^{-1}"}, "duration": {"units": "s"}}}


def paged(rows, cap=3, *, total=True, meta=UNITS):
    def answer(_path, query, _headers, _body):
        low, high = (int(query.get(f"filter[run_number][{op}]", d)) for op, d in (("GE", 0), ("LE", 10**9)))
        chosen = [row for row in rows if low <= row["run_number"] <= high]
        offset, limit = int(query["page[offset]"]), min(int(query["page[limit]"]), cap)
        document = {
            "data": [{"id": i, "attributes": row} for i, row in enumerate(chosen[offset : offset + limit])],
            "meta": {**meta, **({"totalResourceCount": len(chosen)} if total else {})},
        }
        return 200, {"Content-Type": "application/vnd.api+json"}, json.dumps(document).encode()

    return answer


def runs(count):
    return [
        {"run_number": 100 + i, "init_lumi": "2e4", "duration": 60 + i, "fill_number": 9}
        for i in range(count)
    ]


@pytest.mark.parametrize("total", [True, False])
def test_pages_are_read_to_the_end(server, total):
    server.answer = paged(runs(8), total=total)
    with OmsClient(server.url + "/agg/api/v1", limits=QUICK) as oms:
        rows = list(oms.rows("runs", [Filter("run_number", "GE", "101")]))
    assert [row.id for row in rows] == [str(101 + i) for i in range(7)]
    assert rows[0].values["init_lumi"] == 2.0
    assert rows[0].units["init_lumi"] == "1e34 cm-2 s-1"
    offsets = [query["page[offset]"] for _, _, query, *_ in server.seen]
    assert sorted(offsets) == (["0", "3", "6"] if total else ["0", "3", "6", "7"])  # rows, not pages
    assert server.seen[0][1] == "/agg/api/v1/runs"


def test_unstated_units_are_assumed_aloud_and_unknown_ones_refused(server):
    server.answer = paged(runs(1), meta={})
    with OmsClient(server.url, limits=QUICK) as oms:
        assert next(iter(oms.rows("runs"))).values["init_lumi"] == 2e4
        assert any("init_lumi" in text for text in oms.warnings)
    server.answer = paged(runs(1), meta={"row": {"init_lumi": {"units": "barn"}}})
    with OmsClient(server.url, limits=QUICK) as oms, pytest.raises(DataError, match="'barn'"):
        list(oms.rows("runs"))


def test_a_partial_set_of_pages_is_an_error(server):
    whole = paged(runs(8))

    def lossy(path, query, headers, body):
        if query["page[offset]"] == "6":
            return 200, {}, json.dumps({"data": [], "meta": {"totalResourceCount": 8}}).encode()
        return whole(path, query, headers, body)

    server.answer = lossy
    with OmsClient(server.url, limits=QUICK) as oms, pytest.raises(NetworkError, match="6 of 8"):
        list(oms.rows("runs"))


def test_a_server_that_changes_its_page_size_is_followed(server):
    sizes = {"0": 3, "3": 2, "5": 1, "6": 9}
    whole = runs(11)

    def uneven(_path, query, _headers, _body):
        offset = int(query["page[offset]"])
        page = whole[offset : offset + sizes.get(query["page[offset]"], 3)]
        data = [{"id": i, "attributes": row} for i, row in enumerate(page)]
        return 200, {}, json.dumps({"data": data, "meta": {**UNITS, "totalResourceCount": 11}}).encode()

    server.answer = uneven
    with OmsClient(server.url, limits=QUICK) as oms:
        assert [row.values["run_number"] for row in oms.rows("runs")] == list(range(100, 111))


def test_few_pages_are_in_flight_and_come_in_order(server):
    now, most, lock, inner = [0], [0], threading.Lock(), paged(runs(40))

    def slow(*request):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.02)
        with lock:
            now[0] -= 1
        return inner(*request)

    server.answer = slow
    with OmsClient(server.url, limits=QUICK) as oms:
        assert [row.values["run_number"] for row in oms.rows("runs")] == list(range(100, 140))
    assert 2 <= most[0] <= 4


def test_a_server_that_refuses_fields_gives_everything(server):
    inner = paged(runs(2))
    server.answer = lambda path, query, *rest: (
        (400, {}, b"{}") if "fields" in query else inner(path, query, *rest)
    )
    with OmsClient(server.url, limits=QUICK) as oms:
        assert len(list(oms.rows("runs", fields=("run_number", "nonsense")))) == 2
    assert server.seen[0][2]["fields"] == "run_number,nonsense"


def test_rows_that_move_between_pages_are_noticed(server):
    server.answer = lambda *_: (
        200,
        {},
        json.dumps(
            {"data": [{"id": 1, "attributes": {"run_number": 5}}], "meta": {"totalResourceCount": 2}}
        ).encode(),
    )
    with OmsClient(server.url, limits=QUICK) as oms, pytest.raises(NetworkError, match="two pages"):
        list(oms.rows("runs"))


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [(302, {"Location": "https://auth.example.org/login"}, b""), (401, {}, b""), (403, {}, b""),
     (200, {"Content-Type": "text/html"}, b"<html>login</html>")],
)  # fmt: skip
def test_a_login_page_is_no_data(server, status, headers, body):
    server.answer = lambda *_: (status, headers, body)
    with OmsClient(server.url, limits=QUICK) as oms, pytest.raises(NetworkError, match=r"login|allow"):
        list(oms.rows("runs"))


def test_a_server_that_wants_a_slash(server):
    inner = paged(runs(2))
    server.answer = lambda path, *rest: inner(path, *rest) if path.endswith("/") else (404, {}, b"")
    with OmsClient(server.url, limits=QUICK) as oms:
        assert len(list(oms.rows("runs"))) == 2


def test_the_proxy_takes_the_resource_as_a_parameter(server):
    server.answer = paged(runs(2))
    with OmsClient(server.url + "/oms-proxy", limits=QUICK, proxy=True) as oms:
        assert len(list(oms.rows("runs"))) == 2
    assert server.seen[0][2]["endpoint"] == "runs"


def test_client_credentials(server, monkeypatch):
    monkeypatch.setenv("FEMTOBARN_OMS_TOKEN_URL", server.url + "/token")
    monkeypatch.delenv("FEMTOBARN_OMS_CLIENT_ID", raising=False)
    monkeypatch.delenv("FEMTOBARN_OMS_CLIENT_SECRET", raising=False)
    with pytest.raises(UsageError, match="FEMTOBARN_OMS_CLIENT_ID"):
        make_auth("oidc", server.url)
    monkeypatch.setenv("FEMTOBARN_OMS_CLIENT_ID", "me")
    monkeypatch.setenv("FEMTOBARN_OMS_CLIENT_SECRET", "hunter2")
    given = iter(["one", "two"])
    inner = paged(runs(1))

    def answer(path, query, headers, body):
        if path == "/token":
            assert b"hunter2" in body
            return 200, {}, json.dumps({"access_token": next(given), "expires_in": 300}).encode()
        return (
            inner(path, query, headers, body) if headers["Authorization"] == "Bearer two" else (401, {}, b"")
        )

    server.answer = answer
    auth = make_auth("oidc", server.url, limits=QUICK)
    with OmsClient(server.url, auth, QUICK) as oms:
        assert len(list(oms.rows("runs"))) == 1  # the first token is refused once, the second taken
    assert "hunter2" not in repr(auth)
    assert "two" not in repr(auth)


def test_a_device_login_says_where_to_confirm_it(server, monkeypatch, tmp_path):
    monkeypatch.setenv("FEMTOBARN_OMS_CLIENT_ID", "me")
    monkeypatch.setenv("FEMTOBARN_OMS_TOKEN_URL", server.url + "/token")
    monkeypatch.setenv("FEMTOBARN_OMS_DEVICE_URL", server.url + "/device")
    pending = iter(
        [(400, {"error": "authorization_pending"}), (200, {"access_token": "t", "expires_in": 300})]
    )
    inner = paged(runs(1))

    def answer(path, query, headers, body):
        if path == "/device":
            begun = {
                "device_code": "d",
                "user_code": "AB-1",
                "verification_uri": "http://here",
                "interval": 0.01,
            }
            return 200, {}, json.dumps(begun).encode()
        if path == "/token":
            status, content = next(pending)
            return status, {}, json.dumps(content).encode()
        return inner(path, query, headers, body) if headers["Authorization"] == "Bearer t" else (401, {}, b"")

    server.answer = answer
    said = []
    done = refrun_fetch(tmp_path / "s.db", runs="100-100", resources=["runs"], oms_url=server.url,
                        auth="device", out=tmp_path / "run", limits=QUICK, tell=said.append)  # fmt: skip
    assert done.content["stored"]["runs"] == 1
    assert said == ["open http://here and confirm the code AB-1"]


def test_what_was_not_fetched_is_one_sentence(server, tmp_path):
    server.answer = lambda *_: (503, {}, b"")
    done = refrun_fetch(tmp_path / "s.db", runs="5-9", resources=["runs", "lumisections"], oms_url=server.url,
                        out=tmp_path / "run", limits=QUICK)  # fmt: skip
    assert done.refused.startswith("runs 5-9 were not fetched (1 more in ")
    table = (tmp_path / "run/tables/fetch.csv").read_text().splitlines()
    assert table == [
        "resource,stored,from_cache,missing",
        "runs,0,0,5-9",
        "fills,0,0,",
        "lumisections,0,0,5-9",
    ]
    server.answer = paged([{"run_number": 5, "duration": 60}], meta={})
    done = refrun_fetch(tmp_path / "s.db", runs="5-9", resources=["runs"], oms_url=server.url,
                        out=tmp_path / "again", limits=QUICK)  # fmt: skip
    assert done.refused == ""
    assert ["duration" in warning for warning in done.warnings] == [True]


def test_subtract():
    assert subtract([(1, 10)], [(3, 4), (8, 12)]) == [(1, 2), (5, 7)]
    assert subtract([(1, 3), (5, 6)], [(1, 6)]) == []
    assert subtract([(1, 3)], []) == [(1, 3)]


def row(run, **more):
    return Row(str(run), {"run_number": run, **more}, {})


def test_the_store_remembers_also_empty_answers(tmp_path):
    with RunStore(tmp_path / "s.db") as store:
        assert store.missing("runs", "oms", [(1, 20)]) == [(1, 20)]
        store.put("runs", "oms", (1, 10), [row(5, duration=3.0)])
        store.put("runs", "oms", (11, 20), [])
        assert store.missing("runs", "oms", [(1, 25)]) == [(21, 25)]
        assert store.missing("runs", "other", [(1, 10)]) == [(1, 10)]
    found = read_store(tmp_path / "s.db")
    assert found.runs.number(5, "duration") == 3.0
    assert found.lumisections is None


def test_a_store_knows_of_each_run_whether_luminosities_are_sums(tmp_path):
    """A run of one step tells nothing by itself; the others of the store do."""

    def section(run, number, recorded):
        stable = {"beam1_stable": True, "beam2_stable": number > 1}
        values = {"run_number": run, "lumisection_number": number, "recorded_lumi": recorded}
        return Row(f"{run}_{number}", values | stable | {"pileup": 30.0 + number}, {})

    with RunStore(tmp_path / "s.db") as store:
        rows = [section(5, n, 0.5 * n) for n in range(1, 60)] + [section(6, 1, 40.0), section(6, 2, 41.5)]
        store.put("lumisections", "oms", (5, 6), rows)
        store.put("runs", "oms", (6, 6), [row(6, fill_number=9, duration=3.0)])
        store.put(
            "fills", "oms", (9, 9), [Row("9", {"fill_number": 9, "fill_energy": 6500, "duration": 8}, {})]
        )
    found = read_store(tmp_path / "s.db")
    table = found.runs.merged(found.lumisections.by_run())
    assert (len(found.lumisections), len(table)) == (61, 2)
    assert [table.number(run, "recorded_lumi") for run in (5, 6)] == [29.0, 1.5]
    assert [table.number(6, name) for name in ("duration", "fill_energy", "n_stable_ls")] == [3.0, 6500, 1]
    assert found.lumisections.profile(6).pileup.tolist() == [32.0]
    assert found.lumisections.profile(7) is None
    assert found.lumisections.attributes(7) == {}


def test_young_runs_are_asked_for_again(tmp_path):
    with RunStore(tmp_path / "s.db", clock=lambda: 1.0e9) as store:
        store.put("runs", "oms", (1, 3), [
            row(1, end_time="2001-09-08T00:00:00Z"), row(2, end_time="2001-08-01T00:00:00Z"), row(3),
        ])  # fmt: skip
        assert store.missing("runs", "oms", [(1, 3)]) == [(1, 1)]
        # Beyond the newest run there may be more of them tomorrow.
        store.put("runs", "oms", (11, 20), [row(12, end_time="2001-08-01T00:00:00Z"),
                                            row(14, end_time="2001-09-08T00:00:00Z")])  # fmt: skip
        assert store.missing("runs", "oms", [(11, 20)]) == [(14, 20)]


def test_two_writers_and_a_killed_one(tmp_path):
    path = tmp_path / "s.db"

    def work(first):
        with RunStore(path) as store:
            for i in range(first, first + 20):
                store.put("runs", "oms", (i, i), [row(i)])

    threads = [threading.Thread(target=work, args=(n,)) for n in (100, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # A process that died in the middle of a batch has left nothing of it.
    raw = sqlite3.connect(path, isolation_level=None)
    raw.execute("BEGIN IMMEDIATE")
    raw.execute("DELETE FROM records")
    raw.close()
    with RunStore(path) as store:
        assert store.count("runs") == 40
        assert store.missing("runs", "oms", [(100, 119), (200, 219)]) == []


def test_what_is_no_store_is_refused(tmp_path):
    (tmp_path / "x").write_text("not a database at all, but longer than a header")
    with pytest.raises(StoreError, match="no store"):
        RunStore(tmp_path / "x")
    with pytest.raises(DataError, match="fetch"):
        read_store(tmp_path / "missing.db")

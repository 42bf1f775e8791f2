"""Remembered answers: keyed by the request, confirmed by ETag, used offline with a word of their age."""

from __future__ import annotations

import json
import logging

import pytest

from femtobarn.errors import NetworkError, UsageError
from femtobarn.net import HttpClient, Limits, net_settings, use_network
from femtobarn.net.answers import AnswerCache, age, safe_name
from femtobarn.testing.loopback import Reply

QUICK = Limits(connect=2.0, read=2.0, backoff=0.001)


@pytest.fixture
def now():
    return [1e9]


@pytest.fixture
def http(now):
    with HttpClient(QUICK, clock=lambda: now[0]) as client:
        yield client


def counting(ask):
    return Reply(body=json.dumps(dict(ask.query)).encode(), headers={"ETag": '"7"'})


def test_another_request_is_never_answered_from_memory(loopback, http):
    server = loopback(counting)
    url = server.url + "/api"
    assert http.remembered_json(url, (("a", "1"), ("b", "2"))) == {"a": "1", "b": "2"}
    assert http.remembered_json(url, (("b", "2"), ("a", "1"))) == {"a": "1", "b": "2"}
    assert len(server.seen) == 1  # the order of parameters is no difference
    assert http.remembered_json(url, (("a", "1"), ("b", "3"))) == {"a": "1", "b": "3"}
    assert http.remembered_json(url + "/", (("a", "1"), ("b", "2"))) == {"a": "1", "b": "2"}
    assert len(server.seen) == 3


def test_an_old_answer_is_confirmed_by_its_etag(loopback, http, now):
    server = loopback(counting)
    http.remembered_json(server.url, (("a", "1"),), max_age=60)
    now[0] += 100
    server.answer = lambda ask: Reply(304 if ask.headers.get("if-none-match") == '"7"' else 500)
    assert http.remembered_json(server.url, (("a", "1"),), max_age=60) == {"a": "1"}
    assert len(server.seen) == 2
    http.remembered_json(server.url, (("a", "1"),), max_age=60)  # confirmed: young again
    assert len(server.seen) == 2


def test_refresh_asks_although_it_is_remembered(loopback, http):
    server = loopback(counting)
    http.remembered_json(server.url)
    use_network(refresh=True)
    server.answer = lambda _: Reply(body=b'{"new": 1}')
    assert http.remembered_json(server.url) == {"new": 1}


def test_offline_the_old_answer_is_used_and_its_age_is_said(loopback, http, now, caplog):
    server = loopback(counting)
    http.remembered_json(server.url, (("a", "1"),))
    server.stop()
    now[0] += 3 * 86_400
    with caplog.at_level(logging.WARNING):
        assert http.remembered_json(server.url, (("a", "1"),)) == {"a": "1"}
    assert "the copy of 3 days ago is used" in caplog.text
    with pytest.raises(NetworkError, match=r"127\.0\.0\.1.*no connection"):
        http.remembered_json(server.url, (("a", "2"),))


def test_a_damaged_answer_is_asked_for_again(loopback, http, caplog):
    server = loopback(counting)
    http.remembered_json(server.url, (("a", "1"),))
    (kept,) = AnswerCache().entries()
    kept.path.write_bytes(b'{"a": "9"}')
    assert http.remembered_json(server.url, (("a", "1"),)) == {"a": "1"}
    assert "damaged" in caplog.text
    (kept,) = AnswerCache().entries()
    (kept.folder / "about.json").write_text("{")
    assert http.remembered_json(server.url, (("a", "1"),)) == {"a": "1"}
    assert len(server.seen) == 3


def test_refusals_are_not_remembered(loopback, http):
    server = loopback(lambda _: Reply(404, b"{}"))
    with pytest.raises(NetworkError, match="404"):
        http.remembered_json(server.url)
    assert len(server.seen) == 1
    assert not list(AnswerCache().entries())


def test_cut_bodies_are_asked_for_again(loopback, http):
    replies = iter([Reply(body=b'{"a": 1}', cut=3), Reply(body=b'{"a": 1}')])
    server = loopback(lambda _: next(replies))
    assert http.remembered_json(server.url) == {"a": 1}


def test_a_body_that_trickles_in_has_an_end(loopback):
    server = loopback(lambda _: Reply(body=b"x" * (1 << 20), pause=0.05))
    with (
        HttpClient(Limits(read=5.0, tries=2, total=0.3)) as http,
        pytest.raises(NetworkError, match="in time"),
    ):
        http.get(server.url)


def test_all_tries_together_have_a_limit(loopback):
    server = loopback(lambda _: Reply(503))
    with HttpClient(Limits(backoff=0.2, total=0.5)) as http, pytest.raises(NetworkError, match="503"):
        http.get(server.url)
    assert len(server.seen) < 5


def test_a_server_that_is_away_is_not_waited_for_by_every_file(loopback):
    server = loopback(counting)
    server.stop()
    slept = []
    with HttpClient(QUICK, sleep=slept.append) as http:
        for _ in range(3):
            with pytest.raises(NetworkError, match="could not be reached"):
                http.get(server.url)
    assert len(slept) == QUICK.tries - 1


def test_ranges(loopback, http, tmp_path):
    (tmp_path / "x").write_bytes(bytes(range(100)))
    server = loopback(tmp_path)
    answer = http.get_range(server.url + "/x", 90, 200)
    assert (answer.status, answer.body) == (206, bytes(range(90, 100)))
    server.answer = lambda _: Reply(206, b"x" * 10, {"Content-Range": "bytes 0-9/100"})
    with pytest.raises(NetworkError, match="range 0-9 instead of 5-14"):
        http.get_range(server.url + "/x", 5, 15)
    server.answer = lambda _: Reply(206, b"x" * 20, {"Content-Range": "bytes 5-14/100"})
    with pytest.raises(NetworkError, match="cut"):  # more than was asked for
        http.get_range(server.url + "/x", 5, 15)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("https://h/a/b.root", "b.root"),
        ("https://h/a/..%2F..%2Fetc%2Fpasswd", "passwd"),
        ("../../x", "x"),
        ("https://h/..", "file"),
        ("a\\..\\b.root?x=/y", "b.root"),
    ],
)
def test_names_from_servers_stay_in_their_folder(text, name):
    assert safe_name(text) == name


def test_settings_come_from_the_environment(monkeypatch):
    assert net_settings().per_host == 8
    assert use_network(per_host=3, cache_remote="columns").cache_remote == "columns"
    monkeypatch.setenv("FEMTOBARN_PER_HOST", "zero")
    with pytest.raises(UsageError, match="'zero' must be a number from 1"):
        net_settings()
    monkeypatch.setenv("FEMTOBARN_PER_HOST", "")
    with pytest.raises(UsageError, match="did you mean 'columns'"):
        use_network(cache_remote="column")


def test_ages_in_words():
    assert [age(x) for x in (5, 60, 7200, 86_400)] == ["5 seconds", "1 minute", "2 hours", "1 day"]

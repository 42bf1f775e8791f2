"""The HTTP client: retries, waits that servers ask for, limits, copies on disk, and no secrets in sight."""

from __future__ import annotations

import hashlib
import json
import logging

import pytest

from femtobarn.errors import NetworkError
from femtobarn.net import HttpClient, Limits, safe_url

QUICK = Limits(connect=2.0, read=2.0, tries=5, backoff=0.001)


def client(waits=None, **more):
    return HttpClient(QUICK, sleep=(waits if waits is not None else []).append, **more)


def test_busy_servers_are_asked_again(server):
    answers = iter([(503, {}, b""), (429, {"Retry-After": "7"}, b""), (200, {}, b'{"a": 1}')])
    server.answer = lambda *_: next(answers)
    waits = []
    with client(waits) as http:
        assert http.get_json(server.url + "/x") == {"a": 1}
        assert http.requests == 3
    assert waits[1] == 7.0


def test_after_five_tries_it_is_an_error(server):
    server.answer = lambda *_: (500, {}, b"")
    with client() as http, pytest.raises(NetworkError, match="5 times"):
        http.get(server.url)
    assert len(server.seen) == 5


def test_a_wait_beyond_patience_is_said(server):
    server.answer = lambda *_: (429, {"Retry-After": "86400"}, b"")
    with client() as http, pytest.raises(NetworkError, match="86400 s"):
        http.get(server.url)


def test_cut_connections_are_tried_again(server):
    answers = iter([(None, {}, b""), (200, {}, b"ok")])
    server.answer = lambda *_: next(answers)
    with client() as http:
        assert http.get(server.url).body == b"ok"


def test_nobody_there():
    with client() as http, pytest.raises(NetworkError, match="no connection"):
        http.get("http://127.0.0.1:9/x")
    with client() as http, pytest.raises(NetworkError, match="https://"):
        http.get("ftp:/x")


def test_one_new_token_after_a_401(server):
    tokens = iter(["old", "new"])
    state = {"token": next(tokens)}
    server.answer = lambda _p, _q, headers, _b: (200 if headers["Authorization"] == "new" else 401, {}, b"{}")

    def renew():
        state["token"] = next(tokens)

    with client(authorise=lambda: {"Authorization": state["token"]}, renew=renew) as http:
        assert http.get(server.url).status == 200
    assert len(server.seen) == 2


def test_a_second_401_is_an_answer(server):
    server.answer = lambda *_: (401, {}, b"")
    with client(renew=lambda: None) as http:
        assert http.get(server.url).status == 401
    assert len(server.seen) == 2


def test_other_statuses_are_explained(server):
    body = json.dumps({"errors": [{"detail": "no such attribute"}]}).encode()
    server.answer = lambda *_: (400, {}, body)
    with client() as http, pytest.raises(NetworkError, match="400: no such attribute"):
        http.get_json(server.url)
    server.answer = lambda *_: (200, {"Content-Type": "text/html"}, b"<html>")
    with client() as http, pytest.raises(NetworkError, match="text/html"):
        http.get_json(server.url)


def test_downloads_are_kept(server, tmp_path):
    server.answer = lambda *_: (200, {}, b"pairs")
    now = [1e9]
    with client(clock=lambda: now[0]) as http:
        path = http.download(server.url + "/pairs.json", max_age=100.0)
        assert (path.name, path.read_bytes()) == ("pairs.json", b"pairs")
        http.download(server.url + "/pairs.json", max_age=100.0)
        assert len(server.seen) == 1
        now[0] += 101
        http.download(server.url + "/pairs.json", max_age=100.0)
        assert len(server.seen) == 2
        good = "sha256:" + hashlib.sha256(b"pairs").hexdigest()
        assert http.download(server.url + "/x", tmp_path / "x", checksum=good).exists()
        with pytest.raises(NetworkError, match="checksum"):
            http.download(server.url + "/y", tmp_path / "y", checksum="sha256:00")
        assert not (tmp_path / "y").exists()


def test_an_old_copy_is_better_than_none(server, caplog):
    server.answer = lambda *_: (200, {}, b"pairs")
    now = [1e9]
    with client(clock=lambda: now[0]) as http:
        path = http.download(server.url + "/p", max_age=1.0)
        server.answer = lambda *_: (503, {}, b"")
        now[0] += 10
        with caplog.at_level(logging.WARNING):
            assert http.download(server.url + "/p", max_age=1.0) == path
    assert "the copy of" in caplog.text


def test_secrets_do_not_show():
    shown = safe_url("https://user:hunter2@h.org/a?token=abc&run=5&client_secret=x")
    assert shown == "https://h.org/a?token=***&run=5&client_secret=***"

"""The page and its interface, on built-in records."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra web")
uvicorn = pytest.importorskip("uvicorn", reason="needs the extra web")
httpx = pytest.importorskip("httpx")

from femtobarn.api import RecordSources, SuggestRequest, refrun_suggest  # noqa: E402
from femtobarn.samples.refrun import make_refrun  # noqa: E402
from femtobarn.web.app import create_app  # noqa: E402
from femtobarn.web.records import CurrentRecords  # noqa: E402


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    make_refrun(folder, runs=200, seed=4)
    return RecordSources(
        pairs=str(folder / "pairs.json"), runs=str(folder / "runs.csv"),
        lumisections=str(folder / "lumisections.csv"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def url(sources):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(create_app(sources), port=port, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    for _ in range(300):
        if server.started:
            break
        time.sleep(0.02)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="module")
def run(sources):
    pairs = json.loads(Path(sources.pairs).read_text())
    collisions = [p["run_number"] for p in pairs if "ZeroBias" in p["dataset"]]
    return collisions[-1]


def test_the_interface_is_the_verb(url, run, sources, tmp_path):
    found = httpx.get(f"{url}/api/v1/refrun/suggest", params={"run": run, "reco": "prompt"}).json()
    refrun_suggest([run], SuggestRequest(reco="prompt"), sources, out=tmp_path / "run")
    assert found == json.loads((tmp_path / "run/tables/suggest.json").read_text())
    assert found["candidates"][0]["rank"] == 1


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("run=abc", "run"),
        ("", "run"),
        ("run=-4", "run"),
        ("run=5&reco=exprss", "reco"),
        ("run=5&class=x", "class"),
        ("run=5", "class"),
        ("run=900100&protocol=x", "protocol"),
        ("run=5&top=0", "top"),
        ("run=900100&class=collisions&history=x", "history"),
        ("run=5&order=x", "order"),
        ("run=5&why_not=x", "why_not"),
        ("run=99999999999999999999", "run"),
    ],
)
def test_bad_input_is_422_and_names_the_field(url, query, field):
    answer = httpx.get(f"{url}/api/v1/refrun/suggest?{query}")
    assert answer.status_code == 422
    detail = answer.json()["detail"][0]
    assert detail["field"] == field
    assert "--" not in detail["message"]  # that is how the command line says it
    page = httpx.get(f"{url}/refrun?{query}")
    assert page.status_code == (422 if "run=" in query else 200)
    assert (f"<strong>{field}</strong>: " in page.text) == ("run=" in query)


def test_a_plus_sign_and_empty_fields_are_what_a_form_sends(url, run):
    typed = f"run={run}&reco=express&class=&protocol=run-ordered+express&history=&top=&order=&why_not="
    assert httpx.get(f"{url}/refrun?{typed}").status_code == 200
    found = httpx.get(f"{url}/api/v1/refrun/suggest?run={run}&protocol=run-ordered+express&why_not=&class=")
    assert (found.status_code, found.json()["protocol"]) == (200, "run-ordered+express")


def test_health_openapi_and_downloads(url, run):
    assert httpx.get(f"{url}/api/v1/refrun/health").json()["status"] == "ok"
    paths = httpx.get(f"{url}/openapi.json").json()["paths"]
    assert {"/api/v1/refrun/suggest", "/api/v1/refrun/health", "/refrun/overlay.svg"} <= set(paths)
    lines = httpx.get(f"{url}/refrun.csv", params={"run": run}).text.splitlines()
    assert lines[0].startswith("rank,reference,reco")
    assert lines[1].startswith("1,")
    assert httpx.get(url, follow_redirects=False).headers["location"] == "/refrun"


def test_the_page_without_scripts(url, run):
    page = httpx.get(f"{url}/refrun", params={"run": run, "reco": "express", "why_not": run})
    text = page.text
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "<script" not in text
    assert "toy simulation" in text
    assert re.search(r'<table class="cards" id="ranking">', text)
    assert f"run {run} is out: SELF" in text
    outside = [link for link in re.findall(r'(?:src|href)="(https?://[^"]+)"', text) if "cern.ch" not in link]
    assert outside == []
    for link in re.findall(r'(?:src|href)="(/[^"]+)"', text):
        assert httpx.get(url + link.replace("&amp;", "&"), timeout=120).status_code == 200


def test_input_is_escaped(url):
    page = httpx.get(f"{url}/refrun", params={"run": "<script>alert(1)</script>", "reco": '"><b>'})
    assert page.status_code == 422
    assert "<script>" not in page.text
    assert "<b>" not in page.text
    assert 'role="alert"' in page.text


def test_the_overlay(url, run):
    reference = httpx.get(f"{url}/api/v1/refrun/suggest", params={"run": run}).json()["candidates"][0][
        "reference"
    ]
    answer = httpx.get(f"{url}/refrun/overlay.svg", params={"run": run, "ref": str(reference)}, timeout=60)
    assert answer.headers["content-type"] == "image/svg+xml"
    assert b"<svg" in answer.content
    bad = httpx.get(f"{url}/refrun/overlay.svg", params={"run": run, "ref": "a<b"})
    assert (bad.status_code, bad.json()["detail"][0]["field"]) == (422, "ref")


def test_nothing_can_be_written(url):
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert httpx.request(method, f"{url}/api/v1/refrun/suggest?run=5").status_code == 405


def test_new_records_are_seen(tmp_path):
    make_refrun(tmp_path, runs=60, seed=1)
    records = CurrentRecords(RecordSources(pairs=str(tmp_path / "pairs.json")))
    before = len(records.get().records.pairs)
    make_refrun(tmp_path, runs=90, seed=1)
    assert len(records.get().records.pairs) > before

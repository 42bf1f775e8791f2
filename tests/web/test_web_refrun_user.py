"""The page as a shifter uses it: by keyboard, without scripts, on a phone, with mistakes, off and online."""

from __future__ import annotations

import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, quote, urlsplit

import pytest

pytest.importorskip("fastapi", reason="needs the extra web")
uvicorn = pytest.importorskip("uvicorn", reason="needs the extra web")

from femtobarn.api import RecordSources, refrun_fetch  # noqa: E402
from femtobarn.catalog.runtable import read_rows  # noqa: E402
from femtobarn.net import Limits  # noqa: E402
from femtobarn.samples.refrun import make_refrun  # noqa: E402
from femtobarn.web.app import create_app  # noqa: E402


class Served:
    """The page on a free port, in a thread."""

    def __init__(self, sources):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.server = uvicorn.Server(
            uvicorn.Config(create_app(sources), port=port, log_level="error", ws="none")
        )
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        for _ in range(500):
            if self.server.started:
                break
            time.sleep(0.02)
        self.url = f"http://127.0.0.1:{port}"

    def stop(self):
        self.server.should_exit = True
        self.thread.join(10)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    make_refrun(folder, runs=200, seed=4)
    return folder


@pytest.fixture(scope="module")
def run(records):
    pairs = json.loads((records / "pairs.json").read_text())
    return [p["run_number"] for p in pairs if "ZeroBias" in p["dataset"]][-1]


@pytest.fixture(scope="module")
def url(records):
    names = ("pairs.json", "runs.csv", "lumisections.csv")
    served = Served(RecordSources(*(str(records / name) for name in names)))
    yield served.url
    served.stop()


ACTIVE = "document.activeElement.name || document.activeElement.className || document.activeElement.tagName"


def test_by_keyboard_alone(browser, url, run):
    browser.go(f"{url}/refrun")
    browser.press("Tab")
    assert browser.run(ACTIVE) == "skip"  # the first stop jumps over the form
    browser.press("Tab")
    assert browser.run(ACTIVE) == "run"
    browser.type(str(run))
    browser.press("Enter", loads=True)
    assert str(run) in browser.run("document.title")
    assert browser.run("document.querySelectorAll('#ranking tbody tr').length") >= 2
    stops = []
    for _ in range(25):
        browser.press("Tab")
        stops.append(browser.run(ACTIVE))
        if stops[-1] == "SUMMARY":
            break
    assert stops[1:9] == ["run", "reco", "class", "protocol", "history", "order", "top", "why_not"]
    assert stops[-1] == "SUMMARY"
    assert (
        browser.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    )  # one sees where one is
    browser.press("Enter")
    assert browser.run("document.activeElement.parentElement.open") is True


def test_mistakes_are_said_and_the_form_keeps_what_was_typed(browser, url, run):
    for query, words in (
        ("run=abc", "run: 'abc' is no whole number"),
        ("run=5&reco=prompt", "say class collisions"),
        (f"run={run}&reco=exprss", "exprss"),
        (f"run={run}&top=0", "top: '0' is out of range"),
    ):
        browser.go(f"{url}/refrun?{query}")
        assert words in browser.run("document.querySelector('[role=alert]').textContent"), query
        assert browser.run("document.querySelector('[name=run]').value") == query.partition("&")[0][4:]
        assert browser.run("document.querySelector('#ranking')") is None


def test_nothing_that_is_typed_becomes_markup(browser, url):
    evil = quote('"><img src=x onerror="document.title=1"><script>document.title=2</script>')
    for name in ("run", "reco", "class", "protocol", "history", "order", "top", "why_not"):
        browser.go(f"{url}/refrun?run=900100&{name}={evil}")
        assert browser.run("document.querySelectorAll('script, img[src=x]').length") == 0, name
        assert browser.run("document.title") not in ("1", "2")


def test_without_scripts_on_a_phone_and_from_this_host_only(browser, url, run):
    browser.requests.clear()
    browser.console.clear()
    browser.send("Emulation.setScriptExecutionDisabled", value=True)
    browser.send(
        "Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=True
    )
    try:
        browser.go(f"{url}/refrun?run={run}&reco=express&why_not={run}")
        assert browser.run("document.querySelectorAll('#ranking tbody tr').length") >= 2
        assert "SELF" in browser.run("document.querySelector('#why-not').textContent")
        assert browser.run("document.documentElement.scrollWidth") <= 390
        picture = "document.querySelector('img')"
        assert browser.run(f"{picture}.complete && {picture}.naturalWidth") > 300
        assert browser.run("getComputedStyle(document.querySelector('button')).display") != "none"
    finally:
        browser.send("Emulation.clearDeviceMetricsOverride")
        browser.send("Emulation.setScriptExecutionDisabled", value=False)
    assert browser.console == []
    outside = [a for a in browser.requests if not a.startswith((url, "data:"))]
    assert browser.requests
    assert outside == []


class Recorded(BaseHTTPRequestHandler):
    """OMS as it answers, from records: pages of at most 100 rows, units in ``meta``, one 503 at first."""

    tables: dict
    seen: list

    def log_message(self, *_):
        pass

    def do_GET(self):
        address = urlsplit(self.path)
        query = dict(parse_qsl(address.query))
        self.seen.append(address.path)
        resource = address.path.rstrip("/").rpartition("/")[2]
        status, document = 503, {}
        if resource == "pairs.json":
            status, document = 200, self.tables["pairs"]
        elif len(self.seen) > 1:
            key = "fill_number" if resource == "fills" else "run_number"
            low, high = (int(query[f"filter[{key}][{op}]"]) for op in ("GE", "LE"))
            rows = [row for row in self.tables[resource] if low <= row[key] <= high]
            start = int(query["page[offset]"])
            page = rows[start : start + min(100, int(query["page[limit]"]))]
            asked = query.get("fields", "").split(",")
            page = [{k: v for k, v in row.items() if k in asked or asked == [""]} for row in page]
            units = {"duration": {"units": "s"}, "init_lumi": {"units": "10^{34}cm^{-2}s^{-1}"},
                     "end_lumi": {"units": "10^{34}cm^{-2}s^{-1}"}, "energy": {"units": "GeV"}}  # fmt: skip
            status = 200
            document = {"data": [{"id": str(i), "attributes": row} for i, row in enumerate(page)],
                        "meta": {"totalResourceCount": len(rows), "row": units}}  # fmt: skip
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def recorded(folder):
    """Our records as OMS names them."""

    def rows(name):
        found = []
        for _, row in read_rows(folder / name, "run_number"):
            found.append(
                {k: float(v) if v.replace(".", "").isdigit() else v for k, v in row.items() if v != ""}
            )
            for key in ("run_number", "fill_number", "lumisection_number"):
                if key in found[-1]:
                    found[-1][key] = int(found[-1][key])
        return found

    runs = rows("runs.csv")
    fills = {row["fill_number"]: {"fill_number": row["fill_number"], "energy": row["fill_energy"],
                                  "bunches_colliding": row["fill_n_colliding"],
                                  "peak_pileup": row["fill_peak_pileup"], "b_field": row["fill_b_field"]}
             for row in runs if "fill_number" in row}  # fmt: skip
    plain = [
        {k.removeprefix("oms_"): v for k, v in row.items() if not k.startswith("fill_") or k == "fill_number"}
        for row in runs
    ]
    return {"runs": plain, "fills": list(fills.values()), "lumisections": rows("lumisections.csv"),
            "pairs": json.loads((folder / "pairs.json").read_text())}  # fmt: skip


def test_online_from_a_recorded_oms_and_offline_afterwards(browser, records, run, url, tmp_path, monkeypatch):
    monkeypatch.setenv("FEMTOBARN_CACHE", str(tmp_path / "cache"))
    handler = type("Handler", (Recorded,), {"tables": recorded(records), "seen": []})
    oms = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=oms.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    server = f"http://127.0.0.1:{oms.server_port}"
    numbers = [row["run_number"] for row in handler.tables["runs"]]
    asked = {"runs": f"{min(numbers)}-{max(numbers)}", "oms_url": f"{server}/agg/api/v1",
             "resources": ("runs", "fills", "lumisections", "pairs"), "pairs": f"{server}/pairs.json",
             "limits": Limits(backoff=0.01)}  # fmt: skip
    store = tmp_path / "store.db"
    first = refrun_fetch(store, out=tmp_path / "first", **asked)
    assert first.refused == ""
    assert first.content["stored"]["runs"] == len(numbers)
    assert first.content["stored"]["lumisections"] == len(handler.tables["lumisections"])
    sent = len(handler.seen)
    assert refrun_fetch(store, out=tmp_path / "second", **asked).content["requests"] == 0
    assert len(handler.seen) == sent
    oms.shutdown()
    oms.server_close()  # from here on there is no server
    served = Served(RecordSources(store=str(store)))
    try:
        pages = []
        for base in (url, served.url):  # from files, and from the store
            browser.go(f"{base}/refrun?run={run}&reco=prompt")
            pages.append(browser.run("document.querySelector('#ranking tbody').innerText"))
            assert browser.run("document.querySelector('img').naturalWidth") > 300
        assert pages[0] == pages[1]
    finally:
        served.stop()

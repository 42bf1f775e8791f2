"""Reference runs from the command line: run directories, exit codes, errors in one screen."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
import threading
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from femtobarn.catalog.runtable import read_rows
from femtobarn.cli import main
from femtobarn.samples.refrun import make_refrun


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


def femtobarn(*arguments, env=None):
    """The command line, in this process: a new one costs a second each time."""
    out, err = io.StringIO(), io.StringIO()
    before = dict(os.environ)
    os.environ.update(env or {})
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["femtobarn", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        finally:
            os.environ.clear()
            os.environ.update(before)
            logging.captureWarnings(capture=False)
    return Done(int(code), out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    make_refrun(folder, runs=220, seed=2)
    return folder


def sources(records):
    return ["--pairs", records / "pairs.json", "--runs", records / "runs.csv"]


@pytest.fixture(scope="module")
def last(records):
    kinds = json.loads((records / "truth.json").read_text())["class"]
    return max(int(run) for run, kind in kinds.items() if kind == "collisions")


def test_suggest_leaves_a_run_directory(records, last, tmp_path):
    done = femtobarn("refrun", "suggest", last, "--reco", "prompt", *sources(records), "--lumisections",
                     records / "lumisections.csv", "--why-not", last, "--out", tmp_path / "run")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"run {last} is out: SELF" in done.stdout
    found = json.loads((tmp_path / "run/tables/suggest.json").read_text())
    truth = json.loads((records / "truth.json").read_text())
    current = [p["reference"] for p in truth["promotions"] if p["class"] == "collisions"]
    assert found["candidates"][0]["reference"] in current[-2:]
    assert {c["reference"] for c in found["candidates"]} <= set(current)
    assert found["target"]["features"]["duration"]["unit"] == "s"
    manifest = json.loads((tmp_path / "run/manifest.json").read_text())
    assert manifest["origin"] == "toy"
    assert manifest["ledger"]["parts"] == {"total": 1, "done": 1, "cached": 0, "failed": 0, "missing": 0}
    assert manifest["finished"]
    assert [item["dataset"] for item in manifest["inputs"]] == ["pairs", "runs", "lumisections"]
    for name in ("luminosity", "pileup"):
        for kind in ("png", "svg", "json"):
            assert (tmp_path / f"run/plots/{name}_{last}.{kind}").stat().st_size > 100
    page = (tmp_path / "run/report.html").read_text()
    assert "femtobarn toy simulation" in page
    assert str(found["candidates"][0]["reference"]) in page
    again = femtobarn(
        "refrun", "suggest", last, "--reco", "express", *sources(records), "--out", tmp_path / "run"
    )
    assert again.returncode == 2
    assert "reco" in again.stderr
    assert femtobarn("report", tmp_path / "run").returncode == 0


def test_evaluate_and_promote(records, tmp_path):
    done = femtobarn("refrun", "evaluate", *sources(records), "--rankers", "neighbour,model", "--allow-worse",
                     "--out", tmp_path / "e")  # fmt: skip
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "e/tables/metrics.json").read_text())
    assert set(metrics["groups"]["all"]["rankers"]) == {"latest", "neighbour", "model"}
    assert metrics["groups"]["HI"]["n"] == 0
    lines = (tmp_path / "e/tables/ranks.csv").read_text().splitlines()
    assert lines[0] == ("run_number,reconstruction,class,reference,known,n_candidates,"
                        "rank_latest,rank_neighbour,rank_model")  # fmt: skip
    assert len(lines) == metrics["groups"]["all"]["n"] + 1
    done = femtobarn("refrun", "promote", *sources(records), "--evaluate", "--out", tmp_path / "p", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["scored"] <= found["reachable"] <= found["earlier_than_first_use"] <= found["promotions"]
    done = femtobarn("refrun", "promote", *sources(records), "--out", tmp_path / "q")
    assert "stable lumisections" in done.stdout


def test_a_model_that_loses_is_exit_1(records, tmp_path, monkeypatch):
    from femtobarn import api
    from femtobarn.rank import evaluate

    monkeypatch.setattr(evaluate.Evaluation, "worse", True)
    found = api.refrun_evaluate(api.RecordSources(pairs=str(records / "pairs.json")), out=tmp_path / "a")
    assert "--allow-worse" in found.refused
    found = api.refrun_evaluate(
        api.RecordSources(pairs=str(records / "pairs.json")), out=tmp_path / "b", allow_worse=True
    )
    assert found.refused == ""


def test_a_store_serves_offline(records, last, tmp_path):
    store = tmp_path / "s.db"
    done = femtobarn("refrun", "fetch", "--store", store, "--backend", "file", "--resources", "runs,pairs",
                     "--file", f"runs={records / 'runs.csv'}", "--file",
                     f"lumisections={records / 'lumisections.csv'}", "--pairs", records / "pairs.json",
                     "--out", tmp_path / "f")  # fmt: skip
    assert done.returncode == 0, done.stderr
    for name, given in (("a", ["--store", store]), ("b", [*sources(records), "--lumisections",
                                                          records / "lumisections.csv"])):  # fmt: skip
        assert femtobarn("refrun", "suggest", last, "--reco", "prompt", *given, "--format", "json",
                         "--out", tmp_path / name).returncode == 0  # fmt: skip
    first, second = (json.loads((tmp_path / name / "tables/suggest.json").read_text()) for name in "ab")
    assert first["candidates"] == second["candidates"]
    assert (
        first["target"]["features"]["duration"]["value"] == second["target"]["features"]["duration"]["value"]
    )


MISTAKES = [
    (["suggest", "5", "--reco", "exprss"], 2, "'express'"),
    (["suggest", "5", "--reco", "prompt"], 2, "--class"),
    (["suggest", "5", "--reco", "prompt", "--class", "colisions"], 2, "'collisions'"),
    (["suggest", "5", "--reco", "prompt", "--class", "HI"], 2, "no reference"),
    (["suggest", "5", "--reco", "prompt", "--class", "cosmics", "--golden", "nope.json"], 1, "nope.json"),
    (["suggest", "5", "--reco", "prompt", "--protocol", "append-embargoed"], 2, "'append-embargo'"),
    (["evaluate", "--test-from", "9", "--test-to", "5"], 2, "--test-from"),
    (["evaluate", "--rankers", "lattest"], 2, "'latest'"),
    (["promote", "--class", "collisions", "--from", "5", "--to", "3"], 2, "--from"),
]


@pytest.mark.parametrize(
    ("arguments", "code", "words"), MISTAKES, ids=lambda v: "_".join(v) if isinstance(v, list) else ""
)
def test_mistakes_are_one_screen(records, tmp_path, arguments, code, words):
    done = femtobarn("refrun", *arguments, *sources(records), "--out", tmp_path / "run")
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 3


def test_fetch_mistakes(tmp_path):
    base = ["refrun", "fetch", "--store", tmp_path / "s.db", "--out", tmp_path / "run"]
    env = {"FEMTOBARN_OMS_CLIENT_ID": "", "FEMTOBARN_OMS_CLIENT_SECRET": ""}
    done = femtobarn(*base, "--runs", "5-9", "--auth", "oidc", env=env)
    assert (done.returncode, "FEMTOBARN_OMS_CLIENT_ID" in done.stderr) == (2, True)
    assert femtobarn(*base, "--runs", "9-5").returncode == 2
    assert femtobarn(*base).returncode == 2


def test_fetch_from_a_tired_server(tmp_path):
    """503 twice, pages capped by the server; the second call asks nothing; the secret stays in memory."""
    rows = [{"run_number": run, "lumisection_number": n, "recorded_lumi": float(n), "pileup": 30.0}
            for run in range(100, 130) for n in range(1, 41)]  # fmt: skip
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            seen.append(self.headers.get("Authorization"))
            query = dict(parse_qsl(urlsplit(self.path).query))
            content, status = b"", 503
            if len(seen) > 2:
                status, start = 200, int(query["page[offset]"])
                page = rows[start : start + min(100, int(query["page[limit]"]))]
                content = json.dumps({"data": [{"attributes": row} for row in page],
                                      "meta": {"totalResourceCount": len(rows)}}).encode()  # fmt: skip
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            content = b'{"access_token": "t0ken", "expires_in": 300}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    url = f"http://127.0.0.1:{httpd.server_port}"
    env = {"FEMTOBARN_OMS_CLIENT_ID": "me", "FEMTOBARN_OMS_CLIENT_SECRET": "hunter2",
           "FEMTOBARN_OMS_TOKEN_URL": url + "/token"}  # fmt: skip
    base = [
        "refrun",
        "fetch",
        "--store",
        tmp_path / "s.db",
        "--runs",
        "100-129",
        "--resources",
        "lumisections",
        "--oms-url",
        url + "/agg/api/v1",
        "--auth",
        "oidc",
    ]
    first = femtobarn(*base, "--out", tmp_path / "a", env=env)
    assert first.returncode == 0, first.stderr
    second = femtobarn(*base, "--out", tmp_path / "b", env=env)
    httpd.shutdown()
    httpd.server_close()
    assert second.returncode == 0, second.stderr
    tables = [json.loads((tmp_path / name / "tables/fetch.json").read_text()) for name in "ab"]
    assert [(t["requests"], t["stored"]["lumisections"], t["failed"]) for t in tables] == [
        (14, 1200, []),
        (0, 0, []),
    ]
    assert tables[1]["from_cache"] == 1200
    assert seen[-1] == "Bearer t0ken"
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert b"hunter2" not in file.read_bytes()
            assert b"t0ken" not in file.read_bytes()


def test_the_example_runs(tmp_path):
    folder = Path(__file__).parents[2] / "examples" / "refrun"
    done = femtobarn("refrun", "suggest", 900221, "--reco", "prompt", "--pairs", folder / "pairs.json",
                     "--runs", folder / "runs.csv", "--out", tmp_path / "run")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "2 references in use" in done.stdout
    assert json.loads((tmp_path / "run/manifest.json").read_text())["origin"] == "toy"


def test_every_lumisection_of_a_real_period_is_fetched_once(shared, tmp_path):
    """4 655 rows from a server that fails twice and gives 200 rows a page: at most 40 requests, then none."""
    rows = []
    for _, row in read_rows(shared("data/refrun/oms_lumisections_315190_315286.csv"), "run_number"):
        values = {name: None if cell == "" else cell for name, cell in row.items()}
        rows.append({**values, "run_number": int(row["run_number"]),
                     "lumisection_number": int(row["lumisection_number"])})  # fmt: skip
    asked, lock = [], threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            query = dict(parse_qsl(urlsplit(self.path).query))
            with lock:
                asked.append(query)
                tired = len(asked) <= 2
            low, high = (int(query[f"filter[run_number][{op}]"]) for op in ("GE", "LE"))
            chosen = [row for row in rows if low <= row["run_number"] <= high]
            start = int(query["page[offset]"])
            page = chosen[start : start + min(200, int(query["page[limit]"]))]
            content = json.dumps({"data": [{"attributes": row} for row in page],
                                  "meta": {"totalResourceCount": len(chosen)}}).encode()  # fmt: skip
            self.send_response(503 if tired else 200)
            self.send_header("Content-Type", "application/vnd.api+json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    base = ["refrun", "fetch", "--store", tmp_path / "s.db", "--runs", "315190-315286", "--resources",
            "lumisections", "--oms-url", f"http://127.0.0.1:{httpd.server_port}/agg/api/v1"]  # fmt: skip
    for name in "ab":
        done = femtobarn(*base, "--out", tmp_path / name)
        assert done.returncode == 0, done.stderr
    httpd.shutdown()
    httpd.server_close()
    first, second = (json.loads((tmp_path / name / "tables/fetch.json").read_text()) for name in "ab")
    assert first["stored"]["lumisections"] == 4655
    assert first["requests"] == len(asked) <= 40
    assert (second["requests"], second["from_cache"]) == (0, 4655)

"""Runs over the network: the same histograms as from local files, whatever happens to the servers."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from femtobarn import api
from femtobarn.errors import LossError
from femtobarn.testing.loopback import Reply, file_reply


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """Small four-lepton samples of the 2020 release."""
    out = tmp_path_factory.mktemp("toy")
    return api.data_make("h4l", out=out, release="atlas-2020", seed=5, settings=["scale=0.02"])


def local_files(samples):
    return {d.name: Path(d.files[0].url) for d in samples.datasets}


def run(out, fileset):
    request = api.Request(what="h4l", settings=["selection=loose"], fileset=str(fileset), out=str(out),
                          part_events=2000, fresh=True)  # fmt: skip
    return api.run(request, process_only=True)


def served(samples, *bases):
    """A fileset of the samples at these addresses, written beside them."""
    content = json.loads(samples.fileset.read_text())
    for name, place in local_files(samples).items():
        first, *others = (f"{base}/{place.name}" for base in bases)
        content[name]["files"] = {first: {"object_path": "mini", "replicas": others}}
    path = samples.fileset.with_name(f"served-{uuid4().hex}.json")
    path.write_text(json.dumps(content))
    return path


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def started(command, port, log):
    """A server of its own process, waited for and stopped."""
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream)
        try:
            for _ in range(200):
                with socket.socket() as probe:
                    probe.settimeout(1)
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                if process.poll() is not None:
                    pytest.skip(
                        f"{command[0]} cannot be started here: {log.read_text(errors='replace')[-300:]}"
                    )
                time.sleep(0.05)
            yield process
        finally:
            process.terminate()
            process.wait(timeout=20)


@pytest.fixture
def nginx(tmp_path):
    """nginx, as a function of a folder -> context with its address."""
    program = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if program is None:
        pytest.skip("nginx is not installed (Debian package nginx-light)")

    @contextmanager
    def serve(folder):
        port, home = free_port(), tmp_path / "nginx"
        home.mkdir(exist_ok=True)
        spaces = " ".join(f"{name}_temp_path {home}/{name};"
                          for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))  # fmt: skip
        user = "user root;" if os.geteuid() == 0 else ""
        (home / "conf").write_text(
            f"daemon off; master_process off; {user} pid {home}/pid; error_log {home}/error;\n"
            f"events {{}} http {{ access_log off; {spaces}\n"
            f"server {{ listen 127.0.0.1:{port}; root {folder}; }} }}\n"
        )
        command = [program, "-c", str(home / "conf"), "-e", str(home / "error")]
        with started(command, port, home / "log") as process:
            yield f"http://127.0.0.1:{port}", process

    return serve


@pytest.fixture
def xrootd(tmp_path):
    """An xrootd server, as a function of a folder -> context with its address."""
    program = shutil.which("xrootd")
    if program is None:
        pytest.skip("xrootd is not installed (Debian package xrootd-server)")
    if importlib.util.find_spec("XRootD") is None:
        pytest.skip("the extra xrootd is not installed")

    @contextmanager
    def serve(folder):
        port, home = free_port(), tmp_path / "xrootd"
        home.mkdir(exist_ok=True)
        (home / "conf").write_text(
            f"all.export /\noss.localroot {folder}\nxrd.port {port}\nall.adminpath {home}\n"
            f"all.pidpath {home}\nxrd.network nodnr\n"
        )
        command = [program, "-c", str(home / "conf")]
        if os.geteuid() == 0:  # it refuses to be root
            command += ["-R", "nobody"]
            for each in (home, *home.parents[:3], folder, *Path(folder).parents[:3]):
                each.chmod(0o777)
        with started(command, port, home / "log") as process:
            yield f"root://127.0.0.1:{port}/", process

    return serve


@pytest.fixture(scope="module")
def expected(samples, tmp_path_factory):
    """hists.zip of the run over the local files."""
    out = tmp_path_factory.mktemp("local") / "run"
    run(out, samples.fileset)
    return (out / "hists.zip").read_bytes()


def test_the_same_over_http(samples, expected, loopback, tmp_path, quick_client):
    server = loopback(samples.fileset.parent)
    finished = run(tmp_path / "run", served(samples, server.url))
    assert (tmp_path / "run" / "hists.zip").read_bytes() == expected
    assert finished.result.summary.bytes_read > 0


def test_the_same_over_nginx(samples, expected, nginx, tmp_path):
    with nginx(samples.fileset.parent) as (url, _):
        run(tmp_path / "run", served(samples, url))
    assert (tmp_path / "run" / "hists.zip").read_bytes() == expected


def test_the_same_over_xrootd(samples, expected, xrootd, tmp_path):
    with xrootd(samples.fileset.parent) as (url, _):
        run(tmp_path / "run", served(samples, url))
        missing = api.data_probe([f"{url}/absent.root"])
    assert (tmp_path / "run" / "hists.zip").read_bytes() == expected
    assert "no such file" in missing[0].error


def test_a_dead_first_replica_costs_nothing(samples, expected, loopback, tmp_path, quick_client):
    dead, alive = loopback(samples.fileset.parent), loopback(samples.fileset.parent)
    dead.stop()
    run(tmp_path / "run", served(samples, dead.url, alive.url))
    assert (tmp_path / "run" / "hists.zip").read_bytes() == expected


@pytest.mark.parametrize("kind", ["nginx", "xrootd"])
def test_a_server_killed_in_the_middle_of_a_run(
    samples, expected, kind, request, loopback, tmp_path, quick_client
):
    """The first server is ended by a signal while parts are read; the replica gives the rest."""
    with request.getfixturevalue(kind)(samples.fileset.parent) as (url, process):
        asked = Counter()
        serve = file_reply(samples.fileset.parent)

        def forward(ask):
            asked["n"] += 1
            return serve(ask)

        alive = loopback(forward)
        fileset = str(served(samples, url, alive.url))
        done = []

        def kill_after_three(plan):
            def note(entry):
                done.append(entry)
                if len(done) == 3:
                    process.kill()

            return note

        wanted = api.Request(what="h4l", settings=["selection=loose"], fileset=fileset, part_events=2000,
                             out=str(tmp_path / "run"), fresh=True, executor="serial")  # fmt: skip
        api.run(wanted, process_only=True, progress=kill_after_three)
    assert (tmp_path / "run" / "hists.zip").read_bytes() == expected
    assert asked["n"] > 0


def test_without_a_replica_the_parts_fail_and_are_counted(samples, loopback, tmp_path, quick_client):
    serve = file_reply(samples.fileset.parent)
    broken = next(iter(local_files(samples).values())).name
    seen = Counter()

    def answer(ask):
        seen[ask.path] += 1
        # Planning is answered; what is read afterwards is cut, always.
        if ask.path.endswith(broken) and seen[ask.path] > 4:
            reply = serve(ask)
            reply.cut = 10
            return reply
        return serve(ask)

    server = loopback(answer)
    with pytest.raises(LossError) as caught:
        run(tmp_path / "run", served(samples, server.url))
    assert broken in str(caught.value)
    ledger = json.loads((tmp_path / "run" / "manifest.json").read_text())["ledger"]
    assert ledger["parts"]["failed"] > 0
    assert 0 < ledger["lost_fraction"] < 1


@pytest.mark.parametrize("fault", ["503", "lie"])
def test_servers_that_refuse_or_lie(samples, loopback, tmp_path, quick_client, fault):
    serve = file_reply(samples.fileset.parent)

    def answer(ask):
        if fault == "503":
            return Reply(503)
        reply = serve(ask)
        if ask.range and ask.range[0]:
            first = ask.range[0]
            reply.headers["Content-Range"] = f"bytes {first}-{first + len(reply.body) - 1}/999999999"
        return reply

    server = loopback(answer)
    with pytest.raises(LossError):
        run(tmp_path / "run", served(samples, server.url))


@pytest.fixture
def silent_port():
    """A port where connections are never taken: the queue of those that wait is full."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(server.getsockname())
        yield server.getsockname()[1]
        for each in waiting:
            each.close()


def test_an_unreachable_host_is_one_screen(tmp_path, silent_port):
    """Half a minute is what a user waits at most; the rest of the limit is for starting Python."""
    base = f"http://127.0.0.1:{silent_port}"
    done = subprocess.run(
        [sys.executable, "-m", "femtobarn", "data", "files", "cernopendata://1"],
        capture_output=True, text=True, timeout=45, check=False, cwd=tmp_path,
        env={**os.environ, "FEMTOBARN_CERNOPENDATA_URL": base},
    )  # fmt: skip
    assert done.returncode == 1
    assert f"{base}/api/records/1" in done.stderr
    assert "no connection in time" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) < 12


def test_the_public_files_over_http(shared, loopback, tmp_path, quick_client):
    folder = shared("data/A")
    names = ("data_A.4lep.root", "data_B.4lep.root")
    server = loopback(folder)
    for out, base in (("r", server.url), ("l", folder)):
        files = [f"{base}/{name}" for name in names]
        request = api.Request(
            what="h4l", release="atlas-2020", files=files, out=str(tmp_path / out), fresh=True
        )
        api.run(request, process_only=True)
    assert (tmp_path / "r" / "hists.zip").read_bytes() == (tmp_path / "l" / "hists.zip").read_bytes()


def test_a_release_without_files_is_looked_up(shared, loopback, monkeypatch, tmp_path, quick_client):
    """Data of the release come from its catalogue, its files from the portal; its table normalises."""
    folder = shared("data/A")
    server = loopback(file_reply(folder))
    eos = "root://eospublic.cern.ch:1094//eos/opendata/atlas"
    table = {s.dsid for s in api_release().samples.values() if not s.name.endswith("_yy")}
    items = [
        {
            "dataset_number": "data",
            "skims": [
                {"skim_type": "4lep", "file_list": [f"{eos}/data_A.4lep.root", f"{eos}/data_B.4lep.root"]}
            ],
        }
    ]
    items += [{"dataset_number": str(dsid), "cross_section_pb": 1.0, "skims": []} for dsid in table]

    def service(ask):
        if ask.path == "/datasets/count":
            return Reply(body=json.dumps({"count": len(items)}).encode())
        return Reply(body=json.dumps(items).encode())

    monkeypatch.setenv("ATLAS_API_BASE_URL", loopback(service).url)
    monkeypatch.setenv("FEMTOBARN_CERNOPENDATA_URL", server.url)
    answer = api.data_query("atlas://2020e-13tev")
    assert answer[0]["skims"] == {"4lep": 2}
    with pytest.raises(
        Exception, match="has no files"
    ):  # the samples' skims are not there: said, not skipped
        api.plan(api.Request(what="h4l", release="atlas-2020"))


def api_release():
    from femtobarn.catalog import find_release

    return find_release("atlas-2020")

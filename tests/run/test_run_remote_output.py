"""Runs kept on a remote disk: copied when finished, verified, opened again; a failed copy is repeated."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from femtobarn import api
from femtobarn.errors import StoreError, UsageError
from femtobarn.run import remote_output
from femtobarn.run.remote_output import address_of, local_of, pull


class Folder:
    """A remote folder that is a local one, which refuses or garbles what it is told to."""

    root = Path()
    broken = ""

    def __init__(self, address):
        self.folder = self.root / address.split("//")[-1]
        self.written = []

    def write(self, name, path):
        if self.broken == "refuse" and name == "hists.zip":
            raise OSError("hists.zip cannot be written: [3009] no space left on device")
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        data = path.read_bytes()
        target.write_bytes(data[:-1] if self.broken == "cut" else data)

    def read(self, name):
        yield (self.folder / name).read_bytes()

    def names(self):
        if not self.folder.is_dir():
            raise OSError("no such directory")
        return sorted(p.relative_to(self.folder).as_posix() for p in self.folder.rglob("*") if p.is_file())


@pytest.fixture
def remote(tmp_path, monkeypatch):
    Folder.root, Folder.broken = tmp_path / "far", ""
    monkeypatch.setattr(remote_output, "open_place", Folder)
    return tmp_path / "far"


ADDRESS = "root://eos.example.org//runs/mine"


@pytest.mark.parametrize("prefix", ["", "simplecache::"])
def test_a_run_is_copied_and_opened_again(toy, tmp_path, tools, remote, prefix, monkeypatch):
    toy.run(tmp_path / "reference")
    done = toy.run(prefix + ADDRESS)
    assert done.complete
    far = remote / "runs" / "mine"
    assert tools.results(far) == tools.results(tmp_path / "reference")
    names = {item.name for item in far.iterdir()}
    assert {"manifest.json", "plan.json", "ledger.jsonl"} <= names
    assert not {"run.lock", "remote.json", "slices"} & names
    # On another machine: nothing is there but the address.
    monkeypatch.setenv("FEMTOBARN_CACHE", str(tmp_path / "other"))
    assert api.status(ADDRESS)["parts"]["missing"] == 0
    assert api.open_run(prefix + ADDRESS).cutflow["signal"][0]["events"] == 680
    api.report(ADDRESS)
    assert (far / "report.html").exists()


@pytest.mark.parametrize(
    ("how", "reason"), [("refuse", "no space left on device"), ("cut", "came back with")]
)
def test_a_failed_copy_keeps_the_run_and_is_repeated_alone(
    toy, tmp_path, tools, remote, how, reason, monkeypatch
):
    Folder.broken = how
    with pytest.raises(StoreError, match=rf"{reason}.*\n.*femtobarn resume {ADDRESS}") as caught:
        toy.run(ADDRESS)
    assert caught.value.exit_code == 1
    assert not (remote / "runs" / "mine" / "manifest.json").exists()
    before = (local_of(ADDRESS) / "hists.zip").stat().st_mtime_ns
    Folder.broken = ""
    monkeypatch.setattr("femtobarn.api.runs.execute", lambda *_, **__: pytest.fail("processed again"))
    again = api.resume(ADDRESS)
    assert again.result.summary.done == 17
    assert (local_of(ADDRESS) / "hists.zip").stat().st_mtime_ns == before
    assert tools.results(remote / "runs" / "mine") == tools.results(local_of(ADDRESS))


def test_half_a_run_is_none(remote):
    (remote / "runs" / "mine").mkdir(parents=True)
    (remote / "runs" / "mine" / "hists.zip").write_bytes(b"x")
    with pytest.raises(StoreError, match="is not a whole run: it has no manifest"):
        pull(ADDRESS)
    with pytest.raises(StoreError, match="cannot be opened"):
        pull("root://eos.example.org//runs/other")


def test_names_that_lead_out_of_the_run(remote, monkeypatch):
    monkeypatch.setattr(Folder, "names", lambda _: ["../../evil", "manifest.json"])
    monkeypatch.setattr(Folder, "read", lambda *_: iter([b"x"]))
    with pytest.raises(StoreError, match="leads out of the run"):
        pull(ADDRESS)


@pytest.mark.parametrize("out", ["https://a.org/run", "root://host", "s3://bucket/run"])
def test_where_runs_cannot_be_kept(out):
    with pytest.raises(UsageError, match="cannot be kept at"):
        address_of(out)


@pytest.fixture
def server(tmp_path):
    """A real XRootD server on the loopback; its address and folder."""
    pytest.importorskip("XRootD", reason="needs the package xrootd")
    program = shutil.which("xrootd")
    if program is None:
        pytest.skip("needs xrootd (Debian: xrootd-server)")
    folder = tmp_path / "disk"
    (folder / "store").mkdir(parents=True)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    lines = [f"xrd.port {port}", "all.export /store", f"oss.localroot {folder}",
             f"all.adminpath {tmp_path}/admin",
             f"all.pidpath {tmp_path}/admin", "xrootd.async off"]  # fmt: skip
    (tmp_path / "xrootd.cfg").write_text("\n".join(lines) + "\n")
    user = []
    if os.geteuid() == 0:  # it refuses to run as root
        user = ["-R", "nobody"]
        for path in (tmp_path, folder, folder / "store"):
            path.chmod(0o777)
        for parent in tmp_path.parents:
            if parent != Path("/") and not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o011)
    with (tmp_path / "xrootd.log").open("wb") as log:
        process = subprocess.Popen([program, "-c", tmp_path / "xrootd.cfg", "-n", "test", *user],
                                   stdout=log, stderr=log, cwd=tmp_path)  # fmt: skip
    try:
        yield f"root://127.0.0.1:{port}//store", folder / "store", process
    finally:
        process.kill()
        process.wait()


def test_a_real_server(toy, tmp_path, tools, server, monkeypatch):
    address, folder, process = server
    port = int(address.split(":")[2].split("/")[0])

    def answers():
        if process.poll() is not None:
            pytest.skip(f"xrootd does not start here: {(tmp_path / 'xrootd.log').read_text()[-300:]}")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    tools.wait_for(answers, seconds=30)
    toy.run(f"{address}/run")
    toy.run(tmp_path / "reference")
    assert tools.results(folder / "run") == tools.results(tmp_path / "reference")
    monkeypatch.setenv("FEMTOBARN_CACHE", str(tmp_path / "other"))
    assert api.open_run(f"{address}/run").ledger["parts"]["done"] == 17
    process.kill()
    process.wait()
    monkeypatch.setattr(remote_output, "_SECONDS", 2)
    with pytest.raises(StoreError, match="the run is complete in"):
        toy.run(f"{address}/second")

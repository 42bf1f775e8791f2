"""Stored outcomes, the ledger and the lock survive damage, full disks and crashes."""

from __future__ import annotations

import errno
import json
import mmap
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from femtobarn import api
from femtobarn.errors import StoreError
from femtobarn.hists import HistSpec, regular
from femtobarn.kernels.jagged import Jagged
from femtobarn.locks import locked
from femtobarn.outcome import Outcome
from femtobarn.run.codec import decode, encode
from femtobarn.run.ledger import Entry, Ledger, read_ledger
from femtobarn.run.store import Store

SPEC = HistSpec("mass", (regular(5, 0, 10, "mass", label="Mass", unit="GeV"),), "title")


def sample() -> Outcome:
    out = Outcome.empty("zz", (SPEC, HistSpec("empty", (regular(2, 0, 1, "x"),))))
    out.fill("mass", np.array([1.0, 3.0, 11.0]), weight=np.array([1e-9, -2.5, 1e9]))
    out.fill("mass", np.arange(7) * 1.5, region="tight", variation="scale_up")
    out.add_sum("sumw", np.array([0.1, 0.2, 0.3]))
    rows = {"event": np.array([2**62, -1]), "name": np.array(["a", "µ"]), "ok": np.array([True, False])}
    out.add_table("rows", rows, part=3)
    out.add_table("none", {"x": np.zeros(0)}, part=3)
    out.add_fact("xsec", np.array([1.5]))
    out.warn("odd events", 2)
    return out


def test_round_trip():
    before, after = sample(), decode(encode(sample()), part=8)
    assert encode(after) == encode(before)
    assert after.histograms["mass"].spec == SPEC
    for key, block in before.histograms["mass"].blocks.items():
        assert np.array_equal(after.histograms["mass"].blocks[key], block)
    assert [shard.part for shard in after.tables["rows"]] == [8]
    assert after.table("rows")["name"].tolist() == ["a", "µ"]
    assert after.table("rows")["event"].tolist() == [2**62, -1]
    assert (after.sums, after.facts, after.warnings) == (before.sums, before.facts, before.warnings)


def test_large_tables_stay_in_the_file(tmp_path):
    store, out = Store(tmp_path), sample()
    lists = Jagged(np.array([0, 2, 2, 5]), np.arange(5.0))
    out.add_table("many", {"x": np.arange(100_000.0), "odd": np.arange(100_000) % 7 == 0}, part=3)
    out.add_table("lists", {"y": lists}, part=3)
    store.save("key", out)
    found = store.load("key", part=3)
    store.path("key").unlink()
    for name in ("x", "odd"):
        column = found.tables["many"][0].columns[name]
        assert isinstance(column.base.base.obj, mmap.mmap)
        assert column.flags.aligned
        assert np.array_equal(column, out.tables["many"][0].columns[name])
    assert found.tables["lists"][0].columns["y"].values.tolist() == [0, 1, 2, 3, 4]
    assert encode(found) == encode(out)
    store.save("small", sample())
    assert store.load("small", part=0).tables["rows"][0].columns["event"].flags.owndata


def test_any_flipped_byte_is_found():
    data = encode(sample())
    for position in range(0, len(data), 97):
        damaged = bytearray(data)
        damaged[position] ^= 0x40
        with pytest.raises(StoreError):
            decode(bytes(damaged), part=0)
    for length in (0, 1, 8, 40, len(data) - 1):
        with pytest.raises(StoreError):
            decode(data[:length], part=0)


def test_an_empty_block_of_many_bins_is_small():
    out = Outcome.empty("a", (HistSpec("h", (regular(10_000, 0, 1, "x"),)),))
    out.fill("h", np.array([0.5]))
    assert len(encode(out)) < 200_000


def test_objects_are_refused():
    out = Outcome.empty("a")
    out.add_table("t", {"x": np.array([object()])})
    with pytest.raises(StoreError, match="cannot hold"):
        encode(out)


def test_damaged_entries_are_made_again(toy, tmp_path, tools, caplog):
    toy.run(tmp_path / "a")
    entries = sorted(Path(os.environ["FEMTOBARN_CACHE"], "parts").rglob("*.part"))
    entries[0].write_bytes(b"")
    entries[1].write_bytes(entries[1].read_bytes()[:-5])
    entries[2].write_bytes(entries[2].read_bytes().replace(b"FBOUT", b"FBOUX"))
    entries[3].unlink()
    for entry in entries[4:8]:
        entry.write_bytes(b"rubbish")
    again = toy.run(tmp_path / "b").result.summary
    assert (again.done, again.cached) == (1 + 7, 17 - 8)
    assert caplog.text.count("it will be made again") == 7
    assert tools.results(tmp_path / "a") == tools.results(tmp_path / "b")


def test_a_disk_that_damages_everything_is_blamed(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(Store, "load", lambda *_, **__: None)
    with pytest.raises(Exception, match="was damaged 3 times: check this disk"):
        toy.run(tmp_path / "run")


@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_a_full_disk(toy, tmp_path, tools, executor, monkeypatch):
    """A file size limit stands in for the full disk: writing fails half-way with the same kind of error."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (700, -1))"
    signals = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)"
    toy.analysis.write_text(toy.analysis.read_text() + f"\nif FULL:\n    {limit}\n    {signals}\n".replace(
        "FULL", f"__import__('pathlib').Path({str(tmp_path / 'full')!r}).exists() and "
        "__import__('multiprocessing').parent_process() is not None"))  # fmt: skip
    if executor == "serial":
        # In this process the limit would hit other files; raise the error itself.
        real, count = Path.write_bytes, [0]

        def write(path, data):
            count[0] += path.suffix == ".tmp" and path.parent.parent.name == "parts"
            if count[0] > 5:
                real(path, data[: len(data) // 2])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(path, data)

        monkeypatch.setattr(Path, "write_bytes", write)
    else:
        (tmp_path / "full").touch()  # in workers only: this process must go on writing
    with pytest.raises(StoreError) as caught:
        toy.run(tmp_path / "run", executor=executor, workers=1 if executor == "processes" else None)
    assert "cannot store a result" in str(caught.value)
    assert os.environ["FEMTOBARN_CACHE"] in str(caught.value)
    monkeypatch.undo()
    monkeypatch.setenv("FEMTOBARN_CACHE", str(caught.value.where).split("/parts")[0])
    assert not list(Path(os.environ["FEMTOBARN_CACHE"]).rglob("*.tmp"))
    (tmp_path / "full").unlink(missing_ok=True)
    assert api.resume(tmp_path / "run", executor="serial").complete
    assert tools.lines(tmp_path / "run" / "ledger.jsonl") == 18
    toy.run(tmp_path / "reference", fresh=True)
    assert tools.results(tmp_path / "run") == tools.results(tmp_path / "reference")


def entry(part: int, state: str = "done", key: str = "k") -> Entry:
    return Entry(part, key, "data", "f.root", 0, 10, state)  # type: ignore[arg-type]


def test_the_last_line_counts(tmp_path):
    path = tmp_path / "ledger.jsonl"
    with Ledger(path, "p") as book:
        book.append(entry(0, "failed"))
        book.append(entry(1))
        book.append(entry(0, "done"))
    assert read_ledger(path) == {0: entry(0), 1: entry(1)}
    assert len(path.read_text().splitlines()) == 4


@pytest.mark.parametrize("cut", [1, 20, 100])
def test_a_line_cut_short(tmp_path, cut):
    path = tmp_path / "ledger.jsonl"
    with Ledger(path, "p") as book:
        book.append(entry(0))
        book.append(entry(1))
    path.write_bytes(path.read_bytes()[:-cut])
    assert set(read_ledger(path)) == ({0} if cut > 1 else {0, 1})
    with Ledger(path, "p") as book:
        book.append(entry(2))
    assert set(read_ledger(path)) == ({0, 2} if cut > 1 else {0, 1, 2})


def test_lines_of_another_plan_do_not_count(tmp_path):
    path = tmp_path / "ledger.jsonl"
    for plan, part in (("p", 0), ("p", 1), ("q", 5)):
        with Ledger(path, plan) as book:
            book.append(entry(part))
    assert set(read_ledger(path)) == {5}


def test_garbage_between_lines(tmp_path):
    path = tmp_path / "ledger.jsonl"
    with Ledger(path, "p") as book:
        book.append(entry(0))
    with path.open("ab") as file:
        file.write(b'\x00\x00\xff\n[1]\n{"part": 3}\nnull\n')
    assert read_ledger(path) == {0: entry(0)}


def test_a_ledger_on_a_full_disk(tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    path = tmp_path / "ledger.jsonl"
    with Ledger(path, "p") as book:
        book.append(entry(0))
        book._file.close()
        book._file = Path("/dev/full").open("ab", buffering=0)  # noqa: SIM115
        with pytest.raises(
            StoreError, match=r"ledger.jsonl: cannot write the ledger: No space left"
        ) as caught:
            book.append(entry(1))
        book._file.close()
        book._file = path.open("ab", buffering=0)
    assert f"femtobarn resume {tmp_path}" in str(caught.value)
    assert read_ledger(path) == {0: entry(0)}


@pytest.fixture(params=[True, False], ids=["hard links", "none"])
def links(request, monkeypatch):
    """Disks with and without hard links."""

    def refuse(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    if not request.param:
        monkeypatch.setattr(os, "link", refuse)


def test_a_held_lock(tmp_path, links):
    with (
        locked(tmp_path),
        pytest.raises(StoreError, match=rf"process {os.getpid()}\) is at work"),
        locked(tmp_path),
    ):
        pass
    with locked(tmp_path):
        assert json.loads((tmp_path / "run.lock").read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def dead_pid() -> int:
    return int(subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True,
                              check=True).stdout)  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [
        lambda: json.dumps({"pid": dead_pid(), "host": socket.gethostname(), "started": "1"}),
        lambda: json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "started": "1"}),
        lambda: "",
        lambda: '{"pid": 12',
        lambda: "[]",
    ],
    ids=["dead", "number used again", "empty", "cut short", "not ours"],
)
def test_a_stale_lock(tmp_path, content, links):
    (tmp_path / "run.lock").write_text(content())
    with locked(tmp_path):
        assert json.loads((tmp_path / "run.lock").read_text())["pid"] == os.getpid()
    (tmp_path / "run.lock").write_text(content())
    (tmp_path / "run.lock.taking").write_text(content())
    with locked(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_lock_of_another_machine(tmp_path):
    (tmp_path / "run.lock").write_text(json.dumps({"pid": 1, "host": "elsewhere", "started": "1"}))
    with pytest.raises(StoreError, match=r"a run on elsewhere.*\n.*remove .*run.lock"), locked(tmp_path):
        pass


def test_only_one_of_many_takes_a_stale_lock(tmp_path):
    (tmp_path / "run.lock").write_text(
        json.dumps({"pid": dead_pid(), "host": socket.gethostname(), "started": "1"})
    )
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom femtobarn.errors import StoreError\n"
        "from femtobarn.locks import locked\n"
        "while not Path(sys.argv[1], 'go').exists(): time.sleep(0.001)\n"
        "try:\n    with locked(Path(sys.argv[1])):\n        print('mine'); time.sleep(3)\n"
        "except StoreError:\n    pass\n"
    )
    takers = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
        for _ in range(6)
    ]
    import time

    time.sleep(2)
    (tmp_path / "go").touch()
    assert [taker.communicate()[0] for taker in takers].count(b"mine\n") == 1


def test_two_runs_in_one_directory(toy, tmp_path, femtobarn, tools):
    run = tmp_path / "run"
    first = femtobarn.start(*toy.command(run, "--set", "delay=0.3"))
    tools.wait_for((run / "run.lock").exists)
    second = femtobarn(*toy.command(run, "--set", "delay=0.3"), code=1)
    assert "is at work in this directory" in second.stderr
    _, err = first.communicate()
    assert first.returncode == 0, err
    assert api.status(run)["parts"]["done"] == 17

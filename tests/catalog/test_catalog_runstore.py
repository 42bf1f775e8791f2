"""The store of run records on disks that other machines see too."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading

import pytest

from femtobarn import folders
from femtobarn.catalog import runstore
from femtobarn.catalog.oms import Row
from femtobarn.catalog.runstore import RunStore
from femtobarn.errors import StoreError

MOUNTS = """\
21 26 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 21 0:44 / /home rw,relatime shared:2 - nfs4 server:/home rw,vers=4.2
31 30 0:45 / /home/local\\040disk rw,relatime - xfs /dev/sdb rw
32 21 0:46 / /eos rw,nosuid - fuse.eosxd eosxd rw,user_id=0
33 21 0:47 / /afs rw - afs AFS rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/scratch/s.db", ""),
        ("/home/me/s.db", "nfs4"),
        ("/home/local disk/s.db", ""),
        ("/eos/user/m/me", "fuse.eosxd"),
        ("/afs/cern.ch", "afs"),
        ("/homely/s.db", ""),
    ],
)
def test_which_disks_are_shared(tmp_path, monkeypatch, path, kind):
    (tmp_path / "mountinfo").write_text(MOUNTS)
    monkeypatch.setattr(folders, "_MOUNTS", tmp_path / "mountinfo")
    assert folders.shared_disk(type(tmp_path)(path)) == kind


@pytest.fixture
def shared(tmp_path, monkeypatch):
    """A store as if it lay on NFS."""
    monkeypatch.setattr(runstore, "shared_disk", lambda _: "nfs4")
    runstore._say_shared.cache_clear()
    return tmp_path / "a store.db"


def put(path, numbers):
    with RunStore(path) as store:
        for number in numbers:
            store.put("runs", "oms", (number, number), [Row(str(number), {"run_number": number}, {})])


def test_no_log_no_locks_of_one_machine_and_said_once(shared, caplog):
    caplog.set_level(logging.INFO, logger="femtobarn.notice")
    with RunStore(shared) as store:
        store.put("runs", "oms", (1, 1), [])
        assert store._db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        found = {item.name for item in shared.parent.iterdir()}
        assert (
            {"a store.db", "a store.db.lock"}
            <= found
            <= {"a store.db", "a store.db.lock", "a store.db-journal"}
        )
    put(shared, [1])
    assert [item.name for item in shared.parent.iterdir()] == ["a store.db"]
    assert [record.getMessage() for record in caplog.records].count(
        f"{shared} is on a shared disk (nfs4): one process at a time uses it"
    ) == 1


def test_one_after_the_other(shared):
    threads = [threading.Thread(target=put, args=(shared, range(n, n + 10))) for n in (100, 200, 300)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with RunStore(shared) as store:
        assert store.count("runs") == 30


def test_who_waits_in_vain_is_told_for_whom(shared, monkeypatch):
    monkeypatch.setattr(runstore, "_PATIENCE", 0.3)
    with RunStore(shared), pytest.raises(StoreError, match=rf"process {os.getpid()}\) is at work"):
        RunStore(shared)


KILLED = """
import os, sys
from pathlib import Path
from femtobarn.catalog import runstore
from femtobarn.catalog.oms import Row

runstore.shared_disk = lambda _: sys.argv[2]
store = runstore.RunStore(Path(sys.argv[1]))
store.put("runs", "oms", (1, 1), [Row("1", {"run_number": 1}, {})])
store._db.execute("PRAGMA cache_size=1")
store._db.execute("BEGIN IMMEDIATE")
for number in range(2, 2000):
    store._db.execute("INSERT INTO asked VALUES ('runs', 'oms', ?, ?, 0)", (number, number))
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("kind", ["nfs4", ""])
def test_a_killed_writer(shared, kind):
    """What it had put is there, what it was putting is not; its lock and its log are in nobody's way."""
    done = subprocess.run([sys.executable, "-c", KILLED, shared, kind], check=False)
    assert done.returncode == -signal.SIGKILL
    with RunStore(shared) as store:
        assert store.count("runs") == 1
        assert store.missing("runs", "oms", [(1, 3)]) == [(2, 3)]
    assert {item.name for item in shared.parent.iterdir()} <= {"a store.db", "a store.db-shm"}
    assert sqlite3.connect(shared).execute("PRAGMA journal_mode").fetchone() == ("delete",)

"""A small weighted analysis in a file of its own, files for it, and ways to run it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import uproot

from femtobarn import api
from femtobarn.api import Request

ANALYSIS = '''
"""Weighted events: a cut, a histogram, sums, and a table of the rows that pass."""

import os
import signal
import time
from pathlib import Path

import numpy as np
from pydantic import Field

from femtobarn.analysis import Analysis, Parameters
from femtobarn.hists import HistSpec, regular


class Toy(Parameters):
    cut: float = Field(0.0, description="x above")
    delay: float = Field(0.0, description="seconds a part takes")
    deadly: int = Field(-1, description="event that kills the worker")
    mercy: str = Field("", description="file that appears before the kill, so that there is one")


def process(events, ctx):
    p = ctx.parameters
    time.sleep(p.delay)
    if p.deadly in events["event"] and not (p.mercy and Path(p.mercy).exists()):
        if p.mercy:
            Path(p.mercy).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    out = ctx.outcome()
    weight = np.ones(len(events)) if ctx.is_data else events["w"]
    chosen = ctx.select(events, weight)
    chosen.require("x", events["x"] > p.cut)
    out.add_cutflow(chosen)
    out.add_sum("sumw", weight)
    out.fill("x", events["x"][chosen.mask], weight=weight[chosen.mask])
    rows = {name: events[name][chosen.mask] for name in ("event", "x")}
    out.add_table("rows", rows, part=ctx.part.number)
    return out


analysis = Analysis(
    name="toy", process=process, columns=("x", "w", "event"), parameters=Toy,
    histograms=(HistSpec("x", (regular(20, -3, 3, "x"),)),),
)
'''


def write_events(path: Path, events: int, *, first: int = 0, seed: int = 1) -> Path:
    """A tree of weighted events; weights of both signs over twelve orders of magnitude."""
    rng = np.random.default_rng(seed)
    columns = {
        "x": rng.normal(size=events),
        "w": rng.choice([-1.0, 1.0], size=events, p=[0.2, 0.8]) * 10 ** rng.uniform(-6, 6, size=events),
        "event": np.arange(first, first + events, dtype=np.int64),
    }
    with uproot.recreate(path) as file:
        tree = file.mktree("t", {name: column.dtype for name, column in columns.items()})
        for start in range(0, events, 100):
            tree.extend({name: column[start : start + 100] for name, column in columns.items()})
    return path


@dataclass(frozen=True)
class Toy:
    """A folder with an analysis and its input files."""

    folder: Path

    @property
    def analysis(self) -> Path:
        return self.folder / "toy.py"

    @property
    def files(self) -> list[str]:
        return [f"signal={self.folder}/signal_*.root", f"data={self.folder}/data_*.root"]

    def request(self, out: Path, **changes) -> Request:
        return Request(**{"what": str(self.analysis), "files": self.files, "out": str(out),
                          "executor": "serial", "part_events": 50} | changes)  # fmt: skip

    def run(self, out: Path, *, part: tuple[int, int] | None = None, **changes) -> api.Finished:
        return api.run(self.request(out, **changes), part=part, process_only=True)

    def command(self, out: Path, *more: str) -> list[str]:
        files = [item for option in self.files for item in ("--files", option)]
        return [
            "run",
            str(self.analysis),
            *files,
            "--out",
            str(out),
            "--process-only",
            "--part-events",
            "50",
            *more,
        ]


@pytest.fixture(scope="session")
def toy_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    (folder / "toy.py").write_text(ANALYSIS)
    write_events(folder / "signal_a.root", 430, seed=1)
    write_events(folder / "signal_b.root", 250, first=430, seed=2)
    write_events(folder / "data_a.root", 120, first=1000, seed=3)
    return folder


@pytest.fixture
def toy(toy_folder, tmp_path) -> Toy:
    """A copy that a test may spoil."""
    folder = tmp_path / "inputs"
    folder.mkdir()
    for item in toy_folder.iterdir():
        if item.is_file():
            (folder / item.name).write_bytes(item.read_bytes())
    return Toy(folder)


RESULTS = ("hists.zip", "cutflow.json", "tables/rows.csv")


def results(run: Path) -> dict[str, bytes]:
    """The raw results, byte for byte."""
    return {name: (run / name).read_bytes() for name in RESULTS}


class Command:
    """``femtobarn`` in a process of its own."""

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "femtobarn", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, start_new_session=True,
        )  # fmt: skip

    def __call__(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=400)
        assert process.returncode == code, err
        assert "Traceback" not in err
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)


@pytest.fixture
def femtobarn() -> Command:
    return Command()


def wait_for(condition, *, seconds: float = 300) -> None:
    """Until something is true; a test that waits in vain fails."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.fixture
def tools():
    """Helpers for tests, which cannot import from here."""

    class Tools:
        results = staticmethod(results)
        wait_for = staticmethod(wait_for)
        lines = staticmethod(lines)
        write_events = staticmethod(write_events)

    return Tools


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmctldPort={port}
SlurmdPort={other}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
ReturnToService=2
MinJobAge=2
SchedulerType=sched/builtin
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,sched_max_job_start=0
KillWait=2
CompleteWait=0
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=4000 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    """A Slurm of one node, started without systemd; its configuration file."""
    names = ("munged", "slurmctld", "slurmd", "sbatch", "sinfo")
    programs = {name: shutil.which(name, path="/usr/sbin:/usr/bin") for name in names}
    absent = [name for name, path in programs.items() if path is None]
    if absent:
        pytest.skip(f"needs {', '.join(absent)} (Debian: slurm-wlm and munge)")
    if os.geteuid() != 0:
        pytest.skip("Slurm's daemons are started as root")
    folder = tmp_path_factory.mktemp("slurm")
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    host = socket.gethostname().split(".")[0]
    configuration = folder / "slurm.conf"
    values = {
        "host": host,
        "folder": folder,
        "port": free_port(),
        "other": free_port(),
        "cpus": os.cpu_count(),
    }
    configuration.write_text(CONFIGURATION.format(**values))
    environment = os.environ | {"SLURM_CONF": str(configuration)}
    with contextlib.ExitStack() as stack:
        log = stack.enter_context((folder / "log").open("ab"))

        def start(*command):
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.terminate)

        files = {"socket": "munge.socket", "key-file": "munge.key", "pid-file": "munge.pid",
                 "log-file": "munge.log", "seed-file": "munge.seed"}  # fmt: skip
        start(
            programs["munged"], "--force", "--foreground", *(f"--{k}={folder}/{v}" for k, v in files.items())
        )
        end = time.monotonic() + 20
        while not (folder / "munge.socket").exists() and time.monotonic() < end:
            time.sleep(0.1)
        start(programs["slurmctld"], "-D")
        start(programs["slurmd"], "-D")
        while time.monotonic() < end:
            command = [programs["sinfo"], "-h", "-o", "%T"]
            said = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            if said.stdout.strip() in ("idle", "mixed"):
                yield configuration
                return
            time.sleep(0.3)
        pytest.skip(f"Slurm does not come up here: {(folder / 'log').read_text()[-300:]}")

"""Plans of very many files: from what catalogues say, and within memory."""

from __future__ import annotations

import subprocess
import sys

import pytest

from femtobarn import api
from femtobarn.records import Dataset, FileRef
from femtobarn.run.estimate import Speed, estimate, speed_of
from femtobarn.run.planned import Sizing

TB = 10**12


def run_1_records():
    """Of the shape of the CMS Run 1 set: 21 records, about 20 000 files, 70 TB, records that state events."""
    datasets = []
    for number in range(21):
        count = 800 + 15 * number
        size = 70 * TB // 20_000
        refs = tuple(
            FileRef(
                f"root://eospublic.cern.ch//eos/{number}/{i}.root", size=size + i, checksum=f"adler32:{i:08x}"
            )
            for i in range(count)
        )
        datasets.append(Dataset(f"record_{number}", refs, {"nevts": 4000 * count, "kind": "data"}))
    return datasets


def test_the_run_1_set_is_planned_without_opening_a_file(monkeypatch):
    monkeypatch.setattr("femtobarn.run.plan.open_source", lambda *_: pytest.fail("opened a file"))
    datasets = run_1_records()
    found = estimate(datasets, workers=100)
    assert found.files == sum(len(d.files) for d in datasets) == pytest.approx(20_000, rel=0.01)
    assert found.bytes == pytest.approx(70 * TB, rel=0.01)
    assert found.events == 4000 * found.files
    # 3.5 GB a file in parts of 64 MiB; reading 70 TB at 20 MB/s takes 100 workers about ten hours.
    assert found.parts == pytest.approx(found.files * 53, rel=0.01)
    assert found.seconds / 3600 == pytest.approx(70e12 / 20e6 / 100 / 3600, rel=0.02)
    assert estimate(datasets, workers=200).seconds == pytest.approx(found.seconds / 2)


def test_what_is_unknown_is_said():
    datasets = [Dataset("a", (FileRef("a.root"), FileRef("b.root", size=10**9)))]
    found = estimate(datasets)
    assert (found.unsized, found.datasets[0].events, found.parts) == (1, None, 1 + 15)


def test_limits_and_sizes():
    dataset = Dataset("a", tuple(FileRef(f"{i}.root", size=100, entries=1000) for i in range(4)))
    assert estimate([dataset], Sizing(part_events=300)).parts == 16
    assert estimate([dataset], Sizing(max_files=2)).events == 2000
    assert estimate([dataset], Sizing(max_events=1500)).events == 1500
    assert estimate([dataset], speed=Speed(events=10, overhead=0)).seconds == 400


def test_the_speed_of_an_earlier_run(toy, tmp_path):
    toy.run(tmp_path / "run")
    speed = speed_of(api.open_run(tmp_path / "run").manifest)
    assert 0 < speed.share < 1
    assert speed.events > 0
    found = api.estimated(toy.request(tmp_path / "none"), workers=2, like=tmp_path / "run")
    assert found.files == 3


MANY = """
import resource, sys
from femtobarn.analysis import find_analysis
from femtobarn.records import Dataset, FileRef
from femtobarn.run import plan
from femtobarn.run.planfile import read_plan, to_text
from pathlib import Path

opened = []
def facts(ref, schemas):
    opened.append(ref.url)
    branches = {f"branch_{i}": 1000 + i for i in range(40)} | {"x": 10**6, "w": 10**6, "event": 10**6}
    number = ref.url
    return {"schema": "raw", "tree": "t", "entries": 300_000, "uuid": number, "size": 10**8,
            "clusters": list(range(0, 300_001, 50_000)), "columns": True, "toy": False,
            "branch_bytes": branches}

plan._facts = facts
analysis = find_analysis(sys.argv[1])
base = "root://server.of.data//store/some/long/path/to/data"
files = tuple(FileRef(f"{base}/{i:06d}.root") for i in range(100_000))
made = plan.make_plan(analysis, analysis.parameters(), [Dataset("data", files)])
assert len(opened) == len(set(opened)) == 100_000 and len(made.parts) == 200_000, len(made.parts)
path = Path(sys.argv[2])
path.write_text(to_text(made))
digest = made.digest
del made
assert read_plan(path).digest == digest
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_a_hundred_thousand_files_are_planned_within_two_gigabytes(toy, tmp_path):
    command = [sys.executable, "-c", MANY, str(toy.analysis), str(tmp_path / "plan.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 2000

"""Rows of the fault table without another home: poison events, a really full disk, locks of slices, hadd."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import uproot

from femtobarn import api
from femtobarn.errors import LossError, StoreError
from femtobarn.samples import make

POISON = """
import awkward as ak
import numpy as np

from femtobarn.analysis import Analysis
from femtobarn.hists import HistSpec, regular


def process(events, ctx):
    out = ctx.outcome()
    pt = ak.unflatten(events["pt"].values, events["pt"].counts)
    picked = events["pick"]
    chosen = ctx.select(events, np.ones(len(events)))
    chosen.require("objects", ak.to_numpy(ak.num(pt)) > 0)
    if np.any(picked >= 0):
        leading = pt[np.arange(len(pt)), picked]
    out.add_cutflow(chosen)
    out.fill("pt", ak.to_numpy(ak.flatten(pt)))
    return out


analysis = Analysis(name="poison", process=process, columns=("pt", "pick"),
                    histograms=(HistSpec("pt", (regular(10, 0, 100, "pt"),)),))
"""


def poisoned(folder, *, pick=None, pt=None):
    """Ten events in two clusters; the seventh is changed."""
    import awkward as ak

    jets = [[50.0, 30.0] for _ in range(10)]
    picks = np.full(10, -1)
    if pt is not None:
        jets[7] = pt
    if pick is not None:
        picks[7] = pick
    with uproot.recreate(folder / "f.root") as file:
        tree = file.mktree("t", {"pt": "var * float64", "pick": "int64"})
        for start in (0, 5):
            tree.extend({"pt": ak.Array(jets[start : start + 5]), "pick": picks[start : start + 5]})
    (folder / "poison.py").write_text(POISON)
    return api.Request(what=str(folder / "poison.py"), files=[f"data={folder}/f.root"],
                       out=str(folder / "run"),
                       executor="serial", part_events=5)  # fmt: skip


def filled(folder):
    return api.open_run(folder / "run").hists["pt"].sum(flow=True).value


def test_a_value_that_is_no_number_is_in_no_bin(tmp_path):
    """It is counted in the overflow (as histogram specifications say), never in a bin."""
    assert api.run(poisoned(tmp_path, pt=[float("nan"), 30.0]), process_only=True).complete
    values = api.open_run(tmp_path / "run").hists["pt"].values(flow=True)
    assert values[1:-1].sum() == 19
    assert values[-1] == 1
    assert np.isfinite(values).all()


def test_an_index_out_of_range_fails_its_part_alone(tmp_path):
    with pytest.raises(LossError, match=r"f.root: entries 5-10: IndexError"):
        api.run(poisoned(tmp_path, pick=5), process_only=True)
    done = api.resume(tmp_path / "run", allow_missing=True)
    assert done.result.summary.lost_fraction == pytest.approx(0.5)
    assert filled(tmp_path) == 10


def test_a_million_objects_in_one_event(tmp_path):
    done = api.run(poisoned(tmp_path, pt=[25.0] * 10**6), process_only=True)
    assert done.complete
    assert filled(tmp_path) == 18 + 10**6


@pytest.mark.parametrize("column", ["lep_pt", "lep_n"])
def test_poison_in_a_real_analysis(tmp_path, column):
    """NaN momenta, negative counts in four-lepton events: a failed part or a documented result, no hang."""
    fileset = make("h4l", tmp_path / "s", release="atlas-2020", scale=0.01)
    source = tmp_path / "s" / "data.root"
    with uproot.open(source) as file:
        tree = file["mini"]
        columns = {name: tree[name].array() for name in sorted(tree.keys())}
    import awkward as ak

    if column == "lep_pt":
        counts = ak.num(columns["lep_pt"])
        flat = ak.to_numpy(ak.flatten(columns["lep_pt"])).copy()
        flat[:4] = np.nan
        columns["lep_pt"] = ak.unflatten(flat, counts)
    else:
        broken = ak.to_numpy(columns["lep_n"]).astype(np.int64).copy()
        broken[0] = -3
        columns["lep_n"] = broken
    bad = tmp_path / "bad.root"
    with uproot.recreate(bad) as file:
        file["mini"] = columns
    results = []
    for name, path in (("good", source), ("bad", bad)):
        request = api.Request(what="h4l", release="atlas-2020", files=[f"data={path}"],
                              out=str(tmp_path / name),
                              executor="serial")  # fmt: skip
        try:
            api.run(request, process_only=True)
        except LossError as error:
            assert "bad.root" in str(error)  # noqa: PT017
            return
        results.append(api.open_run(tmp_path / name))
    good, bad = (run.hists["m4l"].values() for run in results)
    assert np.isfinite(bad).all()
    assert (good - bad).sum() in (0, 1)  # the poisoned event is not selected
    assert fileset.exists()


FULL = """
import os, sys
from pathlib import Path
from femtobarn import api
from femtobarn.errors import StoreError
run, *files = sys.argv[2:]
request = api.Request(what=sys.argv[1], files=files, out=run, executor="serial", part_events=50)
try:
    api.run(request, process_only=True)
except StoreError as error:
    print(error)
    raise SystemExit(1)
"""


def test_a_disk_that_is_really_full(toy, tmp_path, tools):
    """Run directory and cache on a disk of 200 kB; after space is made, the run goes on."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", disk]
    mounted = subprocess.run(mount, capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        filler = disk / "filler"
        filler.write_bytes(b"x" * 120_000)
        environment = os.environ | {"FEMTOBARN_CACHE": str(disk / "cache")}
        command = [sys.executable, "-c", FULL, str(toy.analysis), str(disk / "run"), *toy.files]
        first = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert first.returncode == 1, first.stderr
        assert "Traceback" not in first.stderr
        assert str(disk) in first.stdout
        assert "No space left on device" in first.stdout
        filler.unlink()
        subprocess.run(["mount", "-o", "remount,size=50m", disk], check=True)
        again = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert again.returncode == 0, again.stdout + again.stderr
        toy.run(tmp_path / "reference")
        assert tools.results(disk / "run") == tools.results(tmp_path / "reference")
    finally:
        subprocess.run(["umount", disk], check=True)


def test_slices_have_a_lock_each(toy, tmp_path, femtobarn, tools):
    run = tmp_path / "run"
    first = femtobarn.start(*toy.command(run, "--part", "1/2", "--set", "delay=0.5"))
    tools.wait_for((run / "slices" / "1-of-2" / "run.lock").exists)
    second = femtobarn(*toy.command(run, "--part", "1/2", "--set", "delay=0.5"), code=1)
    assert "is at work in this directory" in second.stderr
    toy.run(run, part=(2, 2), settings=["delay=0.5"], executor="serial")
    assert first.communicate()[0] is not None
    assert first.returncode == 0
    assert api.merge([run]).complete


def test_a_job_with_other_code_is_refused(toy, tmp_path):
    run = tmp_path / "run"
    toy.run(run, part=(1, 2))
    toy.analysis.write_text(toy.analysis.read_text() + "\n# edited\n")
    with pytest.raises(Exception, match="here is another source of toy"):
        toy.run(run, part=(2, 2))
    with pytest.raises(Exception, match="here is another source of toy"):
        api.merge([run])


def test_a_moved_run_works(toy, tmp_path, tools):
    toy.run(tmp_path / "run", part=(1, 2))
    toy.run(tmp_path / "run", part=(2, 2))
    (tmp_path / "far").mkdir()
    (tmp_path / "run").rename(tmp_path / "far" / "away")
    assert api.merge([tmp_path / "far" / "away"]).complete
    assert api.resume(tmp_path / "far" / "away").complete
    toy.run(tmp_path / "reference")
    assert tools.results(tmp_path / "far" / "away") == tools.results(tmp_path / "reference")


def test_hadd_adds_what_we_write(toy, tmp_path):
    """ROOT's own program must add our histogram files to the sums and variances of the whole."""
    hadd = shutil.which("hadd")
    if hadd is None:
        pytest.skip("needs ROOT's hadd in PATH (pip install root has it in ROOT/bin of its packages)")
    names = ["signal_a.root", "signal_b.root"]
    for name, files in {"a": names[:1], "b": names[1:], "whole": names}.items():
        toy.run(tmp_path / name, files=[f"signal={toy.folder / file}" for file in files])
        api.export(tmp_path / name, to="root", out=tmp_path / f"{name}.root")
    added = tmp_path / "added.root"
    subprocess.run([hadd, added, tmp_path / "a.root", tmp_path / "b.root"], check=True, capture_output=True)
    compared = []
    with uproot.open(added) as one, uproot.open(tmp_path / "whole.root") as other:
        assert one.classnames() == other.classnames()
        for name in (name for name, kind in other.classnames().items() if kind.startswith("TH")):
            for what in ("values", "variances"):
                found, expected = (getattr(file[name], what)(flow=True) for file in (one, other))
                np.testing.assert_allclose(found, expected, rtol=1e-12)
            compared.append(other[name].values(flow=True).any())
    assert any(compared)


def test_a_full_ledger_disk_names_its_path(toy, tmp_path, monkeypatch):
    from femtobarn.run.ledger import Ledger

    def refuse(self, _entry):
        raise self._trouble(OSError(28, "No space left on device"))

    monkeypatch.setattr(Ledger, "append", refuse)
    with pytest.raises(StoreError, match=r"ledger.jsonl: cannot write the ledger: No space left"):
        toy.run(tmp_path / "run")
    monkeypatch.undo()

"""Bad files fail with a reason, the loss is stated, and mending them mends the run."""

from __future__ import annotations

import json
import shutil

import pytest

from femtobarn import api
from femtobarn.errors import ConfigError, LossError, UsageError
from femtobarn.samples import corrupt

BREAK = {
    "truncated": (lambda good, bad: corrupt.truncated(good, bad, keep=0.3), "truncated"),
    "zero-byte": (corrupt.zero_byte, "is empty (0 bytes)"),
    "not ROOT": (corrupt.not_root, "cannot be read"),
    "no branch": (lambda good, bad: corrupt.missing_branch(good, bad, branch="w"), "lacks branch 'w'"),
}


def manifest(run):
    return json.loads((run / "manifest.json").read_text())


def spoil(toy, how):
    """Break signal_b.root; the good one is returned."""
    bad = toy.folder / "signal_b.root"
    good = toy.folder / "good.root"
    bad.rename(good)
    how(good, bad)
    return good


@pytest.mark.parametrize("kind", BREAK)
def test_a_bad_file_is_a_loss_with_a_reason(toy, tmp_path, tools, kind):
    toy.run(tmp_path / "reference")
    how, reason = BREAK[kind]
    good = spoil(toy, how)
    run = tmp_path / "run"
    with pytest.raises(LossError) as caught:
        toy.run(run)
    assert "signal_b.root" in str(caught.value)
    assert reason in str(caught.value)
    assert f"femtobarn resume {run}" in str(caught.value)
    assert api.status(run)["parts"]["failed"] == 1
    assert manifest(run)["finished"] is None
    assert not (run / "hists.zip").exists()

    allowed = toy.run(run, allow_missing=True)
    assert allowed.result.summary.lost_fraction == pytest.approx(
        1 / 3
    )  # of three files, one of unknown length
    about = manifest(run)
    assert about["ledger"]["lost_fraction"] == pytest.approx(1 / 3)
    assert reason in about["failures"][0]["error"]
    assert any("33.33% of the input is lost" in warning for warning in about["warnings"])

    good.replace(toy.folder / "signal_b.root")
    mended = api.resume(run, allow_missing=False)
    assert mended.complete
    assert manifest(run)["ledger"]["lost_fraction"] == 0
    assert manifest(run)["failures"] == []
    assert tools.results(run) == tools.results(tmp_path / "reference")


def test_a_tree_of_another_name_is_another_file(toy, tmp_path):
    fileset = {
        "signal": {"files": {str(toy.folder / "signal_a.root"): "t", str(toy.folder / "signal_b.root"): "t"}}
    }
    spoil(toy, lambda good, bad: corrupt.wrong_tree(good, bad, name="u"))
    (toy.folder / "fileset.json").write_text(json.dumps(fileset))
    with pytest.raises(LossError, match="has no tree 't'"):
        toy.run(tmp_path / "run", files=(), fileset=str(toy.folder / "fileset.json"))


def test_a_corrupted_basket_fails_its_part_alone(toy, tmp_path):
    spoil(toy, lambda good, bad: corrupt.corrupted_basket(good, bad, branch="event", basket=1))
    with pytest.raises(LossError) as caught:
        toy.run(tmp_path / "run")
    assert "branch 'event', entries 100-150" in str(caught.value)
    done = toy.run(tmp_path / "run", allow_missing=True).result
    assert [(entry.start, entry.stop) for entry in done.failures] == [(100, 150), (150, 200)]
    assert done.summary.lost_fraction == pytest.approx(100 / 800)
    assert done.processed["signal"] == (580, 680)
    assert json.loads((tmp_path / "run" / "cutflow.json").read_text())["signal"][0]["events"] == 580


def test_everything_lost_is_never_allowed(toy, tmp_path):
    for file in toy.folder.glob("*.root"):
        file.write_bytes(b"")
    with pytest.raises(LossError, match=r"of 3 parts 3 failed: 100\.00%"):
        toy.run(tmp_path / "run", allow_missing=True)


def test_a_stated_number_of_entries_makes_the_loss_exact(toy, tmp_path):
    files = {str(toy.folder / name): {"object_path": "t", "num_entries": count}
             for name, count in (("signal_a.root", 430), ("signal_b.root", 250))}  # fmt: skip
    spoil(toy, corrupt.zero_byte)
    (toy.folder / "fileset.json").write_text(json.dumps({"signal": {"files": files}}))
    done = toy.run(tmp_path / "run", files=(), fileset=str(toy.folder / "fileset.json"), allow_missing=True)
    assert done.result.summary.lost_fraction == pytest.approx(250 / 680)
    assert done.result.processed["signal"] == (430, 680)


def test_another_file_than_the_fileset_describes(toy, tmp_path):
    files = {str(toy.folder / "signal_a.root"): {"object_path": "t", "num_entries": 431}}
    (toy.folder / "fileset.json").write_text(json.dumps({"signal": {"files": files}}))
    with pytest.raises(LossError, match="has 430 entries, the fileset says 431"):
        toy.run(tmp_path / "run", files=(), fileset=str(toy.folder / "fileset.json"))


@pytest.mark.parametrize("steps", [[[0, 100], [50, 200]], [[0, 431]], [[10, 5]]])
def test_steps_that_lose_or_repeat_events(toy, tmp_path, steps):
    files = {str(toy.folder / "signal_a.root"): {"object_path": "t", "steps": steps}}
    (toy.folder / "fileset.json").write_text(json.dumps({"signal": {"files": files}}))
    with pytest.raises(LossError, match="the step"):
        toy.run(tmp_path / "run", files=(), fileset=str(toy.folder / "fileset.json"), part_events=None)


def test_a_file_without_entries_is_processed(toy, tmp_path, tools):
    tools.write_events(toy.folder / "signal_c.root", 0)
    done = toy.run(tmp_path / "run").result
    assert (done.summary.total, done.summary.done) == (18, 18)
    assert done.processed["signal"] == (680, 680)


def test_a_file_that_changes_between_plan_and_read(toy, tmp_path, tools):
    """The plan is made, then the file is replaced by one as long."""

    def replace(_plan):
        tools.write_events(toy.folder / "signal_b.root", 250, seed=9)
        return lambda _entry: None

    with pytest.raises(LossError, match=r"signal_b.root: changed between planning and reading"):
        api.run(toy.request(tmp_path / "run"), process_only=True, progress=replace)
    assert api.resume(tmp_path / "run").complete
    assert "1 files changed since the run began" in " ".join(manifest(tmp_path / "run")["warnings"])


def test_a_file_that_is_replaced_while_it_is_open(toy, tmp_path, tools):
    """The second part of the file finds another one in its place."""

    def replace(_plan):
        def progress(entry):
            if entry.file.endswith("signal_b.root") and entry.start == 0:
                (toy.folder / "signal_b.root").unlink()
                tools.write_events(toy.folder / "signal_b.root", 250, seed=9)

        return progress

    with pytest.raises(LossError, match=r"of 17 parts 4 failed.*\n.*signal_b.root: changed"):
        api.run(toy.request(tmp_path / "run"), process_only=True, progress=replace)


def test_files_listed_twice(toy, tmp_path):
    with pytest.raises(ConfigError, match="is listed twice"):
        toy.run(tmp_path / "run", files=[*toy.files, f"more={toy.folder}/signal_a.root"])
    shutil.copy(toy.folder / "signal_a.root", toy.folder / "signal_z.root")
    with pytest.raises(ConfigError, match=r"signal_z.root: is a copy of .*signal_a.root"):
        toy.run(tmp_path / "run")


def test_an_analysis_that_raises(toy, tmp_path):
    text = toy.analysis.read_text()
    toy.analysis.write_text(
        text.replace("    out = ctx.outcome()", "    out = ctx.outcome()\n    1 / (ctx.part.number - 3)")
    )
    line = 1 + text[: text.index("    out = ctx.outcome()")].count("\n") + 1
    with pytest.raises(LossError, match=rf"entries 150-200: ZeroDivisionError: .* \(at .*toy.py:{line}\)"):
        toy.run(tmp_path / "run")


def test_an_undeclared_column_is_named(toy, tmp_path):
    toy.analysis.write_text(
        toy.analysis.read_text().replace('columns=("x", "w", "event")', 'columns=("x", "event")')
    )
    with pytest.raises(LossError, match="column 'w' was not read"):
        toy.run(tmp_path / "run")


def test_limits_are_stated_and_no_loss(toy, tmp_path):
    done = toy.run(tmp_path / "run", max_events=120, part_events=50).result
    assert done.summary.complete
    assert done.summary.lost_fraction == 0
    assert done.processed == {"signal": (120, 680), "data": (120, 120)}
    assert any("first 120 events" in warning for warning in manifest(tmp_path / "run")["warnings"])
    done = toy.run(tmp_path / "other", max_files=1).result
    assert done.processed == {"signal": (430, 680), "data": (120, 120)}
    assert any("first 1 files" in warning for warning in manifest(tmp_path / "other")["warnings"])


def test_another_configuration_in_the_directory(toy, tmp_path):
    toy.run(tmp_path / "run")
    with pytest.raises(ConfigError, match=r"parameters.cut: 0.0 -> 1.0") as caught:
        toy.run(tmp_path / "run", settings=["cut=1"])
    assert caught.value.exit_code == 2
    with pytest.raises(ConfigError, match=r"sizing.part_events: 50 -> 60"):
        toy.run(tmp_path / "run", part_events=60)
    done = toy.run(tmp_path / "run", settings=["cut=1"], fresh=True)
    assert done.result.summary.done == 17


def test_a_directory_of_something_else(toy, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("precious")
    with pytest.raises(UsageError, match="not empty and holds no run"):
        toy.run(tmp_path / "run")
    assert (tmp_path / "run" / "thesis.tex").read_text() == "precious"


def test_merging_refuses_what_it_cannot_add(toy, tmp_path):
    run = tmp_path / "run"
    toy.run(run, part=(1, 2))
    with pytest.raises(LossError, match="are missing"):
        api.merge([run])
    toy.run(run, part=(2, 2))
    toy.run(tmp_path / "again", part=(2, 2))
    from femtobarn.errors import StoreError

    with pytest.raises(StoreError, match="is in two slices"):
        api.merge([run, tmp_path / "again"])
    toy.run(tmp_path / "other", part=(1, 2), settings=["cut=1"])
    with pytest.raises(StoreError, match=r"parameters.cut: 1.0 -> 0.0"):
        api.merge([run, tmp_path / "other"])
    toy.run(tmp_path / "full")
    with pytest.raises(StoreError, match="no slices"):
        api.merge([tmp_path / "full"])


def test_a_damaged_slice_is_missing_not_wrong(toy, tmp_path, tools, caplog):
    run = tmp_path / "run"
    for index in (1, 2):
        toy.run(run, part=(index, 2))
    victim = next((run / "slices" / "1-of-2" / "parts").rglob("*.part"))
    victim.write_bytes(victim.read_bytes()[:-1] + b"\0")
    with pytest.raises(LossError, match="1 are missing"):
        api.merge([run])
    assert "its checksum does not fit" in caplog.text
    toy.run(run, part=(1, 2))
    api.merge([run])
    toy.run(tmp_path / "reference")
    assert tools.results(run) == tools.results(tmp_path / "reference")

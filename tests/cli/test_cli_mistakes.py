"""What a user can do wrong: one screen that names the place, the nearest valid name and what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from femtobarn import api
from femtobarn.samples import corrupt


@pytest.fixture
def run_file(tmp_path, h4l_samples):
    """Write a run file of these lines."""

    def write(*lines: str) -> Path:
        path = tmp_path / "run.yaml"
        path.write_text("\n".join(lines).replace("SAMPLES", str(h4l_samples)) + "\n")
        return path

    return write


def test_an_unknown_analysis(cli):
    answer = cli("run", "h4", "--files", "data=x.root")
    assert answer.code == 2
    assert "unknown analysis 'h4' (did you mean 'h4l'" in answer.err


def test_an_unknown_release(cli, h4l_samples):
    answer = cli("run", "h4l", "--release", "atlas-2021", "--files", f"data={h4l_samples}/data.root")
    assert answer.code == 2
    assert "'atlas-2020'" in answer.err


def test_an_unknown_parameter(cli, h4l_samples):
    answer = cli("run", "h4l", "--set", "selektion=loose", "--files", f"data={h4l_samples}/data.root")
    assert answer.code == 2
    assert "selektion" in answer.err
    assert "did you mean 'selection'" in answer.err


def test_a_bad_value(cli, h4l_samples):
    answer = cli("run", "h4l", "--set", "m_z=-3", "--files", f"data={h4l_samples}/data.root")
    assert answer.code == 2
    assert "m_z: must be > 0, not -3" in answer.err


def test_two_errors_at_once(cli, h4l_samples):
    answer = cli(
        "run", "h4l", "--set", "m_z=-3", "--set", "sfoss=no", "--files", f"data={h4l_samples}/data.root"
    )
    assert answer.code == 2
    assert "m_z: must be > 0" in answer.err
    assert "did you mean 'sfos'" in answer.err


def test_a_misspelt_key_of_a_run_file(cli, run_file):
    path = run_file("analysis: h4l", "parametres:", "  selection: loose", "files: SAMPLES/data.root")
    for verb in ("run", "check"):
        answer = cli(verb, path)
        assert answer.code == 2
        assert f"{path}:2: parametres: unknown key (did you mean 'parameters'?)" in answer.err


def test_all_mistakes_of_a_run_file_at_once(cli, run_file):
    path = run_file("analysis: h4l", "execution:", "  worker: 3", "  part_bytes: 64QB", "outt: here")
    answer = cli("run", path)
    assert answer.code == 2
    for line, words in ((3, "workers"), (4, "QB"), (5, "out")):
        assert any(text.startswith((f"{path}:{line}:", f"Error: {path}:{line}:")) and words in text
                   for text in answer.err.splitlines()), (line, answer.err)  # fmt: skip


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ("data={0}/dat.root", "no such file (did you mean 'data.root'"),
        ("data={0}/*.txt", "no file matches"),
        ("data={0}/..", "holds no file *.root"),
        ("dta={0}/data.root", "dataset 'dta' is not in the sample table of atlas-2020 (did you mean 'data'"),
    ],
)
def test_files_that_lead_nowhere(cli, h4l_samples, files, says):
    answer = cli("run", "h4l", "--files", files.format(h4l_samples))
    assert answer.code in (1, 2)
    assert says in answer.err


def test_no_files_at_all(cli):
    answer = cli("run", "hyy", "--release", "cms-nanoaod")
    assert answer.code == 2
    assert "no input files were named" in answer.err


def test_a_catalogue_that_cannot_be_reached(cli, monkeypatch):
    monkeypatch.setenv("ATLAS_API_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    answer = cli("run", "h4l")
    assert answer.code == 1
    assert "http://127.0.0.1:9/datasets/count" in answer.err
    assert "--snapshot" in answer.err
    assert len(answer.err.splitlines()) < 10


@pytest.mark.parametrize(
    ("spoil", "says", "probed"),
    [
        (corrupt.truncated, "truncated", 1),
        (corrupt.zero_byte, "is empty (0 bytes)", 1),
        (corrupt.not_root, "cannot be read", 1),
        (corrupt.wrong_tree, "has no tree 'mini'", 0),
        (lambda good, bad: corrupt.missing_branch(good, bad, branch="lep_eta"), "lacks branch 'lep_eta'", 0),
    ],
    ids=["truncated", "zero", "not-root", "tree", "branch"],
)
def test_damaged_files_are_named(cli, h4l_samples, tmp_path, spoil, says, probed):
    bad = spoil(h4l_samples / "data.root", tmp_path / "bad.root")
    answer = cli("run", "h4l", "--files", f"data={bad}", "--out", "there")
    assert answer.code == 1
    assert says in answer.err
    assert "bad.root" in answer.err
    assert cli("data", "probe", bad).code == probed


def test_a_mistake_in_ones_own_analysis(cli, tmp_path, dimuon_file):
    path = api.new("pairs", out=tmp_path)
    text = path.read_text()
    path.write_text(text.replace("muons.pt > 10", "muons.tp > 10"))
    answer = cli("run", path, "--files", f"pairs={dimuon_file}", "--out", "one")
    assert answer.code == 1
    line = next(n for n, row in enumerate(text.splitlines(), 1) if "muons.pt > 10" in row)
    assert f"pairs.py:{line}" in answer.err
    path.write_text(text + "\ndef broken(:\n")
    answer = cli("run", path, "--files", f"pairs={dimuon_file}", "--out", "two")
    assert answer.code == 2
    assert f"pairs.py:{len(text.splitlines()) + 2}" in answer.err


def test_an_undeclared_branch_of_ones_own_analysis(cli, tmp_path, dimuon_file):
    path = api.new("pairs", out=tmp_path)
    path.write_text(path.read_text().replace('"Muon_eta"', '"Muon_eat"'))
    answer = cli("run", path, "--files", f"pairs={dimuon_file}", "--out", "run")
    assert answer.code == 1
    assert "Muon_eat" in answer.err
    assert "did you mean 'Muon_eta'" in answer.err


def test_a_run_directory_that_is_none(cli):
    for verb in ("status", "resume", "plot", "report"):
        answer = cli(verb, "nowhere")
        assert answer.code == 2, verb
        assert "nowhere" in answer.err
    # What is fitted may be a file, too: that it is absent is a fact about data.
    answer = cli("fit", "nowhere")
    assert answer.code == 1
    assert "nowhere" in answer.err


def test_errors_leave_standard_output_empty(cli):
    answer = cli("run", "h4l", "--json", "--files", "data=no.root")
    assert answer.code == 1
    assert answer.out == ""


def test_a_run_ends_with_json_alone(cli, tmp_path, dimuon_file):
    path = api.new("pairs", out=tmp_path)
    answer = cli("run", path, "--files", f"pairs={dimuon_file}", "--out", "run", "--process-only", "--json")
    assert answer.code == 0
    assert json.loads(answer.out)["ledger"]["events"]["processed"] == 400


def test_a_folder_that_the_disk_refuses(cli, h4l_samples, tmp_path):
    (tmp_path / "file").write_text("")
    answer = cli(
        "run",
        "h4l",
        "--fileset",
        h4l_samples / "fileset.json",
        "--release",
        "atlas-2020",
        "--out",
        tmp_path / "file" / "run",
    )
    assert answer.code == 1
    assert "cannot be used: Not a directory" in answer.err
    assert "choose another folder" in answer.err
    assert "Traceback" not in answer.err


def test_plots_and_reports_of_a_copy_leave_the_run_alone(cli, tmp_path, dimuon_file):
    analysis = cli("new", "pairs", "--out", tmp_path).out.strip()
    assert cli("run", analysis, "--files", dimuon_file, "--out", tmp_path / "run").code == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*.*")}
    assert cli("plot", tmp_path / "run", "--out", tmp_path / "copy").code == 0
    answer = cli("report", tmp_path / "run", "--out", tmp_path / "other", "--json")
    assert str(tmp_path / "other" / "report.html") in answer.out
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*.*")}
    assert "not empty" in cli("plot", tmp_path / "run", "--out", tmp_path / "copy").err

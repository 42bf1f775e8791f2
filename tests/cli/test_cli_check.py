"""``check``: every setting with its line and meaning, or every mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from femtobarn import api


@pytest.fixture
def write(tmp_path, h4l_samples):
    def file(text: str) -> Path:
        path = tmp_path / "run.yaml"
        path.write_text(text.replace("SAMPLES", str(h4l_samples)))
        return path

    return file


GOOD = """\
analysis: h4l
release: 2020e-13tev
inputs:
  fileset: SAMPLES/fileset.json
parameters:
  selection: loose
  xsec: {ZH: 0.4}
  z1_window: [60, 100]
execution:
  workers: 2
"""


def test_explains_line_by_line(cli, write):
    path = write(GOOD)
    answer = cli("check", path, "--json")
    assert answer.code == 0
    found = json.loads(answer.out)
    assert found["problems"] == []
    lines = {item["setting"]: item for item in found["lines"]}
    given = {name: (item["line"], item["value"]) for name, item in lines.items() if item["line"]}
    assert given == {
        "analysis": (1, "h4l"),
        "release": (2, "2020e-13tev"),
        "fileset": (4, found_path(found)),
        "parameters.selection": (6, "loose"),
        "parameters.xsec": (7, "{ZH: 0.4} pb"),
        "parameters.z1_window": (8, "60.0,100.0 GeV"),
        "execution.workers": (10, "2"),
    }
    assert lines["parameters.m_z"]["value"] == "91.18 GeV"
    assert "mass the first pair is nearest to" in lines["parameters.m_z"]["meaning"]
    assert "full|loose|kinematic" in lines["parameters.selection"]["meaning"]
    assert "parameters.release" not in lines
    inputs = {item["dataset"]: item for item in found["inputs"]}
    assert inputs["ZZ"]["process"] == "llll"
    assert inputs["ggH"]["entries"] == 700
    table = cli("check", path).out
    assert "Nothing is wrong; go on with: femtobarn run" in table
    assert not (path.parent / "runs").exists()


def found_path(found: dict) -> str:
    return next(item["value"] for item in found["lines"] if item["setting"] == "fileset")


def test_says_every_mistake_with_its_line(cli, write):
    path = write(
        "analysis: h4l\nrelease: atlas-2021\n"
        "inputs:\n  files:\n    data: [SAMPLES/dat.root, SAMPLES/no*.root]\n"
        "parameters:\n  selektion: loose\n  m_z: -3\n"
    )
    answer = cli("check", path)
    assert answer.code == 2
    assert answer.out == ""
    for line, words in (
        (2, "did you mean 'atlas-2020'|did you mean 'atlas-2025'"),
        (5, "dat.root: no such file"), (5, "no file matches"),
        (7, "did you mean 'selection'"), (8, "must be > 0, not -3"),
    ):  # fmt: skip
        alternatives = words.split("|")
        assert any(
            text.startswith(f"{path}:{line}:") and any(word in text for word in alternatives)
            for text in answer.err.splitlines()
        ), (line, answer.err)


def test_an_unknown_analysis_does_not_hide_missing_files(cli, write):
    path = write("analysis: h4ll\nfiles: SAMPLES/dat.root\n")
    answer = cli("check", path)
    assert answer.code == 2
    assert f"{path}:1: unknown analysis 'h4ll' (did you mean 'h4l'?)" in answer.err
    assert f"{path}:2: " in answer.err


def test_bad_inputs_alone_are_no_mistake_in_the_file(cli, write, dimuon_file):
    path = write(f"analysis: h4l\nfiles:\n  data: {dimuon_file}\n")
    answer = cli("check", path)
    assert answer.code == 1
    assert answer.err.startswith(f"{path}:3: ")
    assert "it looks like cms-nanoaod" in answer.err


def test_a_dataset_nobody_knows(cli, write):
    path = write("analysis: h4l\nfiles:\n  dta: SAMPLES/data.root\n")
    answer = cli("check", path)
    assert answer.code == 2
    assert f"{path}:3: dataset 'dta' is not in the sample table" in answer.err


def test_remote_files_are_not_opened(cli, write):
    path = write("analysis: h4l\nfiles:\n  data: https://example.org/data.root\n")
    answer = cli("check", path)
    assert answer.code == 0
    assert "not opened" in answer.out


def test_a_file_without_inputs_says_how_to_name_them(cli, write):
    answer = cli("check", write("analysis: h4l\n"))
    assert answer.code == 0
    assert "name them with --files or --fileset" in answer.out


def test_ones_own_analysis_is_found_beside_the_run_file(cli, write, dimuon_file, tmp_path, monkeypatch):
    api.new("pairs", out=tmp_path)
    path = write(f"analysis: pairs.py\nfiles: {{pairs: {dimuon_file}}}\n")
    monkeypatch.chdir(dimuon_file.parent)
    answer = cli("check", path)
    assert answer.code == 0, answer.err
    path.write_text(path.read_text() + "release: atlas-2020\n")
    answer = cli("check", path)
    assert answer.code == 2
    assert "pairs has no releases to choose from" in answer.err


def test_no_run_file(cli):
    assert cli("check").code == 2
    answer = cli("check", "nothing.yaml")
    assert answer.code == 2
    assert "nothing.yaml: no such file" in answer.err


def test_the_schema_is_for_editors(cli, write):
    schema = json.loads(cli("check", "--schema").out)
    assert {"analysis", "parameters", "inputs", "execution"} <= set(schema["properties"])
    own = json.loads(cli("check", write(GOOD), "--schema").out)
    parameters = own["properties"]["parameters"]
    assert parameters["additionalProperties"] is False
    assert "z1_window" in parameters["properties"]

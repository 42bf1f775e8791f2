"""``femtobarn deliver`` and ``serve --servicex`` from the command line: answers, exit codes, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from femtobarn.samples import make_dimuon

SPEC = """General:
  OutputFormat: parquet
  OutputDirectory: out
Sample:
  - Name: mu
    Dataset: !FileList [{files}]
    Query: !FuncADL_Uproot "FromTree('Events').Select(lambda e: {{'pt': e.Muon_pt}})"
"""
CODE = """Sample:
  - Name: mu
    Dataset: !FileList [mu.root]
    Query: !PythonFunction |
      def run_query(f):
          raise SystemExit('must not run')
"""


@pytest.fixture
def spec(tmp_path):
    make_dimuon(tmp_path / "mu.root", events=50, seed=1)

    def written(*files):
        path = tmp_path / "spec.yaml"
        path.write_text(SPEC.format(files=", ".join(files)))
        return path

    return written


def test_a_delivery(cli, spec, tmp_path):
    answer = cli("deliver", spec("mu.root"))
    assert answer.code == 0
    header, row, path = answer.out.splitlines()
    assert header.split() == ["sample", "inputs", "events", "delivered", "files"]
    assert row.split() == ["mu", "1", "50", "50", "1"]
    assert Path(path).is_file()
    assert yaml.safe_load((tmp_path / "out/servicex_fileset.yaml").read_text()) == {"mu": [path]}
    again = cli("deliver", spec("mu.root"), "--json")
    assert json.loads(again.out) == {"mu": [path]}


def test_one_file_is_missing(cli, spec, tmp_path):
    answer = cli("deliver", spec("mu.root", "mv.root"))
    assert (answer.code, answer.out) == (1, "")
    assert "mv.root: no such file (did you mean 'mu.root'?)" in answer.err
    assert not list((tmp_path / "out").glob("*.yaml*"))
    assert cli("deliver", spec("mu.root", "mv.root"), "--allow-missing").code == 0
    assert (
        "1 of 2 files are lost (50.0%)" in cli("deliver", spec("mu.root", "mv.root"), "--allow-missing").err
    )


def test_explain(cli, spec):
    answer = cli("deliver", spec("mu.root"), "--explain")
    assert answer.code == 0
    assert "columns of mu: Muon_pt" in answer.out
    found = json.loads(cli("deliver", spec("mu.root"), "--explain", "--json").out)
    assert (found["files"], found["samples"][0]["entries"]) == (1, 50)
    assert cli("deliver", spec("mv.root"), "--explain").code == 1


def test_code_is_not_run_unasked(cli, tmp_path, spec):
    spec("mu.root")
    path = tmp_path / "code.yaml"
    path.write_text(CODE)
    answer = cli("deliver", path)
    assert answer.code == 2
    assert "code.yaml:2: sample 'mu' brings Python code" in answer.err
    assert "must not run" in cli("deliver", path, "--allow-python").err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["deliver", "nowhere.yaml"], "no such file"),
        (["deliver", "spec.yaml", "--missing", "maybe"], "--missing must be error or none"),
        (["deliver", "spec.yaml", "--target-size", "big"], "--target-size: 'big' is not a size"),
        (["deliver", "spec.yaml", "--backend", "local2"], "unknown backend 'local2' (did you mean 'local'?)"),
        (["deliver", "spec.yaml", "--workers", "0"], "--workers must be at least 1"),
        (["serve", "--servicex", "--host", "192.0.2.1"], "listens on 127.0.0.1 only"),
        (["serve", "--servicex", "--refrun"], "name one thing to serve"),
        (["serve", "--servicex", "--allow", "nofolder"], "nofolder: is no folder"),
    ],
)
def test_wrong_usage(cli, spec, arguments, says):
    spec("mu.root")
    answer = cli(*arguments)
    assert answer.code == 2
    assert says in answer.err

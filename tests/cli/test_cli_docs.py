"""The documentation does what it says: commands run, files in it work, the table of verbs is complete."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from femtobarn import api
from femtobarn.cli import VERBS

DOCS = Path(__file__).resolve().parents[2] / "docs"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"^# file: (\S+)\n")


def test_the_sixth_analysis_works_as_written(cli, tmp_path):
    commands = 0
    for kind, text in BLOCK.findall((DOCS / "sixth-analysis.md").read_text()):
        named = FILE.match(text)
        if named:
            (tmp_path / named[1]).write_text(text[named.end() :])
        for line in text.splitlines() if kind == "sh" else ():
            answer = cli(*shlex.split(line)[1:], *(["--process-only"] if " run " in line else []))
            assert answer.code == 0, (line, answer.err)
            commands += 1
    assert commands == 7
    found = {name: api.open_run(tmp_path / name) for name in ("first", "opposite", "same")}
    assert "muon pairs of opposite charge" in (tmp_path / "dimuon.py").read_text()
    assert found["opposite"].manifest["parameters"] == {"pt": 15.0, "charge": "opposite"}
    entries = {name: run.cutflow["dimuon"][-1]["events"] for name, run in found.items()}
    assert entries["first"] > entries["opposite"] > 0 == entries["same"]
    assert set(found["opposite"].tables) == {"heavy"}
    names = [path.name for path in api.plot(tmp_path / "opposite")]
    assert {"mass.png", "mass_peak.png", "pt.png", "pt_peak.png"} <= set(names)


def test_the_test_in_the_docs_passes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    api.data_make("dimuon", out="toy", events=300)
    space: dict = {}
    for _, text in BLOCK.findall((DOCS / "sixth-analysis.md").read_text()):
        named = FILE.match(text)
        if named and named[1].endswith(".py"):
            Path(named[1]).write_text(text[named.end() :])
    exec(Path("test_pairs.py").read_text(), space)  # noqa: S102 - our own documentation
    space["test_pairs_keep_the_laws"]()


def rows(name: str) -> list[list[str]]:
    lines = (DOCS / name).read_text().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]


def test_the_table_of_verbs_is_complete():
    table = rows("cli.md")
    verbs = {row[0].strip("`").removeprefix("femtobarn ").split()[0] for row in table}
    assert verbs == set(VERBS)
    functions = {name for row in table for name in re.findall(r"api\.([a-z]\w+)", row[1])}
    assert functions == {name for name in api.__all__ if name[0].islower()}


@pytest.mark.parametrize("name", [name for name in api.__all__ if name[0].islower()])
def test_every_function_of_the_interface_is_documented(name):
    assert getattr(api, name).__doc__


def test_the_interface_is_what_it_lists():
    assert set(dir(api)) == set(api.__all__)
    for name in api.__all__:
        assert callable(getattr(api, name))
    with pytest.raises(AttributeError, match="no attribute 'runn'"):
        _ = api.runn

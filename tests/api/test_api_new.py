"""``new``: the starter analysis runs as written and finds what the file holds."""

from __future__ import annotations

import ast
import json
from dataclasses import replace
from pathlib import Path

import pytest

from femtobarn import api
from femtobarn.analysis import find_analysis
from femtobarn.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]


def test_writes_a_complete_analysis_of_about_forty_lines(tmp_path):
    path = api.new("my_pairs", out=tmp_path / "new")
    assert path == tmp_path / "new" / "my_pairs.py"
    text = path.read_text()
    assert "@" not in text
    lines = [line for line in text.splitlines() if line.strip()]
    assert len(lines) <= 45
    ast.parse(text)
    assert find_analysis(str(path)).name == "my_pairs"


def test_the_example_is_what_new_writes(tmp_path):
    path = api.new("dimuon", out=tmp_path)
    assert (ROOT / "examples" / "dimuon.py").read_text() == path.read_text()


def test_an_existing_file_is_left_alone(tmp_path):
    mine = tmp_path / "pairs.py"
    mine.write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        api.new("pairs", out=tmp_path)
    assert mine.read_text() == "mine"


@pytest.mark.parametrize("name", ["3muons", "two words", "class", "", "a.b", "../up", "_hidden", "μμ"])
def test_refuses_what_is_no_identifier(tmp_path, name):
    with pytest.raises(UsageError, match="cannot be the name"):
        api.new(name, out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_suggests_a_name(tmp_path):
    with pytest.raises(UsageError) as caught:
        api.new("my-pairs.py", out=tmp_path)
    assert caught.value.near == ("my_pairs",)


@pytest.mark.parametrize("name", ["numpy", "json", "femtobarn"])
def test_refuses_to_hide_a_module(tmp_path, name):
    with pytest.raises(UsageError, match="would hide"):
        api.new(name, out=tmp_path)


def test_an_out_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        api.new("pairs", out=tmp_path / "file")


def test_numbers_of_the_reference_file(shared, tmp_path):
    """The file's own numbers, counted once with plain awkward: all pairs of muons with pT > 10 GeV."""
    source = shared("data/B/open-data-example.root")
    path = api.new("dimuon", out=tmp_path)
    request = api.Request(
        what=str(path), files=[f"dimuon={source}"], part_events=30_000, executor="serial",
        out=str(tmp_path / "run"),
    )  # fmt: skip
    finished = api.run(request, process_only=True)
    assert finished.result.summary.total == 4
    run = api.open_run(finished.path)
    mass = run.hists["mass"]
    values = mass.project("mass").view(flow=True)["value"]
    assert values.sum() == 41538
    assert mass.project("mass")[80j:100j:sum].value == 8794
    assert [row["events"] for row in run.cutflow["dimuon"]] == [100_000, 45_411, 35_036]
    paths = api.plot(finished.path)
    assert {p.name for p in paths} == {"mass.png", "mass.pdf", "mass.json"}
    drawn = json.loads((finished.path / "plots" / "mass.json").read_text())
    assert drawn["label"] == "CMS Open Data"
    assert sum(drawn["total"]["values"]) == values[1:-1].sum()
    again = api.run(replace(request, out=str(tmp_path / "again")), process_only=True)
    assert again.result.summary.cached == 4

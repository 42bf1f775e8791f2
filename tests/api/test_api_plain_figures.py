"""Figures of analyses that draw none of their own: what is shown, and whose data they say it is."""

from __future__ import annotations

import json
from pathlib import Path

import awkward as ak
import pytest
import uproot

from femtobarn import api
from femtobarn.samples import make, make_dimuon

ANALYSIS = """\
import numpy as np

from femtobarn.analysis import Analysis, Parameters
from femtobarn.hists import HistSpec, regular


class Choice(Parameters):
    release: str = "RELEASE"


N = HistSpec("n", (regular(5, 0, 5, "n"),))
PLANE = HistSpec("plane", (regular(4, 0, 4, "x"), regular(5, 0, 5, "y")))


def process(events, ctx):
    out = ctx.outcome()
    counts = events["COLUMN"].counts
    out.fill("n", counts)
    out.fill("n", counts[counts > 1], region="many")
    out.fill("plane", counts, np.minimum(counts, 1))
    return out


analysis = Analysis(name="counts", columns=["COLUMN"], histograms=[N, PLANE], process=processPARAMETERS)
"""


@pytest.fixture
def drawn(tmp_path):
    """The numbers of all figures of a run of a small analysis over these files."""

    def run(files: list[str], column: str, release: str = "") -> dict[str, dict]:
        text = ANALYSIS.replace("COLUMN", column).replace("RELEASE", release)
        text = text.replace("PARAMETERS", ", parameters=Choice" if release else "")
        (tmp_path / "counts.py").write_text(text)
        what, out = str(tmp_path / "counts.py"), str(tmp_path / "run")
        given = {"fileset": files[0]} if files[0].endswith(".json") else {"files": files}
        api.run(api.Request(what=what, out=out, executor="serial", fresh=True, **given), process_only=True)
        api.plot(out)
        return {path.stem: json.loads(path.read_text()) for path in (Path(out) / "plots").glob("*.json")}

    return run


@pytest.fixture(scope="module")
def atlas(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("atlas")
    make("h4l", folder, release="atlas-2020", seed=1, scale=0.02)
    return folder


@pytest.fixture(scope="module")
def cms(tmp_path_factory) -> Path:
    return make_dimuon(tmp_path_factory.mktemp("cms") / "dimuon.root", events=200)


@pytest.fixture
def as_measured(monkeypatch):
    """As if an experiment had written the generated files."""
    monkeypatch.setattr("femtobarn.run.plan.TOY_TITLE", "the title of no tree")


@pytest.mark.usefixtures("as_measured")
def test_a_figure_for_each_histogram_and_region(drawn, cms):
    found = drawn([f"pairs={cms}"], "Muon_pt")
    assert set(found) == {"n", "n_many", "plane"}
    values = found["n"]["total"]["values"]
    assert sum(values) == 200
    assert found["n"]["data"] is None
    assert found["n_many"]["total"]["values"] == [0, 0, *values[2:]]
    plane = found["plane"]["values"]
    assert [sum(row) for row in plane] == values[:4]
    assert plane[2][1] == values[2]
    assert {item["label"] for item in found.values()} == {"CMS Open Data"}


@pytest.mark.usefixtures("as_measured")
def test_data_are_points_over_the_others(drawn, atlas):
    found = drawn([f"data={atlas}/data.root", f"ZZ={atlas}/ZZ.root"], "lep_pt")
    assert sum(found["n"]["data"]["values"]) > 0
    assert list(found["n"]["processes"]) == ["ZZ"]
    assert found["n"]["label"] == "ATLAS Open Data"


def test_toys_are_called_toys(drawn, atlas):
    assert drawn([f"{atlas}/fileset.json"], "lep_pt")["n"]["label"] == "femtobarn toy simulation"


def test_generated_files_are_toys_without_their_fileset(drawn, atlas):
    assert drawn([f"data={atlas}/data.root"], "lep_pt")["n"]["label"] == "femtobarn toy simulation"


@pytest.mark.usefixtures("as_measured")
def test_a_release_states_its_energy(drawn, cms):
    assert drawn([f"pairs={cms}"], "Muon_pt", release="cms-run1")["n"]["label"] == "CMS Open Data, √s = 8 TeV"


def test_files_nobody_knows_are_nobody_s(drawn, tmp_path):
    with uproot.recreate(tmp_path / "own.root") as file:
        file.mktree("own", {"x": "var * float64"}).extend({"x": ak.Array([[1.0], [], [2.0, 3.0]])})
    found = drawn([f"a={tmp_path}/own.root"], "x")
    assert found["n"]["total"]["values"] == [1, 1, 1, 0, 0]
    assert found["n"]["label"] == "Open Data"

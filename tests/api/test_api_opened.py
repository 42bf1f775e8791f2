"""A run opened in Python: read when asked for, showing itself, from names and from a running event loop."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import sys
import types

import hist
import pytest

from femtobarn import api
from femtobarn.errors import UsageError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("opened")
    made = api.data_make("dimuon", out=folder / "toy", events=400, seed=3)
    analysis = api.new("pairs", out=folder)
    finished = api.run(str(analysis), fileset=made.fileset, out=folder / "run", executor="serial")
    return api.open(finished.path)


def test_every_file_of_a_run_is_at_hand(run):
    assert run.manifest["analysis"] == "pairs"
    assert run.ledger["events"]["processed"] == 400
    assert run.cutflow["dimuon"][0]["events"] == 400
    assert isinstance(run.hists["mass"], hist.Hist)
    assert run.hists["mass"] is run.hists["mass"]
    assert set(run.hists) == {"mass"}
    assert "no such" not in run.hists
    assert run.yields["schema_version"] == 1
    assert repr(run).startswith("pairs in ")


def test_what_a_run_does_not_have_is_said_with_near_names(run):
    with pytest.raises(KeyError, match=r"no histogram 'mas' .did you mean 'mass'"):
        _ = run.hists["mas"]
    with pytest.raises(UsageError, match="no plot 'masss'"):
        run.plot("masss")
    with pytest.raises(UsageError, match="no such run"):
        api.open(run.path / "nowhere")


def test_objects_show_themselves_in_a_notebook(run):
    shown = {name: getattr(run, name)._repr_html_() for name in ("ledger", "cutflow", "yields")}
    shown["run"] = run._repr_html_()
    for name, html in shown.items():
        assert "<table>" in html, name
        assert "<script" not in html
    assert re.search(r"events processed</th>\s*<td class=\"n\">400<", shown["run"])
    picture = run.plot(run.plots[0])
    assert picture._repr_png_().startswith(b"\x89PNG")
    assert os.fspath(picture).endswith(".png")
    assert picture.numbers["schema_version"] == 1


def test_a_table_is_columns_and_shows_its_first_rows(run):
    (run.path / "tables").mkdir(exist_ok=True)
    (run.path / "tables" / "heavy.csv").write_text("run,mass\n1,91.2\n123456,90.1\n")
    table = api.open(run.path).tables["heavy"]
    assert table == {"run": [1, 123456], "mass": [91.2, 90.1]}
    assert "123456" in table._repr_html_()


def test_names_and_fields_make_a_request(run, tmp_path):
    toy = run.path.parent / "toy"
    _, by_names = api.plan(run.manifest["config"]["analysis"], fileset=toy / "fileset.json")
    assert by_names.events == 400
    _, by_files = api.plan(str(run.path.parent / "pairs.py"), files={"mine": [toy / "*.root"]})
    assert [part.dataset for part in by_files.parts] == ["mine"]
    with pytest.raises(UsageError, match=r"no argument 'flies' .did you mean 'files'"):
        api.run("h4l", flies="x")
    assert "Request | str" in str(inspect.signature(api.run))


def test_runs_and_bars_work_beside_a_running_event_loop(run, tmp_path, monkeypatch):
    shown = []
    display = types.SimpleNamespace(display=lambda first, **_: Handle(first, shown))
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", display)

    async def cell() -> api.Finished:
        return api.run(
            str(run.path.parent / "pairs.py"),
            fileset=run.path.parent / "toy" / "fileset.json",
            out=tmp_path / "again",
            executor="serial",
            process_only=True,
            fresh=True,
            progress=api.bar,
        )

    assert asyncio.run(cell()).complete
    assert shown[-1].startswith("1/1 parts, 400 events")


class Handle:
    """What IPython returns for a display that can be changed."""

    def __init__(self, first, shown):
        self.shown = shown
        self.shown.append(repr(first))

    def update(self, item):
        assert "<progress" in item._repr_html_()
        self.shown.append(repr(item))

"""A stored outcome is used again only if nothing that can change it has changed."""

from __future__ import annotations

import dataclasses
import sys

import pytest

from femtobarn.analysis import Resource, find_analysis
from femtobarn.catalog import datasets_from_files
from femtobarn.hists import HistSpec, regular
from femtobarn.run import fingerprint
from femtobarn.run.fingerprint import source_fingerprint
from femtobarn.run.keys import part_keys
from femtobarn.run.plan import Sizing, make_plan


@pytest.fixture
def keys(toy):
    """The keys of the toy's parts as things are now, changed as told."""

    def compute(*, settings=None, part_events=50, salt="", metadata=None, **changes):
        analysis = dataclasses.replace(find_analysis(str(toy.analysis)), **changes)
        parameters = analysis.parameters(**(settings or {}))
        datasets = datasets_from_files(toy.files)
        if metadata:
            datasets = tuple(dataclasses.replace(d, metadata=metadata) for d in datasets)
        plan = make_plan(analysis, parameters, datasets, Sizing(part_events=part_events))
        found = part_keys(analysis, parameters, plan, salt=salt)
        assert len(set(found)) == len(found)
        return found

    return compute


def test_nothing_changed(keys):
    assert keys() == keys()


@pytest.mark.parametrize(
    "change",
    [
        {"settings": {"cut": 0.5}},
        {"salt": "fresh"},
        {"metadata": {"xsec": 1.0}},
        {"columns": ("x", "w")},
        {"histograms": (HistSpec("x", (regular(21, -3, 3, "x"),)),)},
        {"histograms": (HistSpec("x", (regular(20, -3, 3, "x"),), "title"),)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_is_in_every_key(keys, change):
    assert not set(keys()) & set(keys(**change))


def test_the_analysis_source(keys, toy):
    before = keys()
    toy.analysis.write_text(toy.analysis.read_text() + "\n# a comment counts: we do not guess what matters\n")
    assert not set(before) & set(keys())


@pytest.fixture
def as_before():
    """What a test imports or adds to the path is forgotten."""
    modules, path = set(sys.modules), list(sys.path)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if not name.startswith("numba."):  # these register themselves, which can be done once
            del sys.modules[name]


def test_a_module_beside_the_analysis(keys, toy, tmp_path, tools, as_before):
    """An edit within a second, of equal length, between two runs of one process: new keys, new results."""
    (toy.folder / "helper_of_toy").mkdir()
    (toy.folder / "helper_of_toy" / "__init__.py").write_text("from helper_of_toy.cuts import CUT\n")
    cuts = toy.folder / "helper_of_toy" / "cuts.py"
    cuts.write_text("CUT = 0.0\n")
    text = toy.analysis.read_text().replace("> p.cut", "> CUT")
    toy.analysis.write_text("from helper_of_toy import CUT\n" + text)
    before = keys()
    toy.run(tmp_path / "run")
    cuts.write_text("CUT = 0.5\n")
    assert not set(before) & set(keys())
    done = toy.run(tmp_path / "run")
    assert done.result.summary.done == 17
    assert "another source of toy than the run was begun with" in " ".join(done.warnings)
    toy.analysis.write_text(text.replace("> CUT", "> 0.5"))
    toy.run(tmp_path / "reference")
    assert tools.results(tmp_path / "run") == tools.results(tmp_path / "reference")


def test_a_module_on_the_path(keys, toy, tmp_path, monkeypatch, as_before):
    """It belongs to nobody's installed package, so nothing but its source tells what it does."""
    (tmp_path / "mine").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path / "mine"))
    (tmp_path / "mine" / "cuts_of_toy.py").write_text("CUT = 0\n")
    toy.analysis.write_text("import cuts_of_toy\n" + toy.analysis.read_text())
    before = keys()
    (tmp_path / "mine" / "cuts_of_toy.py").write_text("CUT = 1\n")
    fingerprint._loaded_hash.cache_clear()  # as in a new process
    assert not set(before) & set(keys())


def test_a_package_with_relative_imports(tmp_path, monkeypatch, toy, as_before):
    package = tmp_path / "toypackage"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text("from toypackage.main import analysis\n")
    (package / "main.py").write_text("from .deep import tool\n" + toy.analysis.read_text())
    (package / "deep" / "__init__.py").write_text("")
    (package / "deep" / "tool.py").write_text("from .. import numbers_of_toy\n")
    (package / "numbers_of_toy.py").write_text("NUMBER = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import toypackage  # type: ignore[import-not-found]

    def in_a_new_process():
        fingerprint._loaded_hash.cache_clear()
        return source_fingerprint(toypackage.analysis)

    before = in_a_new_process()
    (package / "numbers_of_toy.py").write_text("NUMBER = 2\n")
    assert source_fingerprint(toypackage.analysis) == before, "what is loaded is what counts"
    assert in_a_new_process() != before
    (package / "numbers_of_toy.py").write_text("NUMBER = 1\n")
    assert in_a_new_process() == before


def test_a_resource_file(keys, tmp_path):
    path = tmp_path / "corrections.txt"
    path.write_text("1")
    change = {"resources": lambda _: {"corrections": Resource(str(path), lambda p: p.read_text())}}
    before = keys(**change)
    path.write_text("2")
    assert not set(before) & set(keys(**change))


def test_a_schema(keys, toy, tmp_path):
    path = tmp_path / "mine.yaml"
    from femtobarn.read import find_schema

    def compute(unit):
        path.write_text(f"name: {path}\ntrees: [t]\ncolumns:\n  x: x [{unit}]\n")
        find_schema.cache_clear()
        return keys(schemas=lambda _: (str(path),))

    before, after = compute("GeV"), compute("MeV")
    find_schema.cache_clear()
    assert not set(before) & set(after)


def test_a_changed_file_changes_its_parts_alone(keys, toy, tools):
    before = keys()
    tools.write_events(toy.folder / "signal_b.root", 250, first=430, seed=2)
    after = keys()
    assert before[:9] == after[:9]
    assert before[14:] == after[14:]
    assert not set(before[9:14]) & set(after[9:14])


def test_a_moved_file_keeps_its_keys(keys, toy):
    before = keys()
    (toy.folder / "signal_a.root").rename(toy.folder / "signal_0.root")
    assert keys() == before


def test_other_ranges_have_other_keys(keys):
    assert set(keys()) & set(keys(part_events=37)) == set()


def test_house_modules_count_but_not_what_only_sees_merged_outcomes():
    analysis = find_analysis("h4l")
    own = list(fingerprint._own_modules(analysis))
    roots = fingerprint._roots(own)
    found, queue = set(), list(own)
    while queue:
        module = queue.pop()
        if module is not None and module.name not in found:
            found.add(module.name)
            queue += [fingerprint._find(name, roots) for name in fingerprint._imported(module)]
    assert {"femtobarn.physics.pairing", "femtobarn.kernels.fourvec", "femtobarn.hists.accumulate"} <= found
    assert not any(name.split(".")[1:2] in (["stats"], ["plot"], ["cli"], ["api"]) for name in found)

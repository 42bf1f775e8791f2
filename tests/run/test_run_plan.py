"""Plans: parts of equal cost, every event once, slices that share all parts, files that can be read back."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from femtobarn import api
from femtobarn.errors import ConfigError, StoreError, UsageError
from femtobarn.records import Dataset, FileRef
from femtobarn.run import plan as plan_module
from femtobarn.run.plan import FilePlan, Plan, Sizing, _Cutter
from femtobarn.run.planfile import from_json, read_plan, to_text
from femtobarn.run.resources import Resources


def plan_of(lengths: list[int], sizing: Sizing, clusters: int = 60) -> Plan:
    files, parts = [], []
    cutter = _Cutter(sizing)
    for number, entries in enumerate(lengths):
        ref = FileRef(f"{number}.root", "t", entries=entries)
        known = {"entries": entries, "uuid": str(number), "size": 1000 + entries}
        file = FilePlan("data", replace(ref, **known), "raw", "t", needed_bytes=8 * entries, **known)
        edges = sorted({0, entries, *range(0, entries, clusters)})
        parts += cutter.cut(file, edges, file_number=number, first=len(parts))
        files.append(file)
    dataset = Dataset("data", tuple(file.ref for file in files), {"xsec": 1.5})
    return Plan((dataset,), tuple(files), tuple(parts), {"data": sum(lengths)})


lengths = st.lists(st.integers(0, 700), min_size=1, max_size=12)
sizings = st.builds(
    Sizing,
    part_events=st.none() | st.integers(1, 300),
    part_bytes=st.integers(1, 5000),
    max_files=st.none() | st.integers(1, 4),
    max_events=st.none() | st.integers(1, 900),
)


@settings(max_examples=150, deadline=None)
@given(lengths, sizings)
def test_every_event_is_in_exactly_one_part(files, sizing):
    plan = plan_of(files, sizing)
    assert [part.number for part in plan.parts] == list(range(len(plan.parts)))
    seen = Counter((part.file, event) for part in plan.parts for event in range(part.start, part.stop))
    assert set(seen.values()) <= {1}
    wanted = files[: sizing.max_files] if sizing.max_files else files
    expected = sum(wanted) if sizing.max_events is None else min(sum(wanted), sizing.max_events)
    assert len(seen) == plan.events == expected
    if sizing.part_events is not None:
        assert all(part.entries <= sizing.part_events for part in plan.parts)


@settings(max_examples=100, deadline=None)
@given(lengths, sizings, st.integers(1, 30))
def test_every_part_is_in_exactly_one_slice(files, sizing, count):
    plan = plan_of(files, sizing)
    slices = [plan.slice(index, count) for index in range(1, count + 1)]
    assert [part for item in slices for part in item] == list(plan.parts)
    if plan.parts:
        costs = [sum(max(part.entries, 1) for part in item) for item in slices]
        biggest = max(max(part.entries, 1) for part in plan.parts)
        assert max(costs) - sum(costs) / count <= biggest


@settings(max_examples=60, deadline=None)
@given(lengths, sizings)
def test_a_plan_survives_its_file(files, sizing):
    plan = plan_of(files, sizing)
    again = from_json(json.loads(to_text(plan)), where="plan.json")
    assert again == plan
    assert again.digest == plan.digest


def test_parts_end_on_clusters():
    plan = plan_of([600], Sizing(part_bytes=8 * 150))
    assert [(part.start, part.stop) for part in plan.parts] == [
        (0, 120),
        (120, 240),
        (240, 360),
        (360, 480),
        (480, 600),
    ]


def test_explicit_sizes_are_kept_exactly():
    plan = plan_of([20], Sizing(part_events=7))
    assert [(part.start, part.stop) for part in plan.parts] == [(0, 7), (7, 14), (14, 20)]


@pytest.mark.parametrize(("index", "count"), [(0, 2), (3, 2), (-1, 1), (1, 0)])
def test_slices_that_do_not_exist(index, count):
    with pytest.raises(UsageError, match="no slice"):
        plan_of([10], Sizing()).slice(index, count)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda raw: raw["parts"].pop(0), "should be"),
        (lambda raw: raw["parts"][1].__setitem__(3, 0), "in two parts"),
        (lambda raw: raw["parts"][1].__setitem__(4, 10**6), "is not within"),
        (lambda raw: raw["parts"][1].__setitem__(2, 9), "names no file"),
        (lambda raw: raw.update(schema_version=9), "not a plan of version"),
        (lambda raw: raw.pop("files"), "KeyError"),
    ],
)
def test_a_plan_edited_into_nonsense(change, reason):
    raw = json.loads(to_text(plan_of([200], Sizing(part_events=50))))
    change(raw)
    with pytest.raises(ConfigError, match=reason):
        from_json(raw, where="plan.json")


def test_a_file_that_is_no_plan(tmp_path):
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(StoreError, match=r"plan.json: cannot be read"):
        read_plan(tmp_path / "plan.json")


def test_planning_again_opens_no_file(toy, tmp_path, monkeypatch):
    _, first = api.plan(toy.request(tmp_path))
    monkeypatch.setattr("femtobarn.run.plan.open_source", lambda *_: pytest.fail("opened a file"))
    _, second = api.plan(toy.request(tmp_path))
    assert second == first
    _, third = api.plan(toy.request(tmp_path, part_events=7))
    assert third.events == first.events


def test_planning_sees_a_changed_file(toy, tmp_path, tools):
    _, first = api.plan(toy.request(tmp_path))
    tools.write_events(toy.folder / "signal_a.root", 300, seed=7)
    _, second = api.plan(toy.request(tmp_path))
    assert (first.totals["signal"], second.totals["signal"]) == (680, 550)


def test_a_damaged_memory_is_made_again(toy, tmp_path, monkeypatch):
    import os
    from pathlib import Path

    _, first = api.plan(toy.request(tmp_path))
    for place in Path(os.environ["FEMTOBARN_CACHE"], "probes").rglob("*.json"):
        place.write_text("{")
    assert api.plan(toy.request(tmp_path))[1] == first


def test_a_run_can_be_resumed_from_anywhere(toy, tmp_path, monkeypatch):
    monkeypatch.chdir(toy.folder)
    request = api.Request(
        what="toy.py", files=["signal=signal_*.root", "data_a.root"], out="run", part_events=50
    )
    assert api.run(request, process_only=True).complete
    monkeypatch.chdir(tmp_path)
    assert api.resume(toy.folder / "run").result.summary.done == 17
    (toy.folder / "run").rename(tmp_path / "moved")
    assert api.resume(tmp_path / "moved").result.summary.done == 17


def test_planning_remote_files_again_opens_none(toy, tmp_path, monkeypatch, loopback):
    """What a remote file told is remembered by address, size and ETag or time; a change is noticed."""
    server = loopback(toy.folder)
    request = toy.request(tmp_path, files=[f"data={server.url}/data_a.root"])
    _, first = api.plan(request)
    assert first.events == 120
    opened = []
    real = plan_module.open_source
    monkeypatch.setattr(plan_module, "open_source", lambda *a: opened.append(a) or real(*a))
    assert api.plan(request)[1] == first
    assert opened == []
    (toy.folder / "signal_a.root").replace(toy.folder / "data_a.root")
    assert api.plan(request)[1].events == 430
    assert len(opened) == 1


def test_a_plan_is_written_edited_and_run(toy, tmp_path, tools):
    """Parts that were taken out are said; what the plan fixes cannot be changed beside it."""
    path, other = tmp_path / "plan.json", tmp_path / "other.json"
    _, planned = api.plan(toy.request(tmp_path / "none"), out=path)
    toy.run(tmp_path / "reference", fresh=True)
    fixed = {"files": (), "part_events": None, "fresh": True}
    assert toy.run(tmp_path / "run", plan=str(path), **fixed).result.summary.done == len(planned.parts)
    assert tools.results(tmp_path / "run") == tools.results(tmp_path / "reference")
    raw = json.loads(path.read_text())
    raw["parts"] = raw["parts"][:-1]
    other.write_text(json.dumps(raw))
    again = fixed | {"fresh": False}
    with pytest.raises(ConfigError, match=r"another configuration: inputs.plan"):
        toy.run(tmp_path / "run", plan=str(other), **again)
    for index in (1, 2):
        toy.run(tmp_path / "less", plan=str(other), part=(index, 2), **again)
    merged = api.merge([tmp_path / "less"])
    assert merged.warnings == ("the plan (or the fileset's steps) takes 780 of 800 events of the files",)
    assert api.resume(tmp_path / "less", executor="serial").complete
    with pytest.raises(UsageError, match=r"--plan fixes files and parts already; --files, --part-events"):
        toy.run(tmp_path / "no", plan=str(path))
    with pytest.raises(UsageError, match=r"the plan says raw; h4l reads atlas-20"):
        api.plan(api.Request(what="h4l", plan=str(path)))


def test_wrong_flags_are_refused_before_a_file_is_opened(toy, tmp_path, monkeypatch):
    monkeypatch.setattr("femtobarn.run.plan._facts", lambda *_: pytest.fail("opened"))
    for changes, reason in (
        ({"executor": "slrum"}, r"unknown executor 'slrum' \(did you mean 'slurm'"),
        ({"executor": "dask", "site": "slrum"}, r"unknown site 'slrum' \(did you mean 'slurm'"),
        ({"executor": "slurm", "resources": Resources(walltime="soon")}, "--walltime: 'soon' is not a time"),
    ):
        with pytest.raises((UsageError, ConfigError), match=reason):
            toy.run(tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()

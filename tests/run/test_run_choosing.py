"""Which executor ``auto`` means."""

from __future__ import annotations

import json

import pytest

from femtobarn import api
from femtobarn.run import choosing
from femtobarn.run.choosing import choose
from femtobarn.samples.ttbar import make_ttbar


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"threads": True, "events": 10_000}, "serial"),
        ({"threads": True, "events": 1_000_000}, "threads"),
        ({"threads": True, "events": 1_000_000_000}, "processes"),
        ({"threads": False, "events": 1_000_000}, "processes"),
        ({"threads": True, "events": 10_000, "workers": 2}, "threads"),
        ({"threads": True, "events": 1_000_000, "parts": 1}, "serial"),
    ],
)
def test_auto(monkeypatch, asked, expected):
    monkeypatch.setattr(choosing, "processors", lambda: 4)
    name, _ = choose("auto", **({"workers": None, "parts": 10} | asked))
    assert name == expected


@pytest.mark.parametrize("name", ["serial", "threads", "processes"])
def test_what_is_asked_for_is_taken(name):
    assert choose(name, workers=2, parts=10, events=1_000_000, threads=True)[0] == name


def test_top_pairs_in_threads_are_the_same_as_one_after_the_other(tmp_path):
    fileset = make_ttbar(tmp_path / "toy", seed=5, scale=0.1)
    found = {}
    for executor, workers, meant in (("auto", 3, "threads"), ("serial", None, "serial")):
        request = api.Request(
            what="ttbar", fileset=str(fileset), out=str(tmp_path / executor), executor=executor,
            workers=workers, part_events=200, fresh=True,
        )  # fmt: skip
        path = api.run(request, process_only=True).path
        assert json.loads((path / "manifest.json").read_text())["execution"]["executor"] == meant
        found[executor] = [(path / name).read_bytes() for name in ("hists.zip", "cutflow.json")]
    assert found["auto"] == found["serial"]

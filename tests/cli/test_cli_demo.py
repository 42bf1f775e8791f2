"""``demo``: samples, runs, reports and the page that lists them; here with small samples."""

from __future__ import annotations

import dataclasses
import json
from types import MappingProxyType

import correctionlib
import pytest

from femtobarn.api import demos

SMALL = {
    "h4l": demos.Demo("four leptons?", "atlas-2020", samples=("scale=0.1",)),
    "hyy": demos.Demo("two photons?", "atlas-2020", samples=("scale=0.05",)),
}


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> demos.Demos:
    """Both jobs, run once on small samples."""
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEMTOBARN_CACHE", str(folder / "cache"))
        patch.setattr(demos, "DEMOS", MappingProxyType(SMALL))
        return demos.demo(out=folder)


def test_all_jobs_end_in_reports(done):
    assert [(one.name, one.error) for one in done.runs] == [("h4l", ""), ("hyy", "")]
    index = done.index.read_text()
    for one in done.runs:
        assert one.headline
        assert "femtobarn toy simulation" in one.report.read_text()
        assert f'href="{one.name}/report.html"' in index


def test_again_uses_what_is_there_and_a_failed_job_leaves_the_others(cli, done, monkeypatch):
    folder = done.index.parent
    broken = demos.Demo("what?", "no-release")
    monkeypatch.setattr(demos, "DEMOS", MappingProxyType({"broken": broken, "hyy": SMALL["hyy"]}))
    before = (folder / "samples/hyy/data.root").stat().st_mtime_ns
    answer = cli("demo", "--out", folder, "--json")
    assert answer.code == 1
    first, second = json.loads(answer.out)["runs"]
    assert "no built-in samples of 'broken'" in first["error"]
    assert second["error"] == ""
    assert second["headline"] == done.runs[1].headline
    assert (folder / "samples/hyy/data.root").stat().st_mtime_ns == before


def test_failures_are_told_in_words(cli, monkeypatch):
    monkeypatch.setattr(demos, "DEMOS", MappingProxyType({"broken": demos.Demo("what?", "no-release")}))
    answer = cli("demo")
    assert answer.code == 1
    assert "broken failed: there are no built-in samples of 'broken'" in answer.err


def test_an_unknown_job(cli):
    answer = cli("demo", "h4")
    assert answer.code == 2
    assert "there is no demo 'h4' (did you mean 'h4l'?)" in answer.err


def test_the_jobs_are_installed_analyses():
    from femtobarn.analysis import analysis_names

    # refrun ranks records; it is a job of its own verbs, not an analysis of events.
    assert set(demos.DEMOS) - {"refrun"} <= set(analysis_names())


def test_tag_and_probe_goes_on_to_scale_factors(tmp_path, monkeypatch):
    whole = demos.DEMOS["tagprobe"]
    settings = [one for one in whole.settings if not one.startswith("methods=")]
    method = "{name: get_nd_tnp_histograms, filter: [tight], vars: [el_eta], cut_and_count: false}"
    settings += ["binning.el_eta_bins=-1.4,1.4", f"methods=[{method}]"]
    small = dataclasses.replace(whole, samples=("background=0.1", "events=5000"), settings=tuple(settings))
    monkeypatch.setattr(demos, "DEMOS", MappingProxyType({"tagprobe": small}))
    done = demos.demo(["tagprobe"], out=tmp_path).runs[0]
    assert done.error == ""
    assert "of 4 fits are good" in done.headline
    [correction] = correctionlib.CorrectionSet.from_file(str(done.path / "tables/corrections.json")).values()
    factor = correction.evaluate("any", "sf", "tight", 0.5, 40.0)
    # The truth of the barrel: 0.84 in data, 0.88 in simulation.
    assert factor == pytest.approx(0.84 / 0.88, abs=0.04)
    assert "Fits" in done.report.read_text()

"""The survey against numbers made by independent, slow loops, and against itself cut into pieces."""

from __future__ import annotations

import csv
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from femtobarn import api
from femtobarn.analyses.survey import SurveyParameters, analysis
from femtobarn.analysis import Context
from femtobarn.config.survey import read_survey_config
from femtobarn.errors import DataError
from femtobarn.physics.finalstates import state_name
from femtobarn.read import open_source, read_events
from femtobarn.records import Dataset, FileRef

CASES = (
    "physlite_example", "physlite_21_2", "physlite_rntuple", "parsed_mc", "parsed_mc_subleading",
    "parsed_mc_shipped", "parsed_data15", "atlas2016", "atlas2020", "atlas2025", "cms2015", "cms_v5",
)  # fmt: skip


def accumulate(parameters, paths):
    """All spectra of the files and the events left after each cut."""
    total, cuts = None, {}
    dataset = Dataset("d", ())
    for path in paths:
        source = open_source(FileRef(str(path)))
        columns = analysis.columns_for(parameters, source.schema.name, dataset)
        events = read_events(source, columns.needed, columns.optional, 0, source.entries, where=str(path))
        out = analysis.process(events, Context(dataset, parameters, source.schema.name))
        source.close()
        for row in out.cutflow("d"):
            cuts[row.cut] = cuts.get(row.cut, 0) + row.events
        total = out.spectra["d"] if total is None else total + out.spectra["d"]
    return total, cuts


@pytest.mark.parametrize("case", CASES)
def test_every_number_of_the_slow_loops(shared, case):
    oracle = json.loads(shared(f"oracles/survey/{case}.json").read_text())
    name = {"S": "classic_config"}.get(oracle["config"], oracle["config"])
    config = read_survey_config(shared(f"oracles/survey/{name}.yaml"))
    parameters = SurveyParameters(**config.parameters)
    found, cuts = accumulate(parameters, [shared(f"data/{file}") for file in oracle["files"]])
    assert len(parameters.combination_list()) == oracle["n_combinations"]
    assert cuts["all"] == oracle["n_events"]
    assert cuts["all"] - cuts["particle_counts"] == oracle["failed_particle_counts"]
    assert cuts["has_objects"] == oracle["classified"]
    states = {
        state_name(int(s), parameters.types): int(n)
        for s, n in zip(found.state, found.state_events, strict=True)
    }
    assert states == oracle["final_states"]
    assert len(found) == oracle["n_signatures"]
    assert found.n.sum() == oracle["n_masses"]
    totals = found.totals()
    assert totals.sum() == pytest.approx(oracle["sum_all"], rel=1e-9)
    row = {(found.names[int(found.of[i])], found.items[found.item[i]]): i for i in range(len(found))}
    for key, (n, total, low, high) in oracle["signatures"].items():
        i = row[tuple(key.split("|"))]
        assert found.n[i] == n
        assert totals[i] == pytest.approx(total, rel=1e-7)
        assert (found.low[i], found.high[i]) == (pytest.approx(low, abs=1e-3), pytest.approx(high, abs=1e-3))


def table(run: Path, name: str = "signatures") -> dict[tuple[str, str], dict[str, str]]:
    with (run / "tables" / f"{name}.csv").open() as stream:
        return {(row["final_state"], row.get("combination", "")): row for row in csv.DictReader(stream)}


def request(shared, config, pattern, run, **more):
    folder = shared("data/MANIFEST.json").parent
    files = [f"d={path}" for path in sorted(folder.glob(pattern))]
    assert files
    return api.SurveyRequest(
        config=str(shared(f"oracles/survey/{config}.yaml")),
        files=files,
        run_dir=str(run),
        executor="serial",
        **more,
    )


def same(a: Path, b: Path) -> None:
    for name in ("tables/signatures.csv", "tables/final_states.csv", "cutflow.json"):
        assert (a / name).read_bytes() == (b / name).read_bytes(), name
    with zipfile.ZipFile(a / "hists.zip") as one, zipfile.ZipFile(b / "hists.zip") as two:
        assert one.namelist() == two.namelist()
        assert all(one.read(name) == two.read(name) for name in one.namelist())


def test_one_run_and_slices_with_other_chunks_are_identical(shared, tmp_path):
    pattern, few = "E/2024r-pp_[23]*.root", ("min_events=20",)
    whole, _ = api.survey(request(shared, "A4", pattern, tmp_path / "whole", settings=few))
    for i in (1, 2, 3):
        api.survey(
            request(shared, "A4", pattern, tmp_path / "sliced", slice=(i, 3), part_events=700, settings=few)
        )
    merged = api.survey_again(tmp_path / "sliced", merge_only=True)
    same(whole.path, merged.path)
    api.survey_again(tmp_path / "sliced", merge_only=True)
    same(whole.path, merged.path)
    stats = json.loads((tmp_path / "sliced" / "logs" / "batch_1_stats.json").read_text())
    assert stats["parts"]["done"] >= 1


def test_four_lepton_events_of_2016_as_far_as_bumpnet(shared, tmp_path):
    oracle = json.loads(shared("oracles/survey/atlas2016.json").read_text())
    finished, notes = api.survey(request(shared, "A3", "A/ATLAS8TeV_mc_105986.ZZ.root", tmp_path / "run"))
    assert notes == ()
    rows = table(finished.path)
    for key, post in oracle["post"].items():
        row, grid = rows[tuple(key.split("|"))], post["grid"]
        assert row["status"] == "exported"
        found = [
            float(row["peak_edge_gev"]),
            *(int(row[key]) for key in ("n_main", "n_outliers", "nbins_main")),
        ]
        assert found == [grid[key] for key in ("peak_edge", "n_main", "n_outliers", "nbins_main")]
    assert sum(row["status"] == "exported" for row in rows.values()) == len(oracle["post"])
    assert not any(row["reason"] == "" for row in rows.values() if row["status"] == "rejected")
    exported = api.export(finished.path, "bumpnet", out=tmp_path / "bumpnet")
    assert exported.notes[0] == f"{oracle['bumpnet_accepted']} of {len(oracle['post'])} spectra accepted"
    again = api.check_bumpnet(tmp_path / "bumpnet" / "rebinned.root", out=tmp_path / "again")
    assert len(again) == 28
    assert all(v.accepted for v in again)
    stats = json.loads((finished.path / "logs" / "aggregated_stats.json").read_text())
    assert (stats["parsing"]["total_files"], stats["parsing"]["success_rate"]) == (1, 100.0)


def test_legacy_cuts_are_the_predecessors(shared, tmp_path):
    oracle = json.loads(shared("oracles/survey/atlas2016.json").read_text())
    asked = request(shared, "A3", "A/ATLAS8TeV_mc_105986.ZZ.root", tmp_path / "run", part_events=5000,
                    settings=("post_processing=legacy", "keep_arrays=true"))  # fmt: skip
    rows = table(api.survey(asked)[0].path)
    for key, post in oracle["post"].items():
        row = rows[tuple(key.split("|"))]
        assert float(row["peak_edge_gev"]) == pytest.approx(post["legacy"]["peak_edge"], rel=1e-12)
        assert (int(row["n_main"]), int(row["n_outliers"])) == (
            post["legacy"]["n_main"],
            post["legacy"]["n_outliers"],
        )


def test_masses_are_those_of_the_predecessors_arrays(shared, tmp_path):
    finished, _ = api.survey(request(shared, "G", "E/95e6fc52bf187db4.root", tmp_path / "run"))
    for name, (state, n, total) in {
        "1e2j": ("1e_*_2j_*", 1035, 146732.96864), "1m2j": ("*_1m_2j_*", 1059, 151233.62781),
    }.items():  # fmt: skip
        files = sorted((finished.path / "im_arrays").glob(f"*_FS_{state}_IM_all.npy"))
        mine = np.sort(np.concatenate([np.load(file) for file in files]))
        theirs = np.sort(np.load(shared(f"data/E/95e6fc52bf187db4.root_{name}_inv_mass.npy"))) * 1e-3
        assert len(mine) == n
        assert mine.sum() == pytest.approx(total, abs=1e-4)
        assert mine == pytest.approx(theirs, rel=1e-9)


def test_the_shipped_configuration_says_why_it_makes_no_histogram(shared, tmp_path):
    with pytest.raises(DataError, match="16 final states have at least 100 events, 0 of them a combination"):
        api.survey(request(shared, "classic_config", "E/2024r-pp_*.root", tmp_path / "run"))
    assert len(table(tmp_path / "run")) == 1730
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert any("no effect" in note for note in manifest["warnings"])


#: Two of the bumps lie where no cut spectrum shows them: on top of the peak, and beyond the first gap.
BUMPS = (
    ("physlite", ()), ("physlite-rntuple", ()), ("physlite", ("mass=160", "signal=400", "events=6000")),
    ("physlite", ("mass=400", "signal=120")),
)  # fmt: skip


@pytest.mark.parametrize(("release", "sample"), BUMPS)
def test_a_bump_that_was_put_in_is_found_where_it_is(tmp_path, release, sample):
    made = api.data_make("survey", out=tmp_path / "toy", release=release, seed=3, settings=sample)
    truth = json.loads(made.truth.read_text())
    settings = ("combinations.min_types=1", "combinations.min_each=1", "combinations.max_total=2",
                "objects=electrons,muons,jets", "min_events=300", "resonances=none",
                "search=true")  # fmt: skip
    asked = api.Request(
        what="survey",
        fileset=str(made.fileset),
        settings=settings,
        out=str(tmp_path / "run"),
        executor="serial",
    )
    finished = api.run(asked)
    found = api.open_run(finished.path).fit["search"]
    best = next(h for h in found["histograms"] if h["name"] == found["global"]["best"])
    assert truth["combination"] in best["name"]
    assert abs(best["mass_gev"] - truth["mass_gev"]) <= 10
    assert found["global"]["p_global"] < 1e-3
    elsewhere = [h for h in found["histograms"] if h["p_global"] and truth["combination"] not in h["name"]]
    assert len(elsewhere) >= 3
    assert all(h["p_global"] > 1e-4 for h in elsewhere)


def test_both_formats_hold_the_same_events(tmp_path):
    parameters = SurveyParameters(combinations={"min_types": 1, "min_each": 1, "max_total": 3})
    found = []
    for release in ("physlite", "physlite-rntuple"):
        made = api.data_make("survey", out=tmp_path / release, release=release, settings=["events=500"])
        found.append(accumulate(parameters, [made.fileset.with_name("survey.root")])[0])
    assert found[0].same(found[1])

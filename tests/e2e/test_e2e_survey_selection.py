"""Opt-in selections of the survey on files made here: what each does to counts that are known."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
import zipfile

import awkward as ak
import numpy as np
import pytest
import uproot
import yaml

from femtobarn import api
from femtobarn.config.survey import TASKS
from femtobarn.errors import ConfigError, DataError, LossError, UsageError

EVENTS = 400


def nano(path, *, seed=1, first=0, events=EVENTS, more=None):
    """NanoAOD-like events: two muons and one to four jets each, flags and discriminants that alternate."""
    rng = np.random.default_rng(seed)
    jets = 1 + np.arange(events) % 4
    total = int(jets.sum())

    def lists(values, counts):
        return ak.unflatten(np.asarray(values), counts)

    two = np.full(events, 2)
    columns = {
        "run": np.full(events, 1, dtype=np.uint32),
        "luminosityBlock": (1 + np.arange(events) // 100).astype(np.uint32),
        "event": (first + np.arange(events)).astype(np.uint64),
        "genWeight": np.where(np.arange(events) % 10 == 0, -1.0, 1.0),
        "HLT_Mu": np.arange(events) % 2 == 0,
        "HLT_Jet": np.arange(events) % 5 == 0,
        "Muon_pt": lists(rng.uniform(30, 80, 2 * events), two),
        "Muon_eta": lists(rng.uniform(-2, 2, 2 * events), two),
        "Muon_phi": lists(rng.uniform(-3, 3, 2 * events), two),
        "Muon_charge": lists(np.tile([1, -1, 1, 1], events // 2).astype(np.int32), two),
        "Muon_tightId": lists(np.tile([True, True, True, False], events // 2), two),
        "Jet_pt": lists(rng.uniform(35, 90, total), jets),
        "Jet_eta": lists(rng.uniform(-2, 2, total), jets),
        "Jet_phi": lists(rng.uniform(-3, 3, total), jets),
        "Jet_mass": lists(rng.uniform(1, 9, total), jets),
        "Jet_btagDeepFlavB": lists(np.where(np.arange(total) % 3 == 0, 0.9, 0.1), jets),
        "MET_pt": rng.uniform(0, 100, events),
        "MET_phi": rng.uniform(-3, 3, events),
        **(more or {}),
    }
    with uproot.recreate(path) as file:
        file.mktree(
            "Events", {k: c.dtype if isinstance(c, np.ndarray) else c.type for k, c in columns.items()}
        )
        file["Events"].extend(columns)
    return path


CONFIG = {
    "run_metadata": {"run_name": "test"},
    "tasks": dict.fromkeys((flag for flag, _ in TASKS.values()), True),
    "parsing_task_config": {"kinematic_cuts": {"jets": {"pt_min": 30.0}}},
    "mass_calculation_task_config": {
        "objects_to_calculate": ["Muons", "Jets"], "min_particles_in_combination": 1,
        "min_count_particle_in_combination": 1, "max_total_particles_in_combination": 3,
        "min_events_per_fs": 10,
    },
    "post_processing_task_config": {"peak_detection_bin_width_gev": 10.0},
    "histogram_creation_task_config": {"bin_width_gev": 10.0},
    "femtobarn": {"known_resonances": "none"},
}  # fmt: skip


def run(tmp_path, files, *, kind=None, **sections):
    """One survey with these sections merged into the configuration; its run."""
    config = {name: {**table, **sections.get(name, {})} for name, table in CONFIG.items()}
    config |= {name: table for name, table in sections.items() if name not in config}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    asked = {"files": [f"d={file}" for file in files]}
    if kind is not None:
        fileset = {
            "d": {"files": {str(file): "Events" for file in files}, "metadata": {"kind": kind, "xsec": 2.0}}
        }
        (tmp_path / "fileset.json").write_text(json.dumps(fileset))
        asked = {"fileset": str(tmp_path / "fileset.json")}
    out = str(tmp_path / f"run{len(list(tmp_path.glob('run*')))}")
    done, notes = api.survey(
        api.SurveyRequest(config=str(path), run_dir=out, executor="serial", part_events=150, **asked)
    )
    return done.path, notes


def cuts(path):
    return {row["cut"]: row["events"] for row in json.loads((path / "cutflow.json").read_text())["d"]}


def table(path, name):
    with (path / "tables" / f"{name}.csv").open() as stream:
        return list(csv.DictReader(stream))


def states(path):
    return {row["final_state"]: int(row["events"]) for row in table(path, "final_states")}


def test_triggers_certified_sections_and_duplicates_in_this_order(tmp_path):
    golden = tmp_path / "golden.json"
    golden.write_text(json.dumps({"1": [[1, 2]]}))
    files = [nano(tmp_path / "a.root"), nano(tmp_path / "b.root", first=300)]
    path, _ = run(
        tmp_path, files, kind="data",
        parsing_task_config={
            "validated_runs_json": str(golden), "trigger_config": {"branches": ["HLT_Mu", "HLT_Jet"]},
        },
        femtobarn={"known_resonances": "none", "selection": {"deduplicate": True}},
    )  # fmt: skip
    found = cuts(path)
    assert list(found) == ["all", "certified", "trigger", "duplicates", "particle_counts", "has_objects"]
    assert found["all"] == 800
    assert found["certified"] == 400
    assert found["trigger"] == 240
    # Sections 1 and 2 of the second file are its first 200 events, of which 100 have a number of the first
    # file; but there they are of sections 4: other events.
    assert found["duplicates"] == 240


def test_events_of_an_earlier_file_are_dropped_whatever_the_parts(tmp_path):
    files = [nano(tmp_path / "a.root"), nano(tmp_path / "b.root", seed=2, events=200)]
    path, _ = run(tmp_path, files, femtobarn={"selection": {"deduplicate": True}})
    assert cuts(path)["duplicates"] == 400
    alone, _ = run(tmp_path, files[:1], femtobarn={"selection": {"deduplicate": False}})
    assert states(path) == states(alone)
    assert (path / "tables" / "signatures.csv").read_bytes() == (
        alone / "tables" / "signatures.csv"
    ).read_bytes()


def test_duplicates_need_event_numbers(tmp_path, shared):
    extract = next(iter(sorted(shared("data/MANIFEST.json").parent.glob("E/2024r-pp_*.root"))))
    with pytest.raises(DataError, match="no run and event numbers"):
        run(tmp_path, [extract], femtobarn={"selection": {"deduplicate": True}})


def test_triggers_by_run(tmp_path):
    path, _ = run(tmp_path, [nano(tmp_path / "a.root")], parsing_task_config={"trigger_config": {"by_run": [
        {"first": 1, "last": 9, "branches": ["HLT_Jet", "HLT_absent"]}, {"first": 10, "branches": ["HLT_Mu"]},
    ]}})  # fmt: skip
    assert cuts(path)["trigger"] == 80


def test_tagged_jets_become_a_type_of_their_own(tmp_path):
    path, _ = run(
        tmp_path, [nano(tmp_path / "a.root")], parsing_task_config={"enable_jet_tagging": True},
        mass_calculation_task_config={
            **CONFIG["mass_calculation_task_config"], "objects_to_calculate": ["Muons", "Jets", "BJets"],
        },
    )  # fmt: skip
    found = states(path)
    jets = sum((int(s.split("_")[1][:-1]) + int(s.split("_")[2][:-1])) * n for s, n in found.items())
    tagged = sum(int(s.split("_")[2][:-1]) * n for s, n in found.items())
    assert jets == 1000
    assert tagged == 334
    names = {row["combination"] for row in table(path, "signatures")}
    assert {"m0b0", "j0b0", "m0m1b0"} <= names


def test_identification_isolation_and_caps(tmp_path):
    path, _ = run(
        tmp_path, [nano(tmp_path / "a.root")],
        femtobarn={"selection": {"ids": {"muons": "tightId"}}, "count_cap": 2, "charge_tags": True},
    )  # fmt: skip
    assert states(path) == {"1m_2j": 200, "2m_1j_OS": 100, "2m_2j_OS": 100}
    # Three and four jets are merged into two: the sum over them.
    assert sum(states(path).values()) == EVENTS
    assert sum(n for s, n in states(path).items() if "_2j" in s) == 300


def test_missing_momentum_makes_transverse_masses(tmp_path):
    path, _ = run(
        tmp_path, [nano(tmp_path / "a.root")],
        femtobarn={"extra_combinations": ["all", "met"], "known_resonances": "none"},
    )  # fmt: skip
    with uproot.open(path / "histograms" / "histograms.root") as file:
        names = [name.split(";")[0] for name in file]
    assert any(name.startswith("ROI_massMET_m0_cat_") for name in names)
    with uproot.open(tmp_path / "a.root") as file:
        events = file["Events"].arrays()
    one = events[ak.num(events.Jet_pt) == 1]
    pt, phi = one.Muon_pt, one.Muon_phi
    lead = ak.argmax(pt, axis=1, keepdims=True)
    pt, phi = ak.flatten(pt[lead]).to_numpy(), ak.flatten(phi[lead]).to_numpy()
    met, angle = one.MET_pt.to_numpy(), one.MET_phi.to_numpy()
    et = np.hypot(pt, 0.1056583755) + met
    x, y = pt * np.cos(phi) + met * np.cos(angle), pt * np.sin(phi) + met * np.sin(angle)
    expected = np.sqrt(et**2 - x**2 - y**2)
    rows = {(r["final_state"], r["combination"]): r for r in table(path, "signatures")}
    row = rows["2m_1j", "MET_m0"]
    assert int(row["n"]) == len(expected)
    assert float(row["sum_gev"]) == pytest.approx(expected.sum(), rel=1e-12)


def test_simulation_is_weighted_to_a_luminosity(tmp_path):
    weighting = {"enabled": True, "target_luminosity_fb": 10.0}
    path, _ = run(tmp_path, [nano(tmp_path / "a.root")], kind="mc", mc_weighting_config=weighting)
    rows = {(r["final_state"], r["combination"]): r for r in table(path, "signatures")}
    row = rows["2m_1j", "m0m1"]
    # Every tenth event has weight -1; of those with one jet, every fourth from the first, that is each fifth.
    assert (int(row["n"]), float(row["sumw"]), float(row["sumw2"])) == (100, 60.0, 100.0)
    with uproot.open(path / "histograms" / "histograms.root") as file:
        h = next(file[name] for name in file if name.startswith("ROI_mass_m0m1_cat_0ex_2mx_1jx"))
        entries, total = h.member("fEntries"), h.values().sum()
    assert entries == int(row["n_main"])
    assert total < entries * 2.0 * 1000 * 10 / 320.0
    assert (total / (2.0 * 1000 * 10 / 320.0)) == pytest.approx(round(total / 62.5))


def test_weighting_without_a_cross_section_is_refused(tmp_path):
    weighting = {"enabled": True, "target_luminosity_fb": 10.0}
    with pytest.raises(DataError, match="is to be weighted and has no xsec"):
        run(tmp_path, [nano(tmp_path / "a.root")], mc_weighting_config=weighting)
    weighting["require_metadata"] = False
    path, _ = run(tmp_path, [nano(tmp_path / "a.root")], mc_weighting_config=weighting)
    assert cuts(path)["has_objects"] == EVENTS


def test_bins_follow_the_resolution(tmp_path):
    path, _ = run(
        tmp_path, [nano(tmp_path / "a.root")], femtobarn={"binning": "resolution", "known_resonances": "none"}
    )
    with uproot.open(path / "histograms" / "histograms.root") as file:
        h = next(file[n] for n in file if n.startswith("ROI_mass_m0j0_cat_0ex_2mx_4jx"))
        widths = np.diff(h.axis().edges())
    assert len(set(widths)) > 1
    assert (np.diff(widths) >= 0).all()


@pytest.mark.parametrize("form", ["npy", "parquet"])
def test_masses_are_kept_in_both_formats(tmp_path, form):
    path, _ = run(
        tmp_path, [nano(tmp_path / "a.root")],
        femtobarn={"arrays": form, "known_resonances": "none", "post_processing": "legacy"},
    )  # fmt: skip
    from femtobarn.run.arrays import array_files

    rows = {(r["final_state"], r["combination"]): r for r in table(path, "signatures")}
    found = {}
    for state, item, values in array_files(path / "im_arrays", "d"):
        found.setdefault((state, item), []).append(values)
    assert set(found) == set(rows)
    for key, parts in found.items():
        values = np.concatenate(parts)
        assert len(parts) == 3
        assert len(values) == int(rows[key]["n"])
        assert values.sum() == pytest.approx(float(rows[key]["sum_gev"]), rel=1e-12)
    row = rows["2m_1j", "m0m1"]
    main = np.load(path / "im_arrays_processed" / "d_FS_2m_1j_IM_m0m1_main.npy")
    assert len(main) == int(row["n_main"])


def test_tracks_and_triggers_of_physlite(shared, tmp_path):
    """Numbers of matches and tracks counted by hand with uproot."""
    file = next(iter(shared("data/MANIFEST.json").parent.glob("E/PHYSLITE_example*")))
    path, _ = run(tmp_path, [file], parsing_task_config={
        "trigger_config": {"branches": ["HLT_e26_lhtight_nod0_ivarloose"]},
    })  # fmt: skip
    assert cuts(path)["trigger"] == 66
    from femtobarn.read import open_source, read_events
    from femtobarn.records import FileRef

    source = open_source(FileRef(str(file)))
    events = read_events(source, ["jet.tracks", "jet.pt"], [], 0, 100, where="x")
    with uproot.open(file) as opened:
        tracks = opened["CollectionTree"]["AnalysisJetsAuxDyn.NumTrkPt500"].array()
    assert events.jagged("jet.tracks").values[:2].tolist() == [2, 2]
    assert events.jagged("jet.tracks").values.sum() == ak.sum(ak.fill_none(ak.firsts(tracks, axis=2), 0))
    source.close()


def with_pt(values):
    """NanoAOD-like events with these first muons' momenta."""
    pt = np.full(2 * EVENTS, 40.0)
    pt[: 2 * len(values) : 2] = values
    return {"Muon_pt": ak.unflatten(pt, np.full(EVENTS, 2))}


def test_impossible_objects_are_dropped_and_counted(tmp_path):
    file = nano(tmp_path / "a.root", more=with_pt([np.nan, np.inf, -30.0]))
    path, _ = run(tmp_path, [file])
    warnings = json.loads((path / "manifest.json").read_text())["warnings"]
    assert any("muons with impossible numbers are left out" in item and "(3x)" in item for item in warnings)
    assert sum(n for s, n in states(path).items() if s.startswith("1m_")) == 3
    eta = np.zeros(2 * EVENTS)
    eta[0] = 25.0
    path, _ = run(tmp_path, [nano(tmp_path / "b.root", more={"Muon_eta": ak.unflatten(eta, [2] * EVENTS)})])
    assert sum(n for s, n in states(path).items() if s.startswith("1m_")) == 1


def test_a_thousand_jets_are_no_problem(tmp_path):
    jets = np.ones(EVENTS, dtype=np.int64)
    jets[0] = 250
    total = int(jets.sum())
    rng = np.random.default_rng(3)
    more = {
        f"Jet_{name}": ak.unflatten(values, jets)
        for name, values in {
            "pt": rng.uniform(40, 90, total), "eta": rng.uniform(-2, 2, total),
            "phi": rng.uniform(-3, 3, total), "mass": np.ones(total), "btagDeepFlavB": np.zeros(total),
        }.items()
    }  # fmt: skip
    path, _ = run(tmp_path, [nano(tmp_path / "a.root", more=more)])
    assert states(path) == {"2m_1j": EVENTS - 1, "2m_250j": 1}
    jets[0] = 1000
    total = int(jets.sum())
    more = {
        name: ak.unflatten(np.resize(ak.flatten(item).to_numpy(), total), jets) for name, item in more.items()
    }
    path, _ = run(tmp_path, [nano(tmp_path / "b.root", more=more)])
    assert sum(states(path).values()) == EVENTS


def test_a_cut_that_removes_everything_is_said(tmp_path):
    file = nano(tmp_path / "a.root")
    cuts_of = {"jets": {"pt_min": 900.0}, "muons": {"pt_min": 900.0}}
    with pytest.raises(DataError, match=r"no event was classified .*has_objects 0"):
        run(tmp_path, [file], parsing_task_config={"kinematic_cuts": cuts_of})
    assert (tmp_path / "run0" / "tables" / "signatures.csv").exists()


def test_files_without_events_are_said(tmp_path):
    with pytest.raises(DataError, match="no event was classified"):
        run(tmp_path, [nano(tmp_path / "empty.root", events=0)])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("tree", "several trees|has no tree|lacks|it looks like|holds neither"),
        ("branch", "Jet_pt"),
        ("unit", "a unit mistake"),
        ("truncated", "truncated"),
        ("text", "HepMC text"),
    ],
)
def test_a_bad_file_is_one_sentence_with_its_name(tmp_path, damage, message):
    bad = tmp_path / "bad.root"
    if damage == "tree":
        with uproot.recreate(bad) as file:
            file.mktree("Other", {"x": np.dtype("f8")}).extend({"x": np.ones(3)})
    elif damage == "branch":
        with uproot.recreate(bad) as file:
            columns = {f"Muon_{name}": ak.Array([[30.0]]) for name in ("pt", "eta", "phi")}
            file.mktree("Events", {k: v.type for k, v in columns.items()}).extend(columns)
    elif damage == "unit":
        nano(bad, more=with_pt(np.full(EVENTS, 40e3)))
    elif damage == "truncated":
        whole = nano(tmp_path / "whole.root").read_bytes()
        bad.write_bytes(whole[: len(whole) // 2])
    else:
        bad.write_text("HepMC::Version 3.02\nHepMC::Asciiv3-START_EVENT_LISTING\n")
    with pytest.raises(LossError, match=message) as problem:
        run(tmp_path, [bad], parsing_task_config={"count_retries_failed_files": 0})
    assert "bad.root" in str(problem.value)
    assert "Traceback" not in str(problem.value)


def test_the_same_file_twice_and_mixed_releases_are_refused(tmp_path):
    file = nano(tmp_path / "a.root")
    (tmp_path / "copy.root").write_bytes(file.read_bytes())
    with pytest.raises(ConfigError, match="is listed twice"):
        run(tmp_path, [file, file])
    with pytest.raises(ConfigError, match="is a copy of"):
        run(tmp_path, [file, tmp_path / "copy.root"])
    api.data_make("survey", out=tmp_path / "toy", settings=("events=100", "signal=5"))
    with pytest.raises(
        ConfigError, match=r"is physlite, but .*a\.root of the same dataset 'd' is cms-nanoaod"
    ):
        run(tmp_path, [file, tmp_path / "toy" / "survey.root"])


def test_a_width_that_is_no_multiple_and_an_unknown_task(tmp_path):
    file = nano(tmp_path / "a.root")
    with pytest.raises(ConfigError, match=r"config\.yaml:\d+: .*a bin width of 2\.5 GeV is no multiple"):
        run(tmp_path, [file], histogram_creation_task_config={"bin_width_gev": 2.5})
    request = api.SurveyRequest(
        config=str(tmp_path / "config.yaml"), files=[f"d={file}"], tasks=["histogramming"],
        run_dir=str(tmp_path / "run"),
    )  # fmt: skip
    with pytest.raises(UsageError, match="unknown task 'histogramming'") as problem:
        api.survey(request)
    assert "histogram_creation" in str(problem.value)


def test_many_failed_files_are_named_even_if_the_loss_is_allowed(tmp_path):
    good = nano(tmp_path / "a.root")
    for name in "bc":
        (tmp_path / f"{name}.root").write_bytes(good.read_bytes()[:5000])
    files = [good, tmp_path / "b.root", tmp_path / "c.root"]
    with pytest.raises(LossError, match=r"of \d parts 2 failed"):
        run(tmp_path, files, parsing_task_config={"count_retries_failed_files": 0})
    done, _ = api.survey(
        api.SurveyRequest(
            config=str(tmp_path / "config.yaml"), files=[f"d={file}" for file in files],
            run_dir=str(tmp_path / "allowed"), executor="serial", allow_missing=True,
        )
    )  # fmt: skip
    warnings = json.loads((done.path / "manifest.json").read_text())["warnings"]
    assert any("2 of 3 files failed" in item and "b.root" in item for item in warnings)
    statistics = json.loads((done.path / "logs" / "aggregated_stats.json").read_text())["parsing"]
    assert (statistics["total_files"], statistics["failed_files"]) == (3, 2)


def test_a_file_that_comes_back_is_read_on_the_next_try(tmp_path, monkeypatch):
    """Retries are real: the second attempt finds the file whole."""
    file = nano(tmp_path / "a.root")
    whole = file.read_bytes()
    file.write_bytes(whole[:5000])
    from femtobarn.api.surveys import verbs

    original, tries = verbs.run, []

    def mended(*arguments, **options):
        tries.append(1)
        if len(tries) == 2:
            file.write_bytes(whole)
        return original(*arguments, **options)

    monkeypatch.setattr(verbs, "run", mended)
    path, _ = run(tmp_path, [file], parsing_task_config={"count_retries_failed_files": 2})
    assert len(tries) == 2
    assert cuts(path)["all"] == EVENTS


def test_a_file_that_stays_broken_is_not_read_again_and_again(tmp_path, monkeypatch):
    file = nano(tmp_path / "a.root")
    file.write_bytes(file.read_bytes()[:5000])
    from femtobarn.api.surveys import verbs

    original, tries = verbs.run, []

    def counted(*arguments, **options):
        tries.append(1)
        return original(*arguments, **options)

    monkeypatch.setattr(verbs, "run", counted)
    with pytest.raises(LossError):
        run(tmp_path, [file], parsing_task_config={"count_retries_failed_files": 5})
    assert len(tries) == 2


@pytest.mark.parametrize("kill_after", [2, 5])
def test_killed_and_resumed_it_is_the_same(tmp_path, kill_after):
    files = [nano(tmp_path / f"{name}.root", seed=i) for i, name in enumerate("abc")]
    whole, _ = run(tmp_path, files)
    target = tmp_path / "killed"
    command = [
        sys.executable, "-m", "femtobarn", "survey", "--config", str(tmp_path / "config.yaml"), "--run-dir",
        str(target), "--executor", "serial", "--part-events", "50",
        *(word for file in files for word in ("--files", f"d={file}")),
    ]  # fmt: skip
    environment = {**os.environ, "FEMTOBARN_CACHE": str(tmp_path / "cache")}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ledger = target / "ledger.jsonl"
    for _ in range(6000):
        lines = len(ledger.read_bytes().splitlines()) if ledger.exists() else 0
        if process.poll() is not None or lines > kill_after:
            break
        time.sleep(0.01)
    process.kill()
    process.wait()
    resumed = api.resume(target, executor="serial")
    assert resumed.complete
    for name in ("signatures", "final_states"):
        assert table(target, name) == table(whole, name)
    with zipfile.ZipFile(whole / "hists.zip") as one, zipfile.ZipFile(target / "hists.zip") as two:
        assert one.namelist() == two.namelist()
        assert all(one.read(name) == two.read(name) for name in one.namelist())

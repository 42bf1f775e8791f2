"""Files as a reader sees them: types, units, bookkeeping, determinism, and a peak near 125 GeV."""

from __future__ import annotations

import json

import awkward as ak
import numpy as np
import pytest
import uproot

from femtobarn.errors import UsageError
from femtobarn.samples import make

H4L = ("atlas-2016", "atlas-2020", "atlas-2025", "cms-nanoaod")
HYY = ("atlas-2020", "atlas-2025", "cms-nanoaod")
TREES = {"atlas-2016": "mini", "atlas-2020": "mini", "atlas-2025": "analysis", "cms-nanoaod": "Events"}

#: Types as in the published files (their vectors and our C arrays read alike).
TYPES = {
    "atlas-2016": {
        "eventNumber": "int32",
        "mcWeight": "float32",
        "scaleFactor_TRIGGER": "float32",
        "passGRL": "bool",
        "lep_pt": "var * float32",
        "lep_charge": "var * float32",
        "lep_type": "var * uint32",
        "lep_trigMatched": "var * uint16",
        "jet_MV1": "var * float32",
    },
    "atlas-2020": {
        "runNumber": "int32",
        "mcWeight": "float32",
        "trigE": "bool",
        "lep_E": "var * float32",
        "lep_charge": "var * int32",
        "lep_type": "var * uint32",
        "lep_isTightID": "var * bool",
        "lep_pt_syst": "var * float32",
        "photon_convType": "var * int32",
        "met_et": "float32",
    },
    "atlas-2025": {
        "sum_of_weights": "float64",
        "xsec": "float32",
        "eventNumber": "uint64",
        "channelNumber": "uint32",
        "lep_e": "var * float32",
        "lep_type": "var * int32",
        "lep_isLooseIso": "var * bool",
        "jet_jvt": "var * bool",
        "photon_isTightID": "var * bool",
    },
    "cms-nanoaod": {
        "run": "int32",
        "luminosityBlock": "uint32",
        "event": "uint64",
        "Muon_pt": "var * float32",
        "Muon_charge": "var * int32",
        "Muon_tightId": "var * bool",
        "Electron_dzErr": "var * float32",
        "Photon_electronVeto": "var * bool",
    },
}


def read(folder, release, dataset, **options):
    with uproot.open(folder / f"{dataset}.root") as file:
        return file[TREES[release]].arrays(**options)


def leading_pt(events, release):
    if release == "cms-nanoaod":
        pt = ak.concatenate([events.Muon_pt, events.Electron_pt], axis=1)
    else:
        pt = events.lep_pt
    return ak.drop_none(ak.max(pt, axis=1))


@pytest.mark.parametrize("release", H4L)
def test_types_and_units_are_the_release_s(toy, release):
    folder = toy("h4l", release)
    for dataset in ("ggH", "data"):
        events = read(folder, release, dataset)
        for branch, kind in TYPES[release].items():
            assert str(events[branch].type).split(" * ", 1)[1] == kind, branch
        median = float(np.median(leading_pt(events, release)))
        expected = 50.0 if release in ("atlas-2025", "cms-nanoaod") else 50_000.0
        assert 0.5 * expected < median < 2 * expected


def test_branches_exist_in_the_published_files(toy, shared):
    """Every branch we write is one of theirs: the format is not our invention."""
    real = {
        "atlas-2016": "data/A/ATLAS8TeV_mc_105986.ZZ.root",
        "atlas-2020": "data/A/data_A.4lep.root",
        "atlas-2025": "data/A/ODEO_FEB2025_v0_exactly4lep_data15_periodD.exactly4lep.root",
    }
    for release, name in real.items():
        with uproot.open(shared(name)) as file:
            theirs = set(file[TREES[release]].keys())
        with uproot.open(toy("h4l", release) / "data.root") as file:
            ours = set(file[TREES[release]].keys())
        assert not ours - theirs, release


@pytest.mark.parametrize("release", H4L)
def test_events_are_unique_and_stamped(toy, release):
    folder = toy("h4l", release)
    nano = release == "cms-nanoaod"
    number, run = ("event", "run") if nano else ("eventNumber", "runNumber")
    data, signal = read(folder, release, "data"), read(folder, release, "ggH")
    for events in (data, signal):
        assert len(np.unique(events[number])) == len(events)
        assert ak.min(events[number]) > 0
    assert len(np.unique(data[run])) > 1
    assert len(np.unique(signal[run])) == 1
    if not nano:
        assert np.array_equal(data.channelNumber, data.runNumber)
        assert np.unique(signal.channelNumber).tolist() == [345060]


@pytest.mark.parametrize(
    ("job", "release"), [*(("h4l", name) for name in H4L), *(("hyy", name) for name in HYY)]
)
def test_bookkeeping_agrees_with_the_files(toy, job, release):
    folder = toy(job, release)
    fileset = json.loads((folder / "fileset.json").read_text())
    truth = json.loads((folder / "truth.json").read_text())
    assert truth["schema_version"] == 1
    assert set(fileset) == {*truth["processes"], "data"}
    for name, entry in fileset.items():
        metadata = entry["metadata"]
        ((url, tree),) = entry["files"].items()
        assert tree == TREES[release]
        assert not url.startswith("/")
        assert metadata["origin"] == "toy"
        with uproot.open(folder / url) as file:
            assert file.classnames(cycle=False)[tree] == "TTree"
            assert file[tree].num_entries == metadata["nevts"]
            weight = "genWeight" if release == "cms-nanoaod" else "mcWeight"
            if metadata["kind"] == "data":
                assert metadata["nevts"] == truth["pseudo_data_total"] == sum(truth["pseudo_data"].values())
                assert "xsec" not in metadata
                continue
            weights = file[tree][weight].array(library="np").astype(np.float64)
        assert weights.sum() == pytest.approx(metadata["sumw"], rel=1e-12)
        expected = truth["processes"][name]["expected_yield"]
        assert metadata["xsec"] * 1000 * metadata["lumi"] == pytest.approx(expected, rel=1e-12)
        assert abs(truth["pseudo_data"][name] - expected) < 5 * np.sqrt(expected) + 1
        if job == "h4l":
            assert metadata["nevts"] >= 20 * expected * 0.999
            assert metadata["group"] in {"signal", "ZZ*", "DY", "ttbar"}
        if release == "atlas-2020" and name == "ZZ":
            assert np.mean(weights < 0) == pytest.approx(0.05, abs=0.015)


def test_data_carry_the_real_release_s_traps(toy):
    data = read(toy("h4l", "atlas-2020"), "atlas-2020", "data")
    assert ak.all(data.mcWeight == 0)
    assert ak.all(data.scaleFactor_ELE == 0)
    assert ak.all(data.lep_pt_syst == 0)
    data = read(toy("h4l", "atlas-2025"), "atlas-2025", "data")
    assert ak.all(data.xsec == 0)
    assert ak.all(data.sum_of_weights == 1)


def test_per_event_cross_section_of_2025_is_the_fileset_s(toy):
    folder = toy("h4l", "atlas-2025")
    fileset = json.loads((folder / "fileset.json").read_text())
    events = read(folder, "atlas-2025", "ZZ")
    product = events.xsec[0] * events.kfac[0] * events.filteff[0]
    assert product == pytest.approx(fileset["ZZ"]["metadata"]["xsec"], rel=1e-5)
    assert events.sum_of_weights[0] == fileset["ZZ"]["metadata"]["sumw"]
    assert events.num_events[0] == len(events)


def test_2020_significance_and_2016_error(toy):
    """The same branch name means |d0|/sigma in 2020 and sigma [mm] in 2016."""
    for release in ("atlas-2016", "atlas-2020"):
        events = read(toy("h4l", release), release, "ggH")
        prompt = events.lep_truthMatched
        d0 = np.abs(ak.flatten(events.lep_trackd0pvunbiased[prompt]))
        other = ak.flatten(events.lep_tracksigd0pvunbiased[prompt])
        significance = d0 / other if release == "atlas-2016" else other
        # The mean of |x| of a unit Gaussian.
        assert ak.mean(significance) == pytest.approx(np.sqrt(2 / np.pi), rel=0.03)


def four_lepton_masses(events):
    """Simple 2020 selection: trigger, four isolated leptons, charge, flavour, 25/15/10 GeV; GeV."""
    good = (events.lep_ptcone30 < 0.3 * events.lep_pt) & (events.lep_etcone20 < 0.2 * events.lep_pt)
    good = good & (np.abs(events.lep_z0 / np.cosh(events.lep_eta)) < 0.5)
    good = good & (events.lep_tracksigd0pvunbiased < ak.where(events.lep_type == 11, 5.0, 3.0))
    fired = events.trigE | events.trigM
    columns = {
        name: events[f"lep_{name}"][good][fired] for name in ("pt", "eta", "phi", "E", "charge", "type")
    }
    four = ak.num(columns["pt"]) == 4
    pt, eta, phi, energy, charge, kind = (ak.to_numpy(column[four]) for column in columns.values())
    electrons = np.sum(kind == 11, axis=1)
    keep = (electrons % 2 == 0) & (charge.sum(axis=1) == 0) & (np.sum(charge * (kind == 11), axis=1) == 0)
    order = -np.sort(-pt, axis=1) / 1000.0
    keep &= (order[:, 0] > 25) & (order[:, 1] > 15) & (order[:, 2] > 10)
    px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    square = energy.sum(1) ** 2 - px.sum(1) ** 2 - py.sum(1) ** 2 - pz.sum(1) ** 2
    return np.sqrt(np.maximum(square, 0.0))[keep] / 1000.0


def test_yields_and_peak_of_a_plain_selection(toy):
    """Scaled back to full luminosity this is a discovery: some 13 signal on 3 background near 125 GeV."""
    folder = toy("h4l", "atlas-2020")
    fileset = json.loads((folder / "fileset.json").read_text())
    window, wide = {}, {}
    for name in ("ggH", "ZZ", "DY", "ttbar"):
        metadata = fileset[name]["metadata"]
        masses = four_lepton_masses(read(folder, "atlas-2020", name))
        scale = metadata["lumi"] / 0.2 * 1000 * metadata["xsec"] / metadata["nevts"]
        window[name] = scale * np.sum((masses > 121) & (masses < 130))
        wide[name] = scale * np.sum((masses > 80) & (masses < 170))
        if name == "ggH":
            assert np.median(masses) == pytest.approx(125.0, abs=0.2)
    background = sum(value for name, value in window.items() if name != "ggH")
    assert 10 < window["ggH"] < 20
    assert 2 < background < 7
    assert 20 < sum(wide.values()) - wide["ggH"] < 60


def test_mass_and_strength_move_the_signal(tmp_path):
    make("h4l", tmp_path, release="atlas-2020", seed=2, mu=5.0, scale=0.2, mass=135.0)
    truth = json.loads((tmp_path / "truth.json").read_text())
    assert (truth["mu"], truth["mass_gev"]) == (5.0, 135.0)
    expected = truth["processes"]["ggH"]["expected_yield"]
    assert abs(truth["pseudo_data"]["ggH"] - 5 * expected) < 5 * np.sqrt(5 * expected)
    assert np.median(four_lepton_masses(read(tmp_path, "atlas-2020", "ggH"))) == pytest.approx(135.0, abs=0.4)


def contents(folder, release):
    return {path.stem: read(folder, release, path.stem) for path in sorted(folder.glob("*.root"))}


def test_same_seed_same_arrays_and_mu_touches_data_only(tmp_path):
    for name, seed, mu in (("a", 1, 1.0), ("b", 1, 1.0), ("c", 2, 1.0), ("d", 1, 3.0)):
        make("h4l", tmp_path / name, release="atlas-2020", seed=seed, scale=0.02, mu=mu)
    first = contents(tmp_path / "a", "atlas-2020")
    again = contents(tmp_path / "b", "atlas-2020")
    other = contents(tmp_path / "c", "atlas-2020")
    strong = contents(tmp_path / "d", "atlas-2020")
    for name, events in first.items():
        assert ak.array_equal(events, again[name])
        assert not ak.array_equal(events, other[name])
        assert ak.array_equal(events, strong[name]) == (name != "data")
    assert (tmp_path / "a" / "fileset.json").read_bytes() == (tmp_path / "b" / "fileset.json").read_bytes()


def test_files_have_several_clusters(toy):
    with uproot.open(toy("h4l", "atlas-2020") / "ZZ.root") as file:
        assert file["mini"]["lep_pt"].num_baskets >= 2


def test_simulation_and_pseudo_data_are_independent(toy):
    folder = toy("h4l", "atlas-2020")
    data = read(folder, "atlas-2020", "data", filter_name="lep_pt")
    signal = read(folder, "atlas-2020", "ggH", filter_name="lep_pt")
    shared_values = np.isin(ak.to_numpy(ak.flatten(data.lep_pt)), ak.to_numpy(ak.flatten(signal.lep_pt)))
    assert shared_values.mean() < 0.01


@pytest.mark.parametrize("release", HYY)
def test_diphoton_peak(toy, release):
    events = read(toy("hyy", release), release, "ggH")
    prefix, unit = {
        "atlas-2020": ("photon", 1e-3),
        "atlas-2025": ("photon", 1.0),
        "cms-nanoaod": ("Photon", 1.0),
    }[release]
    two = ak.num(events[f"{prefix}_pt"]) == 2
    pt, eta, phi = (
        ak.to_numpy(events[f"{prefix}_{name}"][two]).astype(float) for name in ("pt", "eta", "phi")
    )
    angle = np.cosh(eta[:, 0] - eta[:, 1]) - np.cos(phi[:, 0] - phi[:, 1])
    masses = np.sqrt(2 * pt[:, 0] * pt[:, 1] * angle) * unit
    assert np.median(masses) == pytest.approx(125.0, abs=0.2)
    half = 0.5 * np.diff(np.quantile(masses, [0.1587, 0.8413]))[0]
    assert half == pytest.approx(1.7, abs=0.2)


@pytest.mark.parametrize(
    ("arguments", "near"),
    [
        ({"job": "h4", "release": "atlas-2020"}, "h4l"),
        ({"job": "h4l", "release": "atlas-2021"}, "atlas-2020"),
        ({"job": "hyy", "release": "atlas-2016"}, "atlas-2025"),
        ({"job": "h4l", "release": "atlas-2020", "scale": 0.0}, None),
        ({"job": "h4l", "release": "atlas-2020", "mu": -1.0}, None),
        ({"job": "h4l", "release": "atlas-2020", "seed": -1}, None),
        ({"job": "h4l", "release": "atlas-2020", "mass": float("nan")}, None),
    ],
)
def test_wrong_arguments_are_answered(tmp_path, arguments, near):
    job = arguments.pop("job")
    with pytest.raises(UsageError) as caught:
        make(job, tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()
    if near:
        assert near in caught.value.near


@pytest.mark.parametrize(
    ("job", "release"), [("survey", "physlite"), ("survey", "physlite-rntuple"), ("h4l", "atlas-2025")]
)
def test_a_generated_file_says_so_however_it_is_named(tmp_path, job, release):
    from femtobarn import api

    made = api.data_make(
        job, out=tmp_path, release=release, settings=("events=50", "signal=5") if job == "survey" else ()
    )
    files = sorted(tmp_path.glob("*.root"))
    _, plan = api.plan(api.Request(what="survey", files=[f"d={files[0]}"]))
    assert made.release == release
    assert [file.toy for file in plan.files] == [True]

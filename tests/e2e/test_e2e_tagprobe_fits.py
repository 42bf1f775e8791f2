"""The fitter on the reference toys: known efficiencies come back, bad fits are not called good."""

from __future__ import annotations

import json
import shutil

import correctionlib
import numpy as np
import pytest
import uproot

from femtobarn import api
from femtobarn.errors import DataError, FitError, UsageError
from femtobarn.export.egamma import read_egamma
from femtobarn.export.th1 import Histogram1D, root_file
from femtobarn.stats.passfail.building import PassFailOptions
from femtobarn.stats.passfail.fit import fit_pass_fail
from femtobarn.stats.passfail.input import read_root_bins

TRUTH = {"bin0": 0.62, "bin1": 0.80, "bin2": 0.91, "bin3": 0.95}
#: Errors of fits with the model the toys were drawn from.
ERRORS = {"bin0": 0.0129, "bin1": 0.0042, "bin2": 0.0017, "bin3": 0.0028}


@pytest.fixture(scope="module")
def run(shared, tmp_path_factory):
    """``tnp run-fitter`` on the reference configuration (its paths are relative to the checkout)."""
    folder = tmp_path_factory.mktemp("fitter")
    content = json.loads(shared("oracles/tagprobe/inputs/fitter_config.json").read_text())
    for group in content["input"].values():
        for label, name in group.items():
            group[label] = str(shared(name.removeprefix("../shared/")))
    (folder / "FIT.json").write_text(json.dumps(content))
    where, _ = api.run_fitter(folder / "FIT.json", out=folder / "f")
    return where


def fits(run, **wanted):
    return [
        one for one in json.loads((run / "fit.json").read_text())["fits"]
        if all(one[key] == value for key, value in wanted.items())
    ]  # fmt: skip


def test_known_efficiencies_come_back(run):
    found = fits(run, sample="data", variation="nominal")
    assert [one["bin"]["index"] for one in found] == [0, 1, 2, 3]
    for one in found:
        name = one["bin"]["name"][:4]
        assert one["status"] == "good", one["reasons"]
        assert abs(one["efficiency"]["value"] - TRUTH[name]) < 4 * ERRORS[name] + 0.006
        assert one["model"] == {"signal": "dcb", "background": "cms"}
    assert len(fits(run, sample="mc")) == 4
    assert {one["variation"] for one in fits(run, sample="data")} == {
        "nominal", "altSig", "altBkg", "altSigBkg", "massRangeUp", "massRangeDown", "binning",
    }  # fmt: skip


def test_scale_factors_agree_with_the_truth(run):
    simulated = {"bin0": 0.66, "bin1": 0.83, "bin2": 0.925, "bin3": 0.955}
    rows = json.loads((run / "tables" / "scale_factors.json").read_text())["rows"]
    assert len(rows) == 4
    for row in rows:
        name = row["bin"][:4]
        assert row["eff_mc"] == pytest.approx(simulated[name], abs=4 * row["eff_mc_stat"])
        assert row["sf"] == pytest.approx(TRUTH[name] / simulated[name], abs=3 * row["total"])
        assert row["total"] ** 2 == pytest.approx(row["stat"] ** 2 + row["syst"] ** 2)
    assert json.loads((run / "results.json").read_text())["scale_factors"]["SF"].keys() == {
        r["bin"] for r in rows
    }


def test_what_the_run_leaves_behind(run):
    assert (run / "report.html").exists()
    page = (run / "plots" / "fits" / "index.html").read_text()
    canvases = list((run / "plots" / "fits").glob("*.png"))
    assert len(canvases) == 32
    assert all(one.name in page for one in canvases)
    assert (run / "plots" / "efficiency_SF_passing.png").exists()


def test_one_bin_again_keeps_the_rest_and_its_history(run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    before = fits(copy)
    api.refit_bin(copy, "1", model="genz_exp", starts=["sigma_p=2.0,1,4"])
    after = fits(copy)
    changed = [k for k, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    assert len(changed) == 1
    new = after[changed[0]]
    assert (new["bin"]["index"], new["sample"], new["variation"]) == (1, "data", "nominal")
    assert new["model"] == {"signal": "genz", "background": "exp"}
    assert new["efficiency"]["value"] == pytest.approx(0.7995, abs=0.001)
    assert [one["model"]["signal"] for one in new["history"]] == ["dcb"]
    with pytest.raises(UsageError, match="there is no bin '7'"):
        api.refit_bin(copy, "7")
    with pytest.raises(UsageError, match="no variation 'altMC'"):
        api.refit_bin(copy, "bin1", variation="altMC")
    with pytest.raises(UsageError, match="NAME=START"):
        api.refit_bin(copy, "bin1", starts=["sigma_p"])


@pytest.mark.parametrize("verb", [api.status, api.resume], ids=["status", "resume"])
def test_fits_of_files_are_no_run_in_parts(run, verb):
    with pytest.raises(UsageError, match="not in parts"):
        verb(run)


def test_fits_of_nothing_fail_with_the_reason(tmp_path):
    edges, nothing = np.linspace(60.0, 120.0, 61), np.zeros(60)
    names = ("bin0_pt_20p00To30p00_Pass", "bin0_pt_20p00To30p00_Fail")
    made = [Histogram1D(name, edges, nothing, nothing, 0.0) for name in names]
    (tmp_path / "empty.root").write_bytes(root_file(made))
    config = {"input": {"root_files_DATA": {"D": str(tmp_path / "empty.root")}}, "fit": {"variations": []}}
    (tmp_path / "FIT.json").write_text(json.dumps(config))
    with pytest.raises(FitError, match="all 1 fits failed: no probes in the fit range"):
        api.run_fitter(tmp_path / "FIT.json", out=tmp_path / "f")
    assert (tmp_path / "f/report.html").exists()


def test_another_configuration_needs_fresh(run, tmp_path):
    content = json.loads((run.parent / "FIT.json").read_text())
    content["fit"] |= {"fit_type": "g_exp", "variations": [], "bin": "bin3"}
    (tmp_path / "FIT.json").write_text(json.dumps(content))
    with pytest.raises(UsageError, match="another configuration"):
        api.run_fitter(tmp_path / "FIT.json", out=run)


def test_the_true_model_finds_what_an_independent_fit_found(shared):
    truth = json.loads(shared("oracles/tagprobe/toy4_truth.json").read_text())
    bins = read_root_bins(shared("oracles/tagprobe/toy4_data.root"), "D").bins
    for (place, spectra), one in zip(bins, truth["bins"], strict=True):
        assert place.name == one["name"]
        found = fit_pass_fail(spectra, PassFailOptions(model="voigt_exp"))
        want = one["independent_fit"]
        assert found.efficiency == pytest.approx(want["efficiency"], abs=0.02 * want["hesse"] + 5e-5)
        assert found.hesse == pytest.approx(want["hesse"], rel=0.01)
        assert found.yields["signal"] == pytest.approx(want["signal"], rel=2e-3)
        assert found.status == "good"


@pytest.mark.parametrize("signal", ["dcb", "dv", "g", "cbg"])
@pytest.mark.parametrize("background", ["exp", "lin", "cms", "cheb", "bpoly", "ps"])
def test_every_model_is_right_or_not_good(shared, signal, background):
    ((_, spectra),) = read_root_bins(shared("oracles/tagprobe/toy1_data.root"), "D").bins
    found = fit_pass_fail(spectra, PassFailOptions(model=f"{signal}_{background}"))
    assert found.efficiency is not None
    assert found.status != "good" or abs(found.efficiency - 0.85) < 0.01
    assert found.status == "good" or found.reasons


def test_closure(tmp_path):
    """30 toys here; the full study is in bench/closure_tagprobe_fits.py."""
    _, row = api.tnp_closure(toys=30, seed=1, efficiency=0.85, model="dcb_cms", out=tmp_path)
    assert row["failed"] == 0
    assert abs(row["pull_mean"]) < 3 / np.sqrt(30)
    assert 0.65 < row["pull_width"] < 1.35
    stored = json.loads((tmp_path / "tables" / "closure.json").read_text())
    assert {"toys", "failed", "efficiency_true", "pull_mean", "pull_width", "coverage68"} <= stored.keys()


def test_exports_are_read_by_the_programs_they_are_for(run, tmp_path):
    rows = json.loads((run / "tables" / "scale_factors.json").read_text())["rows"]
    api.export(run, "correctionlib", out=tmp_path / "sf.json", year="2023")
    correction = correctionlib.CorrectionSet.from_file(str(tmp_path / "sf.json"))["TagAndProbe-SF"]
    assert [one.name for one in correction.inputs] == ["year", "ValType", "WorkingPoint", "eta", "pt"]
    for row in rows:
        pt = 0.5 * sum(row["edges"]["pt"])
        get = lambda kind, pt=pt: correction.evaluate("2023", kind, "passing", 0.5, pt)  # noqa: E731
        assert get("sf") == pytest.approx(row["sf"], rel=1e-12)
        assert get("sfup") == pytest.approx(row["sf"] + row["total"], rel=1e-12)
        assert get("sfdown") == pytest.approx(row["sf"] - row["total"], rel=1e-12)
        assert get("stat_up") == pytest.approx(row["sf"] + row["stat_up"], rel=1e-12)
        assert get("syst_down") == pytest.approx(row["sf"] - row["syst"], rel=1e-12)
        for name, shift in row["sources"].items():
            assert get(f"{name}up") == pytest.approx(row["sf"] + shift, rel=1e-12)
            assert get(f"{name}down") == pytest.approx(row["sf"] - shift, rel=1e-12)
    # Beyond the last bin its value holds.
    assert correction.evaluate("2023", "sf", "passing", 9.0, 1e6) == pytest.approx(rows[-1]["sf"], rel=1e-12)

    api.export(run, "egamma", out=tmp_path / "sf.txt")
    lines = read_egamma((tmp_path / "sf.txt").read_text())
    assert len(lines) == 4
    for line, row in zip(lines, rows, strict=True):
        assert line[2:4] == row["edges"]["pt"]
        assert line[4:8] == pytest.approx(
            [row[k] for k in ("eff_data", "eff_data_stat", "eff_mc", "eff_mc_stat")], abs=1e-6
        )
        assert line[8] == pytest.approx(row["alternatives"]["altBkg"][0], abs=1e-6)
        assert line[10] == -1
    assert (tmp_path / "sf.txt").read_text().startswith("### var1")

    api.export(run, "root", out=tmp_path / "sf.root")
    with uproot.open(tmp_path / "sf.root") as file:
        assert file["EGamma_SF2D"].classname == "TH2F"
        assert {"EGamma_EffData2D;1", "EGamma_EffMC2D;1", "altSig;1", "statData;1"} <= set(file.keys())
        assert file["EGamma_SF2D"].values()[0] == pytest.approx([row["sf"] for row in rows], rel=1e-6)
        assert file["EGamma_SF2D"].errors()[0] == pytest.approx([row["total"] for row in rows], rel=1e-6)
        assert file["EGamma_SF2D"].axis(1).edges().tolist() == [10, 20, 35, 50, 100]

    for kind in ("json", "csv", "parquet", "hepdata"):
        assert api.export(run, kind, out=tmp_path / f"out_{kind}").paths


def test_bins_that_are_not_good_are_not_exported_unless_asked(run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    path = copy / "tables" / "scale_factors.json"
    content = json.loads(path.read_text())
    content["rows"][1] |= {"status": "suspect"}
    content["rows"][2] |= {"status": "failed", "sf": None, "total": None, "stat": None, "syst": None}
    path.write_text(json.dumps(content))
    for kind in ("correctionlib", "egamma", "root", "hepdata"):
        with pytest.raises(DataError, match="2 of 4 bins are not good"):
            api.export(copy, kind, out=tmp_path / "x")
    done = api.export(copy, "correctionlib", out=tmp_path / "sf.json", allow_suspect=True)
    assert any("bin2" in note for note in done.notes)
    correction = correctionlib.CorrectionSet.from_file(str(tmp_path / "sf.json"))["TagAndProbe-SF"]
    assert correction.evaluate("any", "sf", "passing", 0.0, 40.0) == 1.0
    assert correction.evaluate("any", "sfup", "passing", 0.0, 40.0) == 2.0

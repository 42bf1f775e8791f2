from __future__ import annotations

import contextlib
import copy
import json

import hist
import numpy as np
import pytest
import uproot
import yaml

from femtobarn.errors import ConfigError, DataError, FemtobarnError
from femtobarn.stats import Model, fit, profile
from femtobarn.stats.histfactory.cabinetry import load_cabinetry
from femtobarn.stats.histfactory.template_input import rebin


def differences(mine, theirs, path=""):
    if isinstance(mine, dict):
        assert set(mine) == set(theirs), path
        return max((differences(mine[k], theirs[k], f"{path}/{k}") for k in mine), default=0.0)
    if isinstance(mine, list):
        assert len(mine) == len(theirs), path
        pairs = zip(mine, theirs, strict=True)
        return max((differences(a, b, f"{path}/{i}") for i, (a, b) in enumerate(pairs)), default=0.0)
    if isinstance(mine, float) or (isinstance(mine, int) and not isinstance(mine, bool)):
        return abs(mine - theirs) / max(1.0, abs(theirs))
    assert mine == theirs, path
    return 0.0


@pytest.mark.parametrize("kind", ["", "_smooth"])
def test_the_agc_yaml_gives_the_reference_workspace(shared, monkeypatch, kind):
    shared("data/C/AGC_histograms.root")
    # The paths of the YAML are relative to a folder beside the shared one.
    monkeypatch.chdir(shared("data").parent / "..")
    folder = shared(f"oracles/stats/agc_cabinetry{kind}.yml").resolve()
    text = folder.read_text().replace("../shared/", str(shared("data").parent.resolve()) + "/")
    made = _load_text(text, monkeypatch)
    want = json.loads(shared(f"oracles/stats/workspace_agcroot5{kind}.json").read_text())
    assert differences(made.workspace.to_json(), want) < 1e-9
    assert any("4j2b_ttbar: 2680.39 events outside 110-550" in note for note in made.notes)
    assert any("variations too" in note for note in made.notes)
    assert len(made.notes) < 20
    assert any("HistogramFolder" in text for text in made.not_honoured)


def _load_text(text, monkeypatch):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.yml"
        path.write_text(text)
        return load_cabinetry(path)


def test_the_agc_yaml_gives_the_reference_fit(shared, monkeypatch):
    shared("data/C/AGC_histograms.root")
    text = shared("oracles/stats/agc_cabinetry.yml").read_text()
    text = text.replace("../shared/", str(shared("data").parent.resolve()) + "/")
    model = Model(_load_text(text, monkeypatch).workspace)
    result = fit(model)
    assert result.value("ttbar_norm") == pytest.approx(0.96015, abs=1e-5)
    assert result.error("ttbar_norm") == pytest.approx(0.09105, abs=1e-5)
    found = profile(model, "ttbar_norm", result=result)
    assert (found.up, found.down) == pytest.approx((0.09791, -0.08541), abs=1e-5)


@pytest.fixture
def small(tmp_path):
    axis = hist.axis.Regular(6, 0, 60, name="x")

    def histogram(values):
        h = hist.Hist(axis, storage=hist.storage.Weight())
        h.view().value = values
        h.view().variance = np.asarray(values) / 2
        return h

    with uproot.recreate(tmp_path / "h.root") as file:
        file["sr_data"] = histogram([3, 10, 12, 8, 5, 2])
        file["sr_sig"] = histogram([0, 2, 4, 2, 1, 0])
        file["sr_bkg"] = histogram([4, 8, 8, 6, 4, 1])
        file["sr_bkg_up"] = histogram([4, 9, 9, 6, 4, 1])
    config = {
        "General": {
            "Measurement": "m",
            "POI": "mu",
            "InputPath": "h.root:{RegionPath}_{SamplePath}{VariationPath}",
            "VariationPath": "",
        },
        "Regions": [{"Name": "SR", "RegionPath": "sr", "Variable": "x", "Binning": [10, 30, 50]}],
        "Samples": [
            {"Name": "Data", "SamplePath": "data", "Data": True},
            {"Name": "S", "SamplePath": "sig", "DisableStaterror": True},
            {"Name": "B", "SamplePath": "bkg"},
        ],
        "Systematics": [
            {
                "Name": "V",
                "ModifierName": "v",
                "Type": "NormPlusShape",
                "Samples": "B",
                "Up": {"VariationPath": "_up"},
                "Down": {"Symmetrize": True},
            },
            {
                "Name": "L",
                "Type": "Normalization",
                "Up": {"Normalization": 0.05},
                "Down": {"Normalization": -0.05},
            },
        ],
        "NormFactors": [{"Name": "mu", "Samples": "S", "Nominal": 1, "Bounds": [0, 5]}],
    }

    def load(change=None):
        if change:
            change(config)
        (tmp_path / "m.yml").write_text(yaml.safe_dump(config))
        return load_cabinetry(tmp_path / "m.yml")

    return load


def test_paths_beside_the_yaml_rebinning_and_names(small):
    made = small()
    channel = made.workspace.channels[0]
    assert made.workspace.observations[0].data == (22.0, 13.0)
    assert [s.data for s in channel.samples] == [(6.0, 3.0), (16.0, 10.0)]
    background = {(m.kind, m.name) for m in channel.samples[1].modifiers}
    assert background == {
        ("staterror", "staterror_SR"),
        ("normsys", "v"),
        ("histosys", "v"),
        ("normsys", "L"),
    }
    assert ("staterror", "staterror_SR") not in {(m.kind, m.name) for m in channel.samples[0].modifiers}
    assert any("sr_data: 5 events outside 10-50" in note for note in made.notes)
    assert fit(Model(made.workspace)).status == "ok"


def test_a_missing_histogram_names_file_key_and_neighbours(small):
    def change(config):
        config["Systematics"][0]["Up"]["VariationPath"] = "_upp"

    with pytest.raises(ConfigError) as error:
        small(change)
    assert "h.root: there is no histogram 'sr_bkg_upp' (near: sr_bkg_up" in str(error.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.update(Sytematics=[]), "unknown section 'Sytematics' (did you mean Systematics?)"),
        (lambda c: c["Samples"][1].update(Filter="x > 3"), "Filter needs ntuple input"),
        (
            lambda c: c["Samples"][1].update(SamplePat="x"),
            "unknown key 'SamplePat' (did you mean SamplePath?)",
        ),
        (lambda c: c["Regions"][0].update(Binning=[15, 30]), "15 are not bin edges"),
        (lambda c: c["NormFactors"][0].update(Samples="SS"), "there is no sample 'SS'"),
        (lambda c: c["Samples"][0].update(Data=False), "exactly one sample"),
        (lambda c: c["Systematics"][0].update(Type="Shape"), "neither Normalization nor NormPlusShape"),
        (lambda c: c["Systematics"][0].update(Smoothing={"Algorithm": "lowess"}), "is not '353QH, twice'"),
        (lambda c: c["General"].pop("InputPath"), "'InputPath' is missing"),
        (lambda c: c["General"].update(POI="muu"), "no parameter 'muu'"),
        (lambda c: c["Regions"][0].update(Binning=[10, "x"]), "Binning is not a list of at least two rising"),
        (
            lambda c: c["NormFactors"][0].update(Bounds=[0]),
            "NormFactors 'mu': Bounds is not two numbers but [0]",
        ),
        (lambda c: c.update(Samples="B"), "Samples is not a list but 'B'"),
    ],
)
def test_mistakes_are_named(small, change, words):
    with pytest.raises(ConfigError) as error:
        small(change)
    assert words in str(error.value)


def _places(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _places(item, (*path, key))


@pytest.mark.parametrize("bad", [None, [], {"a": 1}, "text", -1.0])
def test_anything_anywhere_is_a_model_or_an_answer(small, tmp_path, bad):
    small()
    document = yaml.safe_load((tmp_path / "m.yml").read_text())
    for path in list(_places(document))[1:]:
        broken = copy.deepcopy(document)
        parent = broken
        for key in path[:-1]:
            parent = parent[key]
        parent[path[-1]] = bad
        (tmp_path / "broken.yml").write_text(yaml.safe_dump(broken))
        with contextlib.suppress(FemtobarnError):
            load_cabinetry(tmp_path / "broken.yml")


def test_what_the_bins_mean_is_kept(small):
    axis = small(lambda c: c["Regions"][0].update(Variable="$H_T$ [GeV]")).axes["SR"]
    assert (axis.name, axis.unit, axis.edges) == ("$H_T$", "GeV", (10.0, 30.0, 50.0))


def test_input_that_is_not_there_and_text_that_is_not_yaml(small, tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        small(lambda c: c["General"].update(InputPath="none.root:{SamplePath}"))
    (tmp_path / "bad.yml").write_text("General: [")
    with pytest.raises(ConfigError, match="is not YAML"):
        load_cabinetry(tmp_path / "bad.yml")


def test_rebinning_adds_values_and_variances_and_counts_what_it_drops():
    edges = np.arange(0.0, 7.0)
    values, variances, lost = rebin(np.arange(6.0), np.ones(6), edges, np.array([1.0, 3.0, 5.0]))
    assert values.tolist() == [3.0, 7.0]
    assert variances.tolist() == [2.0, 2.0]
    assert lost == 5.0

"""Configuration files of other programs, as they are: each runs unchanged on built-in samples."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import uproot

from femtobarn import api
from femtobarn.deliver import deliver

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture(autouse=True)
def _beside_the_samples(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_quartet_of_egamma_tnp(tmp_path):
    api.data_make("tagprobe", out="toy", settings=["events=3000"])
    shutil.copy(EXAMPLES / "tagprobe" / "fileset.json", "fileset.json")  # relative paths are relative to it
    files = {"config": "runner", "settings": "settings", "binning": "binning"}
    named = {option: str(EXAMPLES / "tagprobe" / f"{file}.json") for option, file in files.items()}
    api.tnp(api.TnpRequest(**named, fileset="fileset.json", output="run", executor="serial"), pages=False)
    rows = json.loads(Path("run/tables/efficiency.json").read_text())["rows"]
    total = {(row["dataset"], row["filter"]): row["efficiency"] for row in rows if row["bin"] is None}
    filters = ("HLT_Ele30_WPTight_Gsf", "cutBased >= 4")
    assert set(total) == {(dataset, name) for dataset in ("Data", "DYto2L") for name in filters}
    truth = json.loads(Path("toy/truth.json").read_text())["identification"]
    low, high = sorted(truth["mc"])
    assert low < total["DYto2L", "cutBased >= 4"] < high


def test_the_configuration_of_the_survey():
    api.data_make("survey", out="toy", release="physlite", settings=["events=2000"])
    asked = api.SurveyRequest(config=str(EXAMPLES / "survey" / "config.yaml"), files=["toy=toy/survey.root"],
                              run_dir="run", executor="serial")  # fmt: skip
    api.survey(asked)
    signatures = api.open("run").tables["signatures"]
    exported = [
        n for n, status in zip(signatures["n"], signatures["status"], strict=True) if status == "exported"
    ]
    assert min(exported) >= 50
    (file,) = Path("run/histograms").rglob("*.root")
    with uproot.open(file) as stored:
        assert len(stored.keys()) == len(exported)


def test_the_specification_of_servicex():
    api.data_make("dimuon", out="toy", events=500)
    shutil.copy(EXAMPLES / "servicex" / "spec.yaml", "spec.yaml")
    delivered = deliver("spec.yaml")
    found = {name: pq.read_table(delivered[name][0]) for name in ("pairs", "leading")}
    pt = found["pairs"]["pt"].to_pylist()
    assert 0 < len(pt) < 500
    assert all(sum(p > 20 for p in muons) >= 2 for muons in pt)
    assert min(found["leading"]["nMuon"].to_pylist()) >= 2


def test_the_configuration_of_cabinetry():
    edges = np.array([100.0, 110, 120, 130, 140])
    contents = {"data": [104, 99, 118, 88], "signal": [1, 4, 20, 2], "background": [100, 95, 95, 90],
                "background_shape_up": [102, 96, 94, 88]}  # fmt: skip
    with uproot.recreate("spectra.root") as file:
        for name, counts in contents.items():
            file[f"sr_{name}"] = (np.array(counts, dtype=float), edges)
    fitted = api.fit(EXAMPLES / "cabinetry" / "model.yml", out="fit")
    mu = fitted["mle"]["parameters"]["mu"]
    assert mu["value"] == pytest.approx(1.15, abs=0.3)
    assert fitted["mle"]["status"] == "ok"

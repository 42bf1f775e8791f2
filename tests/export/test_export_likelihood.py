from __future__ import annotations

import json

import numpy as np
import pytest
import yaml

from femtobarn.export.datacard import export_datacard, legal_names, read_datacard
from femtobarn.export.hepdata import export_hepdata
from femtobarn.export.pyhf import export_pyhf
from femtobarn.stats import Model, fit, read_workspace
from femtobarn.stats.histfactory.build import ChannelAxis
from femtobarn.stats.histfactory.transform import correlate
from femtobarn.stats.histfactory.workspace_reader import parse_workspace


@pytest.fixture
def agc(shared):
    return read_workspace(shared("oracles/stats/workspace_1.json"))


@pytest.fixture
def zoo(shared):
    documents = json.loads(shared("oracles/stats/zoo_workspaces.json").read_text())
    return lambda name: Model(parse_workspace(documents[name]))


def test_pyhf_round_trip_is_identical(agc, tmp_path):
    written = export_pyhf(agc, tmp_path / "w.json")
    again = read_workspace(written.path)
    x = agc.init + 0.1
    assert again.twice_nll(x) == agc.twice_nll(x)
    assert written.notes == ()


def test_pyhf_export_of_correlated_constraints_says_what_it_did(zoo, tmp_path):
    model = Model(correlate(zoo("higgs_like").workspace, "xsH", "xsZZ", 0.5), interp={"normsys": "code1"})
    written = export_pyhf(model, tmp_path / "w.json")
    assert any("rotated" in note for note in written.notes)
    assert any("code1" in note for note in written.notes)
    joint, again = fit(model), fit(Model(written.workspace, interp={"normsys": "code1"}))
    # Norm effects are powers of the parameters in code1, so the rotation is almost exact.
    assert again.value("mu") == pytest.approx(joint.value("mu"), abs=1e-2 * joint.error("mu"))
    assert again.error("mu") == pytest.approx(joint.error("mu"), rel=1e-2)


def test_datacard_read_back_has_the_same_yields(agc, tmp_path):
    card = export_datacard(agc, tmp_path)
    back = read_datacard(tmp_path)
    for channel in agc.channels:
        name = card.names["channels"][channel.name]
        for sample in channel.samples:
            got = back.processes[name][card.names["processes"][sample.name]]
            assert got == pytest.approx(sample.data, rel=1e-9)
        assert back.data[name] == pytest.approx(agc.observed[agc.bins[channel.name]], rel=1e-9)
    names = json.loads(card.mapping.read_text())
    assert names["names"]["processes"]["single top, s-channel"] == "single_top_s_channel"
    assert names["not_held"]


def test_datacard_lines(zoo, tmp_path):
    card = export_datacard(zoo("all_modifiers"), tmp_path)
    rows = [line.split() for line in card.card.read_text().splitlines()]
    table = {row[0]: row for row in rows if row}
    assert table["imax"] == ["imax", "2"]
    numbers = [row for row in rows if row and row[0] == "process"][1][1:]
    assert numbers == ["1", "2", "2", "3", "0"] or min(int(n) for n in numbers) == 0
    assert table["th"][1] == "lnN"
    assert "0.95/1.06" in table["th"]
    assert table["jes"][1] == "shape"
    assert table["lumi"][1:3] == ["lnN", "-"] or "1.017" in table["lumi"]
    rates = [row for row in rows if len(row) > 1 and row[1] == "rateParam"]
    assert {row[0] for row in rates} == {"k_tt"}
    assert ["sr", "autoMCStats", "0", "1"] in rows
    assert any("shapefactor" in note for note in card.notes)
    assert any("fake_unc_bin0" in row[0] for row in rows if row)


def test_shape_templates_include_the_norm_part(zoo, tmp_path):
    import uproot

    model = zoo("all_modifiers")
    export_datacard(model, tmp_path)
    sample = next(s for c in model.channels if c.name == "sr" for s in c.samples if s.name == "tt")
    shape = next(m for m in sample.modifiers if m.kind == "histosys")
    norm = next(m for m in sample.modifiers if m.kind == "normsys")
    with uproot.open(tmp_path / "shapes.root") as file:
        assert file["sr/tt_jesUp"].values() == pytest.approx(np.array(shape.hi) * norm.hi[0])
        assert file["sr/tt_jesDown"].values() == pytest.approx(np.array(shape.lo) * norm.lo[0])
        stat = next(m for m in sample.modifiers if m.kind == "staterror")
        assert file["sr/tt"].errors() == pytest.approx(stat.sizes)


def test_legal_names_are_unique():
    names = legal_names(["a b", "a,b", "1st", "ok", "+"])
    assert names == {"a b": "a_b", "a,b": "a_b_2", "1st": "n_1st", "ok": "ok", "+": "x"}


def test_hepdata_tables_hold_the_fit(agc, tmp_path):
    result = fit(agc)
    axes = {"4j1b CR": ChannelAxis("HT", "GEV", tuple(float(e) for e in range(110, 551, 40)))}
    written = export_hepdata(agc, tmp_path, result=result, axes=axes, keywords={"cmenergies": ("13000.0",)})
    documents = list(yaml.safe_load_all((tmp_path / "submission.yaml").read_text()))
    assert documents[0]["additional_resources"][0]["location"] == "workspace.json"
    assert [d["name"] for d in documents[1:]] == [
        "Yields in 4j1b CR",
        "Yields in 4j2b SR",
        "Correlation matrix",
    ]
    assert all((tmp_path / d["data_file"]).exists() for d in documents[1:])
    table = yaml.safe_load((tmp_path / documents[1]["data_file"]).read_text())
    assert table["independent_variables"][0]["values"][0] == {"low": 110.0, "high": 150.0}
    columns = {c["header"]["name"]: c["values"] for c in table["dependent_variables"]}
    total = [v["value"] for v in columns["Total expectation"]]
    assert total == pytest.approx(agc.expected(result.values)[:11])
    parts = np.sum([[v["value"] for v in columns[s]] for s in agc.samples], axis=0)
    assert parts == pytest.approx(total)
    assert columns["Total expectation"][0]["errors"][0]["symerror"] > 0.0
    assert len(written.files) == 5


def test_hepdata_without_a_fit_is_prefit_and_has_no_correlations(zoo, tmp_path):
    written = export_hepdata(zoo("higgs_like"), tmp_path)
    assert not (tmp_path / "correlations.yaml").exists()
    assert "pre-fit" in (tmp_path / "submission.yaml").read_text()
    assert len(written.files) == 3

from __future__ import annotations

import json

import numpy as np
import pytest

from femtobarn.errors import ConfigError, UsageError
from femtobarn.stats import Model
from femtobarn.stats.histfactory.full_fit import FitOptions, fit_workspace, load_model, run_fit
from femtobarn.stats.histfactory.patch import apply_patch, apply_patch_file
from femtobarn.stats.histfactory.workspace_reader import parse_workspace


@pytest.fixture
def zoo(shared, tmp_path):
    documents = json.loads(shared("oracles/stats/zoo_workspaces.json").read_text())

    def find(name):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(documents[name]))
        return path

    return find


def test_the_acceptance_request_on_the_agc_workspace(shared):
    options = FitOptions(
        profile=("ttbar_norm",),
        ranking=True,
        gof="saturated",
        significance=True,
        hypotest=(1.0,),
        postfit=True,
    )
    outcome = run_fit(load_model(shared("oracles/stats/workspace_1.json"), options), options)
    out = json.loads(json.dumps(outcome.fit_json, allow_nan=False))
    norm = out["mle"]["parameters"]["ttbar_norm"]
    assert out["mle"]["status"] == "ok"
    assert out["workspace"]["n_parameters"] == 34
    assert norm["value"] == pytest.approx(0.96077, abs=1e-5)
    assert norm["hesse"] == pytest.approx(0.10821, abs=1e-5)
    assert norm["profile_up"] == pytest.approx(0.11705, abs=1e-5)
    assert norm["profile_down"] == pytest.approx(-0.10078, abs=1e-5)
    assert out["mle"]["twice_nll"] == pytest.approx(141.33353, abs=1e-5)
    assert (out["goodness_of_fit"]["q"], out["goodness_of_fit"]["ndof"]) == (
        pytest.approx(1.72057, abs=1e-5),
        21,
    )
    assert out["hypotests"][0]["q"] == pytest.approx(0.12429, abs=1e-5)
    assert out["hypotests"][0]["cls"] == pytest.approx(0.36221, abs=1e-5)
    assert out["significance"]["z0"] > 50
    assert out["significance"]["log_p0"] < -100
    assert set(outcome.tables) == {
        "observed.csv",
        "yields_prefit.csv",
        "yields_postfit.csv",
        "ranking.csv",
        "pulls.csv",
        "correlation.csv",
    }
    assert "limit" not in out
    assert "scans" not in out


def test_tables_add_up_to_the_expectation(zoo):
    options = FitOptions(postfit=True)
    outcome = run_fit(load_model(zoo("all_modifiers"), options), options)
    for name, x in (("yields_prefit.csv", outcome.model.init), ("yields_postfit.csv", outcome.result.values)):
        rows = outcome.tables[name].rows
        totals = [row[3] for row in rows if row[2] == "total"]
        parts = {}
        for channel, number, sample, value, _ in rows:
            if sample != "total":
                parts[channel, number] = parts.get((channel, number), 0.0) + value
        assert totals == pytest.approx(list(parts.values()))
        assert totals == pytest.approx(outcome.model.expected(x))
    text = outcome.tables["yields_postfit.csv"].to_csv().splitlines()
    assert text[0] == "channel,bin,sample,value,error"
    assert len(text) == 1 + len(outcome.tables["yields_postfit.csv"].rows)


def test_total_error_is_that_of_counting_when_one_free_norm_describes_all(tmp_path):
    document = {
        "version": "1.0.0",
        "channels": [
            {
                "name": "c",
                "samples": [
                    {
                        "name": "s",
                        "data": [40.0],
                        "modifiers": [{"name": "k", "type": "normfactor", "data": None}],
                    }
                ],
            }
        ],
        "observations": [{"name": "c", "data": [100.0]}],
        "measurements": [{"name": "m", "config": {"poi": "k", "parameters": []}}],
    }
    (tmp_path / "w.json").write_text(json.dumps(document))
    options = FitOptions(postfit=True)
    outcome = run_fit(load_model(tmp_path / "w.json", options), options)
    total = outcome.tables["yields_postfit.csv"].rows[-1]
    assert total[3:] == pytest.approx((100.0, 10.0), rel=1e-6)


def test_everything_at_once_is_strict_json(zoo):
    options = FitOptions(
        profile=("all",),
        ranking=True,
        gof="saturated",
        significance=True,
        limit=True,
        hypotest=(1.0,),
        scan=(("mu", 0.0, 2.0, 5),),
        scan2d=(("mu", "xsZZ"),),
        toys=20,
        prune=0.001,
    )
    out = run_fit(load_model(zoo("higgs_like"), options), options).fit_json
    json.dumps(out, allow_nan=False)
    assert len(out["scans"][0]["points"]) == 5
    assert out["toys"]["n"] == 20
    assert len(out["toys"]["hypotests"]) == 1
    assert out["limit"]["expected"][2] == pytest.approx(0.854595, abs=1e-5)
    assert all(p["profile_up"] is not None for p in out["mle"]["parameters"].values())
    assert out["groups"]["impacts"]["statistics"] > 0


def test_asimov_data_give_back_what_made_them(zoo):
    model = load_model(zoo("higgs_like")).model
    out = fit_workspace(model, FitOptions(asimov={"mu": 1.5}))
    assert out["mle"]["parameters"]["mu"]["value"] == pytest.approx(1.5, abs=1e-6)


def test_a_parameter_at_its_bound_has_no_error(zoo):
    out = fit_workspace(load_model(zoo("shapesys_2bin")).model, FitOptions(profile=("mu",)))
    mu = out["mle"]["parameters"]["mu"]
    assert out["mle"]["at_bound"] == ["mu"]
    assert mu["value"] == 0.0
    assert mu["hesse"] is None
    assert mu["profile_down"] is None
    assert mu["profile_up"] > 0.0
    assert any("hits_bound" in text for text in out["warnings"])


def test_options_are_checked_before_the_fit(zoo):
    model = load_model(zoo("two_measurements")).model
    with pytest.raises(UsageError) as error:
        fit_workspace(model, FitOptions(fix={"n2": 0.0}, scan=(("mo", 0.0, 1.0, 2),)))
    assert "'n2'" in str(error.value)
    assert "'mo'" in str(error.value)
    with pytest.raises(UsageError, match="no measurement"):
        load_model(zoo("two_measurements"), FitOptions(measurement="n"))


def test_measurement_poi_fix_and_channels(zoo):
    chosen = load_model(zoo("two_measurements"), FitOptions(measurement="kb_as_poi"))
    assert chosen.model.poi == "kb"
    other = load_model(
        zoo("all_modifiers"), FitOptions(poi="k_tt", channels=("sr",), decorrelate=(("jes", "sample"),))
    )
    assert other.model.poi == "k_tt"
    assert list(other.model.bins) == ["sr"]
    assert "jes_tt" in other.model.names
    out = fit_workspace(other.model, FitOptions(fix={"mu": 1.0}))
    assert out["mle"]["parameters"]["mu"]["fixed"]
    assert out["mle"]["parameters"]["mu"]["hesse"] == 0.0


def test_a_failed_fit_gives_no_derived_numbers():
    norms = [{"name": n, "type": "normfactor", "data": None} for n in ("mu", "k")]
    model = Model(
        parse_workspace(
            {
                "version": "1.0.0",
                "channels": [{"name": "c", "samples": [{"name": "s", "data": [5.0], "modifiers": norms}]}],
                "observations": [{"name": "c", "data": [6.0]}],
                "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}],
            }
        )
    )
    out = fit_workspace(model, FitOptions(significance=True, limit=True, ranking=True, profile=("all",)))
    assert out["mle"]["status"] == "failed"
    assert "flat along" in out["mle"]["message"]
    assert out["mle"]["parameters"]["mu"]["hesse"] is None
    assert not {"significance", "limit", "ranking"} & set(out)
    json.dumps(out, allow_nan=False)


def test_json_patch_operations():
    document = {"a": [1, 2], "b/c": {"d": 3}}
    patched = apply_patch(
        document,
        [
            {"op": "test", "path": "/a/0", "value": 1},
            {"op": "add", "path": "/a/-", "value": 9},
            {"op": "add", "path": "/a/0", "value": 0},
            {"op": "replace", "path": "/b~1c/d", "value": 4},
            {"op": "copy", "from": "/b~1c/d", "path": "/e"},
            {"op": "move", "from": "/e", "path": "/f"},
            {"op": "remove", "path": "/a/1"},
        ],
    )
    assert patched == {"a": [0, 2, 9], "b/c": {"d": 4}, "f": 4}
    assert document == {"a": [1, 2], "b/c": {"d": 3}}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/a", "value": 2},
        {"op": "remove", "path": "/x"},
        {"op": "replace", "path": "/a/7", "value": 1},
        {"op": "paint", "path": "/a"},
        {"op": "add", "path": "/a"},
        {"op": "add", "path": "a", "value": 1},
    ],
)
def test_a_patch_that_does_not_fit_says_which_operation(operation):
    with pytest.raises(ConfigError, match="operation 0 at"):
        apply_patch({"a": 1}, [operation])


def test_patch_files_and_sets(zoo, tmp_path):
    path = zoo("two_measurements")
    change = [{"op": "replace", "path": "/observations/0/data/0", "value": 120.0}]
    (tmp_path / "p.json").write_text(json.dumps(change))
    model = load_model(path, FitOptions(patch=str(tmp_path / "p.json"))).model
    assert model.observed[0] == 120.0
    patches = [{"metadata": {"name": "high", "values": [1]}, "patch": change}]
    (tmp_path / "s.json").write_text(json.dumps({"version": "1.0.0", "metadata": {}, "patches": patches}))
    model = load_model(path, FitOptions(patch=f"{tmp_path / 's.json'}:high")).model
    assert model.observed[0] == 120.0
    with pytest.raises(UsageError, match="no patch 'hihg'") as error:
        load_model(path, FitOptions(patch=f"{tmp_path / 's.json'}:hihg"))
    assert error.value.near == ("high",)
    with pytest.raises(UsageError, match="needs the name"):
        load_model(path, FitOptions(patch=str(tmp_path / "s.json")))


def test_a_patch_set_of_another_workspace_is_refused(tmp_path):
    content = {"version": "1.0.0", "metadata": {"digests": {"sha256": "0" * 64}}}
    content["patches"] = [{"metadata": {"name": "x", "values": []}, "patch": []}]
    (tmp_path / "s.json").write_text(json.dumps(content))
    with pytest.raises(ConfigError, match="another workspace"):
        apply_patch_file({"a": 1}, f"{tmp_path / 's.json'}:x")


def test_correlation_option_reaches_the_likelihood(zoo):
    plain = load_model(zoo("higgs_like")).model
    joint = load_model(zoo("higgs_like"), FitOptions(correlate=(("xsH", "xsZZ", 0.5),))).model
    x = plain.init.copy()
    x[[plain.index("xsH"), plain.index("xsZZ")]] = 1.0
    assert joint.twice_nll(x) - plain.twice_nll(x) == pytest.approx(2 / 1.5 - 2 + np.log(0.75), rel=1e-9)


def test_the_optional_engine_says_what_is_missing_or_agrees(zoo):
    from importlib.util import find_spec

    model = load_model(zoo("higgs_like")).model
    if find_spec("pyhf") and find_spec("iminuit"):
        theirs, ours = (fit_workspace(model, FitOptions(engine=e))["mle"] for e in ("pyhf", "own"))
        assert theirs["twice_nll"] == pytest.approx(ours["twice_nll"], abs=1e-3)
    else:
        with pytest.raises(UsageError, match="the engine 'pyhf' is not installed"):
            fit_workspace(model, FitOptions(engine="pyhf"))

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from femtobarn.errors import FitError, UsageError
from femtobarn.stats import (
    Model,
    fit,
    goodness_of_fit,
    group_impacts,
    hypotest,
    limit,
    match_result,
    profile,
    ranking,
    read_workspace,
    scan,
    scan2d,
    significance,
)
from femtobarn.stats.histfactory.goodness import log_chi2_tail
from femtobarn.stats.histfactory.testing import BANDS, asymptotic_cls, expected_log_cls
from femtobarn.stats.histfactory.workspace_reader import parse_workspace

ZOO = [
    ("shapesys_2bin", "m"),
    ("histosys_normsys_shared", "m"),
    ("all_modifiers", "m"),
    ("shapefactor_transfer", "m"),
    ("asymmetric", "m"),
    ("low_counts", "m"),
    ("higgs_like", "m"),
    ("two_measurements", "m"),
    ("two_measurements", "kb_as_poi"),
]
AGC = ["1", "10", "agcroot5"]


@pytest.fixture
def zoo(shared):
    documents = json.loads(shared("oracles/stats/zoo_workspaces.json").read_text())
    truth = json.loads(shared("oracles/stats/zoo_expected.json").read_text())

    def find(name, measurement="m"):
        model = Model(parse_workspace(documents[name]), measurement=measurement)
        return model, truth[name]["fits"][measurement]

    return find


@pytest.fixture
def agc(shared):
    def find(name):
        truth = json.loads(shared(f"oracles/stats/fit_{name}.json").read_text())
        return read_workspace(shared(f"oracles/stats/workspace_{name}.json")), truth

    return find


def check_fit(model, truth):
    result = fit(model)
    hesse = np.array(truth["hesse"])
    floating = ~result.fixed
    known = floating & ~np.isnan(result.errors)
    assert result.status == "ok"
    assert result.twice_nll == pytest.approx(truth["twice_nll"], abs=1e-6)
    assert np.all(np.abs(result.values - truth["bestfit"])[floating] < 1e-4 * hesse[floating])
    assert np.all(np.abs(result.errors - hesse)[known] < 1e-4 * hesse[known])
    assert list(result.at_bound) == truth.get("at_bound", [])
    assert np.all(np.isnan(result.errors[[model.index(n) for n in result.at_bound]]))
    return result


@pytest.mark.parametrize(("name", "measurement"), ZOO)
def test_zoo_best_fits(zoo, name, measurement):
    model, truth = zoo(name, measurement)
    result = check_fit(model, truth)
    good = goodness_of_fit(model, result=result)
    assert good.q == pytest.approx(truth["gof_saturated_q"], abs=1e-6)
    assert good.ndof == truth["gof_ndof"]


@pytest.mark.parametrize(("name", "measurement"), ZOO[1:])  # the first one's best fit is at its bound
def test_zoo_profile_intervals(zoo, name, measurement):
    model, truth = zoo(name, measurement)
    found = profile(model, truth["poi"])
    for side, want, reason in zip(
        (found.up, found.down), truth["minos_poi"], (found.up_reason, found.down_reason), strict=True
    ):
        if want is None:
            assert side is None
            assert reason == "hits_bound"
        else:
            assert side == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize("name", [name for name, m in ZOO if m == "m"])
def test_zoo_tests_and_limits(zoo, name):
    model, truth = zoo(name)
    result = fit(model)
    found = significance(model, result=result)
    assert found.q0 == pytest.approx(truth["q0"], abs=1e-6)
    assert found.log_p0 == pytest.approx(truth["log_p0"], rel=1e-6)
    for case in truth["cls"]:
        test = hypotest(model, case["mu"], result=result)
        assert test.q == pytest.approx(case["q"], abs=1e-6)
        assert test.q_asimov == pytest.approx(case["qA"], abs=1e-5)
        assert test.log_cls == pytest.approx(case["log_cls"], abs=1e-5)
        assert test.cls == pytest.approx(case["cls"], abs=1e-6)
        assert test.cls_expected == pytest.approx(case["cls_expected"], abs=1e-5)
    bound = limit(model, result=result)
    want = truth["limit95"]
    assert bound.observed == pytest.approx(want["observed"], rel=1e-5)
    assert bound.expected == pytest.approx([want[f"expected_{k:+d}"] for k in BANDS], rel=1e-5)


@pytest.mark.parametrize("name", AGC)
def test_agc_best_fit_profile_and_goodness(agc, name):
    model, truth = agc(name)
    result = check_fit(model, truth)
    up, down = truth["minos_ttbar_norm"]
    found = profile(model, "ttbar_norm", result=result)
    assert (found.up, found.down) == pytest.approx((up, down), abs=1e-6)
    good = goodness_of_fit(model, result=result)
    assert good.q == pytest.approx(truth["gof_saturated"]["q"], abs=1e-6)
    assert good.ndof == 21
    assert good.log_p == pytest.approx(truth["gof_saturated"]["log_p"], rel=1e-5)
    for parameter, value in truth["correlation_with_ttbar_norm"].items():
        i, j = model.index("ttbar_norm"), model.index(parameter)
        assert result.correlation[i, j] == pytest.approx(value, abs=1e-5)


@pytest.mark.parametrize("name", AGC)
def test_agc_ranking(agc, name):
    model, truth = agc(name)
    impacts = {impact.parameter: impact for impact in ranking(model, parameters=list(truth["ranking"]))}
    for parameter, want in truth["ranking"].items():
        got = impacts[parameter].to_json()
        for key, value in want.items():
            assert got[key] == pytest.approx(value, abs=2e-5), (parameter, key)


def test_an_impact_is_that_of_the_lower_of_two_minima(agc):
    # One error down, the fit beside the best fit ends 0.0083 above the one from the prefit values.
    name = "staterror_4j1b-CR[2]"
    model = agc("1")[0]
    best = fit(model)
    held = {name: best.value(name) - best.error(name)}
    beside, cold = fit(model, fixed=held, start=best.values), fit(model, fixed=held)
    assert beside.twice_nll - cold.twice_nll == pytest.approx(0.0083, abs=2e-4)
    (impact,) = ranking(model, result=best, parameters=[name])
    assert impact.impact_down_postfit == pytest.approx(
        cold.value(model.poi) - best.value(model.poi), abs=1e-6
    )
    assert impact.impact_down_postfit == pytest.approx(0.0434, abs=2e-4)


def test_ranking_is_sorted_and_covers_all_constrained_parameters(agc):
    model, _ = agc("1")
    impacts = ranking(model)
    sizes = [impact.largest for impact in impacts]
    assert sizes == sorted(sizes, reverse=True)
    assert len(impacts) == 33


@pytest.mark.parametrize("name", AGC)
def test_agc_tests_are_finite_at_74_sigma(agc, name):
    model, truth = agc(name)
    result = fit(model)
    found = significance(model, result=result)
    assert found.z0 == pytest.approx(truth["z0"], rel=1e-8)
    assert found.log_p0 == pytest.approx(truth["log_p0"], rel=1e-8)
    assert found.p0 == 0.0
    for case in truth["cls"]:
        test = hypotest(model, case["mu"], result=result)
        assert test.cls == pytest.approx(case["cls"], rel=1e-6)
        assert test.log_cls_expected == pytest.approx(case["log_cls_expected"], rel=1e-6)
    assert limit(model, result=result).observed == pytest.approx(truth["limit95"]["observed"], rel=1e-6)


def test_agc_scan(agc):
    model, truth = agc("1")
    points = scan(model, "ttbar_norm", 0.7, 1.3, 7).points
    assert np.allclose(points, truth["scan_ttbar_norm"], atol=1e-6)


def test_two_dimensional_scan_has_its_minimum_at_the_best_fit(zoo):
    model, truth = zoo("higgs_like")
    found = scan2d(model, "mu", "xsZZ", points=9)
    assert np.nanmin(found.rise) >= -1e-9
    i, j = np.unravel_index(np.nanargmin(found.rise), found.rise.shape)
    step = found.x[1] - found.x[0]
    assert abs(found.x[i] - truth["bestfit"][0]) <= step
    assert abs(found.y[j] - truth["bestfit"][3]) <= found.y[1] - found.y[0]
    # On the row of the best mu the rise is that of the other parameter's own profile.
    line = scan(model, "xsZZ", found.y[0], found.y[-1], 9, fixed={"mu": float(found.x[i])})
    rises = [r + fit(model, fixed={"mu": float(found.x[i])}).twice_nll for _, r in line.points]
    assert found.rise[i] == pytest.approx(np.array(rises) - truth["twice_nll"], abs=1e-6)
    json.dumps(found.to_json(), allow_nan=False)


def test_group_impacts_of_uncorrelated_groups_add_in_quadrature(zoo):
    model, _ = zoo("higgs_like")
    found = group_impacts(model)
    assert set(found.groups) == {"lumi_n", "xsH", "xsZZ", "fake", "staterror", "statistics"}
    assert found.groups["statistics"] < found.total
    whole = group_impacts(model, groups={"all": ["lumi_n", "xsH", "xsZZ", "fake", "mc"]})
    assert math.hypot(whole.groups["all"], whole.groups["statistics"]) == pytest.approx(whole.total, rel=1e-9)


def test_fixed_parameters_and_nothing_floating(zoo):
    model, _ = zoo("two_measurements")
    free = fit(model)
    held = fit(model, fixed={"n1": 0.5})
    assert held.value("n1") == 0.5
    assert held.error("n1") == 0.0
    assert held.twice_nll > free.twice_nll
    nothing = fit(model, fixed=dict(zip(free.names, free.values, strict=True)))
    assert nothing.status == "ok"
    assert nothing.twice_nll == pytest.approx(free.twice_nll)
    assert np.all(nothing.errors == 0.0)
    with pytest.raises(UsageError, match="no parameter 'n2'"):
        fit(model, fixed={"n2": 0.0})


def two_norms(bounds=None, data=(50.0, 60.0)):
    norm = [{"name": n, "type": "normfactor", "data": None} for n in ("mu", "k")]
    return Model(
        parse_workspace(
            {
                "version": "1.0.0",
                "channels": [
                    {"name": "c", "samples": [{"name": "s", "data": [50.0, 60.0], "modifiers": norm}]}
                ],
                "observations": [{"name": "c", "data": list(data)}],
                "measurements": [
                    {
                        "name": "m",
                        "config": {
                            "poi": "mu",
                            "parameters": [{"name": "mu", "bounds": [bounds]}] if bounds else [],
                        },
                    }
                ],
            }
        )
    )


def test_a_flat_direction_is_named():
    result = fit(two_norms())
    assert result.status == "failed"
    assert "flat along" in result.message
    assert "mu" in result.message
    assert "k" in result.message
    assert np.all(np.isnan(result.errors))
    with pytest.raises(FitError, match="flat"):
        result.require()
    with pytest.raises(FitError):
        hypotest(two_norms(), 1.0)


def test_parameters_that_act_on_nothing_stay_and_are_listed(zoo):
    model, _ = zoo("two_measurements")
    document = model.workspace.to_json()
    document["channels"][0]["samples"].append(
        {
            "name": "none",
            "data": [0.0, 0.0],
            "modifiers": [{"name": "ghost", "type": "normfactor", "data": None}],
        }
    )
    other = Model(parse_workspace(document))
    result = fit(other)
    assert result.inert == ("ghost",)
    assert result.status == "ok"
    assert result.value("ghost") == 1.0
    assert result.value("mu") == pytest.approx(fit(model).value("mu"))
    assert any("ghost" in text for text in result.warnings)


def test_a_limit_beyond_the_bound_is_null_with_the_reason(zoo):
    model, _ = zoo("two_measurements")
    document = model.workspace.to_json()
    document["measurements"][0]["config"]["parameters"][1]["bounds"] = [[0.0, 1.2]]
    found = limit(Model(parse_workspace(document)))
    assert found.observed is None
    assert "bound 1.2" in found.reasons["observed"]
    assert found.expected[0] is not None
    json.dumps(found.to_json(), allow_nan=False)


def test_no_sensitivity_is_cls_one_not_nan():
    assert asymptotic_cls(0.0, 0.0)[2] == 0.0
    assert asymptotic_cls(2.0, 0.0)[2] == 0.0
    assert expected_log_cls(0.0, 1.0) == 0.0
    assert all(math.isfinite(value) for value in asymptotic_cls(5e5, 4e5))


def test_mu_outside_its_bounds_is_refused(zoo):
    model, _ = zoo("two_measurements")
    with pytest.raises(UsageError, match="outside its bounds"):
        hypotest(model, 5.0)
    with pytest.raises(UsageError, match="between 0 and 1"):
        limit(model, cl=95.0)


def test_a_downward_fluctuation_has_q0_zero(zoo):
    model, _ = zoo("shapesys_2bin")
    found = significance(model)
    assert found.q0 == 0.0
    assert found.z0 == 0.0
    assert found.log_p0 == pytest.approx(math.log(0.5))
    assert found.z0_expected > 0.0


def test_profile_of_two_standard_deviations_and_of_a_fixed_parameter(zoo):
    model, _ = zoo("higgs_like")
    one, two = profile(model, "mu"), profile(model, "mu", level=4.0)
    assert two.up > 1.8 * one.up
    held = profile(model, "mu", fixed={"mu": 1.0})
    assert (held.up, held.up_reason) == (None, "fixed")


def test_chi2_tail_far_out_is_the_exact_one():
    # Two degrees of freedom: the tail is exp(-q/2) exactly.
    assert log_chi2_tail(3.0, 2) == pytest.approx(-1.5, rel=1e-12)
    assert log_chi2_tail(5000.0, 2) == pytest.approx(-2500.0, rel=1e-12)
    # Four: exp(-q/2) (1 + q/2).
    assert log_chi2_tail(4000.0, 4) == pytest.approx(-2000.0 + math.log(2001.0), rel=1e-9)


@pytest.mark.parametrize("codes", [("code1", "code0"), ("code1", "code4p"), ("code4", "code0")])
def test_interpolations_with_a_corner_at_zero_converge(shared, codes):
    path = shared("oracles/stats/workspace_1.json")
    model = read_workspace(path, interp={"normsys": codes[0], "histosys": codes[1]})
    result = fit(model)
    assert result.status == "ok"
    generator = np.random.default_rng(3)
    for _ in range(200):
        near = result.values + generator.normal(size=result.values.size) * 1e-3
        assert model.twice_nll(np.clip(near, model.lower, model.upper)) > result.twice_nll
    assert math.isfinite(hypotest(model, 1.0, result=result).log_cls)


@pytest.mark.parametrize("scale", [1e-2, 1e3, 1e6])
def test_any_amount_of_data_converges(shared, scale):
    document = json.loads(shared("oracles/stats/workspace_1.json").read_text())
    for channel in document["channels"]:
        for sample in channel["samples"]:
            sample["data"] = [scale * n for n in sample["data"]]
            for modifier in sample["modifiers"]:
                if modifier["type"] == "histosys":
                    modifier["data"] = {k: [scale * n for n in v] for k, v in modifier["data"].items()}
                elif modifier["type"] == "staterror":
                    modifier["data"] = [math.sqrt(scale) * n for n in modifier["data"]]
    for observation in document["observations"]:
        observation["data"] = [scale * n for n in observation["data"]]
    model = Model(parse_workspace(document))
    result = fit(model)
    assert result.status == "ok", result.message
    assert 0.5 < result.value("ttbar_norm") < 1.5
    assert profile(model, "ttbar_norm", result=result).up > 0.0


def test_a_fit_is_carried_over_by_name(zoo):
    model, _ = zoo("all_modifiers")
    result = fit(model)
    document = model.workspace.to_json()
    document["channels"] = [c for c in document["channels"] if c["name"] == "sr"]
    document["observations"] = [o for o in document["observations"] if o["name"] == "sr"]
    document["channels"][0]["samples"][2]["modifiers"].append(
        {"name": "new", "type": "normsys", "data": {"hi": 1.1, "lo": 0.9}}
    )
    other = Model(parse_workspace(document))
    x, covariance = match_result(result, other)
    i, j = other.index("mu"), other.index("k_tt")
    a, b = model.index("mu"), model.index("k_tt")
    assert x[i] == result.values[a]
    assert covariance[i, j] == result.covariance[a, b]
    assert covariance[other.index("new"), other.index("new")] == 1.0
    assert other.expected(x) == pytest.approx(model.expected(result.values)[2:], rel=1e-12)


@pytest.mark.parametrize("shift", [0.1, 0.3, 1.0])
def test_a_limit_where_templates_cancel_in_a_bin_without_events(shift):
    """At the best fit the expectation of the empty bin is zero or below: its likelihood has an edge there."""

    def varied(name, low, high):
        return {"name": name, "type": "histosys", "data": {"lo_data": low, "hi_data": high}}

    signal = {"name": "s", "data": [5.0, 0.2], "modifiers": [
        {"name": "mu", "type": "normfactor", "data": None},
        varied("shape", [5.0, 0.2 + shift], [5.0, 0.2 - shift]),
    ]}  # fmt: skip
    background = {"name": "b", "data": [10.0, 0.0], "modifiers": [varied("other", [9.0, -0.1], [11.0, 0.1])]}
    model = Model(parse_workspace({
        "version": "1.0.0",
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}],
        "observations": [{"name": "c", "data": [10.0, 0.0]}],
        "channels": [{"name": "c", "samples": [signal, background]}],
    }))  # fmt: skip
    found = limit(model)
    assert found.reasons == {}
    assert found.observed == pytest.approx(found.expected[2], rel=1e-3)  # the data are as expected
    assert 1.4 < found.observed < 1.6
    assert model.asimov([-1.0, 0.0, 0.0]).main.tolist() == [9.0, 0.0]

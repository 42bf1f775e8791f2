from __future__ import annotations

import json
import logging

import numpy as np
import pytest

from femtobarn.stats import Model
from femtobarn.stats.histfactory.likelihood import Likelihood, split
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


@pytest.fixture
def zoo(shared):
    documents = json.loads(shared("oracles/stats/zoo_workspaces.json").read_text())
    truth = json.loads(shared("oracles/stats/zoo_expected.json").read_text())

    def find(name, measurement, **options):
        model = Model(parse_workspace(documents[name]), measurement=measurement, **options)
        return model, truth[name]["fits"][measurement]

    return find


@pytest.mark.parametrize(("name", "measurement"), ZOO)
def test_labels_bounds_and_auxdata_are_those_of_pyhf(zoo, name, measurement):
    model, truth = zoo(name, measurement)
    assert list(model.names) == truth["labels"]
    assert np.allclose(model.bounds, truth["bounds"])
    assert model.auxdata == pytest.approx(truth["auxdata"], rel=1e-10)
    assert model.fixed.tolist() == truth["fixed"]


@pytest.mark.parametrize(("name", "measurement"), ZOO)
def test_value_and_gradient_at_fixed_points(zoo, name, measurement):
    model, truth = zoo(name, measurement)
    for point in truth["points"]:
        assert model.twice_nll(point["x"]) == pytest.approx(point["twice_nll"], rel=1e-9)
        floating = ~model.fixed
        want = np.array(point["grad_twice_nll"])
        assert model.gradient(point["x"])[floating] == pytest.approx(want[floating], rel=1e-8, abs=1e-9)


@pytest.mark.parametrize(("name", "measurement"), ZOO)
def test_all_interpolation_codes(zoo, name, measurement):
    points = zoo(name, measurement)[1]["points"]
    for pair, values in zoo(name, measurement)[1]["codes"].items():
        normsys, histosys = pair.split("/")
        model, _ = zoo(name, measurement, interp={"normsys": normsys, "histosys": histosys})
        for point, value in zip(points, values, strict=True):
            assert model.twice_nll(point["x"]) == pytest.approx(value, rel=1e-9), pair


@pytest.mark.parametrize("codes", [("code1", "code0"), ("code4", "code2"), ("code4", "code4p")])
@pytest.mark.parametrize(("name", "measurement"), ZOO)
def test_hessian_agrees_with_differences_of_the_gradient(zoo, name, measurement, codes):
    model, truth = zoo(name, measurement, interp={"normsys": codes[0], "histosys": codes[1]})
    for point in truth["points"][1:]:
        x = np.array(point["x"])
        h = 1e-6
        rows = [(model.gradient(x + e) - model.gradient(x - e)) / (2 * h) for e in np.eye(x.size) * h]
        hessian = model.hessian(x)
        assert np.allclose(hessian, rows, rtol=1e-6, atol=1e-6 * np.abs(hessian).max())


def test_gradient_agrees_with_differences_of_the_value(zoo):
    model, truth = zoo("all_modifiers", "m")
    x = np.array(truth["points"][1]["x"])
    h = 1e-6
    numeric = [(model.twice_nll(x + e) - model.twice_nll(x - e)) / (2 * h) for e in np.eye(x.size) * h]
    assert model.gradient(x) == pytest.approx(numeric, rel=1e-6, abs=1e-5)


def test_factors_of_exactly_zero_keep_exact_derivatives(zoo):
    model, _ = zoo("all_modifiers", "m")
    x = model.init.copy()
    x[[model.index("mu"), model.index("free[0]")]] = 0.0
    near = x.copy()
    near[near == 0.0] = 1e-9
    still = np.arange(x.size)[x != near]
    assert model.gradient(x) == pytest.approx(model.gradient(near), rel=1e-6, abs=1e-6)
    assert np.allclose(model.hessian(x)[still], model.hessian(near)[still], rtol=1e-6, atol=1e-6)


def test_splitting_by_channel_changes_nothing(zoo, monkeypatch):
    model, truth = zoo("all_modifiers", "m")
    monkeypatch.setattr("femtobarn.stats.histfactory.likelihood._DENSE", 0)
    blocks = split(model.templates, list(model.bins.values()))
    assert len(blocks) == 2
    other = Likelihood.of(model.templates, blocks, model.constraints, model.data(None))
    x = np.array(truth["points"][1]["x"])
    for a, b in zip(other(x), model.likelihood(None)(x), strict=True):
        assert np.allclose(a, b, rtol=1e-12, atol=1e-9)
    assert other.value(x) == model.twice_nll(x)


def test_real_counts_and_pyhf_data_layout(zoo):
    model, _ = zoo("shapesys_2bin", "m")
    full = np.concatenate([model.observed + 0.25, model.auxdata])
    assert model.twice_nll(model.init, data=full) == model.twice_nll(model.init, data=model.observed + 0.25)
    moved = full.copy()
    moved[-1] += 1.0
    assert model.twice_nll(model.init, data=moved) != model.twice_nll(model.init, data=full)


def tiny(data, nominal):
    return Model(
        parse_workspace(
            {
                "version": "1.0.0",
                "channels": [
                    {
                        "name": "c",
                        "samples": [
                            {
                                "name": "s",
                                "data": nominal,
                                "modifiers": [
                                    {"name": "mu", "type": "normfactor", "data": None},
                                    {
                                        "name": "sh",
                                        "type": "histosys",
                                        "data": {
                                            "hi_data": [3.0 * n for n in nominal],
                                            "lo_data": [-n for n in nominal],
                                        },
                                    },
                                ],
                            }
                        ],
                    }
                ],
                "observations": [{"name": "c", "data": data}],
                "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}],
            }
        )
    )


def test_nothing_expected_where_events_were_seen_is_a_finite_penalty_with_a_warning(caplog):
    model = tiny([5.0, 3.0], [5.0, 4.0])
    with caplog.at_level(logging.WARNING, logger="femtobarn.stats"):
        value = model.twice_nll([-3.0, 1.0])  # the shift makes the expectation negative
    assert "expectation <= 0" in caplog.text
    assert np.isfinite(value)
    assert value > model.twice_nll(model.init) + 100
    assert np.all(np.isfinite(model.gradient([-3.0, 1.0])))


def test_an_empty_bin_without_data_contributes_nothing():
    with_empty, without = tiny([5.0, 0.0], [5.0, 0.0]), tiny([5.0], [5.0])
    assert with_empty.twice_nll([0.1, 1.2]) == pytest.approx(without.twice_nll([0.1, 1.2]), rel=1e-12)


def test_expected_samples_add_up(zoo):
    model, truth = zoo("all_modifiers", "m")
    x = truth["bestfit"]
    assert model.expected_samples(x).sum(axis=0) == pytest.approx(model.expected(x))
    assert model.expected(x) == pytest.approx(truth["expected_postfit"], rel=1e-6)


def test_the_agc_likelihood_before_the_fit(shared):
    from femtobarn.stats import read_workspace

    truth = json.loads(shared("oracles/stats/fit_1.json").read_text())
    model = read_workspace(shared("oracles/stats/workspace_1.json"))
    assert len(model.names) == truth["npars"] == 34
    assert model.twice_nll(model.init) == pytest.approx(truth["prefit_twice_nll"], rel=1e-9)
    assert model.observed == pytest.approx(truth["observed"], rel=1e-8)

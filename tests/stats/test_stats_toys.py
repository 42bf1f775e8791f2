from __future__ import annotations

import json

import numpy as np
import pytest

from femtobarn.stats import Model, fit, goodness_of_fit, hypotest, throw, toy_hypotest, toys
from femtobarn.stats.histfactory.transform import correlate
from femtobarn.stats.histfactory.workspace_reader import parse_workspace


@pytest.fixture
def zoo(shared):
    documents = json.loads(shared("oracles/stats/zoo_workspaces.json").read_text())
    return lambda name: Model(parse_workspace(documents[name]))


def test_pulls_of_the_signal_strength(zoo):
    model = zoo("higgs_like")
    truth = fit(model, fixed={"mu": 1.0}).values
    study = toys(model, 500, seed=1, truth=truth, parameters=["mu", "xsZZ"])
    mu = study.pulls[0]
    assert study.failed == 0
    assert abs(mu.mean) < 0.15
    assert 0.85 < mu.width < 1.15
    json.dumps(study.to_json(), allow_nan=False)


def test_toys_depend_on_seed_and_number_alone(zoo):
    model = zoo("all_modifiers")
    truth = fit(model).values
    alone = throw(model, truth, seed=7, number=3)
    within = [throw(model, truth, seed=7, number=k) for k in range(5)][3]
    assert np.array_equal(alone.main, within.main)
    assert np.array_equal(alone.aux, within.aux)
    assert not np.array_equal(alone.main, throw(model, truth, seed=8, number=3).main)


def test_auxiliary_data_scatter_as_their_constraints_say(zoo):
    model = zoo("all_modifiers")
    rows = np.array([throw(model, model.init, seed=2, number=k).aux for k in range(400)])
    lumi = rows[:, 1]  # in the order of the auxiliary data: jes, lumi, th, fake_unc[0..3], ...
    assert lumi.mean() == pytest.approx(1.0, abs=4 * 0.017 / 20)
    assert lumi.std() == pytest.approx(0.017, rel=0.15)
    poisson = rows[:, 3]  # fake_unc[0], tau = 9
    assert np.all(poisson == np.round(poisson))
    assert poisson.mean() == pytest.approx(9.0, abs=4 * 3 / 20)
    assert np.all(rows[:, 4] == 1.0)  # fake_unc[1] is fixed: it has no measurement


def test_correlated_constraints_scatter_together(zoo):
    model = Model(correlate(zoo("higgs_like").workspace, "xsH", "xsZZ", 0.8))
    rows = np.array([throw(model, model.init, seed=2, number=k).aux[:3] for k in range(600)])
    assert np.corrcoef(rows[:, 1], rows[:, 2])[0, 1] == pytest.approx(0.8, abs=0.07)
    assert np.corrcoef(rows[:, 0], rows[:, 1])[0, 1] == pytest.approx(0.0, abs=0.15)


def test_toy_cls_agrees_with_asymptotics(zoo):
    model = zoo("two_measurements")
    found = toy_hypotest(model, 2.0, toys=250, seed=5)
    assert found.failed == 0
    assert abs(found.cls - hypotest(model, 2.0).cls) < 3 * found.cls_error + 0.01


def test_toy_goodness_agrees_with_chi_squared(zoo):
    model = zoo("histosys_normsys_shared")
    counted = goodness_of_fit(model, method="toys", toys=200, seed=4)
    asymptotic = goodness_of_fit(model)
    assert counted.q == asymptotic.q
    assert counted.toys == 200
    assert counted.p_value == pytest.approx(asymptotic.p_value, abs=0.12)

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import integrate

from femtobarn.errors import FitError, UsageError
from femtobarn.stats.masses.choice import choose_order, fit_background, spurious_signal
from femtobarn.stats.masses.fit import MassFitOptions, fit_mass, fit_mass_counts
from femtobarn.stats.masses.model import MassModel, background_model
from femtobarn.stats.shapes.basic import (
    Cells,
    DoubleCrystalBall,
    Exponential,
    Gaussian,
    Parameter,
    PowerLaw,
    bernstein_basis,
    probabilities,
)

EDGES = np.linspace(105.0, 160.0, 56)
SHAPES = [
    (Gaussian(), [125.0, 1.7]),
    (DoubleCrystalBall(), [125.0, 1.7, 1.5, 5.0, 1.6, 10.0]),
    (DoubleCrystalBall(), [125.0, 1.7, 1.2, 1.0, 0.8, 3.0]),
    (Exponential(105.0), [0.03]),
    (Exponential(105.0), [0.0]),
    (PowerLaw(105.0), [3.5]),
    (PowerLaw(105.0), [1.0]),
]


def spectrum(rng, background=6000, signal=300):
    values = 105.0 + rng.exponential(25.0, 4 * background)
    values = values[values < 160.0][:background]
    return np.concatenate([values, rng.normal(125.0, 1.7, rng.poisson(signal))])


@pytest.mark.parametrize(("shape", "p"), SHAPES)
def test_bin_probabilities_are_the_integral_of_the_density(shape, p):
    p = np.array(p)
    bins, _ = probabilities(shape, Cells.bins(EDGES), p)
    assert bins.sum() == pytest.approx(1.0, abs=1e-12)

    def density(x):
        return probabilities(shape, Cells.events([x], 105.0, 160.0), p)[0][0]

    for k in (0, 18, 20, 23, 54):
        assert bins[k] == pytest.approx(
            integrate.quad(density, EDGES[k], EDGES[k + 1], epsabs=1e-13)[0], abs=1e-10
        )


@pytest.mark.parametrize(("shape", "p"), SHAPES)
@pytest.mark.parametrize(
    "cells", [Cells.bins(EDGES), Cells.events([106.0, 121.0, 125.5, 131.0], 105.0, 160.0)]
)
def test_shape_gradients_agree_with_differences(shape, p, cells):
    p = np.array(p)
    _, gradient = probabilities(shape, cells, p)
    for k in range(p.size):
        h = 1e-5
        up, down = p.copy(), p.copy()
        up[k] += h
        down[k] -= h
        numeric = (probabilities(shape, cells, up)[0] - probabilities(shape, cells, down)[0]) / (2 * h)
        assert gradient[k] == pytest.approx(numeric, abs=2e-8)


def test_bernstein_rows_integrate_to_one_and_sum_to_a_flat_line():
    basis = bernstein_basis(Cells.bins(EDGES), 4)
    assert basis.sum(axis=1) == pytest.approx(np.ones(5))
    assert basis.sum(axis=0) == pytest.approx(np.full(55, 5 / 55))


@pytest.mark.parametrize("name", ["polynomial", "exponential", "power"])
@pytest.mark.parametrize("binned", [True, False])
def test_likelihood_derivatives_agree_with_differences(name, binned):
    rng = np.random.default_rng(1)
    masses = spectrum(rng, 300, 30)
    cells = Cells.bins(EDGES) if binned else Cells.events(masses, 105.0, 160.0)
    weights = np.histogram(masses, EDGES)[0].astype(float) if binned else np.ones(masses.size)
    model = MassModel(
        cells,
        weights,
        Gaussian(),
        (Parameter("mass", 125.0, 115.0, 135.0), Parameter("sigma", 1.7, 0.5, 4.0)),
        background_model(name, 2, cells, 300.0),
    )
    x = np.array([25.0, 124.0, 1.9, *[p.start * 1.1 for p in model.background.parameters]])
    _, gradient, hessian = model(x)
    for k in range(x.size):
        h = 1e-4
        up, down = x.copy(), x.copy()
        up[k] += h
        down[k] -= h
        assert gradient[k] == pytest.approx((model(up)[0] - model(down)[0]) / (2 * h), rel=1e-5, abs=1e-5)
        assert hessian[k] == pytest.approx((model(up)[1] - model(down)[1]) / (2 * h), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("binning", [1.0, None])
def test_signal_mass_and_width_come_back(binning):
    result = fit_mass(
        spectrum(np.random.default_rng(7), 6000, 600),
        window=(105.0, 160.0),
        binning=binning,
        options=MassFitOptions(expected=600.0),
    )
    assert result.status == "ok"
    assert abs(result.n_sig.value - 600.0) < 3 * result.n_sig.error
    assert abs(result.parameters["mass"].value - 125.0) < 3 * result.parameters["mass"].error
    assert abs(result.parameters["sigma"].value - 1.7) < 3 * result.parameters["sigma"].error
    assert result.mu.value == pytest.approx(result.n_sig.value / 600.0)
    assert result.z0 > 8.0
    assert result.chi2 / result.ndf < 2.0
    assert result.fitted_total.sum() == pytest.approx(result.data.sum(), rel=1e-6)
    json.dumps(result.to_json(), allow_nan=False)


def test_binned_and_unbinned_agree():
    masses = spectrum(np.random.default_rng(11), 4000, 400)
    fixed = MassFitOptions(fix_mass=True, fix_width=True)
    binned = fit_mass(masses, window=(105.0, 160.0), binning=0.25, options=fixed)
    unbinned = fit_mass(masses, window=(105.0, 160.0), options=fixed)
    assert binned.n_sig.value == pytest.approx(unbinned.n_sig.value, abs=0.1 * unbinned.n_sig.error)
    assert binned.n_sig.error == pytest.approx(unbinned.n_sig.error, rel=0.01)


def test_pulls_of_the_yield_have_unit_width():
    rng = np.random.default_rng(5)
    options = MassFitOptions(background="exponential", order=1, fix_mass=True, fix_width=True)
    pulls = []
    for _ in range(60):
        result = fit_mass(
            spectrum(rng, rng.poisson(2000), 150), window=(105.0, 160.0), binning=1.0, options=options
        )
        pulls.append((result.n_sig.value - 150.0) / result.n_sig.error)
    assert abs(np.mean(pulls)) < 0.4
    assert 0.75 < np.std(pulls) < 1.25


def test_a_deficit_is_negative_and_has_no_significance():
    result = fit_mass_counts(
        np.where((EDGES[:-1] > 123) & (EDGES[:-1] < 127), 80.0, 100.0),
        EDGES,
        MassFitOptions(background="bernstein", order=1, fix_mass=True, fix_width=True),
    )
    assert result.n_sig.value < 0.0
    assert result.q0 == 0.0


def test_a_polynomial_that_would_go_below_zero_is_kept_positive():
    counts = np.zeros(55)
    counts[:6] = [40.0, 20.0, 8.0, 3.0, 1.0, 1.0]
    result = fit_mass_counts(counts, EDGES, MassFitOptions(fix_mass=True, fix_width=True))
    assert np.all(result.fitted_background >= 0.0)
    assert result.status == "ok"


def test_f_test_stops_at_the_order_that_made_the_data():
    straight = 300.0 - 4.0 * (EDGES[:-1] - 105.0)
    rng = np.random.default_rng(2)
    choice = choose_order(rng.poisson(straight), EDGES, "bernstein")
    assert choice.order == 1
    assert choice.steps[-1][3] > 0.05
    curved = 30.0 + 2000.0 * np.exp(-(EDGES[:-1] - 105.0) / 8.0)
    assert choose_order(rng.poisson(curved), EDGES, "bernstein").order >= 3


def test_spurious_signal_vanishes_where_the_model_can_describe_the_alternative():
    counts = 1000.0 * np.exp(-(EDGES[:-1] - 105.0) / 25.0)
    stiff = spurious_signal(counts, EDGES, MassFitOptions(background="bernstein", order=1))
    supple = spurious_signal(counts, EDGES, MassFitOptions(background="polynomial", order=5))
    assert abs(supple.events) < 0.1 * abs(stiff.events)
    assert set(stiff.sources) == {"exponential2", "power2", "bernstein4"} or "bernstein4" in stiff.sources


def test_background_alone_has_the_deviance_of_a_perfect_fit():
    result = fit_background(np.full(55, 100.0), EDGES, "bernstein", 2)
    assert result.deviance == pytest.approx(0.0, abs=1e-9)
    assert result.expected == pytest.approx(np.full(55, 100.0))


def test_bad_input_is_said():
    with pytest.raises(FitError, match="no events"):
        fit_mass([], window=(105.0, 160.0))
    with pytest.raises(UsageError, match="unknown background 'polinomial'") as error:
        fit_mass([120.0, 130.0], window=(105.0, 160.0), options=MassFitOptions(background="polinomial"))
    assert error.value.near[0] == "polynomial"
    with pytest.raises(UsageError, match="do not fit"):
        fit_mass_counts([1.0, 2.0], [1.0, 2.0])

from __future__ import annotations

import json

import numpy as np
import pytest

from femtobarn.errors import UsageError
from femtobarn.stats import fit_shape


@pytest.fixture
def bins(shared):
    text = shared("oracles/higgs/cms_histograms.json").read_text()
    return {name: np.array(values) for name, values in json.loads(text)["2012"]["bins"].items()}


@pytest.fixture
def truth(shared):
    return json.loads(shared("oracles/higgs/cms_histograms.json").read_text())["2012"]


def test_shape_of_the_2012_histograms(bins, truth):
    want = truth["shape_fit"]
    got = fit_shape(bins["data"], bins["H"], bins["ZZ"] + bins["DY"] + bins["ttbar"])
    assert got.mu.value == pytest.approx(want["mu"], abs=1e-6)
    assert got.mu.error_up == pytest.approx(want["mu_err_up"], abs=1e-5)
    assert got.mu.error_down == pytest.approx(want["mu_err_down"], abs=1e-5)
    assert got.q0 == pytest.approx(want["q0"], abs=1e-7)
    assert got.z0 == pytest.approx(want["Z0"], abs=1e-7)
    assert got.zero_prediction_bins == ()


def test_free_background(bins, truth):
    want = truth["shape_fit_free_background"]
    got = fit_shape(bins["data"], bins["H"], bins["ZZ"] + bins["DY"] + bins["ttbar"], free_background=True)
    assert got.mu.value == pytest.approx(want["mu"], abs=1e-6)
    assert got.bkg_norm.value == pytest.approx(want["bkg_norm"], abs=1e-6)
    assert got.z0 == pytest.approx(want["Z0"], abs=1e-7)
    assert got.to_json()["bkg_norm"]["error_up"] > 0.0


def test_zz_norm_constrained_to_ten_percent(bins):
    got = fit_shape(
        bins["data"], bins["H"], bins["DY"] + bins["ttbar"], constrained=bins["ZZ"], constraint=0.1
    )
    assert got.mu.value == pytest.approx(0.979, abs=1e-3)
    assert got.z0 == pytest.approx(3.186, abs=1e-3)
    assert 0.0 < got.constrained_norm.error < 0.1


def test_a_deficit_puts_mu_at_zero_without_a_lower_error():
    got = fit_shape([3, 2], [0.0, 2.0], [4.0, 4.0])
    assert got.mu.value == 0.0
    assert got.mu.error is None
    assert got.mu.error_down is None
    assert got.mu.error_up > 0.0
    assert got.q0 == 0.0


def test_one_bin_has_the_closed_form():
    # mu-hat = (n - b)/s; q0 = 2 (n ln(n/b) - (n - b)).
    got = fit_shape([20], [5.0], [10.0])
    assert got.mu.value == pytest.approx(2.0, abs=1e-7)
    assert got.q0 == pytest.approx(2 * (20 * np.log(2.0) - 10.0), abs=1e-9)
    assert got.mu.error == pytest.approx(np.sqrt(20) / 5, rel=1e-6)


def test_data_without_prediction_is_reported_and_the_rest_is_fitted():
    got = fit_shape([20, 3], [5.0, 0.0], [10.0, 0.0])
    assert got.zero_prediction_bins == (1,)
    assert got.unexplained_events == 3.0
    assert got.mu.value == pytest.approx(2.0, abs=1e-7)


def test_data_in_a_bin_without_background_has_no_finite_discovery_test():
    got = fit_shape([20, 1], [5.0, 0.5], [10.0, 0.0])
    assert got.zero_background_bins == (1,)
    assert got.q0 is None
    assert got.z0 is None
    assert got.mu.value > 0.0


def test_an_empty_signal_template_is_said_not_fitted():
    got = fit_shape([5, 5], [0.0, 0.0], [4.0, 5.0])
    assert got.mu.error is None
    assert "empty" in got.message


def test_mismatched_or_negative_bins_are_refused():
    with pytest.raises(UsageError, match="shape"):
        fit_shape([1, 2], [1.0], [1.0, 1.0])
    with pytest.raises(UsageError, match="negative"):
        fit_shape([1, 2], [1.0, -1.0], [1.0, 1.0])

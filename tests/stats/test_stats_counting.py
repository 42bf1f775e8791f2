from __future__ import annotations

import json
import math

import pytest

from femtobarn.stats import asimov_significance, count
from femtobarn.stats.tails import log_normal_tail, normal_quantile, poisson_log_tail


@pytest.mark.parametrize("window", ["118-130", "121-127", "121-130"])
def test_counting_windows_of_the_2012_histograms(shared, window):
    truth = json.loads(shared("oracles/higgs/cms_histograms.json").read_text())["2012"]["counting"][window]
    result = count(truth["n"], truth["b"], truth["s"])
    assert result.p0 == pytest.approx(truth["p_poisson"], rel=1e-8)
    assert result.z == pytest.approx(truth["Z_poisson"], abs=1e-8)
    assert result.z_expected == pytest.approx(truth["Z_asimov_expected"], abs=1e-8)


def test_a_deficit_has_negative_z_and_nothing_seen_has_p_one():
    assert count(2, 5.0).z < 0.0
    nothing = count(0, 5.0)
    assert nothing.p0 == 1.0
    assert nothing.z is None


def test_a_huge_excess_is_a_number():
    result = count(2000, 10.0)
    assert result.p0 == 0.0
    assert result.log_p0 == pytest.approx(-8611.349154507798, rel=1e-12)
    assert result.z == pytest.approx(131.19, abs=0.01)


def test_background_error_lowers_the_significance_and_vanishes_smoothly():
    exact = count(12, 4.0, 5.0)
    blurred = count(12, 4.0, 5.0, b_error=1.0)
    assert blurred.z_expected_profiled < exact.z_expected
    assert asimov_significance(5.0, 4.0, 1e-6) == pytest.approx(exact.z_expected, abs=1e-6)
    # Cowan's note of 2012, eq. 20, written out.
    s, b, v = 5.0, 4.0, 1.0
    q = 2 * (
        (s + b) * math.log((s + b) * (b + v) / (b**2 + (s + b) * v))
        - b**2 / v * math.log(1 + v * s / (b * (b + v)))
    )
    assert blurred.z_expected_profiled == pytest.approx(math.sqrt(q), rel=1e-12)


def test_json_has_only_what_was_asked():
    assert "Z_profiled" not in count(3, 1.0).to_json()
    assert count(3, 1.0, b_error=0.5).to_json()["Z_profiled"] > 0.0


def test_no_background_has_no_finite_significance():
    result = count(3, 0.0, 2.0)
    assert result.z is None
    assert result.z_expected is None


def test_poisson_tail_agrees_with_the_sum_of_its_terms():
    n, mean = 5, 1.3
    direct = 1.0 - sum(math.exp(-mean) * mean**k / math.factorial(k) for k in range(n))
    assert poisson_log_tail(n, mean) == pytest.approx(math.log(direct), rel=1e-12)


@pytest.mark.parametrize("z", [-3.0, 0.0, 5.0, 74.3])
def test_normal_tail_and_quantile_are_inverse(z):
    assert normal_quantile(log_normal_tail(z)) == pytest.approx(z, abs=1e-9)


def test_negative_input_is_refused():
    with pytest.raises(ValueError, match="negative"):
        count(-1, 2.0)

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from femtobarn.stats import clopper_pearson, garwood, weighted_efficiency


def test_garwood_of_zero_and_small_counts():
    low, high = garwood([0, 1, 4])
    assert low == pytest.approx([0.0, 0.172753779, 2.085660812], abs=1e-8)
    assert high == pytest.approx([1.841021645, 3.299526561, 7.162753173], abs=1e-8)


def test_garwood_ends_leave_equal_poisson_tails():
    low, high = garwood(7, level=0.9)
    assert stats.poisson.sf(6, float(low)) == pytest.approx(0.05, abs=1e-10)
    assert stats.poisson.cdf(7, float(high)) == pytest.approx(0.05, abs=1e-10)


def test_garwood_of_a_negative_count_is_nan():
    low, high = garwood([-1.0])
    assert np.isnan(low[0])
    assert np.isnan(high[0])


def test_clopper_pearson_edges_and_reference_value():
    low, high = clopper_pearson([0, 8, 10, 1], [10, 10, 10, 0])
    assert low[:3] == pytest.approx([0.0, 0.59454625, 0.83185081], abs=1e-8)
    assert high[:3] == pytest.approx([0.16814919, 0.92804620, 1.0], abs=1e-8)
    assert np.isnan(low[3])
    assert np.isnan(high[3])


@pytest.mark.parametrize("weight", [1.0, 1e-4, 3.0])
def test_weighted_efficiency_does_not_depend_on_a_common_weight(weight):
    eff, low, high, n_eff = weighted_efficiency(8 * weight, 2 * weight, 8 * weight**2, 2 * weight**2)
    assert float(eff) == pytest.approx(0.8)
    assert float(n_eff) == pytest.approx(10.0)
    assert (float(low), float(high)) == pytest.approx((0.59455, 0.92805), abs=1e-5)


def test_weighted_efficiency_of_nothing_is_nan_and_of_all_uses_the_effective_number():
    eff, low, high, n_eff = weighted_efficiency(
        [0.0, 4.0, -1.0], [0.0, 0.0, 3.0], [0.0, 8.0, 1.0], [0.0, 0.0, 9.0]
    )
    assert np.isnan(eff[0])
    assert np.isnan(low[0])
    assert np.isnan(eff[2])
    assert n_eff[1] == pytest.approx(2.0)
    assert (low[1], high[1]) == pytest.approx((float(clopper_pearson(2.0, 2.0)[0]), 1.0))


def test_level_outside_zero_to_one_is_refused():
    with pytest.raises(ValueError, match="confidence level"):
        garwood(3, level=68.0)

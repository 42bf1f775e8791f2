from __future__ import annotations

import math

import numpy as np
import pytest

from femtobarn.errors import UsageError
from femtobarn.stats.passfail.likelihood import Spectra
from femtobarn.stats.passfail.scale_factors import (
    Efficiency,
    combine,
    count_efficiency,
    fitted_efficiency,
    table_columns,
)

MC = Efficiency(0.9, 0.010, 0.008)
DATA = {
    "nominal": Efficiency(0.85, 0.006, 0.005),
    "altSig": Efficiency(0.86, 0.006, 0.005),
    "altBkg": Efficiency(0.84, 0.006, 0.005),
    "altSigBkg": Efficiency(0.87, 0.006, 0.005),
}


def pairs(**changes):
    return {name: (one, MC) for name, one in DATA.items()} | changes


def test_quadrature():
    made = combine(pairs())
    assert made.value == pytest.approx(0.85 / 0.9)
    assert made.sources == pytest.approx(
        {"altSig": 0.01 / 0.9, "altBkg": -0.01 / 0.9, "altSigBkg": 0.02 / 0.9}
    )
    assert made.syst == pytest.approx(math.sqrt(6e-4) / 0.9)
    # Simulation's upward error pulls the ratio down.
    assert made.stat_down == pytest.approx(math.hypot(0.006, 0.85 / 0.9 * 0.008) / 0.9)
    assert made.stat_up == pytest.approx(math.hypot(0.005, 0.85 / 0.9 * 0.010) / 0.9)
    assert made.total == pytest.approx(math.hypot(made.stat, made.syst))
    assert made.status == "good"


def test_envelope():
    assert combine(pairs(), combination="envelope").syst == pytest.approx(0.02 / 0.9)


@pytest.mark.parametrize(("other", "counted"), [(0.88, True), (0.92, True), (0.905, False), (0.895, False)])
def test_rms2024(other, counted):
    """Mean of four; a shift of the simulation counts in either direction if it beats its error (0.009)."""
    moved = {"altMC": (DATA["nominal"], Efficiency(other, 0.01, 0.01))}
    made = combine(pairs(**moved), combination="rms2024")
    values = np.array([0.85, 0.86, 0.84, 0.87])
    mean = values.mean()
    alt = 0.85 / other - 0.85 / 0.9 if counted else 0.0
    spread = ((values - mean) ** 2).sum() / 3 / 4
    assert made.value == pytest.approx(mean / 0.9)
    assert made.data.value == pytest.approx(mean)
    assert made.syst**2 == pytest.approx(spread / 0.9**2 + alt**2)
    stat_data, stat_mc = 0.0055 / 0.9, mean / 0.9 * 0.009 / 0.9
    assert made.total**2 == pytest.approx(made.syst**2 + stat_data**2 + stat_mc**2)


def test_rms2024_needs_its_four_members():
    made = combine({"nominal": (DATA["nominal"], MC)}, combination="rms2024")
    assert (made.value, made.status) == (None, "failed")


def test_two_sided_variations_count_once():
    both = {
        "massRangeUp": (Efficiency(0.855, 0.006, 0.005), MC),
        "massRangeDown": (Efficiency(0.843, 0.006, 0.005), MC),
    }
    made = combine({"nominal": (DATA["nominal"], MC)} | both)
    assert made.sources == pytest.approx({"massRange": -0.007 / 0.9})
    assert made.syst == pytest.approx(0.007 / 0.9)


def test_a_variation_that_failed_is_said():
    made = combine(pairs(altSig=(Efficiency(None, status="failed"), MC)))
    assert made.sources["altSig"] is None
    assert made.status == "suspect"
    assert "altSig" in made.reasons[-1]


def test_zero_in_simulation_gives_no_factor():
    made = combine({"nominal": (DATA["nominal"], Efficiency(0.0, 0.0, 0.01))})
    assert (made.value, made.total, made.status) == (None, None, "failed")


def test_unknown_combination():
    with pytest.raises(UsageError, match="quadratur"):
        combine(pairs(), combination="quadratur")


def test_counting_is_clopper_pearson_at_any_weight():
    counts = np.array([[8.0, 0.0], [2.0, 0.0]])
    for weight in (1.0, 1e-4):
        spectra = Spectra(np.array([60.0, 90.0, 120.0]), weight * counts, weight**2 * counts)
        found = count_efficiency(spectra)
        assert found.value == pytest.approx(0.8)
        assert found.value - found.down == pytest.approx(0.59455, abs=1e-5)
        assert found.value + found.up == pytest.approx(0.92805, abs=1e-5)
    assert count_efficiency(Spectra(np.array([0.0, 1.0, 2.0]), 0 * counts, 0 * counts)).value is None


def test_fitted_errors_fall_back_to_the_hessian():
    fit = {
        "efficiency": {"value": 0.9, "hesse": 0.01, "minos": [0.88, None]},
        "status": "suspect",
        "reasons": ["r"],
    }
    found = fitted_efficiency(fit)
    assert (found.down, found.up) == (pytest.approx(0.02), 0.01)
    assert fitted_efficiency(None).status == "failed"


def test_flat_table():
    row = {"filter": "f", "label": "SF", "region": "", "bin": "b", "edges": {"pt": [10.0, 20.0]},
           "combination": "quadrature", **combine(pairs()).to_json()}  # fmt: skip
    flat = table_columns([row])
    assert flat["pt_low"] == [10.0]
    assert flat["source_altSig"] == [row["sources"]["altSig"]]
    assert flat["status"] == ["good"]

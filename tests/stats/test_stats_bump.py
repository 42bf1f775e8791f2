from __future__ import annotations

import json
import math
from functools import partial

import numpy as np
import pytest

from femtobarn.export.th1 import read_1d
from femtobarn.run.pool import in_pool
from femtobarn.stats.bumps.search import Injection, SpectrumToSearch, search, search_all, tail_probability
from femtobarn.stats.bumps.spectrum import basis, choose_background, fit_many

EDGES = 100.0 + 20.0 * np.arange(61)
CENTRES = (EDGES[1:] + EDGES[:-1]) / 2
SMOOTH = 2000 * (CENTRES / 100) ** -2.5


def test_injected_bumps_are_found_and_none_is_invented(shared):
    truth = json.loads(shared("oracles/survey/bump_cases.json").read_text())
    spectra = [
        SpectrumToSearch(h.name, h.values, h.edges) for h in read_1d(shared("oracles/survey/bump_cases.root"))
    ]
    found = search_all(spectra, toys=200)
    near, ratios, background = 0, [], []
    for item in found["histograms"]:
        assert item["status"] == "ok"
        injected = truth[item["name"]]["injected"]
        if injected is None:
            background.append(item["z_max"])
            continue
        near += abs(item["bin"] - injected["bin"]) <= 1
        ratios.append(item["z_max"] / injected["z_of_this_sample_with_the_true_background"])
    assert len(ratios) == 12
    assert near >= 11
    assert 0.7 <= np.median(ratios) <= 1.15
    assert max(background) < 4.5
    assert found["global"]["p_global"] < 0.01


def test_global_probabilities_are_uniform_without_a_bump():
    rng = np.random.default_rng(1)
    p = [
        search(SpectrumToSearch(f"toy{i}", rng.poisson(SMOOTH).astype(float), EDGES), toys=100).p_global
        for i in range(40)
    ]
    # Kolmogorov-Smirnov distance of 40 uniform numbers exceeds 0.26 once in a hundred.
    distance = np.max(np.abs(np.sort(p) - (np.arange(40) + 0.5) / 40))
    assert distance < 0.26


#: A spectrum with a threshold, a broad maximum near 70 GeV, and a tail with gaps.
WHOLE = 10.0 * np.arange(301)
MIDDLE = (WHOLE[1:] + WHOLE[:-1]) / 2
TURN_ON = (1 - np.exp(-((MIDDLE / 70) ** 4))) * np.exp(-MIDDLE / 100)
TURN_ON *= 3000 / TURN_ON.sum()


def drawn(expected, name="toy", seed=5, toys=100):
    counts = np.random.default_rng(seed).poisson(expected).astype(float)
    return search(SpectrumToSearch(name, counts, WHOLE, whole=True), toys=toys)


def test_global_probabilities_of_whole_spectra_are_uniform_too():
    found = [drawn(TURN_ON, f"toy{i}", seed=i, toys=60) for i in range(40)]
    p = np.sort([item.p_global for item in found])
    assert np.max(np.abs(p - (np.arange(40) + 0.5) / 40)) < 0.26
    assert all(item.goodness > 1e-3 for item in found)
    assert all(50 <= item.range_gev[0] <= 90 for item in found)


@pytest.mark.parametrize(("mass", "events"), [(160, 600), (165, 1500), (400, 150), (2000, 12)])
def test_a_bump_is_found_even_as_the_highest_bin_or_beyond_a_gap(mass, events):
    """Cut at highest bin and first gap, the first two would begin the spectrum and the last be lost."""
    edges = np.clip((WHOLE - mass) / (np.sqrt(2) * 8), -6, 6)
    found = drawn(TURN_ON + events / 2 * np.diff([math.erf(x) for x in edges]))
    assert abs(found.mass_gev - mass) <= 10
    assert found.p_global < 1e-4
    assert found.range_gev[0] < mass - 20 < mass + 20 < found.range_gev[1]


def test_workers_and_order_change_nothing():
    rng = np.random.default_rng(7)
    spectra = [
        SpectrumToSearch(f"toy{i}", rng.poisson(TURN_ON).astype(float), WHOLE, whole=True) for i in range(6)
    ]
    here = search_all(spectra, toys=40)
    there = search_all(spectra[::-1], toys=40, mapped=partial(in_pool, workers=2))
    assert there["histograms"][::-1] == here["histograms"]
    assert there["best"] == here["best"]
    assert there["global"] == here["global"]


def test_a_rare_excess_is_judged_by_more_toys_and_a_common_one_by_fewer(monkeypatch):
    drawn_toys = []
    monkeypatch.setattr(
        "femtobarn.stats.bumps.search.tail_probability",
        lambda toys, observed: drawn_toys.append(len(toys)) or tail_probability(toys, observed),
    )
    smooth = drawn(TURN_ON, seed=3, toys=100)
    assert smooth.p_global > 0.5
    bump = np.zeros(300)
    bump[16:18] = 60
    assert drawn(TURN_ON + bump, seed=3, toys=100).p_global < 0.01
    assert drawn_toys[0] <= 100
    assert drawn_toys[1:] == [1000]


def test_a_fit_with_a_bump_that_gains_slowly_ends():
    """Near an edge with few events a bump and the background trade events in small steps."""
    filled = "3 5 14 3 5 0 2 1 2 3 5 4 3 2 0 0 1 1 0 0 0 0 1 0 1 1 1 1 1 0 0 0 0 0 "
    filled += "1 0 1 0 0 0 1 0 0 0 0 0 0 0 0 1 1 1"
    counts = np.array([*filled.split(), *"00000"], dtype=float)
    found = search(SpectrumToSearch("slow", counts, 90.0 + 10.0 * np.arange(58)), toys=8)
    assert found.status == "ok"


def test_what_is_not_searched_is_counted():
    found = drawn(TURN_ON)
    assert found.entries + found.events_below + found.events_above == pytest.approx(3000, abs=200)
    assert found.events_below > 0
    steps = np.where(np.arange(300) % 40 < 20, 50.0, 5.0)
    many = search_all([SpectrumToSearch("steps", steps, WHOLE, whole=True, outside=7.0)], toys=20)
    assert many["global"]["poorly_described"] == ["steps"]
    assert many["global"]["events_above"] >= 7


def test_injection_is_found_where_it_was_put_with_the_size_it_has():
    found = search(SpectrumToSearch("asimov", SMOOTH, EDGES), toys=50, injection=Injection(610.0, 20.0, 60.0))
    assert found.bin == 25
    assert found.mass_gev == 610.0
    assert found.z_max == pytest.approx(found.expected_z, rel=0.2)


def test_short_empty_and_masked_spectra_have_a_status():
    short = search(SpectrumToSearch("short", np.full(5, 100.0), np.arange(6.0)))
    assert short.z_max is None
    assert "12 are needed" in short.status
    empty = search(SpectrumToSearch("empty", np.zeros(60), EDGES))
    assert "entries" in empty.status
    counts = SMOOTH.copy()
    counts[20:23] += 500
    masked = np.zeros(60, dtype=bool)
    masked[19:24] = True
    hidden = search(SpectrumToSearch("masked", counts, EDGES, masked), toys=50)
    assert hidden.status == "ok"
    assert hidden.z_max < 2


def test_background_is_the_maximum_of_the_likelihood():
    from scipy.optimize import minimize

    counts = np.random.default_rng(2).poisson(SMOOTH).astype(float)
    design = basis(EDGES, 3)
    c, converged = fit_many(counts[None], design)
    assert converged.all()

    def objective(x):
        return np.sum(np.exp(design @ x) - counts * (design @ x))

    other = minimize(objective, c[0] * 0.9, method="BFGS")
    assert objective(c[0]) <= other.fun + 1e-6
    assert choose_background(counts, EDGES).order <= 3


def test_tail_goes_on_beyond_the_toys():
    toys = np.random.default_rng(3).exponential(size=2000)
    for t in (1.0, 4.0, 12.0):
        assert np.log(tail_probability(toys, t)) == pytest.approx(-t, rel=0.15)

"""Distances in standardised features and in principal components, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from femtobarn.catalog.quantity import absent
from femtobarn.catalog.runtable import RunTable
from femtobarn.errors import DataError, UsageError
from femtobarn.rank.metric import fit_metric
from femtobarn.rank.physics import run_features
from femtobarn.rank.questions import Question, Records
from femtobarn.rank.suggest import suggest


@pytest.fixture
def plane():
    """Runs on a line in two features of very different size, and one apart."""
    return RunTable(
        {n: {"duration": 1000.0 * (1 + n % 10), "fill_n_colliding": 10.0 + n % 10, "init_lumi": 1.0 + n % 7}
         for n in range(1, 41)},
        "a table",
    )  # fmt: skip


NAMES = ("duration", "colliding_bunches", "init_lumi")


def test_standardised_distances_by_hand(plane):
    runs = [plane.get(n) for n in plane]
    one, two = (run_features(plane.get(n), NAMES) for n in (2, 5))
    scale = np.std([[q.number for q in run_features(run, NAMES).values()] for run in runs], axis=0)
    steps = np.abs(np.array([3000.0, 3.0, 3.0]) / scale)
    euclid, manhattan = (
        fit_metric(name, runs, NAMES).distance(one, two).value for name in ("euclid", "manhattan")
    )
    assert euclid == pytest.approx(np.sqrt(np.mean(steps**2)))
    assert manhattan == pytest.approx(np.mean(steps))
    weighted = fit_metric("manhattan", runs, NAMES).distance(one, two, {"init_lumi": 0.0}).value
    assert weighted == pytest.approx(np.mean(steps[:2]))


def test_principal_components_keep_all_or_the_leading_part(plane):
    runs = [plane.get(n) for n in plane]
    one, two = (run_features(plane.get(n), NAMES) for n in (2, 5))
    every = fit_metric("euclid", runs, NAMES, 3).distance(one, two).value
    assert every == pytest.approx(fit_metric("euclid", runs, NAMES).distance(one, two).value)  # a rotation
    # Duration and bunches are one direction: two components hold everything.
    two_of_three = fit_metric("euclid", runs, NAMES, 2).distance(one, two).value
    assert two_of_three == pytest.approx(every * np.sqrt(3 / 2))
    lacking = {**two, "duration": absent("s")}
    assert fit_metric("euclid", runs, NAMES, 2).distance(one, lacking).value is None
    assert fit_metric("manhattan", runs, NAMES).distance(one, lacking).features["duration"].imputed


def test_what_cannot_be_fitted_is_said(plane):
    with pytest.raises(UsageError, match="euclid"):
        fit_metric("euclidd", [], NAMES)
    with pytest.raises(UsageError, match="--components"):
        fit_metric("euclid", [], NAMES, 4)
    with pytest.raises(UsageError, match="standardised"):
        fit_metric("log", [], NAMES, 2)
    with pytest.raises(DataError, match="pileup"):
        fit_metric("euclid", [plane.get(n) for n in plane], (*NAMES, "pileup"))


def test_a_fitted_distance_does_not_move_with_the_question(make_pairs, plane):
    records = Records(make_pairs([(n, "prompt", max(n - 5, 1)) for n in range(1, 41)]), plane)
    questions = [Question(run, "prompt", metric="euclid", features=NAMES) for run in (20, 35)]
    found = [suggest(question, records) for question in questions]
    assert found[0].metric is found[1].metric
    assert found[0].to_json()["metric"] == {"name": "euclid", "components": None, "fitted_on": 40}

"""Promotion: the replay of past promotions, and what may not enter it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from femtobarn.catalog.certhelper import read_pairs
from femtobarn.catalog.runtable import RunTable, read_runs
from femtobarn.rank.history import Events
from femtobarn.rank.promotion import BASELINES, evaluate_promotion, newest_candidate, rank_promotions


@pytest.mark.parametrize(
    ("name", "limits"), [("dev_346000_375000", {"test_from": 346000, "test_to": 375000}), ("all_dev", {})]
)
def test_the_oracle(shared, name, limits):
    events = Events.from_pairs(read_pairs(shared("data/refrun/pairs.csv")).pairs)
    runs = read_runs(shared("data/refrun/runs.csv"))
    found = evaluate_promotion(events, runs, "collisions", **limits).to_json()
    oracle = json.loads(shared("oracles/refrun/promotion_dev.json").read_text())[name]
    for key in ("promotions", "earlier_than_first_use", "reachable", "scored"):
        assert found[key] == oracle[key]
    for ranker, scores in oracle["rankers"].items():
        for key, value in scores.items():
            assert found["rankers"][ranker][key] == pytest.approx(value, abs=5e-5)
    best = max(found["rankers"][ranker]["mrr"] for ranker in BASELINES)
    assert found["rankers"]["model"]["mrr"] > best


def test_later_use_does_not_enter(make_pairs):
    rows = [(run, "prompt", 1) for run in range(100, 140)] + [(140, "prompt", 120)]
    lengths = RunTable({run: {"n_stable_ls": (run * 37) % 500 + 1} for run in range(100, 200)}, "t")
    first = evaluate_promotion(Events.from_pairs(make_pairs(rows)), lengths, "collisions")
    more = rows + [(run, "prompt", 120) for run in range(141, 190)]
    later = evaluate_promotion(Events.from_pairs(make_pairs(more)), lengths, "collisions")
    assert first.table == later.table
    assert len(first.table) == 1
    assert first.table[0]["first_use"] == 140


def test_runs_of_unknown_length_are_no_candidates(make_pairs):
    events = Events.from_pairs(make_pairs([(run, "prompt", 1) for run in range(100, 110)]))
    runs = RunTable({104: {"n_stable_ls": 50}, 107: {"n_stable_ls": 900}}, "t")
    assert newest_candidate(events, runs, "collisions") == 107
    assert newest_candidate(events, runs, "HI") is None
    found = rank_promotions(events, runs, "collisions", low=100, high=110)
    assert [one.run for one in found] == [107, 104]
    assert found[0].reasons[0] == "900 stable lumisections"
    assert np.isfinite(found[0].score)

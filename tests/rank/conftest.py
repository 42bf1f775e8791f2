"""A small history of certifications, made by hand and by a seeded generator."""

from __future__ import annotations

import numpy as np
import pytest

from femtobarn.catalog.runrecords import Pair, RunKey, class_from_dataset


@pytest.fixture(scope="session")
def make_pairs():
    """Pairs from rows (run, reco, reference[, dataset])."""

    def make(rows):
        pairs = []
        for i, (run, reco, reference, *rest) in enumerate(rows):
            dataset = rest[0] if rest else "/ZeroBias/Run2022A/DQMIO"
            key = RunKey(run, reco)
            pairs.append(Pair(key, RunKey(reference, reco), dataset, i, class_from_dataset(dataset)))
        return tuple(pairs)

    return make


@pytest.fixture(scope="session")
def habit(make_pairs):
    """300 runs of two classes whose references change now and then, with some noise."""
    rng = np.random.default_rng(3)
    rows, current = [], {"a": [1000], "b": [1001]}
    for run in range(1010, 2210, 4):
        kind = "a" if rng.uniform() < 0.5 else "b"
        if rng.uniform() < 0.03:
            current[kind].append(run - int(rng.integers(2, 60)))
        dataset = "/ZeroBias/Run2022A/DQMIO" if kind == "a" else "/Cosmics/Run2022A/DQMIO"
        for reco in ("express", "prompt"):
            back = 2 if rng.uniform() < 0.1 and len(current[kind]) > 1 else 1
            rows.append((run, reco, current[kind][-back], dataset))
    return make_pairs(rows)

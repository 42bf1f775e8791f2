"""Training the jet assignment: truth matching, reproducible files, models that a run accepts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from femtobarn import api
from femtobarn.analyses.ttbar.matching import partons, right_permutation
from femtobarn.errors import DataError, UsageError
from femtobarn.kernels.permutations import permutations

LAST = 1 << 13


def test_quarks_are_told_by_what_they_decayed_from() -> None:
    # top, its copy, W, b, b after radiation (last), quark of the W, then a quark of a second event
    pdg = np.array([6, 6, 24, 5, 5, 2, 2, 21])
    mother = np.array([-1, 0, 1, 1, 3, 2, -1, 0])
    flags = np.array([0, LAST, LAST, 0, LAST, LAST, LAST, LAST])
    found = partons(pdg, mother, flags, np.array([0, 6, 8]))
    assert found.tolist() == [0, 0, 0, 0, 6, 24, 0, 0]


def test_every_permutation_is_right_for_its_own_labels() -> None:
    for number, (w1, w2, had, lep) in enumerate(permutations(4)):
        for sign in (1, -1):
            labels = np.zeros((1, 4), dtype=np.int64)
            labels[0, [w1, w2, had, lep]] = np.array([24, 24, 6, -6]) * sign
            assert right_permutation(labels).tolist() == [number]
    for wrong in ([24, 24, 6, 6], [24, -24, 6, -6], [24, 24, 6, 0], [24, 24, -6, -6]):
        assert right_permutation(np.array([wrong])).tolist() == [-1]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("xgboost", reason="needs the extra xgb")
    return api.ttbar_train(
        out=tmp_path_factory.mktemp("train") / "m", events=12_000, trials=1, folds=2, seed=3
    ).path


def test_models_know_more_than_the_largest_momentum(trained: Path) -> None:
    report = json.loads((trained / "training.json").read_text())
    test = report["test"]
    assert report["signal_region"] > test["events"] > 100
    assert test["auc"] > 0.9
    assert test["trijet_right"] >= test["all_right"] > 0.5
    assert test["trijet_right"] > test["trijet_right_largest_pt"] + 0.1


def test_the_same_seed_gives_the_same_files(trained: Path, tmp_path: Path) -> None:
    again = api.ttbar_train(out=tmp_path / "m", events=12_000, trials=1, folds=2, seed=3).path
    for name in ("model_even.json", "model_odd.json", "models.json", "training.json"):
        assert (again / name).read_bytes() == (trained / name).read_bytes()
    with pytest.raises(UsageError, match="holds a pair of models already"):
        api.ttbar_train(out=tmp_path / "m", events=10)


def test_a_run_takes_the_pair(trained: Path, tmp_path: Path) -> None:
    api.data_make("ttbar", out=tmp_path / "in", scale=0.02)
    request = api.Request(
        what="ttbar", files=(f"ttbar={tmp_path / 'in' / 'ttbar__nominal.root'}",), out=str(tmp_path / "r"),
        executor="serial", settings=("ml=local", f"models={trained}", "systematics=none"),
    )  # fmt: skip
    finished = api.run(request, process_only=True)
    assert finished.complete
    histograms = finished.result.outcome.histograms
    key = ("4j2b", "ttbar", "nominal")
    assert (
        histograms["ml/mass_w1w2"].values(key, flow=True).sum()
        == histograms["4j2b"].values(key, flow=True).sum()
    )
    assert not finished.result.outcome.warnings


def test_too_few_events_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("xgboost", reason="needs the extra xgb")
    with pytest.raises(DataError, match="only 0 matched events with even numbers"):
        api.ttbar_train(out=tmp_path / "m", events=20)
    with pytest.raises(UsageError, match="--folds from 2"):
        api.ttbar_train(out=tmp_path / "m", folds=1)

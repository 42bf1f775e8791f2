"""Boosted trees: sums against a walk by hand, files that are no models, the same scores from ONNX."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from femtobarn.errors import ConfigError
from femtobarn.physics.classifiers import read_forest
from femtobarn.physics.classifiers.onnx import OnnxModel, onnx_bytes, read_onnx

Tree = dict[str, list[Any]]


def grown(rng: np.random.Generator, features: int, nodes: int) -> Tree:
    """A tree as XGBoost writes one, with children in no particular order."""
    left, right = [-1], [-1]
    while len(left) < nodes:
        leaf = int(rng.choice([i for i, child in enumerate(left) if child < 0]))
        pair = [len(left), len(left) + 1]
        left += [-1, -1]
        right += [-1, -1]
        left[leaf], right[leaf] = rng.permutation(pair).tolist()
    return {
        "left_children": left, "right_children": right, "split_type": [0] * len(left),
        "split_indices": rng.integers(0, features, len(left)).tolist(),
        "split_conditions": rng.normal(size=len(left)).astype(np.float32).tolist(),
        "default_left": rng.integers(0, 2, len(left)).tolist(),
    }  # fmt: skip


def document(trees: list[Tree], base: str = "5E-1", features: int = 3, **changes: str) -> dict[str, Any]:
    return {"learner": {
        "learner_model_param": {"base_score": base, "num_feature": str(features)},
        "objective": {"name": changes.get("objective", "binary:logistic")},
        "gradient_booster": {"name": changes.get("booster", "gbtree"), "model": {"trees": trees}},
    }}  # fmt: skip


def by_hand(trees: list[Tree], row: list[float], odds: float) -> float:
    """One row through all trees, in double precision."""
    total = float(np.log(odds / (1 - odds)))
    for tree in trees:
        node = 0
        while tree["left_children"][node] >= 0:
            value, cut = row[tree["split_indices"][node]], tree["split_conditions"][node]
            to_left = bool(tree["default_left"][node]) if np.isnan(value) else value < cut
            node = tree["left_children" if to_left else "right_children"][node]
        total += tree["split_conditions"][node]
    return 1 / (1 + np.exp(-total))


@given(seed=st.integers(0, 2**32 - 1), base=st.sampled_from(["5E-1", "[2E-1]", "0.7"]))
def test_scores_are_those_of_a_walk_by_hand(
    tmp_path_factory: pytest.TempPathFactory, seed: int, base: str
) -> None:
    rng = np.random.default_rng(seed)
    trees = [grown(rng, 3, int(rng.integers(1, 16))) for _ in range(4)]
    path = tmp_path_factory.mktemp("model") / "model.json.gz"
    path.write_bytes(gzip.compress(json.dumps(document(trees, base)).encode()))
    # Values at a threshold go right; those that are no number have a side of their own.
    cuts = np.array([tree["split_conditions"][0] for tree in trees], dtype=np.float32)
    rows = rng.choice(np.concatenate([cuts, rng.normal(size=8).astype(np.float32), [np.nan]]), (300, 3))
    got = read_forest(path)(rows.astype(np.float32))
    want = [by_hand(trees, row, float(base.strip("[]"))) for row in rows.astype(np.float32).tolist()]
    np.testing.assert_allclose(got, want, rtol=2e-6)


def broken(name: str) -> Any:
    tree = grown(np.random.default_rng(0), 3, 5)
    if name == "circle":
        tree["left_children"][0] = 0
        return document([tree])
    if name == "shared child":
        tree["right_children"][0] = tree["left_children"][0]
        return document([tree])
    if name == "feature":
        tree["split_indices"] = [7] * len(tree["split_indices"])
        return document([tree])
    if name == "lengths":
        tree["split_conditions"].pop()
        return document([tree])
    if name == "categories":
        tree["split_type"][0] = 1
        return document([tree])
    return {"other objective": document([tree], objective="reg:squarederror"),
            "other booster": document([tree], booster="dart"), "no trees": document([]),
            "certain": document([tree], base="1"), "no model": {}, "list": []}[name]  # fmt: skip


@pytest.mark.parametrize(
    "name", ["circle", "shared child", "feature", "lengths", "categories", "other objective", "other booster",
             "no trees", "certain", "no model", "list"],
)  # fmt: skip
def test_what_is_no_binary_classifier_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "model.json"
    path.write_text(json.dumps(broken(name)))
    with pytest.raises(ConfigError, match=r"model\.json: is not an XGBoost model of a binary classifier"):
        read_forest(path)


def test_rows_of_another_width_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_text(json.dumps(document([grown(np.random.default_rng(0), 3, 5)])))
    with pytest.raises(ValueError, match="3 features"):
        read_forest(path)(np.zeros((2, 4), dtype=np.float32))


def test_onnx_gives_the_same_scores(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    path = tmp_path / "model.json"
    path.write_text(json.dumps(document([grown(rng, 3, 31) for _ in range(20)], "0.3")))
    rows = rng.normal(size=(500, 3)).astype(np.float32)
    rows[::7, 1] = np.nan
    forest = read_forest(path)
    model = OnnxModel(onnx_bytes(forest, {"trained_on": "even"}))
    assert model.about["trained_on"] == "even"
    np.testing.assert_allclose(model(rows), forest(rows), atol=2e-6)
    np.testing.assert_allclose(read_onnx(path)(rows), forest(rows), atol=2e-6)
    wrong = tmp_path / "model.onnx"
    wrong.write_bytes(b"no model")
    with pytest.raises(ConfigError, match=r"model\.onnx: is not an ONNX model"):
        read_onnx(wrong)

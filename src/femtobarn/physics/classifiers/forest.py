"""Boosted decision trees from XGBoost's JSON, evaluated without XGBoost.

The format is XGBoost's own and documented ("Introduction to Model IO"); files of versions 1.7 to 3.x are
read.  Sums are made in the library's order and precision, so scores are those of its ``Booster``.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from femtobarn.errors import ConfigError
from femtobarn.kernels.forest import LEAF, margins

__all__ = ["Forest", "model_bytes", "read_forest"]


@dataclass(frozen=True, slots=True)
class Forest:
    """Trees of a binary classifier.

    Attributes
    ----------
    features : int
        Columns of its input.
    base : float
        Where the sum of leaves begins (the logarithm of the odds).
    roots : (t,) int32
        First node of each tree.
    feature, threshold, left, missing_left : (m,)
        As :func:`~femtobarn.kernels.forest.margins` takes them.
    """

    features: int
    base: float
    roots: NDArray[np.int32]
    feature: NDArray[np.int16]
    threshold: NDArray[np.float32]
    left: NDArray[np.int32]
    missing_left: NDArray[np.bool_]

    def __call__(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n,) probabilities of rows (n, f)."""
        table = np.ascontiguousarray(features, dtype=np.float32)
        if table.ndim != 2 or table.shape[1] != self.features:
            raise ValueError(f"the model takes rows of {self.features} features, not {table.shape}")
        total = margins(
            table, self.roots, self.feature, self.threshold, self.left, self.missing_left,
            np.float32(self.base),
        )  # fmt: skip
        return np.asarray(np.float32(1.0) / (np.float32(1.0) + np.exp(-total)), dtype=np.float32)


def model_bytes(path: Path) -> bytes:
    """The content of a model file, unpacked if it is gzipped."""
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data


def read_forest(path: Path) -> Forest:
    """A binary classifier from XGBoost's JSON (``.json`` or ``.json.gz``).

    Raises
    ------
    ConfigError
        The file is no such model, or one of a kind that is not evaluated here.
    """
    try:
        return _forest(json.loads(model_bytes(path))["learner"])
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        what = "is not an XGBoost model of a binary classifier"
        raise ConfigError(f"{what}: {type(error).__name__}: {error}", where=str(path)) from error


def _forest(learner: Mapping[str, Any]) -> Forest:
    objective, booster = learner["objective"]["name"], learner["gradient_booster"]["name"]
    if objective != "binary:logistic" or booster != "gbtree":
        raise ValueError(f"{booster} with the objective {objective}; gbtree and binary:logistic are read")
    parameters = learner["learner_model_param"]
    # "5E-1", or a list of one from version 3 on.
    odds = float(str(parameters["base_score"]).strip("[]"))
    if not 0 < odds < 1:
        raise ValueError(f"a base_score of {odds}")
    trees = learner["gradient_booster"]["model"]["trees"]
    roots, count, width, nodes = [], 0, int(parameters["num_feature"]), []
    for tree in trees:
        nodes.append(_nodes(tree, count, width))
        roots.append(count)
        count += len(nodes[-1]["left"])
    joined = {name: np.concatenate([one[name] for one in nodes]) for name in nodes[0]}
    return Forest(width, float(np.log(odds / (1 - odds))), np.array(roots, dtype=np.int32), **joined)


def _nodes(tree: Mapping[str, Any], start: int, width: int) -> dict[str, NDArray[Any]]:
    """The nodes of one tree, checked, in an order in which the right child follows the left one."""
    if any(tree.get("split_type") or ()):
        raise ValueError("splits by category")
    left, right = (np.array(tree[f"{side}_children"], dtype=np.int64) for side in ("left", "right"))
    feature = np.array(tree["split_indices"], dtype=np.int16)
    threshold = np.array(tree["split_conditions"], dtype=np.float32)
    to_left = np.array(tree["default_left"], dtype=np.bool_)
    if not len(left) == len(right) == len(feature) == len(threshold) == len(to_left) > 0:
        raise ValueError("a tree's lists differ in length")
    order, child, at = [0], [], 0
    while at < len(order):
        node = order[at]
        leaf = left[node] == LEAF
        child.append(LEAF if leaf else start + len(order))
        if not leaf:
            order += [int(left[node]), int(right[node])]
            if min(order[-2:]) < 1 or len(order) > len(left):
                raise ValueError("a tree is not a tree")
        at += 1
    if len(set(order)) < len(order):
        raise ValueError("a tree's branches meet again")
    feature = feature[order]
    if (feature < 0).any() or (feature >= width).any():
        raise ValueError("a node asks for a feature that there is not")
    return {"feature": feature, "threshold": threshold[order], "left": np.array(child, dtype=np.int32),
            "missing_left": to_left[order]}  # fmt: skip

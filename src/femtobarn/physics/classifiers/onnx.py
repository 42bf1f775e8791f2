"""Boosted trees as ONNX: written from a :class:`Forest`, evaluated by ONNX Runtime (extra ``onnx``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.errors import ConfigError
from femtobarn.kernels.forest import LEAF
from femtobarn.physics.classifiers.forest import Forest, read_forest

__all__ = ["OnnxModel", "onnx_bytes", "read_onnx"]

#: Versions of the operators that are used; any runtime of the last five years knows them.
_OPSETS: Final = {"": 15, "ai.onnx.ml": 3}
_IR_VERSION: Final = 8


def onnx_bytes(forest: Forest, about: Mapping[str, str] | None = None) -> bytes:
    """A model of two nodes, trees and logistic function: ``features`` (n, f) in, ``probability`` (n, 1) out.

    ``about`` is kept in the model's metadata.
    """
    from onnx import TensorProto, checker, helper

    # The runtime does not honour the trees' own post_transform="LOGISTIC".
    trees = helper.make_node(
        "TreeEnsembleRegressor", ["features"], ["margin"], domain="ai.onnx.ml", n_targets=1,
        aggregate_function="SUM", base_values=[float(np.float32(forest.base))], **_trees(forest),
    )  # fmt: skip
    logistic = helper.make_node("Sigmoid", ["margin"], ["probability"])
    table = helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, forest.features])
    answer = helper.make_tensor_value_info("probability", TensorProto.FLOAT, [None, 1])
    model = helper.make_model(
        helper.make_graph([trees, logistic], "forest", [table], [answer]), producer_name="femtobarn",
        opset_imports=[helper.make_opsetid(name, version) for name, version in _OPSETS.items()],
        ir_version=_IR_VERSION,
    )  # fmt: skip
    helper.set_model_props(model, dict(about or {}))
    checker.check_model(model)
    return bytes(model.SerializeToString())


def _trees(forest: Forest) -> dict[str, Any]:
    """Attributes of the node: the forest's arrays, with nodes counted anew in each tree."""
    count = len(forest.left)
    sizes = np.diff(np.append(forest.roots, count))
    tree = np.repeat(np.arange(len(sizes)), sizes)
    number = np.arange(count) - forest.roots[tree]
    leaf = forest.left == LEAF
    low = np.where(leaf, 0, forest.left - forest.roots[tree])
    return {
        "nodes_treeids": tree.tolist(),
        "nodes_nodeids": number.tolist(),
        "nodes_featureids": np.where(leaf, 0, forest.feature).tolist(),
        "nodes_values": np.where(leaf, 0, forest.threshold).tolist(),
        "nodes_modes": ["LEAF" if one else "BRANCH_LT" for one in leaf],
        "nodes_truenodeids": low.tolist(),
        "nodes_falsenodeids": np.where(leaf, 0, low + 1).tolist(),
        "nodes_missing_value_tracks_true": (forest.missing_left & ~leaf).astype(int).tolist(),
        "target_treeids": tree[leaf].tolist(),
        "target_nodeids": number[leaf].tolist(),
        "target_ids": [0] * int(leaf.sum()),
        "target_weights": forest.threshold[leaf].tolist(),
    }


class OnnxModel:
    """A binary classifier run by ONNX Runtime with one thread.

    ``about`` is the model's metadata.
    """

    def __init__(self, content: bytes) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        self.about: Mapping[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)

    def __call__(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n,) probabilities of rows (n, f); of two columns (one a class) the last one counts."""
        (found, *_) = self._session.run(None, {self._input: np.asarray(features, dtype=np.float32)})[-1:]
        return np.asarray(found, dtype=np.float32).reshape(len(features), -1)[:, -1]


def read_onnx(path: Path) -> OnnxModel:
    """A model from its ``.onnx`` file, or from XGBoost's JSON, which is converted.

    Raises
    ------
    ConfigError
        The file is no such model.
    """
    if path.suffix != ".onnx":
        return OnnxModel(onnx_bytes(read_forest(path)))
    from onnxruntime.capi import onnxruntime_pybind11_state as reasons

    known = (reasons.InvalidGraph, reasons.InvalidProtobuf, reasons.Fail, reasons.NotImplemented)
    try:
        return OnnxModel(path.read_bytes())
    except known as error:
        said = str(error).strip().split("\n", 1)[0]
        raise ConfigError(f"is not an ONNX model that can be run: {said}", where=str(path)) from error

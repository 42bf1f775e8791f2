"""Trained binary classifiers: evaluated here, by ONNX Runtime, or by a Triton server.

Each is a callable that takes rows of features (n, f) in float32 and gives (n,) probabilities.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from femtobarn.physics.classifiers.forest import Forest, model_bytes, read_forest

__all__ = ["Forest", "Scorer", "model_bytes", "read_forest"]

Scorer = Callable[[NDArray[np.float32]], NDArray[Any]]

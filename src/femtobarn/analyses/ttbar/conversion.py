"""Writing a pair of models for another backend, with all that says which is which."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

from femtobarn.analyses.ttbar.models import INDEX, NAMES, read_pair, served_name
from femtobarn.errors import UsageError
from femtobarn.kernels.permutations import FEATURES
from femtobarn.physics.classifiers import model_bytes, read_forest
from femtobarn.physics.classifiers.triton import config_text

__all__ = ["TARGETS", "convert", "index_entry"]

TARGETS: Final = ("onnx", "triton")


def index_entry(file: str, content: bytes, name: str) -> dict[str, Any]:
    """How ``models.json`` describes one model."""
    digest = hashlib.sha256(content).hexdigest()
    return {"file": file, "sha256": digest, "features": list(FEATURES), "trained_on": name}


def convert(source: Path, target: Path, to: str) -> Path:
    """Write the pair in ``source`` (XGBoost JSON) to ``target``: ONNX files, or a Triton model repository.

    Raises
    ------
    UsageError
        ``target`` holds a pair already.
    ConfigError
        The pair is not one, or not of XGBoost JSON.
    """
    pair = read_pair(source, suffixes=(".json", ".json.gz"))
    if (target / INDEX).exists():
        raise UsageError("holds a pair of models already", where=str(target), action="choose another --out")
    index: dict[str, Any] = {"schema_version": 1, "inputs": _inputs(source)}
    for name in NAMES:
        about = {"trained_on": name, "features": ",".join(FEATURES)}
        file, content = _written(pair.paths[name], name, about, to)
        place = target / file
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        index[name] = index_entry(file, content, name)
        if to == "triton":
            about["sha256"] = str(index[name]["sha256"])
            config = config_text(served_name(name), len(FEATURES), about)
            (target / served_name(name) / "config.pbtxt").write_text(config, encoding="utf-8")
    (target / INDEX).write_text(json.dumps(index, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return target


def _written(path: Path, name: str, about: dict[str, str], to: str) -> tuple[str, bytes]:
    """File name and content of one model."""
    forest = read_forest(path)  # also for Triton: what cannot be evaluated here is not shipped
    if to == "triton":
        return f"{served_name(name)}/1/xgboost.json", model_bytes(path)
    from femtobarn.physics.classifiers.onnx import onnx_bytes

    return f"model_{name}.onnx", onnx_bytes(forest, about)


def _inputs(source: Path) -> list[str]:
    """What the pair was trained on, as far as it is told."""
    place = source / INDEX
    if not place.exists():
        return []
    return [str(one) for one in json.loads(place.read_text(encoding="utf-8")).get("inputs", [])]

"""The pair of classifiers: each event is scored by the one that was not trained on events of its parity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.analysis import Resource
from femtobarn.errors import ConfigError, UsageError
from femtobarn.kernels.permutations import FEATURES
from femtobarn.physics.classifiers import Scorer, model_bytes, read_forest

__all__ = [
    "INDEX", "NAMES", "Pair", "adopted", "check_library", "model_resources", "read_pair", "score_by_parity",
    "served_name",
]  # fmt: skip

INDEX: Final = "models.json"
NAMES: Final = ("even", "odd")
#: Parity of an event number -> the resource that may score it: trained on the other parity.
_OTHER: Final = {0: "model_odd", 1: "model_even"}
#: What a backend needs beyond this package: a module, and the extra that brings it.
_LIBRARIES: Final = {"onnx": ("onnxruntime", "onnx"), "triton": ("tritonclient", "triton")}
#: SHA-256 of the Grand Challenge's own models (their JSON) -> the parity that each was trained on.
_PUBLISHED: Final = {
    "6b83e87d6e74a931195de041650dba342b5d2e687ed941f0ff07069b10f0961c": "even",
    "67c0f5469000305d704c5c9e583862008b5bdb02e6edd0306e7057c36b5afaa1": "odd",
}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two model files, by the parity that each was trained on.

    Attributes
    ----------
    paths, digests : {"even" or "odd": file, SHA-256 of the unpacked file}
    """

    paths: Mapping[str, Path]
    digests: Mapping[str, str]


def check_library(module: str, extra: str, what: str) -> None:
    """Refuse at once when an optional library is not there."""
    from importlib.util import find_spec

    if find_spec(module) is None:
        raise UsageError(
            f"{what} needs {module}, which is not installed", action=f"pip install 'femtobarn[{extra}]'"
        )


def adopted(parameters: Any) -> bool:
    """Whether the pair is known by its file names only."""
    return parameters.models is not None and not (Path(parameters.models) / INDEX).exists()


def read_pair(folder: Path, *, suffixes: tuple[str, ...] = (".json", ".json.gz", ".onnx")) -> Pair:
    """The models in a directory, checked; of models without ``models.json`` the first suffix found.

    Raises
    ------
    ConfigError
        The pair is incomplete, equal, swapped, of other features, or a file is not the one described.
    """
    if not folder.is_dir():
        raise UsageError("no such directory of models", where=str(folder))
    paths = _by_index(folder) if (folder / INDEX).exists() else _by_name(folder, suffixes)
    digests = {name: hashlib.sha256(model_bytes(path)).hexdigest() for name, path in paths.items()}
    if digests["even"] == digests["odd"]:
        raise ConfigError(
            "both models are the same file: events would be scored by a model that was trained on them",
            where=str(folder),
        )
    for name, digest in digests.items():
        _refuse_swap(name, _PUBLISHED.get(digest, name), where=str(folder))
    return Pair(paths, digests)


def _refuse_swap(name: str, trained_on: str, *, where: str) -> None:
    if trained_on != name:
        raise ConfigError(
            f"model {name!r} was trained on {trained_on!r} events: the pair is swapped", where=where
        )


def _by_name(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    found = {}
    for name in NAMES:
        candidates = [folder / f"model_{name}{suffix}" for suffix in suffixes]
        path = next((one for one in candidates if one.is_file()), None)
        if path is None:
            raise ConfigError(
                f"has neither {INDEX} nor {candidates[0].name}",
                where=str(folder),
                action="a pair is needed, trained on even and on odd event numbers",
            )
        found[name] = path
    return found


def _by_index(folder: Path) -> dict[str, Path]:
    where = folder / INDEX
    try:
        index = json.loads(where.read_text(encoding="utf-8"))
        entries = {name: dict(index[name]) for name in NAMES}
        return {name: _described(folder, name, entry) for name, entry in entries.items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"is not a proper {INDEX}: {type(error).__name__}: {error}", where=str(where)
        ) from error


def _described(folder: Path, name: str, entry: Mapping[str, Any]) -> Path:
    """The file of one entry of ``models.json``."""
    where, path = str(folder / INDEX), folder / str(entry["file"])
    _refuse_swap(name, str(entry["trained_on"]), where=where)
    if not path.is_file():
        raise ConfigError(f"model {name!r}: no such file {entry['file']!r}", where=where)
    if hashlib.sha256(path.read_bytes()).hexdigest() != entry["sha256"]:
        raise ConfigError(f"model {name!r}: {entry['file']} has another sha256 than stated", where=where)
    if tuple(entry["features"]) != FEATURES:
        raise ConfigError(f"model {name!r} was trained with other features", where=where)
    return path


def served_name(name: str) -> str:
    """What a model is called on a server."""
    return f"ttbar_{name}"


def model_resources(parameters: Any) -> dict[str, Resource]:
    """Both models as resources, for the backend that ``ml`` names.

    Raises
    ------
    UsageError
        No directory was named, or the backend's library is not installed.
    ConfigError
        As :func:`read_pair`; or the files are of another kind than the backend takes.
    """
    backend = parameters.ml
    if backend in _LIBRARIES:
        check_library(*_LIBRARIES[backend], f"ml={backend}")
    if parameters.models is None:
        raise UsageError(f"ml={backend} needs trained models", action="name them: --set models=DIRECTORY")
    suffixes = (".onnx", ".json", ".json.gz") if backend == "onnx" else (".json", ".json.gz")
    pair = read_pair(Path(parameters.models), suffixes=suffixes)
    for name, path in pair.paths.items():
        if not path.name.endswith(suffixes):
            raise ConfigError(f"model {name!r} is {path.name}; ml={backend} takes {' and '.join(suffixes)}",
                              where=parameters.models, action="use ml=onnx for .onnx files")  # fmt: skip
    return {
        f"model_{name}": Resource(str(path), _loader(parameters, name, pair.digests[name]))
        for name, path in pair.paths.items()
    }


def _loader(parameters: Any, name: str, digest: str) -> Callable[[Path], Scorer]:
    if parameters.ml == "onnx":
        return partial(_load_onnx, name=name)
    if parameters.ml == "triton":
        return partial(_connect, address=parameters.triton, name=name, digest=digest)
    return _load_forest


def _load_forest(path: Path) -> Scorer:
    forest = read_forest(path)
    if forest.features != len(FEATURES):
        raise ConfigError(f"takes {forest.features} features, not {len(FEATURES)}", where=str(path))
    return forest


def _load_onnx(path: Path, *, name: str) -> Scorer:
    from femtobarn.physics.classifiers.onnx import read_onnx

    model = read_onnx(path)
    _refuse_swap(name, model.about.get("trained_on", name), where=str(path))
    return model


def _connect(_: Path, *, address: str, name: str, digest: str) -> Scorer:
    from femtobarn.physics.classifiers.triton import TritonModel

    return TritonModel(address, served_name(name), {"trained_on": name, "sha256": digest})


def score_by_parity(
    resources: Mapping[str, Any], features: NDArray[np.float32], parity: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(p,) scores; one call a parity, each by the model of the other one."""
    out = np.empty(len(features))
    for which, name in _OTHER.items():
        here = parity == which
        if here.any():
            out[here] = resources[name](features[here])
    return out

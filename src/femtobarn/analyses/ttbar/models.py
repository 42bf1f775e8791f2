"""The pair of classifiers: each event is scored by the one that was not trained on events of its parity."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.analysis import Resource
from femtobarn.errors import ConfigError, UsageError
from femtobarn.kernels.permutations import FEATURES

__all__ = ["INDEX", "adopted", "check_backend", "model_resources", "score_by_parity"]

INDEX: Final = "models.json"
#: Parity of an event number -> the resource that may score it: trained on the other parity.
_OTHER: Final = {0: "model_odd", 1: "model_even"}
_NAMES: Final = ("even", "odd")


def check_backend(what: str = "ml=local") -> None:
    """Refuse at once when the optional library is not there."""
    from importlib.util import find_spec

    if find_spec("xgboost") is None:
        raise UsageError(
            f"{what} needs xgboost, which is not installed", action="pip install 'femtobarn[xgb]'"
        )


def adopted(parameters: Any) -> bool:
    """Whether the pair is known by its file names only."""
    return parameters.models is not None and not (Path(parameters.models) / INDEX).exists()


def model_resources(parameters: Any) -> dict[str, Resource]:
    """Both model files as resources, checked.

    Raises
    ------
    ConfigError
        The pair is incomplete, equal, swapped, of other features, or a file is not the one described.
    """
    if parameters.models is None:
        raise UsageError("ml=local needs trained models", action="name them: --set models=DIRECTORY")
    folder = Path(parameters.models)
    if not folder.is_dir():
        raise UsageError("no such directory of models", where=str(folder))
    paths = _by_name(folder) if adopted(parameters) else _by_index(folder)
    digests = {name: hashlib.sha256(_content(path)).hexdigest() for name, path in paths.items()}
    if digests["even"] == digests["odd"]:
        raise ConfigError(
            "both models are the same file: events would be scored by a model that was trained on them",
            where=str(folder),
        )
    return {f"model_{name}": Resource(str(path), load_booster) for name, path in paths.items()}


def _content(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data


def _by_name(folder: Path) -> dict[str, Path]:
    found = {}
    for name in _NAMES:
        candidates = [folder / f"model_{name}.json", folder / f"model_{name}.json.gz"]
        path = next((one for one in candidates if one.is_file()), None)
        if path is None:
            raise ConfigError(
                f"has neither {INDEX} nor model_{name}.json",
                where=str(folder),
                action="a pair is needed, trained on even and on odd event numbers",
            )
        found[name] = path
    return found


def _by_index(folder: Path) -> dict[str, Path]:
    where = folder / INDEX
    try:
        index = json.loads(where.read_text(encoding="utf-8"))
        entries = {name: dict(index[name]) for name in _NAMES}
        found = {}
        for name, entry in entries.items():
            path = folder / str(entry["file"])
            if entry["trained_on"] != name:
                raise ConfigError(
                    f"model {name!r} was trained on {entry['trained_on']!r} events: the pair is swapped",
                    where=str(where),
                )
            if not path.is_file():
                raise ConfigError(f"model {name!r}: no such file {entry['file']!r}", where=str(where))
            if hashlib.sha256(path.read_bytes()).hexdigest() != entry["sha256"]:
                raise ConfigError(
                    f"model {name!r}: {entry['file']} has another sha256 than stated", where=str(where)
                )
            if tuple(entry["features"]) != FEATURES:
                raise ConfigError(f"model {name!r} was trained with other features", where=str(where))
            found[name] = path
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"is not a proper {INDEX}: {type(error).__name__}: {error}", where=str(where)
        ) from error
    return found


def load_booster(path: Path) -> Any:
    """An XGBoost model from its JSON (of version 1.7 on), without scikit-learn."""
    import xgboost

    booster = xgboost.Booster()
    try:
        booster.load_model(bytearray(_content(path)))
    except xgboost.core.XGBoostError as error:
        raise ConfigError("is not an XGBoost model", where=str(path)) from error
    booster.set_param({"nthread": 1})
    return booster


def score_by_parity(
    resources: Mapping[str, Any], features: NDArray[np.float32], parity: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(p,) scores; one call a parity, each by the model of the other one."""
    out = np.empty(len(features))
    for which, name in _OTHER.items():
        here = parity == which
        if here.any():
            out[here] = resources[name].inplace_predict(features[here])
    return out

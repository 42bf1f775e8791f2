"""Training the pair of classifiers that assign jets, by a random search with folds of whole events."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.analyses.ttbar.conversion import index_entry
from femtobarn.analyses.ttbar.matching import Labelled
from femtobarn.analyses.ttbar.models import INDEX
from femtobarn.errors import DataError
from femtobarn.kernels.permutations import FEATURES, permutations

__all__ = ["PARITIES", "Search", "assess", "auc", "train", "write_models"]

PARITIES: Final = {"even": 0, "odd": 1}
#: Fewer events than this of one parity teach nothing.
_FEWEST: Final = 20
_WAYS: Final = len(permutations(4))
_PT_TRIJET: Final = FEATURES.index("pt_w1w2btophad")


@dataclass(frozen=True, slots=True)
class Search:
    """How the models are looked for."""

    trials: int = 8
    folds: int = 3
    seed: int = 0

    def candidates(self) -> Iterator[dict[str, Any]]:
        """Random settings; the same seed gives the same ones."""
        rng = np.random.default_rng(self.seed)
        for _ in range(self.trials):
            yield {
                "max_depth": int(rng.integers(3, 9)),
                "trees": int(rng.integers(40, 201)),
                "eta": float(np.exp(rng.uniform(np.log(0.03), np.log(0.4)))),
                "min_child_weight": float(rng.uniform(1, 20)),
                "lambda": float(np.exp(rng.uniform(np.log(0.1), np.log(10)))),
                "alpha": float(np.exp(rng.uniform(np.log(1e-3), np.log(1)))),
                "gamma": float(rng.uniform(0, 2)),
            }


def _fit(data: Labelled, here: NDArray[np.bool_], setting: Mapping[str, Any], seed: int) -> Any:
    import xgboost

    right = np.zeros((int(here.sum()), _WAYS), dtype=np.float32)
    right[np.arange(len(right)), data.right[here]] = 1.0
    features = data.features[here].reshape(-1, len(FEATURES))
    table = xgboost.DMatrix(features, label=right.ravel())
    options = {key: value for key, value in setting.items() if key != "trees"}
    options |= {"objective": "binary:logistic", "tree_method": "hist", "nthread": 1, "seed": seed}
    return xgboost.train(options, table, num_boost_round=setting["trees"])


def _scores(model: Any, features: NDArray[np.float32]) -> NDArray[np.float64]:
    flat = features.reshape(-1, len(FEATURES))
    return np.asarray(model.inplace_predict(flat), dtype=np.float64).reshape(len(features), _WAYS)


def auc(scores: NDArray[np.float64], right: NDArray[np.int64]) -> float:
    """Chance that a right permutation scores above a wrong one (ties count half)."""
    from scipy.stats import rankdata

    label = np.zeros(scores.shape, dtype=np.bool_)
    label[np.arange(len(right)), right] = True
    ranks, positive = rankdata(scores.ravel()), int(label.sum())
    negative = label.size - positive
    return float((ranks[label.ravel()].sum() - positive * (positive + 1) / 2) / (positive * negative))


def assess(scores: NDArray[np.float64], data: Labelled, cut: float) -> dict[str, float]:
    """How often the best permutation is right, beside the rule of the largest trijet momentum."""
    best = scores.argmax(axis=1)
    table = permutations(4)
    trijet = [frozenset(row[:3].tolist()) for row in table]
    # As the selection does it: three of the jets, at least one of them tagged, with the largest pT.
    tagged = (data.btag[:, table[:, :3]] > cut).any(axis=2)
    rule = np.where(tagged, data.features[:, :, _PT_TRIJET], -1.0).argmax(axis=1)
    pairs = list(zip(best.tolist(), rule.tolist(), data.right.tolist(), strict=True))
    n = max(len(pairs), 1)
    return {
        "events": len(pairs),
        "auc": auc(scores, data.right),
        "all_right": sum(b == r for b, _, r in pairs) / n,
        "trijet_right": sum(trijet[b] == trijet[r] for b, _, r in pairs) / n,
        "trijet_right_largest_pt": sum(trijet[p] == trijet[r] for _, p, r in pairs) / n,
    }


def train(data: Labelled, search: Search, *, cut: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both models, and what they are worth on the events of the other parity.

    Raises
    ------
    DataError
        Too few events of one parity.
    """
    parity = (data.event % 2).astype(np.int64)
    models: dict[str, Any] = {}
    report: dict[str, Any] = {}
    for name, which in PARITIES.items():
        own = parity == which
        if own.sum() < _FEWEST:
            raise DataError(
                f"only {int(own.sum())} matched events with {name} numbers (of {data.looked_at} in the "
                f"signal region); at least {_FEWEST} are needed",
                action="give more files of ttbar simulation",
            )
        setting, value = _search(data, own, search)
        models[name] = _fit(data, own, setting, search.seed)
        report[name] = {"setting": setting, "auc_folds": value, "trained_on": int(own.sum())}
    scores = np.empty(data.features.shape[:2])
    for name, which in PARITIES.items():
        others = parity != which
        scores[others] = _scores(models[name], data.features[others])
    report["test"] = assess(scores, data, cut)
    return models, report


def _search(data: Labelled, own: NDArray[np.bool_], search: Search) -> tuple[dict[str, Any], float]:
    """The setting with the highest AUC over folds of whole events."""
    fold = np.full(len(own), -1)
    fold[own] = np.arange(int(own.sum())) % search.folds
    best: tuple[dict[str, Any], float] = ({}, -1.0)
    for setting in search.candidates():
        values = []
        for number in range(search.folds):
            held = own & (fold == number)
            model = _fit(data, own & ~held, setting, search.seed)
            values.append(auc(_scores(model, data.features[held]), data.right[held]))
        if np.mean(values) > best[1]:
            best = (setting, float(np.mean(values)))
    return best


def write_models(folder: Path, models: Mapping[str, Any], inputs: Sequence[str], search: Search) -> None:
    """Both models and the index that says which is which."""
    index: dict[str, Any] = {"schema_version": 1, "seed": search.seed, "inputs": list(inputs)}
    for name, model in models.items():
        content = bytes(model.save_raw("json"))
        (folder / f"model_{name}.json").write_bytes(content)
        index[name] = index_entry(f"model_{name}.json", content, name)
    (folder / INDEX).write_text(json.dumps(index, indent=1, sort_keys=True) + "\n", encoding="utf-8")

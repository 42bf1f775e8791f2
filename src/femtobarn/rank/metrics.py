"""How often the chosen reference is at the top, with intervals that respect that choices come in blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from femtobarn.catalog.runrecords import CLASSES

__all__ = ["BLOCK", "Ranks", "group_metrics", "metrics"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: Runs in a row share their reference: resampling single events would pretend to know too much.
BLOCK: Final = 200
RESAMPLES: Final = 1000
SEED: Final = 1
_TOPS: Final = (1, 3, 5, 10)
#: Differences to these are paired, event by event.
_BASELINES: Final = ("latest", "latest_any")


@dataclass(frozen=True)
class Ranks:
    """Ranks of the chosen references, one row an event.

    Attributes
    ----------
    run, reco, run_class, reference, n_candidates : (n,) int64
    ranks : {ranker: (n,) int64}
        1 is best; 0 where the reference was not among the candidates.
    """

    run: Ints
    reco: Ints
    run_class: Ints
    reference: Ints
    n_candidates: Ints
    ranks: Mapping[str, Ints]

    def groups(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Masks of the groups that tables show."""
        masks = {"all": np.ones(len(self.run), dtype=np.bool_)}
        masks |= {name: self.run_class == i for i, name in enumerate(CLASSES)}
        return masks | {"express": self.reco == 0, "prompt": self.reco == 1}


def reciprocal(ranks: Ints) -> Floats:
    """1/rank, 0 for cold events."""
    return np.where(ranks > 0, 1.0 / np.maximum(ranks, 1), 0.0)


def metrics(ranks: Ints) -> dict[str, float]:
    """top1, top3, top5, top10 and mean reciprocal rank; events without known reference count."""
    found = {f"top{n}": float(np.mean((ranks > 0) & (ranks <= n))) for n in _TOPS}
    return found | {"mrr": float(np.mean(reciprocal(ranks)))}


def _block_weights(run: Ints, run_class: Ints) -> tuple[Ints, Floats]:
    """Block of each event, and (resamples, blocks) how often each block is drawn."""
    # Blocks of one class never mix with those of another.
    _, block = np.unique(run_class * 10_000_000 + run // BLOCK, return_inverse=True)
    count = int(block.max()) + 1
    drawn = np.random.default_rng(SEED).integers(0, count, size=(RESAMPLES, count))
    weights = np.zeros((RESAMPLES, count))
    np.add.at(weights, (np.arange(RESAMPLES)[:, None], drawn), 1.0)
    return block.reshape(-1), weights


def _interval(block: Ints, weights: Floats, values: Floats) -> list[float]:
    """Percentile interval (95 %) of the mean."""
    sums = np.bincount(block, weights=values, minlength=weights.shape[1])
    sizes = np.bincount(block, minlength=weights.shape[1])
    means = (weights @ sums) / (weights @ sizes)
    low, high = np.percentile(means, [2.5, 97.5])
    return [float(low), float(high)]


def group_metrics(ranks: Ranks) -> dict[str, Any]:
    """Metrics of all rankers in all groups that have events; the form of ``metrics.json``."""
    return {
        name: _group(ranks, mask) if mask.any() else _empty(ranks) for name, mask in ranks.groups().items()
    }


def _empty(ranks: Ranks) -> dict[str, Any]:
    return {"n": 0, "cold": None, "median_candidates": None, "rankers": {name: {} for name in ranks.ranks}}


def _group(ranks: Ranks, mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    chosen = {name: values[mask] for name, values in ranks.ranks.items()}
    block, weights = _block_weights(ranks.run[mask], ranks.run_class[mask])
    rivals = [name for name in _BASELINES if name in chosen]
    rankers: dict[str, Any] = {}
    for name, mine in chosen.items():
        first = (mine == 1).astype(np.float64)
        found: dict[str, Any] = {**metrics(mine), "top1_ci95": _interval(block, weights, first)}
        for rival in rivals:
            delta = first - (chosen[rival] == 1)
            gain = reciprocal(mine) - reciprocal(chosen[rival])
            for metric, values in (("top1", delta), ("mrr", gain)):
                found[f"delta_{metric}_vs_{rival}"] = {
                    "value": float(values.mean()), "ci95": _interval(block, weights, values),
                }  # fmt: skip
        rankers[name] = found
    known = chosen["latest"] > 0
    either = np.logical_or.reduce([chosen[rival] == 1 for rival in rivals])
    return {
        "n": int(mask.sum()),
        "cold": float(np.mean(~known)),
        "median_candidates": float(np.median(ranks.n_candidates[mask])),
        "blocks": int(weights.shape[1]),
        "ceiling": {"known": float(np.mean(known)), "either_baseline": float(np.mean(either))},
        "rankers": rankers,
    }

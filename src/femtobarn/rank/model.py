"""A conditional logistic model of which candidate is chosen: softmax over the candidates of an event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["ChoiceModel", "Examples", "fit_choice"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: Strength of the pull to zero of each standardised weight.  Chosen on the runs from 320000 on, walking
#: forward: 3 and 30 lose to ``latest`` at the top (-0.006, -0.002), 2000 gains (+0.002); a boosted tree
#: of 15 leaves gains less (+0.001) at thirty times the cost.
RIDGE: Final = 2000.0


@dataclass(frozen=True)
class Examples:
    """Events with their candidates, one after the other.

    Attributes
    ----------
    x : (rows, features) float64
    start : (events + 1,) int64
        Rows ``start[i]:start[i + 1]`` are the candidates of event i.
    chosen : (events,) int64
        Row of the candidate that was chosen, -1 if it was none of them.
    """

    x: Floats
    start: Ints
    chosen: Ints

    def select(self, events: Ints) -> Examples:
        """Some of the events that had their reference among the candidates."""
        kept = events[self.chosen[events] >= 0]
        sizes = self.start[kept + 1] - self.start[kept]
        start = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        rows = np.repeat(self.start[kept] - start[:-1], sizes) + np.arange(start[-1])
        return Examples(self.x[rows], start, self.chosen[kept] - self.start[kept] + start[:-1])


@dataclass(frozen=True)
class ChoiceModel:
    """Weights of standardised features; ``score`` is a logarithm of odds up to a constant."""

    weights: Floats
    centre: Floats
    scale: Floats
    events: int

    def score(self, x: Floats) -> Floats:
        scores: Floats = ((x - self.centre) / self.scale) @ self.weights
        return scores

    def to_json(self) -> dict[str, Any]:
        return {
            "weights": self.weights.tolist(), "centre": self.centre.tolist(),
            "scale": self.scale.tolist(), "events": self.events,
        }  # fmt: skip


def fit_choice(
    examples: Examples, *, start: Floats | None = None, ridge: Floats | float = RIDGE
) -> ChoiceModel:
    """Maximum likelihood with a ridge penalty.

    Parameters
    ----------
    start : (features,) float64, optional
        Standardised weights to start from (those of an earlier fit); the optimum does not depend on it.
    ridge : float or (features,) float64
    """
    from scipy.optimize import minimize  # 0.6 s to import; most questions need no fit

    events = len(examples.chosen)
    centre = examples.x.mean(axis=0)
    scale = examples.x.std(axis=0)
    scale[scale < 1e-9] = 1.0
    x = (examples.x - centre) / scale
    firsts = examples.start[:-1]
    sizes = np.diff(examples.start)
    observed = x[examples.chosen].sum(axis=0)

    def loss(weights: Floats) -> tuple[float, Floats]:
        scores = x @ weights
        top = np.maximum.reduceat(scores, firsts)
        odds = np.exp(scores - np.repeat(top, sizes))
        total = np.add.reduceat(odds, firsts)
        value = np.sum(np.log(total) + top) - observed @ weights + 0.5 * (ridge * weights) @ weights
        gradient = (odds / np.repeat(total, sizes)) @ x - observed + ridge * weights
        return float(value), gradient

    guess = np.zeros(x.shape[1]) if start is None else start
    found = minimize(loss, guess, jac=True, method="L-BFGS-B", options={"maxiter": 200, "ftol": 1e-8})
    return ChoiceModel(np.asarray(found.x, dtype=np.float64), centre, scale, events)

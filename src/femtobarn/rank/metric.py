"""Distances between runs in standardised features, as the older tools use them; the space is fitted once.

The default distance (:func:`femtobarn.rank.physics.distance`) needs no fit.  These do: a feature is centred
and scaled by what the certified runs of the class have, for all targets alike, and so are the components.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from femtobarn.catalog.quantity import Quantity
from femtobarn.catalog.runrecords import Run
from femtobarn.errors import DataError, UsageError, nearest
from femtobarn.rank.physics import Distance, distance, run_features

__all__ = ["METRICS", "Metric", "check_metric", "fit_metric"]

Floats = npt.NDArray[np.float64]

METRICS: Final = ("log", "euclid", "manhattan")
#: What a feature costs that the candidate lacks: one standard deviation.
_IMPUTED: Final = 1.0
_LEAST_RUNS: Final = 10


@dataclass(frozen=True)
class Metric:
    """How far two runs are from each other.

    Attributes
    ----------
    name : log, euclid or manhattan
    features : names, in the order of the arrays
    centre, scale : (features,) float64
        Mean and standard deviation of the runs it was fitted on; unused by ``log``.
    components : (n, features) float64 or None
        Leading principal components of the standardised features.
    fitted_on : number of runs
    """

    name: str
    features: tuple[str, ...] = ()
    centre: Floats | None = None
    scale: Floats | None = None
    components: Floats | None = None
    fitted_on: int = 0

    def to_json(self) -> dict[str, str | int | None]:
        count = None if self.components is None else len(self.components)
        return {"name": self.name, "components": count, "fitted_on": self.fitted_on}

    def distance(
        self,
        target: Mapping[str, Quantity],
        candidate: Mapping[str, Quantity],
        weights: Mapping[str, float] | None = None,
    ) -> Distance:
        """As :func:`femtobarn.rank.physics.distance`, whose rules about missing features hold here, too.

        ``euclid`` is the root of the mean square, ``manhattan`` the mean, of the standardised differences; a
        feature that the candidate lacks counts as one standard deviation.  In principal components all
        features have to be known of both runs.
        """
        found = distance(target, candidate, weights)
        if self.name == "log" or self.centre is None or self.scale is None or found.value is None:
            return found
        if self.components is not None:
            value = self._projected(target, candidate)
        else:
            value = self._standardised(found, weights or {})
        return replace(found, value=value)

    def _standardised(self, found: Distance, weights: Mapping[str, float]) -> float:
        scale = dict(zip(self.features, self.scale if self.scale is not None else (), strict=True))
        used = np.array([weights.get(name, 1.0) for name in found.features])
        steps = np.array([
            _IMPUTED if ratio.reference is None else abs(ratio.reference - ratio.target) / scale[name]
            for name, ratio in found.features.items()
        ])  # fmt: skip
        return self._mean(steps, used)

    def _projected(self, target: Mapping[str, Quantity], candidate: Mapping[str, Quantity]) -> float | None:
        if self.components is None or self.scale is None:
            return None
        ours, theirs = (_vector(run, self.features) for run in (target, candidate))
        if ours is None or theirs is None:
            return None
        steps = np.abs(self.components @ ((theirs - ours) / self.scale))
        return self._mean(steps, np.ones(len(steps)))

    def _mean(self, steps: Floats, weights: Floats) -> float:
        power = 2.0 if self.name == "euclid" else 1.0
        return float((weights @ steps**power / weights.sum()) ** (1.0 / power))


def _vector(run: Mapping[str, Quantity], names: Sequence[str]) -> Floats | None:
    values = [run[name].number for name in names]
    return None if any(value is None for value in values) else np.array(values, dtype=np.float64)


def check_metric(name: str, components: int | None, features: Sequence[str]) -> None:
    """Refuse what cannot be asked for.

    Raises
    ------
    UsageError
    """
    if name not in METRICS:
        raise UsageError(f"there is no distance {name!r}", where="--metric", near=nearest(name, METRICS),
                         action=f"known are {', '.join(METRICS)}")  # fmt: skip
    if components is None:
        return
    if name == "log":
        raise UsageError("principal components are of standardised features", where="--components",
                         action="add --metric euclid or manhattan")  # fmt: skip
    if not 1 <= components <= len(features):
        raise UsageError(f"{components} components of {len(features)} features", where="--components",
                         action=f"ask for 1 to {len(features)}")  # fmt: skip


def fit_metric(
    name: str, runs: Iterable[Run], features: Sequence[str], components: int | None = None
) -> Metric:
    """Centre, scale and, if asked for, principal components of some runs.

    Raises
    ------
    DataError
        If too few runs have the features.
    """
    check_metric(name, components, features)
    if name == "log":
        return Metric(name)
    rows = [[math.nan if q.number is None else q.number for q in run_features(run, features).values()]
            for run in runs]  # fmt: skip
    table = np.array(rows, dtype=np.float64).reshape(-1, len(features))
    if components is not None:
        table = table[np.isfinite(table).all(axis=1)]
    known = np.isfinite(table).sum(axis=0)
    for feature, count in zip(features, known, strict=True):
        if count < _LEAST_RUNS:
            raise DataError(
                f"{count} certified runs have {feature}{' and the others' * (components is not None)}, too "
                "few for a standard deviation", where="--metric",
                action="leave it out with --features, or use --metric log",
            )  # fmt: skip
    centre, scale = np.nanmean(table, axis=0), np.nanstd(table, axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    axes = None
    if components is not None:
        axes = np.linalg.svd((table - centre) / scale, full_matrices=False)[2][:components]
    return Metric(name, tuple(features), centre, scale, axes, len(table))

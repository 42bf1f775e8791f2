"""How alike two runs are in their conditions: a mean of logarithmic ratios, and why not a smaller one.

A mean over the features that both runs have would favour runs of which little is known; therefore the
features are the target's, and one that a candidate lacks costs a factor of two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from femtobarn.catalog.quantity import Quantity, positive
from femtobarn.catalog.runrecords import Run
from femtobarn.errors import UsageError, nearest

__all__ = ["DEFAULT_FEATURES", "FEATURE_SOURCES", "Distance", "FeatureRatio", "distance", "run_features"]

#: Feature -> attribute it is read from.
FEATURE_SOURCES: Final[Mapping[str, str]] = {
    "duration": "duration",
    "colliding_bunches": "fill_n_colliding",
    "init_lumi": "init_lumi",
    "end_lumi": "end_lumi",
    "pileup": "fill_peak_pileup",
    "stable_ls": "n_stable_ls",
    "recorded_lumi": "recorded_lumi",
    "delivered_lumi": "delivered_lumi",
    "energy": "fill_energy",
    "b_field": "fill_b_field",
    "ls_pileup_mean": "ls_pileup_mean",
    "ls_pileup_std": "ls_pileup_std",
    "ls_pileup_q10": "ls_pileup_q10",
    "ls_pileup_q50": "ls_pileup_q50",
    "ls_pileup_q90": "ls_pileup_q90",
    "prescale_index": "initial_prescale_index",
    "l1_rate": "l1_rate",
    "hlt_physics_rate": "hlt_physics_rate",
    "last_lumisection": "last_lumisection_number",
    "ls_ready_fraction": "ls_ready_fraction",
}
DEFAULT_FEATURES: Final = ("duration", "colliding_bunches", "init_lumi", "end_lumi", "pileup", "stable_ls")
#: What a feature costs that the candidate lacks.
IMPUTED: Final = math.log(2.0)
_LEAST: Final = 3


def run_features(run: Run, names: Sequence[str] = DEFAULT_FEATURES) -> dict[str, Quantity]:
    """Features of a run; values that are not positive are missing, and say so."""
    for name in names:
        if name not in FEATURE_SOURCES:
            raise UsageError(f"there is no feature {name!r}", where="--features",
                             near=nearest(name, FEATURE_SOURCES),
                             action=f"known are {', '.join(FEATURE_SOURCES)}")  # fmt: skip
    return {name: positive(run.get(FEATURE_SOURCES[name])) for name in names}


@dataclass(frozen=True, slots=True)
class FeatureRatio:
    """One feature of target and candidate; ``imputed`` if the candidate lacks it."""

    target: float
    reference: float | None
    abs_log_ratio: float
    imputed: bool

    def to_json(self) -> dict[str, Any]:
        return {
            "target": self.target, "reference": self.reference,
            "abs_log_ratio": self.abs_log_ratio, "imputed": self.imputed,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Distance:
    """``value`` is None when too little is known (``INSUFFICIENT_FEATURES``)."""

    value: float | None
    features: Mapping[str, FeatureRatio]

    @property
    def known(self) -> int:
        return sum(not ratio.imputed for ratio in self.features.values())


def distance(
    target: Mapping[str, Quantity],
    candidate: Mapping[str, Quantity],
    weights: Mapping[str, float] | None = None,
) -> Distance:
    """Mean of ``|ln(candidate / target)|`` over the features that the target has.

    Parameters
    ----------
    target, candidate : {feature: Quantity}
        As of :func:`run_features`.
    weights : {feature: weight}, optional
        1 for every feature not named.

    Returns
    -------
    Distance
        Without a value if the target has fewer than three features or the candidate fewer than half.
    """
    ratios: dict[str, FeatureRatio] = {}
    for name, quantity in target.items():
        ours = quantity.number
        if ours is None:
            continue
        theirs = candidate[name].number if name in candidate else None
        if theirs is None:
            ratios[name] = FeatureRatio(ours, None, IMPUTED, imputed=True)
        else:
            ratios[name] = FeatureRatio(ours, theirs, abs(math.log(theirs / ours)), imputed=False)
    found = Distance(None, ratios)
    if len(ratios) < _LEAST or found.known < len(ratios) / 2:
        return found
    of = {name: (weights or {}).get(name, 1.0) for name in ratios}
    total = sum(of.values())
    if total <= 0:
        return found
    return Distance(sum(of[name] * ratio.abs_log_ratio for name, ratio in ratios.items()) / total, ratios)

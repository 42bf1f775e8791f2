"""The fit.json object of a HistFactory fit: strict JSON values only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from femtobarn.stats.histfactory.fitting import FitResult
from femtobarn.stats.histfactory.goodness import Goodness
from femtobarn.stats.histfactory.impacts import GroupImpacts, Impact
from femtobarn.stats.histfactory.model import Model
from femtobarn.stats.histfactory.profiling import ProfileResult, Scan2DResult, ScanResult
from femtobarn.stats.histfactory.testing import Hypotest, Limit, Significance
from femtobarn.stats.histfactory.toy_study import ToyCLs, ToyStudy
from femtobarn.stats.histfactory.transform import PruneRow

__all__ = ["SCHEMA_VERSION", "FitReport", "strict", "to_fit_json"]

SCHEMA_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class FitReport:
    """Everything that was asked of a model; None or empty is "not asked" and leaves its key out.

    ``failed`` names requests that could not be answered; the warnings say why.
    """

    mle: FitResult
    profiles: Mapping[str, ProfileResult] = field(default_factory=dict)
    goodness: Goodness | None = None
    ranking: Sequence[Impact] | None = None
    groups: GroupImpacts | None = None
    scans: Sequence[ScanResult] = ()
    scans2d: Sequence[Scan2DResult] = ()
    hypotests: Sequence[Hypotest] = ()
    limit: Limit | None = None
    significance: Significance | None = None
    toys: ToyStudy | None = None
    toy_hypotests: Sequence[ToyCLs] = ()
    pruning: Sequence[PruneRow] | None = None
    timing: Mapping[str, float] = field(default_factory=dict)
    failed: Sequence[str] = ()
    warnings: Sequence[str] = ()


def strict(value: Any) -> Any:
    """Copy of a JSON value with numpy numbers made plain and nan or infinity made null."""
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return strict(value.tolist())
    if isinstance(value, (list, tuple)):
        return [strict(item) for item in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, (float, np.floating)):
        number = float(value)
        return number if math.isfinite(number) else None
    return value


def to_fit_json(model: Model, report: FitReport) -> dict[str, Any]:
    """The fit.json object.

    Absent requests are absent keys; a number that was not found is null.
    """
    out: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "kind": "histfactory",
        "workspace": _workspace(model),
        "mle": _mle(model, report),
        "timing": dict(report.timing),
        "warnings": [*report.mle.warnings, *report.warnings],
    }
    optional: dict[str, Any] = {
        "goodness_of_fit": report.goodness,
        "groups": report.groups,
        "limit": report.limit,
        "significance": report.significance,
    }
    out |= {key: value.to_json() for key, value in optional.items() if value is not None}
    lists: dict[str, Sequence[Any] | None] = {
        "ranking": report.ranking,
        "scans": report.scans or None,
        "scans2d": report.scans2d or None,
        "hypotests": report.hypotests or None,
        "pruning": report.pruning,
    }
    if report.limit is not None and report.limit.points:
        out["cls_curve"] = report.limit.curve()
    if report.failed:
        out["not_done"] = list(report.failed)
    out |= {key: [item.to_json() for item in value] for key, value in lists.items() if value is not None}
    if report.toys is not None:
        out["toys"] = report.toys.to_json()
        if report.toy_hypotests:
            out["toys"]["hypotests"] = [item.to_json() for item in report.toy_hypotests]
    result = strict(out)
    assert isinstance(result, dict)  # noqa: S101 - strict keeps the kind of its argument
    return result


def _workspace(model: Model) -> dict[str, Any]:
    pairs = model.workspace.correlations
    return ({"correlations": [list(pair) for pair in pairs]} if pairs else {}) | {
        "sha256": model.workspace.sha256(),
        "measurement": model.measurement.name,
        "poi": model.poi,
        "channels": {channel.name: channel.bins for channel in model.channels},
        "n_parameters": len(model.names),
        "interpolation": model.interpolation,
    }


def _mle(model: Model, report: FitReport) -> dict[str, Any]:
    result = report.mle
    return {
        "status": result.status,
        "message": result.message,
        "twice_nll": result.twice_nll,
        "iterations": result.iterations,
        "evaluations": result.evaluations,
        "edm": result.edm,
        "at_bound": list(result.at_bound),
        "labels": list(model.names),
        "parameters": {
            label: _parameter(model, result, report.profiles.get(label), i)
            for i, label in enumerate(model.names)
        },
        "covariance": result.covariance,
        "correlation": result.correlation,
    }


def _parameter(model: Model, result: FitResult, interval: ProfileResult | None, i: int) -> dict[str, Any]:
    constrained = bool(model.constrained[i])
    width = float(model.prefit[i])
    value = float(result.values[i])
    return {
        "value": value,
        "hesse": float(result.errors[i]),
        "profile_up": interval.up if interval else None,
        "profile_down": interval.down if interval else None,
        "init": float(model.init[i]),
        "bounds": [float(model.lower[i]), float(model.upper[i])],
        "fixed": bool(result.fixed[i]),
        "constrained": constrained,
        "pull": (value - float(model.centre[i])) / width if constrained and width > 0.0 else None,
    }

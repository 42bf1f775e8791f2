"""What each nuisance parameter does to the parameter of interest: ranking and grouped uncertainties."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from femtobarn.stats.histfactory.fitting import FitResult, Problem, fit, problem
from femtobarn.stats.minimise import conditional, solve_positive

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from femtobarn.stats.histfactory.likelihood import Data
    from femtobarn.stats.histfactory.model import Model

__all__ = ["GroupImpacts", "Impact", "group_impacts", "ranking"]


@dataclass(frozen=True, slots=True)
class Impact:
    """Effect of one nuisance parameter on the parameter of interest.

    Attributes
    ----------
    pull : float
        (best fit - prefit) / prefit width.
    constraint : float
        Error / prefit width.
    impact_* : float or None
        Shift of the parameter of interest with the nuisance parameter at its best fit +- its prefit width or
        +- its error and all others fitted again; None if that fit failed or would leave the bounds.
    """

    parameter: str
    pull: float
    constraint: float | None
    impact_up_prefit: float | None
    impact_down_prefit: float | None
    impact_up_postfit: float | None
    impact_down_postfit: float | None

    @property
    def largest(self) -> float:
        """Largest post-fit shift, by which a ranking is sorted."""
        sides = (self.impact_up_postfit, self.impact_down_postfit)
        return max((abs(side) for side in sides if side is not None), default=0.0)

    def to_json(self) -> dict[str, Any]:
        return {
            "parameter": self.parameter,
            "pull": self.pull,
            "constraint": self.constraint,
            "impact_up_prefit": self.impact_up_prefit,
            "impact_down_prefit": self.impact_down_prefit,
            "impact_up_postfit": self.impact_up_postfit,
            "impact_down_postfit": self.impact_down_postfit,
        }


@dataclass(frozen=True, slots=True)
class GroupImpacts:
    """Share of each group in the error of the parameter of interest, by freezing it at its best fit.

    ``groups[name] = sqrt(total^2 - frozen^2)``; ``statistics`` is what remains with all constrained
    parameters frozen.  Correlated groups do not add up to the total exactly.
    """

    parameter: str
    total: float
    groups: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        return {"parameter": self.parameter, "total": self.total, "impacts": dict(self.groups)}


def ranking(
    model: Model,
    *,
    result: FitResult | None = None,
    data: npt.ArrayLike | Data | None = None,
    fixed: Mapping[str, float] | None = None,
    parameters: Sequence[str] | None = None,
) -> tuple[Impact, ...]:
    """Rank nuisance parameters by their effect on the parameter of interest, largest first.

    With a nuisance parameter held aside the likelihood can have two minima.  Each refit starts twice, beside
    the best fit and from the prefit values, and the lower minimum counts.

    Parameters
    ----------
    parameters : sequence of str, optional
        Labels; all constrained, floating parameters unless given.
    """
    poi = model.poi_index()
    best = (result or fit(model, data=data, fixed=fixed)).require()
    setup = problem(model, data=data, fixed=fixed, start=best.values)
    if parameters is None:
        chosen = [int(i) for i in np.flatnonzero(model.constrained & ~setup.fixed) if i != poi]
    else:
        chosen = [i for name in parameters for i in model.indices(name)]
    impacts = [_impact(model, setup, best, poi, i) for i in chosen]
    return tuple(sorted(impacts, key=lambda impact: -impact.largest))


def _impact(model: Model, setup: Problem, best: FitResult, poi: int, index: int) -> Impact:
    value, error = float(best.values[index]), float(best.errors[index])
    prefit = float(model.prefit[index])
    known = math.isfinite(error) and error > 0.0

    def shift(step: float) -> float | None:
        target = value + step
        if not model.lower[index] <= target <= model.upper[index]:
            return None
        found = conditional(
            setup.likelihood,
            best.minimum,
            index,
            target,
            lower=setup.lower,
            upper=setup.upper,
            # One error is a step the tangent foresees; a prefit width may be many of them.
            tangent=known and abs(step) < 1.5 * error,
            also=model.init,
        )
        return float(found.x[poi] - best.values[poi]) if found.status == "ok" else None

    return Impact(
        parameter=model.names[index],
        pull=(value - float(model.centre[index])) / prefit if prefit > 0.0 else 0.0,
        constraint=error / prefit if known and prefit > 0.0 else None,
        impact_up_prefit=shift(prefit),
        impact_down_prefit=shift(-prefit),
        impact_up_postfit=shift(error) if known else None,
        impact_down_postfit=shift(-error) if known else None,
    )


def group_impacts(
    model: Model,
    *,
    result: FitResult | None = None,
    data: npt.ArrayLike | Data | None = None,
    fixed: Mapping[str, float] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
) -> GroupImpacts:
    """Split the error of the parameter of interest into groups.

    Freezing parameters at their best fit leaves the best fit where it is, so the error without them is the
    inverse of the Hessian without their rows: no fit is repeated.

    Parameters
    ----------
    groups : mapping, optional
        Name -> parameters; by default ``staterror`` (all per-bin constraints) and each other systematic.
    """
    poi = model.poi_index()
    best = (result or fit(model, data=data, fixed=fixed)).require()
    floating = ~best.fixed
    chosen = groups or _default_groups(model)
    total = _error(best, poi, floating)
    out: dict[str, float] = {}
    for name, members in chosen.items():
        frozen = floating.copy()
        frozen[[i for member in members for i in model.indices(member) if i != poi]] = False
        out[name] = math.sqrt(max(0.0, total**2 - _error(best, poi, frozen) ** 2))
    nothing = floating & ~model.constrained
    nothing[poi] = floating[poi]
    out["statistics"] = _error(best, poi, nothing)
    return GroupImpacts(model.names[poi], total, out)


def _default_groups(model: Model) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for item in model.sets:
        if item.constraint != "none":
            name = "staterror" if item.kind in {"staterror", "shapesys"} else item.name
            groups.setdefault(name, []).append(item.name)
    return groups


def _error(best: FitResult, poi: int, free: npt.NDArray[np.bool_]) -> float:
    """Error of the parameter of interest when only ``free`` parameters float."""
    if not free[poi]:
        return 0.0
    inner = np.flatnonzero(free)
    unit = (inner == poi).astype(np.float64)
    column = solve_positive(0.5 * best.minimum.hessian[np.ix_(inner, inner)], unit)
    return 0.0 if column is None else math.sqrt(max(0.0, float(column[inner == poi][0])))

"""The fits of passing and failing probes on a run's page: one row a fit, the doubtful ones first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from femtobarn.report.values import Grid, grid, number, plus_minus

__all__ = ["probe_fits"]

_ORDER: Final = ("failed", "suspect", "good")
_COLUMNS: Final = ("bin", "sample", "filter", "variation", "model", "efficiency", "χ²/ndof", "status", "why")
_MOST_ROWS: Final = 60


def probe_fits(fits: Sequence[Mapping[str, Any]]) -> Grid:
    """A table of the verdicts; pictures and parameters have a page of their own."""
    ordered = sorted(fits, key=lambda one: _ORDER.index(one["status"]))
    counts = ", ".join(f"{sum(one['status'] == name for one in fits)} {name}" for name in _ORDER[::-1])
    note = f"{len(fits)} fits: {counts}. Their pictures: plots/fits/index.html."
    if len(fits) > _MOST_ROWS:
        note += f" Shown: the first {_MOST_ROWS}; tables/fits.csv has all."
    return grid("Fits", _COLUMNS, [_row(one) for one in ordered[:_MOST_ROWS]], note=note)


def _row(fit: Mapping[str, Any]) -> tuple[str, ...]:
    found, gof, model = fit["efficiency"], fit["gof"], fit["model"]
    value, error = found["value"], found["hesse"]
    efficiency = "none" if value is None else plus_minus(value, error) if error else number(value)
    return (
        fit["bin"]["name"],
        fit["label"],
        "/".join(filter(None, (fit["filter"], fit["region"]))),
        fit["variation"],
        f"{model['signal']}_{model['background']}",
        efficiency,
        f"{gof['chi2']:.1f}/{gof['ndof']}",
        fit["status"],
        "; ".join(fit["reasons"]),
    )

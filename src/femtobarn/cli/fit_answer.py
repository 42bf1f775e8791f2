"""What a fit found, as lines for a person: only what was asked for, numbers to the precision they have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["answer_lines"]

#: Rows of a list on the screen; fit.json has all.
_MOST = 8


def answer_lines(fitted: Mapping[str, Any]) -> list[str]:
    """Lines about a ``fit.json`` of kind histfactory; none for other kinds."""
    if fitted.get("kind") != "histfactory":
        return []
    poi = fitted["workspace"]["poi"] or ""
    lines = _parameters(fitted["mle"], poi)
    if found := fitted.get("goodness_of_fit"):
        beyond = "< 1/toys" if found["p_value"] == 0 else _number(found["p_value"])
        lines.append(
            f"goodness of fit ({found['method']}): q = {found['q']:.5g}, ndof = {found['ndof']}, p = {beyond}"
        )
    if found := fitted.get("significance"):
        expected = f", expected {found['z0_expected']:.4g}" if found.get("z0_expected") is not None else ""
        lines.append(f"discovery: Z = {found['z0']:.4g}{expected} (ln p0 = {found['log_p0']:.5g})")
    for test in fitted.get("hypotests", ()):
        lines.append(f"CLs of {poi} = {test['mu']:g}: {_number(test['cls'])} ({_band(test['cls_expected'])})")
    if found := fitted.get("limit"):
        lines.append(_limit(found, poi))
    lines += _groups(fitted, poi)
    lines += _toys(fitted.get("toys") or {}, poi)
    return lines


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"


def _band(values: Sequence[float | None]) -> str:
    low, middle, high = (_number(values[k]) for k in (1, 2, 3))
    return f"expected {middle}, 68 %: {low} to {high}"


def _parameters(mle: Mapping[str, Any], poi: str) -> list[str]:
    """The parameter of interest, the free ones, and those with a profile interval."""
    rows = {name: one for name, one in mle["parameters"].items() if not one["fixed"]}
    shown = [name for name in rows if name in (poi, f"{poi}[0]")]
    shown += [
        n for n, one in rows.items() if one["profile_up"] is not None or one["profile_down"] is not None
    ]
    shown += [name for name, one in rows.items() if not one["constrained"]][:_MOST]
    lines = []
    for name in dict.fromkeys(shown):
        one = rows[name]
        text = f"{name} = {one['value']:.5g}"
        text += " (at its bound)" if one["hesse"] is None else f" ± {one['hesse']:.4g}"
        if one["profile_up"] is not None or one["profile_down"] is not None:
            sides = ("none" if v is None else f"{v:+.4g}" for v in (one["profile_up"], one["profile_down"]))
            text += f"   profile {' '.join(sides)}"
        lines.append(text)
    return lines


def _limit(found: Mapping[str, Any], poi: str) -> str:
    reasons = found.get("reasons") or {}
    if found["observed"] is None:
        return (
            f"no upper limit on {poi} at {100 * found['cl']:g} % CL: {reasons.get('observed', 'not found')}"
        )
    return f"{poi} < {found['observed']:.4g} at {100 * found['cl']:g} % CL ({_band(found['expected'])})"


def _groups(fitted: Mapping[str, Any], poi: str) -> list[str]:
    lines = []
    for row in list(fitted.get("ranking", ()))[:_MOST]:
        up, down = row["impact_up_postfit"], row["impact_down_postfit"]
        sides = ", ".join("none" if value is None else f"{value:+.4g}" for value in (up, down))
        lines.append(f"impact of {row['parameter']} on {poi}: {sides}")
    left = len(fitted.get("ranking", ())) - len(lines)
    return [*lines, f"  and {left} smaller ones, see fit.json"] if left > 0 else lines


def _toys(study: Mapping[str, Any], poi: str) -> list[str]:
    if not study:
        return []
    lines = [f"{study['n']} toys, {study['failed']} fits failed"]
    for pull in study["pulls"]:
        if pull["parameter"] in (poi, f"{poi}[0]") and pull["mean"] is not None:
            lines[0] += f"; pulls of {poi}: mean {pull['mean']:+.3f}, width {pull['width']:.3f}"
    for test in study.get("hypotests", ()):
        error = "" if test["cls_error"] is None else f" ± {test['cls_error']:.2g}"
        lines.append(f"CLs of {poi} = {test['mu']:g} by toys: {_number(test['cls'])}{error}")
    return lines

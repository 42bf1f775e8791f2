"""What a fit found, drawn from the plain dictionaries of ``fit.json``.

Scans, pulls, ranking, correlations, the CLs limit, and expectation against data before and after the fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes

from femtobarn.plot.drawing import Drawing
from femtobarn.plot.names import literal
from femtobarn.plot.panels import FloatArray
from femtobarn.plot.style import BLUE, ORANGE, RED, Label, figure, style

__all__ = ["correlations", "limit", "pulls", "ranking", "scan", "toy_pulls"]

Row = Mapping[str, Any]

#: Rows a figure can hold and still be read.
_MOST_RANKED: Final = 20
_MOST_CORRELATED: Final = 20
_MOST_PULLS: Final = 25


def scan(entry: Row, *, name: str, label: Label, title: str = "") -> Drawing:
    """A likelihood scan {parameter, points [[x, delta(-2 ln L)]]} with the 68 and 95 % levels."""
    rows = [(float(a), float(b)) for a, b in entry["points"] if a is not None and b is not None]
    x, y = (
        (np.array(column) for column in zip(*sorted(rows), strict=True))
        if rows
        else (np.zeros(0), np.zeros(0))
    )
    parameter = str(entry["parameter"])
    with style():
        fig, axes = figure()
        axes.plot(x, y, color=BLUE, linewidth=1.8, marker="o", markersize=3)
        top = float(np.clip(y.max(initial=0.0), 5.0, 16.0))
        for level, text in ((1.0, "68.27 %"), (3.84, "95 %")):
            axes.axhline(level, color="0.35", linestyle="--", linewidth=0.9)
            axes.text(
                0.985, (level + 0.02 * top) / top, text, transform=axes.transAxes, ha="right", fontsize=10
            )
        axes.set_ylim(0.0, top)
        if len(x) > 1:
            axes.set_xlim(x[0], x[-1])
        axes.set_xlabel(literal(parameter))
        axes.set_ylabel(r"$-2\,\Delta\ln L$")
        label.draw(axes)
    numbers = {
        "parameter": parameter,
        "points": [list(row) for row in zip(x, y, strict=True)],
        "label": label.text,
    }
    caption = (
        f"Profile likelihood, lowest at {parameter} = {x[np.argmin(y)]:.4g}." if len(x) else "No points."
    )
    return Drawing(name, fig, numbers, title or f"Scan of {parameter}", caption)


def pulls(mle: Row, *, name: str, label: Label, title: str = "Pulls") -> Drawing:
    """Pull and constraint of every constrained parameter of ``mle``: (fitted - nominal) / prior width."""
    rows = [row for row in map(_pull_row, _named(mle)) if row is not None]
    left_out = max(len(rows) - _MOST_PULLS, 0)
    if left_out:
        rows = sorted(rows, key=lambda row: -_surprise(row))[:_MOST_PULLS]
    with style():
        fig, axes = figure(6.4, 1.3 + 0.24 * max(len(rows), 2))
        _draw_pulls(axes, rows)
        axes.set_yticks(range(len(rows)), labels=[literal(row["parameter"]) for row in rows])
        axes.set_xlabel(r"$(\hat{\theta} - \theta_0) / \Delta\theta$")
        label.draw(axes)
    caption = "Bands: one and two standard deviations of the prior; a short bar means the data constrain it."
    if left_out:
        caption += f" The {left_out} closest to their prior are left out."
    return Drawing(name, fig, {"pulls": rows, "label": label.text}, title, caption)


def _named(mle: Row) -> list[dict[str, Any]]:
    """Parameters in the order of ``labels``, with their names."""
    parameters = mle["parameters"]
    order = [one for one in mle.get("labels") or parameters if one in parameters]
    return [{"parameter": one, **parameters[one]} for one in order]


def _pull_row(row: dict[str, Any]) -> dict[str, Any] | None:
    """Pull and constraint of a parameter; None for free or fixed ones."""
    pull, hesse = row.get("pull"), row.get("hesse")
    if pull is None or row.get("fixed") or row.get("constrained") is False:
        return None
    constraint = row.get("constraint")
    if constraint is None and hesse is not None:
        value, init = row.get("value"), row.get("init")
        if init == 0.0:
            constraint = hesse  # unit Gaussian
        elif value is not None and init is not None and abs(pull) > 1e-6:
            constraint = hesse * pull / (value - init)
    return {"parameter": row["parameter"], "pull": float(pull), "constraint": constraint}


def _surprise(row: Row) -> float:
    constraint = row["constraint"]
    return max(abs(float(row["pull"])), abs(1.0 - float(constraint)) if constraint is not None else 0.0)


def _draw_pulls(axes: Axes, rows: Sequence[Row]) -> None:
    axes.axvspan(-2, 2, color="0.93", zorder=0)
    axes.axvspan(-1, 1, color="0.84", zorder=0)
    axes.axvline(0, color="0.35", linewidth=0.9, linestyle="--", zorder=1)
    values = np.array([row["pull"] for row in rows], dtype=np.float64)
    errors = np.array([row["constraint"] or 0.0 for row in rows], dtype=np.float64)
    axes.errorbar(
        values, np.arange(len(rows)), xerr=errors, fmt="o", color="black", markersize=4, elinewidth=1.3
    )
    reach = max(2.2, 1.1 * float(np.max(np.abs(values) + errors, initial=0.0)))
    axes.set_xlim(-reach, reach)
    axes.set_ylim(max(len(rows), 1) - 0.5, -0.5)
    axes.tick_params(axis="y", which="both", length=0)


def ranking(
    rows: Sequence[Row], *, name: str, label: Label, poi: str = "the parameter of interest"
) -> Drawing:
    """Impact of each nuisance parameter on the parameter of interest, beside its pull.

    Parameters
    ----------
    rows : [{parameter, pull, constraint, impact_up_prefit, impact_down_prefit, impact_up_postfit,
        impact_down_postfit}]
        ``fit.json``'s ``ranking``; impacts that are null are not drawn.
    """
    order = sorted(rows, key=lambda row: -_largest(row))[:_MOST_RANKED]
    with style():
        fig, axes = figure(7.4, 1.9 + 0.3 * max(len(order), 2))
        # The frame is split in two with the parameters' names at the left of the impacts.
        fig.delaxes(axes)
        grid = fig.add_gridspec(1, 2, width_ratios=(3, 2))
        impact, pull = fig.add_subplot(grid[0]), fig.add_subplot(grid[1])
        _draw_impacts(impact, order)
        impact.set_yticks(range(len(order)), labels=[literal(str(row["parameter"])) for row in order])
        impact.set_xlabel(f"impact on {literal(poi)}")
        _draw_pulls(
            pull, [{"pull": row.get("pull") or 0.0, "constraint": row.get("constraint")} for row in order]
        )
        pull.set_ylim(impact.get_ylim())
        pull.tick_params(labelleft=False)
        pull.set_xlabel(r"$(\hat{\theta} - \theta_0) / \Delta\theta$")
        label.draw(impact, last=pull)
    first = f"Largest: {order[0]['parameter']}, {_largest(order[0]):.3g} on {poi}. " if order else ""
    caption = first + "Filled bars: after the fit; outlines: before. Right: pull and constraint."
    return Drawing(
        name,
        fig,
        {"ranking": [dict(row) for row in order], "label": label.text},
        f"Ranking of impacts on {poi}",
        caption,
    )


def _largest(row: Row) -> float:
    """Larger of the two post-fit impacts (pre-fit ones if those are missing)."""
    for when in ("postfit", "prefit"):
        found = [abs(v) for side in ("up", "down") if (v := row.get(f"impact_{side}_{when}")) is not None]
        if found:
            return float(max(found))
    return 0.0


def _draw_impacts(axes: Axes, rows: Sequence[Row]) -> None:
    where = np.arange(len(rows))
    axes.axvline(0, color="0.35", linewidth=0.9)
    for side, colour, hatch in (("up", BLUE, ""), ("down", ORANGE, "////")):
        before, after = (
            np.array([row.get(f"impact_{side}_{when}") or 0.0 for row in rows], dtype=np.float64)
            for when in ("prefit", "postfit")
        )
        axes.barh(where, before, 0.8, facecolor="none", edgecolor=colour, linewidth=1.2)
        axes.barh(
            where, after, 0.55, facecolor=colour, edgecolor="white", hatch=hatch, linewidth=0,
            label=rf"$\theta$ {'+' if side == 'up' else '−'} 1 s.d.",
        )  # fmt: skip
    reach = max(
        (abs(v) for row in rows for k, v in row.items() if k.startswith("impact_") and v is not None),
        default=1.0,
    )
    axes.set_xlim(-1.15 * (reach or 1.0), 1.15 * (reach or 1.0))
    # Room for the legend below the last row.
    axes.set_ylim(len(rows) + 0.6, -0.5)
    axes.tick_params(axis="y", which="both", length=0)
    axes.legend(loc="lower center", ncols=2, fontsize=10)


def correlations(mle: Row, *, name: str, label: Label, title: str = "Correlations") -> Drawing:
    """Correlation matrix of the fitted parameters; of many, those with the strongest correlations."""
    names = [str(one) for one in mle["labels"]]
    matrix = np.array(
        [[np.nan if v is None else v for v in row] for row in mle["correlation"]], dtype=np.float64
    )
    matrix = matrix.reshape(len(names), len(names))
    chosen = _strongest(matrix)
    part, labels = matrix[np.ix_(chosen, chosen)], [names[i] for i in chosen]
    side = 2.6 + 0.24 * max(len(labels), 3)
    with style():
        fig, axes = figure(side + 0.8, side)
        # Dark in both directions from white: sign by colour, size by darkness, and digits where they fit.
        mesh = axes.imshow(
            np.ma.masked_invalid(part), cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest"
        )
        fig.colorbar(mesh, ax=axes, pad=0.02, shrink=0.85).set_label("correlation", loc="top")
        shown = [literal(one) for one in labels]
        axes.set_xticks(range(len(labels)), labels=shown, rotation=90)
        axes.set_yticks(range(len(labels)), labels=shown)
        axes.tick_params(which="both", length=0, labelsize=9)
        axes.minorticks_off()
        _digits(axes, part)
        label.draw(axes)
    numbers = {"labels": labels, "correlation": part, "label": label.text}
    caption = (
        "" if len(labels) == len(names) else f"The {len(labels)} of {len(names)} most correlated parameters. "
    )
    return Drawing(name, fig, numbers, title, caption + _strongest_pair(part, labels))


def _strongest(matrix: FloatArray) -> list[int]:
    """Rows to show, in their order: varied parameters with the largest correlations."""
    off = np.abs(np.nan_to_num(matrix - np.diag(np.diag(matrix))))
    moving = [i for i in range(len(matrix)) if np.isfinite(matrix[i, i]) and matrix[i, i] != 0]
    return sorted(sorted(moving, key=lambda i: -off[i].max())[:_MOST_CORRELATED])


def _strongest_pair(part: FloatArray, labels: Sequence[str]) -> str:
    if len(labels) < 2:
        return "Nothing to correlate."
    off = np.abs(np.nan_to_num(part - np.diag(np.diag(part))))
    i, j = divmod(int(np.argmax(off)), len(labels))
    return f"Strongest: {labels[i]} and {labels[j]}, {part[i, j]:+.2f}."


def _digits(axes: Axes, part: FloatArray) -> None:
    size = 8 if len(part) <= 14 else 5.5
    for i, row in enumerate(part):
        for j, value in enumerate(row):
            if np.isfinite(value) and abs(value) >= 0.05:
                # A full unit in the diagonal says nothing.
                text = "1" if i == j else f"{value:.2f}".replace("0.", ".")
                axes.text(
                    j,
                    i,
                    text,
                    ha="center",
                    va="center",
                    fontsize=size,
                    color="white" if abs(value) > 0.6 else "black",
                )


def limit(
    hypotests: Sequence[Row], result: Row | None, *, name: str, label: Label, poi: str = r"$\mu$"
) -> Drawing:
    """CLs against the signal strength with its expected band, and the upper limit.

    Parameters
    ----------
    hypotests : [{mu, cls, cls_expected [5]}]
        Expected values for -2, -1, 0, +1, +2 standard deviations.
    result : {cl, observed, expected [5]} or None
    """
    rows = sorted((row for row in hypotests if row.get("cls") is not None), key=lambda row: float(row["mu"]))
    mu = np.array([row["mu"] for row in rows], dtype=np.float64)
    observed = np.array([row["cls"] for row in rows], dtype=np.float64)
    expected = np.array([row["cls_expected"] for row in rows], dtype=np.float64).reshape(len(rows), 5)
    level = 1.0 - float((result or {}).get("cl") or 0.95)
    with style():
        fig, axes = figure()
        if len(mu):
            axes.fill_between(
                mu, expected[:, 0], expected[:, 4], color="#ffd970", label="expected ± 2 s.d.", linewidth=0
            )
            axes.fill_between(
                mu, expected[:, 1], expected[:, 3], color="#7bc8a4", label="expected ± 1 s.d.", linewidth=0
            )
            axes.plot(mu, expected[:, 2], color="black", linestyle="--", linewidth=1.3, label="expected")
            axes.plot(
                mu, observed, color="black", marker="o", markersize=3.5, linewidth=1.5, label="observed"
            )
            axes.set_xlim(mu[0], mu[-1] if mu[-1] > mu[0] else mu[0] + 1)
            axes.legend(loc="upper right")
        axes.axhline(level, color=RED, linewidth=1.2)
        crossing = (result or {}).get("observed")
        if crossing is not None:
            axes.axvline(float(crossing), color=RED, linewidth=1.0, linestyle=":")
        axes.set_ylim(0.0, 1.05)
        axes.set_xlabel(literal(poi))
        axes.set_ylabel(r"$CL_s$")
        label.draw(axes)
    numbers = {
        "mu": mu,
        "cls": observed,
        "cls_expected": expected,
        "limit": dict(result or {}),
        "label": label.text,
    }
    said = (
        f"Upper limit at {1 - level:.0%} confidence: {crossing:.4g}."
        if crossing is not None
        else "No crossing."
    )
    return Drawing(name, fig, numbers, "CLs limit", said)


def toy_pulls(study: Row, *, name: str, label: Label, poi: str = "") -> Drawing:
    """Mean and width of the pulls over toys, a row a parameter: 0 and 1 for an unbiased fit.

    Parameters
    ----------
    study : {n, seed, failed, pulls [{parameter, mean, width, ...}]}
        ``fit.json``'s ``toys``.
    poi : str
        Always shown, and first.
    """
    rows = [row for row in study["pulls"] if row["mean"] is not None and row["width"] is not None]
    left_out = max(len(rows) - _MOST_PULLS, 0)
    if left_out:
        rows = sorted(rows, key=lambda row: -max(abs(row["mean"]), abs(row["width"] - 1.0)))
    rows = sorted(rows, key=lambda row: row["parameter"] not in (poi, f"{poi}[0]"))[:_MOST_PULLS]
    fits = max(int(study["n"]) - int(study["failed"]), 1)
    where = np.arange(len(rows))
    with style():
        fig, left = figure(7.4, 1.6 + 0.26 * max(len(rows), 2))
        fig.delaxes(left)
        grid = fig.add_gridspec(1, 2)
        left, right = fig.add_subplot(grid[0]), fig.add_subplot(grid[1])
        # Statistical errors of a mean and of a standard deviation of unit Gaussians.
        for axes, key, ideal, error in (
            (left, "mean", 0.0, fits**-0.5),
            (right, "width", 1.0, (2.0 * fits) ** -0.5),
        ):
            values = np.array([row[key] for row in rows], dtype=np.float64)
            axes.axvline(ideal, color="0.35", linewidth=0.9, linestyle="--")
            axes.errorbar(values, where, xerr=error, fmt="o", color="black", markersize=4, elinewidth=1.3)
            reach = max(0.3, 1.15 * float(np.max(np.abs(values - ideal), initial=0.0)) + error)
            axes.set_xlim(ideal - reach, ideal + reach)
            axes.set_ylim(max(len(rows), 1) - 0.5, -0.5)
            axes.tick_params(axis="y", which="both", length=0)
            axes.set_xlabel(f"{key} of the pulls")
        left.set_yticks(where, labels=[literal(str(row["parameter"])) for row in rows])
        right.set_yticks(where, labels=[])
        label.draw(left, last=right)
    caption = f"{study['n']} toys thrown at the best fit, {study['failed']} fits failed; bars: statistics."
    if left_out:
        caption += f" The {left_out} closest to 0 and 1 are left out."
    numbers = {"n": study["n"], "failed": study["failed"], "pulls": rows, "label": label.text}
    return Drawing(name, fig, numbers, "Pulls of toys", caption)

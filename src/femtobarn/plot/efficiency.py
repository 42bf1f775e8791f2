"""Counted efficiencies: against one variable with intervals and ratio, as a map, and the masses behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes

from femtobarn.hists import Axis
from femtobarn.plot.drawing import Drawing
from femtobarn.plot.panels import FloatArray, finish
from femtobarn.plot.style import (
    BLUE,
    PALETTE,
    RED,
    Label,
    axis_label,
    events_label,
    figure,
    figure_with_panel,
    style,
)

__all__ = ["Curve", "efficiency_curves", "efficiency_map", "pass_and_fail"]

_MARKERS: Final = ("o", "s", "^", "D", "v")
#: Beyond this ratio of last to first edge a variable is drawn logarithmically.
_LOG_EDGES: Final = 5.0


@dataclass(frozen=True, slots=True)
class Curve:
    """An efficiency in bins; nan where there were no probes."""

    name: str
    value: FloatArray
    low: FloatArray
    high: FloatArray


def efficiency_curves(
    axis: Axis,
    curves: Sequence[Curve],
    *,
    name: str,
    label: Label,
    note: str = "",
    ratio: tuple[str, str] | None = None,
) -> Drawing:
    """Efficiencies against one variable with their intervals.

    Parameters
    ----------
    axis : Axis
    curves : (n,) values of each bin
    ratio : (of, to), optional
        Names of two curves whose ratio a lower panel shows.
    """
    edges = np.asarray(axis.edges)
    log = axis.unit == "GeV" and edges[0] > 0 and edges[-1] / edges[0] > _LOG_EDGES
    by_name = {curve.name: curve for curve in curves}
    with style():
        if ratio is not None:
            fig, axes, panel = figure_with_panel()
        else:
            fig, axes = figure()
            panel = None
        entries = [
            (_draw(axes, edges, one, i, len(curves), log=log), one.name) for i, one in enumerate(curves)
        ]
        axes.axhline(1.0, color="#94a4a2", linewidth=0.8, zorder=0)
        axes.set_ylabel("Efficiency", loc="top")
        finish(axes, entries, highest=1.05, note=note)
        shown = panel or axes
        found: Curve | None = None
        if panel is not None and ratio is not None:
            found = _ratio(by_name[ratio[0]], by_name[ratio[1]])
            _draw(panel, edges, found, 0, 1, log=log)
            panel.axhline(1.0, color="black", linewidth=0.8, zorder=0)
            panel.set_ylim(*_ratio_range(found))
            panel.set_ylabel("Ratio", loc="center")
        shown.set_xlabel(axis_label(axis))
        shown.set_xlim(edges[0], edges[-1])
        if log:
            _log_axis(shown, edges)
            axes.tick_params(axis="x", which="minor", labelbottom=False)
        label.draw(axes)
    numbers: dict[str, Any] = {
        "observable": axis.name, "edges": edges, "label": label.text,
        "curves": {one.name: {"value": one.value, "low": one.low, "high": one.high} for one in curves},
    }  # fmt: skip
    if found is not None and ratio is not None:
        numbers["ratio"] = {
            "of": ratio[0],
            "to": ratio[1],
            "value": found.value,
            "low": found.low,
            "high": found.high,
        }
    title = f"Efficiency against {axis.label or axis.name}"
    return Drawing(name, fig, numbers, f"{title}: {note}" if note else title, _caption(curves))


def _draw(axes: Axes, edges: FloatArray, curve: Curve, place: int, number: int, *, log: bool) -> Any:
    """Points with bars at the bins' centres, side by side if there are several curves."""
    low, high = edges[:-1], edges[1:]
    share = 0.5 + 0.12 * (place - 0.5 * (number - 1))
    centre = low * (high / low) ** share if log else low + share * (high - low)
    shown = np.isfinite(curve.value)
    bars = np.array([curve.value - curve.low, curve.high - curve.value])[:, shown]
    colour = "black" if place == 0 else PALETTE[(place - 1) % len(PALETTE)]
    return axes.errorbar(
        centre[shown], curve.value[shown], yerr=np.maximum(bars, 0.0), fmt=_MARKERS[place % len(_MARKERS)],
        color=colour, markersize=4.5, linewidth=1.1, capsize=0, zorder=4,
        xerr=np.array([centre - low, high - centre])[:, shown] if number == 1 else None,
    )  # fmt: skip


def _ratio(of: Curve, to: Curve) -> Curve:
    """Quotient of two efficiencies; their intervals are propagated side by side.

    Where it is not known to a half it says nothing and is left out.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.where(to.value > 0, of.value / to.value, np.nan)
        down = value * np.hypot((of.value - of.low) / of.value, (to.high - to.value) / to.value)
        up = value * np.hypot((of.high - of.value) / of.value, (to.value - to.low) / to.value)
        value = np.where(np.maximum(down, up) < 0.5, value, np.nan)
    return Curve("ratio", value, value - down, value + up)


def _ratio_range(curve: Curve) -> tuple[float, float]:
    known = curve.value[np.isfinite(curve.value)]
    reach = float(np.quantile(np.abs(known - 1.0), 0.9)) if len(known) else 0.1
    half = next((one for one in (0.1, 0.2, 0.5) if 1.4 * reach <= one), 1.0)
    return 1.0 - half, 1.0 + half


def _log_axis(axes: Axes, edges: FloatArray) -> None:
    """A logarithmic axis whose labels are numbers people read."""
    axes.set_xscale("log")
    ticks = [edge for edge in (5, 10, 20, 30, 50, 100, 200, 500, 1000) if edges[0] <= edge <= edges[-1]]
    axes.set_xticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    axes.tick_params(axis="x", which="minor", labelbottom=False)


def _caption(curves: Sequence[Curve]) -> str:
    filled = sum(int(np.isfinite(one.value).any()) for one in curves)
    if not filled:
        return "No probes."
    return "Bars are Clopper-Pearson intervals of 68.27 %; bins without probes are left out."


def efficiency_map(
    x: Axis, y: Axis, values: FloatArray, *, name: str, label: Label, note: str = "", write: bool = True
) -> Drawing:
    """An efficiency in bins of two variables; bins without probes stay white.

    Parameters
    ----------
    values : (nx, ny) float, nan where there were no probes
    write : bool
        Whether the numbers are written into the bins, where there are few.
    """
    edges_x, edges_y = np.asarray(x.edges), np.asarray(y.edges)
    known = values[np.isfinite(values)]
    low = float(np.floor(20 * known.min()) / 20) if len(known) else 0.0
    with style():
        fig, axes = figure(6.8, 5.2)
        mesh = axes.pcolormesh(
            edges_x, edges_y, np.ma.masked_invalid(values).T, cmap="cividis", vmin=min(low, 0.95), vmax=1.0
        )
        mesh.set_rasterized(True)
        fig.colorbar(mesh, ax=axes, pad=0.02).set_label("Efficiency", loc="top")
        axes.set_xlabel(axis_label(x))
        axes.set_ylabel(axis_label(y))
        log = y.unit == "GeV" and edges_y[0] > 0 and edges_y[-1] / edges_y[0] > _LOG_EDGES
        if log:
            axes.set_yscale("log")
            ticks = [edge for edge in (5, 10, 20, 30, 50, 100, 200, 500) if edges_y[0] <= edge <= edges_y[-1]]
            axes.set_yticks(ticks, labels=[f"{tick:g}" for tick in ticks])
            axes.tick_params(axis="y", which="minor", labelleft=False)
        if write and values.size <= 140:
            _write(axes, edges_x, edges_y, values, low=min(low, 0.95), log=log)
        label.draw(axes)
        if note:
            axes.text(1.0, 1.012, note, transform=axes.transAxes, ha="right", va="bottom", fontsize=9)
    numbers = {
        "x": {"observable": x.name, "edges": edges_x}, "y": {"observable": y.name, "edges": edges_y},
        "efficiency": values, "label": label.text,
    }  # fmt: skip
    return Drawing(
        name, fig, numbers, f"Efficiency: {note}" if note else "Efficiency", "White bins have no probes."
    )


def _write(axes: Axes, x: FloatArray, y: FloatArray, values: FloatArray, *, low: float, log: bool) -> None:
    """The numbers, in a colour that can be read on their bin."""
    for i, j in np.ndindex(values.shape):
        if not np.isfinite(values[i, j]):
            continue
        height = np.sqrt(y[j] * y[j + 1]) if log else 0.5 * (y[j] + y[j + 1])
        dark = (values[i, j] - low) / (1.0 - low) < 0.55
        narrow = (x[i + 1] - x[i]) < 0.05 * (x[-1] - x[0])
        axes.text(
            0.5 * (x[i] + x[i + 1]), height, f"{values[i, j]:.2f}", ha="center", va="center", fontsize=6.5,
            color="white" if dark else "black", rotation=90 if narrow else 0,
        )  # fmt: skip


def pass_and_fail(
    axis: Axis, passing: tuple[FloatArray, FloatArray], failing: tuple[FloatArray, FloatArray], *, name: str,
    label: Label, note: str = "",
) -> Drawing:  # fmt: skip
    """Masses of pairs whose probe passes and fails, with (values, variances) a bin."""
    edges = np.asarray(axis.edges)
    shown: Mapping[str, tuple[tuple[FloatArray, FloatArray], str]] = {
        "passing": (passing, BLUE), "failing": (failing, RED),
    }  # fmt: skip
    with style():
        fig, axes = figure()
        entries = []
        for text, ((values, variances), colour) in shown.items():
            handle = axes.stairs(
                values,
                edges,
                color=colour,
                linewidth=1.6,
                fill=text == "passing",
                alpha=0.35 if text == "passing" else 1.0,
            )
            error = np.sqrt(np.maximum(variances, 0.0))
            centres = 0.5 * (edges[1:] + edges[:-1])
            axes.vlines(centres, values - error, values + error, color=colour, linewidth=0.8)
            entries.append((handle, f"{text} probes ({values.sum():.6g})"))
        highest = max(
            float(np.max(values + np.sqrt(np.maximum(variances, 0))))
            for values, variances in (passing, failing)
        )
        axes.set_xlim(edges[0], edges[-1])
        axes.set_xlabel(axis_label(axis))
        axes.set_ylabel(events_label(axis).replace("Events", "Pairs"), loc="top")
        finish(axes, entries, highest=highest, note=note)
        label.draw(axes)
    numbers = {
        "observable": axis.name, "edges": edges, "label": label.text,
        "passing": {"values": passing[0], "variances": passing[1]},
        "failing": {"values": failing[0], "variances": failing[1]},
    }  # fmt: skip
    title = "Mass of pairs with passing and failing probes"
    return Drawing(
        name, fig, numbers, f"{title}: {note}" if note else title, "Bars are statistical uncertainties."
    )

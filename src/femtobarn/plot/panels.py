"""Pieces that several figures are made of: points, stacks, bands, ratio panels, room for the legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from femtobarn.plot.style import HATCH, HATCH_COLOUR
from femtobarn.stats.intervals import garwood

__all__ = [
    "Band",
    "Layer",
    "Points",
    "draw_band",
    "draw_points",
    "draw_ratio",
    "draw_stack",
    "finish",
    "poisson_points",
]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Points:
    """Observed values (n,) with the ends of their intervals; nan where nothing may be shown."""

    values: FloatArray
    low: FloatArray
    high: FloatArray

    def to_json(self) -> dict[str, Any]:
        return {"values": self.values, "low": self.low, "high": self.high}


@dataclass(frozen=True, slots=True)
class Layer:
    """One process of a stack: events a bin, its colour and legend text; a signal is a line on top."""

    values: FloatArray
    color: str
    label: str
    signal: bool = False


@dataclass(frozen=True, slots=True)
class Band:
    """A prediction (n,) and how far down and up its uncertainty reaches."""

    total: FloatArray
    low: FloatArray
    high: FloatArray


def poisson_points(counts: npt.ArrayLike, hidden: npt.NDArray[np.bool_] | None = None) -> Points:
    """Counts with Garwood intervals of 68.27 %; hidden bins become nan."""
    values = np.array(counts, dtype=np.float64)
    if hidden is not None:
        values[hidden] = np.nan
    known = np.isfinite(values)
    low, high = garwood(np.where(known, values, 0.0))
    return Points(values, np.where(known, low, np.nan), np.where(known, high, np.nan))


def draw_points(axes: Axes, edges: FloatArray, points: Points, *, scale: FloatArray | None = None) -> Any:
    """Black points with bars; a bar without a point where the count is zero.

    ``scale`` divides everything (ratio panels); bins where it is not positive are left out.
    """
    divisor = np.ones_like(points.values) if scale is None else scale
    shown = np.isfinite(points.low) & np.isfinite(points.high) & (divisor > 0)
    centres, widths = 0.5 * (edges[1:] + edges[:-1])[shown], np.diff(edges)
    values, low, high = (array[shown] / divisor[shown] for array in (points.values, points.low, points.high))
    uneven = not np.allclose(widths, widths[0], rtol=1e-6, atol=0)
    across = 0.5 * widths[shown] if uneven else np.zeros(len(centres))
    some = values > 0
    empty = ~some
    # Empty bins are many and say little each: thinner, without a point.
    axes.vlines(centres[empty], low[empty], high[empty], color="black", linewidth=0.6, zorder=5)
    return axes.errorbar(
        centres[some], values[some], yerr=(values[some] - low[some], high[some] - values[some]),
        xerr=across[some] if uneven else None, fmt="o", color="black", elinewidth=1.1, zorder=6,
        markersize=4.5 if len(widths) <= 80 else 2.5,
    )  # fmt: skip


def draw_stack(axes: Axes, edges: FloatArray, layers: Sequence[Layer]) -> list[Any]:
    """Layers on top of each other from the first to the last; handles for the legend, same order."""
    handles: list[Any] = []
    base = np.zeros(len(edges) - 1)
    for layer in layers:
        top = base + layer.values
        if layer.signal:
            axes.stairs(top, edges, baseline=base, fill=True, color=layer.color, alpha=0.25, zorder=2)
            handles.append(axes.stairs(top, edges, baseline=None, color=layer.color, linewidth=1.8, zorder=3))
        else:
            handles.append(
                axes.stairs(
                    top, edges, baseline=base, fill=True, facecolor=layer.color, edgecolor="none", zorder=1
                )
            )
            # A thin dark outline keeps neighbours apart in grey print.
            axes.stairs(top, edges, color="black", linewidth=0.5, zorder=1.5)
        base = top
    return handles


def draw_band(axes: Axes, edges: FloatArray, low: FloatArray, high: FloatArray) -> Any:
    """A hatched band between two heights a bin."""
    return axes.stairs(
        high, edges, baseline=low, fill=True, facecolor="none", edgecolor=HATCH_COLOUR, hatch=HATCH,
        linewidth=0, zorder=4,
    )  # fmt: skip


def draw_ratio(axes: Axes, edges: FloatArray, points: Points, band: Band) -> None:
    """Observed over predicted with both uncertainties; bins without prediction are left out."""
    total = band.total
    safe = np.where(total > 0, total, np.nan)
    axes.axhline(1.0, color="black", linewidth=0.8, zorder=1)
    draw_band(axes, edges, np.nan_to_num(band.low / safe, nan=1.0), np.nan_to_num(band.high / safe, nan=1.0))
    draw_points(axes, edges, points, scale=total)
    ratio = points.values / safe
    reach = np.maximum(points.high / safe, 2.0 - points.low / safe)
    top = _ratio_top(ratio, reach, np.maximum(band.high / safe, 2.0 - band.low / safe))
    low = 2.0 - top if top < 2 else 0.0
    axes.set_ylim(low, top)
    _arrows(axes, edges, ratio, (low, top))
    axes.set_ylabel("Data / pred.", loc="center")


def _ratio_top(ratio: FloatArray, reach: FloatArray, band_reach: FloatArray) -> float:
    """Upper end of the ratio panel: as close as nine in ten points with their bars allow, at most 4."""
    filled = np.isfinite(ratio) & (ratio > 0)
    wanted = [float(np.quantile(reach[filled], 0.9))] if filled.any() else []
    known = np.isfinite(band_reach)
    wanted += [float(np.median(band_reach[known]))] if known.any() else []
    return next((top for top in (1.25, 1.5, 2.0, 3.0) if max(wanted, default=2.0) <= top), 4.0)


def _arrows(axes: Axes, edges: FloatArray, ratio: FloatArray, limits: tuple[float, float]) -> None:
    """Triangles at the frame for points beyond it."""
    low, top = limits
    centres = 0.5 * (edges[1:] + edges[:-1])
    span = top - low
    for beyond, marker, where in (
        (ratio > top, "^", top - 0.04 * span),
        (ratio < low, "v", low + 0.04 * span),
    ):
        # Bins with zero events have only a bar, so there is no point to look for.
        chosen = np.isfinite(ratio) & beyond & (ratio > 0)
        if chosen.any():
            axes.plot(centres[chosen], np.full(int(chosen.sum()), where), marker, color="black", markersize=5)


def finish(
    axes: Axes,
    entries: Sequence[tuple[Any, str]],
    *,
    highest: float,
    lowest: float | None = None,
    log: bool = False,
    note: str = "",
) -> None:
    """Legend in the upper part of the frame, and a vertical range that leaves room for it.

    Parameters
    ----------
    entries : (handle, text) pairs
    highest : float
        Largest height drawn.
    lowest : float, optional
        Smallest height that matters on a logarithmic axis.
    note : str
        A line above the legend, at the left.
    """
    columns = 1 if len(entries) <= 3 else 2
    rows = -(-len(entries) // columns) + bool(note)
    share = min(0.05 + 0.062 * rows, 0.6)
    if log:
        top = max(highest, 1.0)
        floor = 0.5 * min(lowest or 0.2, 0.2 if top < 1e3 else 1.0)
        floor = max(floor, 1e-7 * top)
        axes.set_ylim(floor, floor * (1.3 * top / floor) ** (1 / (1 - share)))
        # Only now: with a range given, matplotlib does not look for positive values to choose one.
        axes.set_yscale("log")
    else:
        axes.set_ylim(0.0, 1.03 * highest / (1 - share) if highest > 0 else 1.0)
    if note:
        axes.text(0.03, 0.965, note, transform=axes.transAxes, va="top", fontsize=12)
    if entries:
        handles, texts = [entry[0] for entry in entries], [entry[1] for entry in entries]
        anchor = {"bbox_to_anchor": (0.0, 0.0, 1.0, 0.925)} if note else {}
        options: Mapping[str, Any] = {"ncols": columns, "columnspacing": 1.2, **anchor}
        axes.legend(handles, texts, loc="upper right", **options)

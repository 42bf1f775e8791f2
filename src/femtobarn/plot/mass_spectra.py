"""A peak on a smooth background: the spectrum with its fitted curves, and what is left without background."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from femtobarn.hists import Axis
from femtobarn.plot.drawing import Drawing
from femtobarn.plot.panels import FloatArray, Points, draw_points, finish, poisson_points
from femtobarn.plot.stacks import quantity
from femtobarn.plot.style import BLUE, RED, Label, axis_label, events_label, figure_with_panel, plain, style

__all__ = ["excess", "mass_fit"]


def mass_fit(
    axis: Axis,
    counts: npt.ArrayLike,
    x: npt.ArrayLike,
    total: npt.ArrayLike,
    background: npt.ArrayLike,
    *,
    name: str,
    label: Label,
    parameters: Sequence[tuple[str, str]] = (),
    note: str = "",
    title: str = "",
) -> Drawing:
    """Draw counts with fitted total and background; below, data minus background and the fitted signal.

    Parameters
    ----------
    axis : Axis
        The spectrum's binning, label and unit.
    counts : (n,) array_like
    x : (m,) array_like
        Where the curves are given, rising.
    total, background : (m,) array_like
        Fitted events a bin of the spectrum's width at ``x``.
    parameters : sequence of (name, value)
        Lines of a box inside the frame, such as ``("N signal", "383 ± 188")``.
    """
    points = poisson_points(counts)
    edges = np.asarray(axis.edges)
    grid, curve, floor = (np.asarray(a, dtype=np.float64) for a in (x, total, background))
    # A bin's background is the curve's mean over it (three-point Simpson), not its value in the middle.
    low, high = edges[:-1], edges[1:]
    under = (_at(grid, floor, low) + 4 * _at(grid, floor, 0.5 * (low + high)) + _at(grid, floor, high)) / 6
    left = Points(points.values - under, points.low - under, points.high - under)
    with style():
        fig, main, panel = figure_with_panel(height=6.2)
        _spectrum(main, edges, points, (grid, curve, floor))
        _box(main, parameters, note)
        _difference(panel, edges, left, grid, curve - floor)
        main.set_xlim(edges[0], edges[-1])
        main.set_ylabel(events_label(axis))
        panel.set_xlabel(axis_label(axis))
        label.draw(main)
    numbers = {
        "edges": edges,
        "data": points.to_json(),
        "curves": {"x": grid, "total": curve, "background": floor},
        "difference": left.to_json(),
        "parameters": dict(parameters),
        "observable": axis.name,
        "label": label.text,
    }
    said = "; ".join(f"{plain(key)} {plain(value)}" for key, value in parameters)
    caption = f"{points.values.sum():.6g} data events with the fitted curves{': ' + said if said else ''}."
    caption += " Lower panel: data minus the fitted background."
    return Drawing(name, fig, numbers, title or f"Fit of {quantity(axis)}", caption)


def excess(
    axis: Axis,
    counts: npt.ArrayLike,
    background: npt.ArrayLike,
    *,
    window: tuple[float, float] | None,
    name: str,
    label: Label,
    title: str = "",
    caption: str = "",
) -> Drawing:
    """Draw counts, the background expected without an excess, and the window that sticks out.

    Parameters
    ----------
    counts, background : (n,) array_like
        Events a bin of ``axis``, seen and expected.
    window : (low, high), optional
        In the axis' unit; shaded.
    """
    points, expected = poisson_points(counts), np.asarray(background, dtype=np.float64)
    edges = np.asarray(axis.edges)
    # Signed root of the Poisson likelihood ratio: (n - b) / sqrt(b) makes single events in a tail look large.
    some = np.maximum(expected, 1e-12)
    ratio = points.values * np.log(np.maximum(points.values, 1e-300) / some) - (points.values - some)
    significances = np.sign(points.values - some) * np.sqrt(2.0 * np.maximum(ratio, 0.0))
    reach = 1.15 * max(3.0, float(np.abs(significances).max()))
    with style():
        fig, main, panel = figure_with_panel(height=6.2)
        data = draw_points(main, edges, points)
        below = main.stairs(expected, edges, color=BLUE, linewidth=1.8, zorder=4)
        panel.axhline(0.0, color="0.4", linewidth=1.0)
        panel.stairs(significances, edges, fill=True, color=BLUE)
        if window is not None:
            for axes in (main, panel):
                axes.axvspan(*window, color=RED, alpha=0.15, linewidth=0, zorder=1)
        finish(
            main, [(data, "Data"), (below, "Background, fitted beside the window")],
            highest=float(points.high.max()), log=True,
        )  # fmt: skip
        main.set_xlim(edges[0], edges[-1])
        main.set_ylabel(events_label(axis))
        panel.set_ylim(-reach, reach)
        panel.set_ylabel("Significance")
        panel.set_xlabel(axis_label(axis))
        label.draw(main)
    numbers = {
        "edges": edges, "data": points.to_json(), "background": expected, "significances": significances,
        "window": window, "observable": axis.name, "label": label.text,
    }  # fmt: skip
    return Drawing(name, fig, numbers, title, caption)


def _at(x: FloatArray, y: FloatArray, where: FloatArray) -> FloatArray:
    return np.asarray(np.interp(where, x, y)) if len(x) else np.zeros(len(where))


def _spectrum(
    axes: Axes, edges: FloatArray, points: Points, curves: tuple[FloatArray, FloatArray, FloatArray]
) -> None:
    x, total, background = curves
    data = draw_points(axes, edges, points)
    (below,) = axes.plot(x, background, color=BLUE, linestyle="--", linewidth=1.8, zorder=7)
    (above,) = axes.plot(x, total, color=RED, linewidth=1.8, zorder=8)
    highest = float(np.concatenate([points.high, total, [1e-9]]).max())
    axes.set_ylim(0.0, 1.3 * highest)
    axes.legend([data, above, below], ["Data", "Signal + background", "Background"], loc="upper right")


def _box(axes: Axes, parameters: Sequence[tuple[str, str]], note: str) -> None:
    lines = [note] * bool(note) + [f"{key} = {value}" for key, value in parameters]
    if lines:
        frame = {"facecolor": "white", "edgecolor": "0.7", "alpha": 0.85, "boxstyle": "round,pad=0.35"}
        axes.text(
            0.03, 0.04, "\n".join(lines), transform=axes.transAxes, va="bottom", fontsize=11,
            linespacing=1.35, bbox=frame, zorder=9,
        )  # fmt: skip


def _difference(axes: Axes, edges: FloatArray, left: Points, x: FloatArray, signal: FloatArray) -> None:
    centres = 0.5 * (edges[1:] + edges[:-1])
    axes.axhline(0.0, color=BLUE, linestyle="--", linewidth=1.5)
    axes.plot(x, signal, color=RED, linewidth=1.8, zorder=8)
    axes.errorbar(
        centres, left.values, yerr=(left.values - left.low, left.high - left.values), fmt="o", color="black",
        markersize=4.0 if len(centres) <= 80 else 2.5, elinewidth=1.0, zorder=6,
    )  # fmt: skip
    reach = np.concatenate([np.abs(left.low), np.abs(left.high), np.abs(signal), [1e-9]])
    largest = float(np.nanmax(reach))
    axes.set_ylim(-1.1 * largest, 1.1 * largest)
    axes.set_ylabel("Data − bkg", loc="center")

"""Plain figures of many things at once: bars by name, points, outlines of histograms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from femtobarn.plot.drawing import Drawing
from femtobarn.plot.style import BLUE, PALETTE, Label, figure, plain_decades, style

__all__ = ["bars", "scatter", "steps"]


def bars(
    names: Sequence[str], values: npt.ArrayLike, *, name: str, label: Label, x_label: str, title: str = ""
) -> Drawing:
    """One horizontal bar a name, in the order given, with its number at the end."""
    numbers = np.asarray(values, dtype=np.float64)
    with style():
        fig, axes = figure(6.8, 1.6 + 0.26 * len(names))
        axes.barh(range(len(names)), numbers, 0.8, color=BLUE)
        for at, number in enumerate(numbers):
            axes.annotate(f"{number:g}", (number, at), xytext=(4, 0), textcoords="offset points",
                          va="center", fontsize=9)  # fmt: skip
        axes.set_yticks(range(len(names)), labels=list(names))
        axes.tick_params(axis="y", which="both", length=0)
        axes.set_ylim(max(len(names), 1) - 0.5, -0.5)
        axes.set_xlim(0, 1.18 * max(float(numbers.max(initial=0.0)), 1.0))
        axes.ticklabel_format(axis="x", style="plain")
        axes.set_xlabel(x_label)
        label.draw(axes)
    return Drawing(name, fig, {"names": list(names), "values": numbers, "label": label.text}, title)


def scatter(
    x: npt.ArrayLike, y: npt.ArrayLike, *, name: str, label: Label, x_label: str, y_label: str,
    title: str = "", log: bool = False, log_x: bool = False,
) -> Drawing:  # fmt: skip
    """Points of two quantities; ``log`` for the vertical axis, ``log_x`` for the horizontal one."""
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    with style():
        fig, axes = figure()
        axes.plot(a, b, "o", color=BLUE, markersize=4, alpha=0.7)
        if log:
            axes.set_yscale("log")
            plain_decades(axes.yaxis)
        if log_x:
            axes.set_xscale("log")
            plain_decades(axes.xaxis)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        label.draw(axes)
    return Drawing(name, fig, {"x": a, "y": b, "label": label.text}, title)


def steps(
    curves: Mapping[str, tuple[Any, Any]],
    *,
    name: str,
    label: Label,
    x_label: str,
    y_label: str,
    title: str = "",
) -> Drawing:
    """Outlines of histograms {name: (edges, values)} on a logarithmic scale."""
    with style():
        fig, axes = figure()
        highest = 1.0
        for i, (curve, (edges, values)) in enumerate(curves.items()):
            axes.stairs(np.asarray(values), np.asarray(edges), color=PALETTE[i % len(PALETTE)], label=curve)
            highest = max(highest, float(np.max(values)))
        axes.set_yscale("log")
        axes.set_ylim(0.5, highest * 30 ** (0.3 + 0.12 * len(curves)))
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        if curves:
            axes.legend(fontsize=9)
        label.draw(axes)
    numbers = {curve: {"edges": edges, "values": values} for curve, (edges, values) in curves.items()}
    return Drawing(name, fig, {"curves": numbers, "label": label.text}, title)

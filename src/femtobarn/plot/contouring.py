"""Two parameters at once: contours of a profile likelihood."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from femtobarn.plot.drawing import Drawing
from femtobarn.plot.names import literal
from femtobarn.plot.style import BLUE, Label, figure, style

__all__ = ["contours"]


def contours(entry: Mapping[str, Any], *, name: str, label: Label) -> Drawing:
    """Draw the 68 and 95 % contours of a two-dimensional scan.

    Parameters
    ----------
    entry : {parameters [2], x [nx], y [ny], delta_twice_nll [nx][ny], best [2], levels {name: rise}}
        One of ``fit.json``'s ``scans2d``; points that are null are left out.
    """
    x, y = (np.asarray(entry[key], dtype=np.float64) for key in ("x", "y"))
    rise = np.array(
        [[np.nan if v is None else v for v in row] for row in entry["delta_twice_nll"]], dtype=np.float64
    )
    levels = {str(text): float(value) for text, value in entry["levels"].items()}
    first, second = (str(one) for one in entry["parameters"])
    heights = sorted(levels.values())
    shown = np.ma.masked_invalid(rise.T)
    with style():
        fig, axes = figure(6.4, 5.2)
        axes.contourf(x, y, shown, levels=[-1.0, *heights], colors=["#8dbde9", "#d3e6f7"])
        lines: Any = ("solid", "dashed", "dotted")
        axes.contour(
            x, y, shown, levels=heights, colors=BLUE, linewidths=1.6, linestyles=lines[: len(heights)]
        )
        axes.plot(*entry["best"], "+", color="black", markersize=10, markeredgewidth=1.6)
        axes.set_xlabel(literal(first))
        axes.set_ylabel(literal(second))
        axes.set_xlim(x[0], x[-1])
        axes.set_ylim(y[0], y[-1])
        handles = [Line2D([], [], color="black", marker="+", linestyle="", markersize=9)]
        handles += [
            Line2D([], [], color=BLUE, linestyle=line) for line, _ in zip(lines, heights, strict=False)
        ]
        texts = [f"{text} %" for text, _ in sorted(levels.items(), key=lambda item: item[1])]
        axes.legend(handles, ["best fit", *texts], loc="upper right")
        label.draw(axes)
    numbers = {
        "parameters": [first, second],
        "x": x,
        "y": y,
        "delta_twice_nll": rise,
        "best": list(entry["best"]),
        "levels": levels,
        "label": label.text,
    }
    caption = (
        f"Profile likelihood, lowest at {first} = {entry['best'][0]:.4g}, {second} = {entry['best'][1]:.4g}; "
        f"contours where −2 ln L has risen by {' and '.join(f'{h:g}' for h in heights)}."
    )
    return Drawing(name, fig, numbers, f"{second} against {first}", caption)

"""Systematic variations of one prediction over its nominal values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from femtobarn.hists import Axis
from femtobarn.plot.drawing import Drawing
from femtobarn.plot.panels import draw_band, finish
from femtobarn.plot.stacks import quantity
from femtobarn.plot.style import Label, axis_label, events_label, figure_with_panel, style

__all__ = ["variations"]

FloatArray = npt.NDArray[np.float64]
_COLOURS: Final = ("#4c78c8", "#d62728", "#3a8f5c", "#c7a76c", "#8456a8", "#e08a2e", "#4db6c9", "#9a9a9a")


def variations(
    axis: Axis,
    nominal: FloatArray,
    variances: FloatArray,
    varied: Mapping[str, FloatArray],
    *,
    name: str,
    label: Label,
    note: str = "",
    title: str = "",
) -> Drawing:
    """Lines of the nominal and varied predictions, and their ratios below.

    Parameters
    ----------
    axis : Axis with n bins
    nominal, variances : (n,) float
        Expected events and their statistical variances.
    varied : {label: (n,) float}
        An up and a down variation of one name share a colour; down is dashed.
    """
    edges = np.asarray(axis.edges)
    error = np.sqrt(variances)
    safe = np.where(nominal > 0, nominal, np.nan)
    stems = list(dict.fromkeys(one.removesuffix("_up").removesuffix("_down") for one in varied))
    with style():
        fig, main, panel = figure_with_panel()
        handles = [(main.stairs(nominal, edges, color="black", linewidth=1.6, zorder=5), "nominal")]
        panel.axhline(1.0, color="black", linewidth=1.0, zorder=1)
        unit = np.nan_to_num(error / safe)
        handles.append((draw_band(panel, edges, 1 - unit, 1 + unit), "stat. unc."))
        reach = [0.02]
        for text, values in varied.items():
            down = text.endswith("_down")
            colour = _COLOURS[stems.index(text.removesuffix("_up").removesuffix("_down")) % len(_COLOURS)]
            dash = "--" if down else "-"
            handles.append((main.stairs(values, edges, color=colour, linestyle=dash, linewidth=1.3), text))
            ratio = values / safe
            panel.stairs(np.nan_to_num(ratio, nan=1.0), edges, color=colour, linestyle=dash, linewidth=1.3)
            known = np.abs(ratio[np.isfinite(ratio)] - 1)
            reach.append(float(np.quantile(known, 0.9)) if len(known) else 0.0)
        highest = max((float(np.max(values)) for values in (nominal, *varied.values())), default=0.0)
        finish(main, handles, highest=highest, note=note)
        span = 1.3 * max(reach)
        panel.set_ylim(1 - span, 1 + span)
        main.set_xlim(edges[0], edges[-1])
        panel.set_xlabel(axis_label(axis))
        panel.set_ylabel("varied / nominal")
        main.set_ylabel(events_label(axis))
        label.draw(main)
    numbers = {
        "edges": edges,
        "nominal": nominal,
        "variances": variances,
        "varied": dict(varied),
        "label": label.text,
        "observable": axis.name,
    }
    shifts = [
        f"{text} {values.sum() / nominal.sum() - 1:+.1%}"
        for text, values in varied.items()
        if nominal.sum() > 0
    ]
    return Drawing(name, fig, numbers, title or f"Variations of {quantity(axis)}", "; ".join(shifts) + ".")

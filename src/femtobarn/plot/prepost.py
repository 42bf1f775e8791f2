"""Expectation against data before and after a fit, side by side, from the yields tables of a fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from femtobarn.plot.drawing import Drawing
from femtobarn.plot.names import literal
from femtobarn.plot.panels import (
    Band,
    FloatArray,
    Layer,
    Points,
    draw_band,
    draw_points,
    draw_ratio,
    draw_stack,
    finish,
    poisson_points,
)
from femtobarn.plot.stacks import layers
from femtobarn.plot.style import Label, ProcessStyle, style

__all__ = ["pre_post_fit"]

Table = Mapping[str, Sequence[Any]]


def pre_post_fit(
    prefit: Table,
    postfit: Table,
    *,
    channel: str,
    name: str,
    label: Label,
    data: npt.ArrayLike | None = None,
    edges: npt.ArrayLike | None = None,
    styles: Mapping[str, ProcessStyle] | None = None,
    signal: Sequence[str] = (),
    x_label: str = "bin",
    log: bool = False,
) -> Drawing:
    """Draw one channel of ``yields_prefit.csv`` and ``yields_postfit.csv``.

    Parameters
    ----------
    prefit, postfit : table as {column: values}
        Columns channel, bin, sample, value, error; the sample ``total`` carries the full error.
    data : (n,) array_like, optional
        Observed events.
    edges : (n + 1,) array_like, optional
        Bin edges; without them bins are numbered.
    """
    sides = {"pre-fit": _channel(prefit, channel), "post-fit": _channel(postfit, channel)}
    length = len(sides["pre-fit"][1].total)
    where = np.arange(length + 1.0) if edges is None else np.asarray(edges, dtype=np.float64)
    points = None if data is None else poisson_points(data)
    with style():
        fig = Figure(figsize=(9.6, 5.6), layout="constrained")
        engine = fig.get_layout_engine()
        if engine is not None:
            engine.set(h_pad=0.02, hspace=0.0)  # type: ignore[call-arg]
        grid = fig.add_gridspec(2, 2, height_ratios=(3, 1))
        frames = [(fig.add_subplot(grid[0, k]), fig.add_subplot(grid[1, k])) for k in range(2)]
        tops = [_highest(one.high, points) for _, one in sides.values()]
        for (main, panel), (when, (samples, total)) in zip(frames, sides.items(), strict=True):
            stacked = layers({k: (v, v) for k, v in samples.items()}, styles or {}, signal)
            for axes in (main, panel):
                axes.set_xlim(where[0], where[-1])
            main.tick_params(labelbottom=False)
            nothing = Points(*(np.full(length, np.nan) for _ in range(3)))
            draw_ratio(panel, where, points or nothing, total)
            entries = _entries(main, where, points, stacked, total)
            finish(main, entries, highest=max(tops), lowest=None, log=log, note=f"{literal(channel)}, {when}")
            panel.set_xlabel(literal(x_label))
        frames[0][0].set_ylabel("Events / bin")
        frames[1][1].set_ylabel("")
        label.draw(frames[0][0], last=frames[1][0])
    numbers = {
        "channel": channel,
        "edges": where,
        "data": None if points is None else points.to_json(),
        "label": label.text,
        **{
            when.replace("-", ""): {
                "processes": samples,
                "total": {"values": one.total, "low": one.low, "high": one.high},
            }
            for when, (samples, one) in sides.items()
        },
    }
    caption = (
        "Left before, right after the fit; hatched: total uncertainty. Lower panels: data over expectation."
    )
    return Drawing(name, fig, numbers, f"{channel} before and after the fit", caption)


def _channel(table: Table, channel: str) -> tuple[dict[str, FloatArray], Band]:
    """Samples of a channel and their total with its error, in bin order."""
    rows = [
        (str(sample), int(number), float(value), float(error or 0.0))
        for one, number, sample, value, error in zip(
            *(table[key] for key in ("channel", "bin", "sample", "value", "error")), strict=True
        )
        if str(one) == channel
    ]
    samples: dict[str, FloatArray] = {}
    errors: dict[str, FloatArray] = {}
    numbers = sorted({number for _, number, _, _ in rows})
    at = {number: i for i, number in enumerate(numbers)}
    for sample, number, value, error in rows:
        samples.setdefault(sample, np.zeros(len(numbers)))[at[number]] = value
        errors.setdefault(sample, np.zeros(len(numbers)))[at[number]] = error
    total = samples.pop("total", None)
    if total is None:
        total = np.sum([np.zeros(len(numbers)), *samples.values()], axis=0)
    error_total = errors.get("total", np.zeros(len(numbers)))
    return samples, Band(total, np.maximum(total - error_total, 0.0), total + error_total)


def _entries(
    main: Axes, edges: FloatArray, points: Points | None, stacked: Sequence[Layer], total: Band
) -> list[tuple[Any, str]]:
    handles = draw_stack(main, edges, stacked)
    entries = [] if points is None else [(draw_points(main, edges, points), "Data")]
    entries += [(h, literal(layer.label)) for h, layer in reversed(list(zip(handles, stacked, strict=True)))]
    return [*entries, (draw_band(main, edges, total.low, total.high), "total unc.")]


def _highest(high: FloatArray, points: Points | None) -> float:
    reach = [high] if points is None else [high, points.high]
    return max((float(np.nanmax(array)) for array in reach if len(array)), default=0.0)

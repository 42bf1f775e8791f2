"""Data over a stacked prediction, with a ratio panel: the figure most analyses end in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from femtobarn.hists import Axis
from femtobarn.normalise import Spectrum
from femtobarn.plot.drawing import Drawing
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
from femtobarn.plot.style import (
    PALETTE,
    SIGNALS,
    Label,
    ProcessStyle,
    axis_label,
    events_label,
    figure,
    figure_with_panel,
    plain,
    style,
)

__all__ = ["band", "layers", "quantity", "stack"]


def stack(
    spectrum: Spectrum,
    *,
    name: str,
    label: Label,
    styles: Mapping[str, ProcessStyle] | None = None,
    signal: Sequence[str] = (),
    log: bool = False,
    blind: tuple[float, float] | None = None,
    note: str = "",
    title: str = "",
) -> Drawing:
    """Draw a normalised spectrum: stacked processes, data points, uncertainty band, ratio panel.

    Parameters
    ----------
    spectrum : Spectrum
        Data, processes and variations of one observable; any of them may be missing or empty.
    styles : {process: ProcessStyle}, optional
        Colours and legend texts.  Its order is the order of the stack from below; processes it does
        not name follow in the order of the spectrum.
    signal : names of processes
        Drawn on top of all others, as a line.
    log : bool
        Logarithmic vertical axis.
    blind : (low, high), optional
        Window of the observable in which data are neither drawn nor written to the numbers.
    note : str
        A line inside the frame, such as the region.

    Returns
    -------
    Drawing
        Its numbers have the keys ``edges``, ``data`` {values, low, high} (null without data),
        ``processes`` {name: {values, variances}}, ``region``, ``observable``, ``label``; with
        variations also ``band`` {low, high}, and ``blind`` if data were hidden.
    """
    edges = np.asarray(spectrum.axis.edges)
    hidden = _hidden(edges, blind)
    points = None if spectrum.data is None else poisson_points(spectrum.data, hidden)
    stacked = layers(spectrum.processes, styles or {}, signal)
    uncertainty = band(spectrum)
    with style():
        if points is not None and stacked:
            fig, main, panel = figure_with_panel()
            draw_ratio(panel, edges, points, uncertainty)
            low_axes = panel
        else:
            fig, main = figure()
            low_axes = main
        entries = _draw_main(main, edges, points, stacked, uncertainty, systematic=bool(spectrum.variations))
        if blind is not None and spectrum.data is not None:
            for axes in fig.axes:
                axes.axvspan(*blind, color="0.9", zorder=0)
            note = "\n".join(filter(None, (note, _blinded(spectrum.axis, blind))))
        finish(
            main, entries, log=log, note=note, lowest=_lowest(stacked),
            highest=_highest(uncertainty.high if stacked else None, None if points is None else points.high),
        )  # fmt: skip
        if not entries:
            main.text(0.5, 0.5, "nothing to show", transform=main.transAxes, ha="center", va="center")
        main.set_xlim(edges[0], edges[-1])
        main.set_ylabel(events_label(spectrum.axis))
        low_axes.set_xlabel(axis_label(spectrum.axis))
        label.draw(main)
    numbers = _numbers(spectrum, points, uncertainty, label, blind)
    caption = _caption(points, stacked, uncertainty, signal=any(layer.signal for layer in stacked))
    return Drawing(name, fig, numbers, title or f"{quantity(spectrum.axis)}, {spectrum.region}", caption)


def layers(
    processes: Mapping[str, tuple[FloatArray, FloatArray]],
    styles: Mapping[str, ProcessStyle],
    signal: Sequence[str] = (),
) -> list[Layer]:
    """Processes in stacking order with a colour each; signals last."""
    named = [name for name in styles if name in processes]
    order = named + [name for name in processes if name not in styles]
    order = [n for n in order if n not in signal] + [n for n in order if n in signal]
    taken = {one.color for one in styles.values()}
    spare = {
        kind: iter([colour for colour in colours if colour not in taken] or colours)
        for kind, colours in ((False, PALETTE), (True, SIGNALS))
    }
    out = []
    for name in order:
        chosen = styles.get(name, ProcessStyle())
        is_signal = name in signal
        color = chosen.color or next(spare[is_signal], "#717581")
        out.append(Layer(np.asarray(processes[name][0]), color, chosen.label or name, is_signal))
    return out


def band(spectrum: Spectrum) -> Band:
    """Total prediction with its statistical and systematic uncertainty in quadrature.

    An up and a down variation of one name each count on the side they move a bin to; a variation
    without a counterpart (an alternative sample) counts on both sides.
    """
    total, variance = spectrum.total()
    down, up = variance.copy(), variance.copy()
    shifts: dict[str, list[FloatArray]] = {}
    for variation, processes in spectrum.variations.items():
        varied = np.sum([processes.get(p, spectrum.processes[p][0]) for p in spectrum.processes], axis=0)
        shifts.setdefault(variation.removesuffix("_up").removesuffix("_down"), []).append(varied - total)
    for sides in shifts.values():
        both = [*sides, -sides[0]] if len(sides) == 1 else sides
        up += np.max([np.zeros_like(total), *both], axis=0) ** 2
        down += np.min([np.zeros_like(total), *both], axis=0) ** 2
    return Band(total, np.maximum(total - np.sqrt(down), 0.0), total + np.sqrt(up))


def quantity(axis: Axis) -> str:
    """What an axis shows, for titles."""
    return plain(axis.label or axis.name)


def _draw_main(
    axes: Axes,
    edges: FloatArray,
    points: Points | None,
    stacked: list[Layer],
    uncertainty: Band,
    *,
    systematic: bool,
) -> list[tuple[Any, str]]:
    """Draw stack, band and points; legend entries from data down to the band."""
    entries: list[tuple[Any, str]] = []
    handles = draw_stack(axes, edges, stacked)
    if points is not None:
        count = float(np.nansum(points.values))
        entries.append((draw_points(axes, edges, points), f"Data ({count:.6g})"))
    entries += [
        (handle, f"{layer.label} ({_short(float(layer.values.sum()))})")
        for handle, layer in reversed(list(zip(handles, stacked, strict=True)))
    ]
    if stacked:
        text = "MC stat. + syst. unc." if systematic else "MC stat. unc."
        entries.append((draw_band(axes, edges, uncertainty.low, uncertainty.high), text))
    return entries


def _short(value: float) -> str:
    """Three significant digits, whole numbers from a hundred on."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _hidden(edges: FloatArray, blind: tuple[float, float] | None) -> npt.NDArray[np.bool_]:
    """Bins that touch the blinded window."""
    if blind is None:
        return np.zeros(len(edges) - 1, dtype=np.bool_)
    return (edges[1:] > blind[0]) & (edges[:-1] < blind[1])


def _blinded(axis: Axis, blind: tuple[float, float]) -> str:
    return f"data hidden in {blind[0]:g}–{blind[1]:g} {axis.unit}".rstrip()


def _highest(*arrays: FloatArray | None) -> float:
    filled = [array[np.isfinite(array)] for array in arrays if array is not None]
    return max((float(array.max()) for array in filled if len(array)), default=0.0)


def _lowest(stacked: Sequence[Layer]) -> float | None:
    """Smallest positive total of the prediction: where a logarithmic axis may start."""
    total = np.sum([layer.values for layer in stacked], axis=0) if stacked else np.zeros(0)
    positive = total[total > 0]
    return float(positive.min()) if len(positive) else None


def _numbers(
    spectrum: Spectrum,
    points: Points | None,
    uncertainty: Band,
    label: Label,
    blind: tuple[float, float] | None,
) -> dict[str, Any]:
    numbers: dict[str, Any] = {
        "edges": list(spectrum.axis.edges),
        "data": None if points is None else points.to_json(),
        "processes": {
            name: {"values": values, "variances": variances}
            for name, (values, variances) in spectrum.processes.items()
        },
        "region": spectrum.region,
        "observable": spectrum.axis.name,
        "label": label.text,
    }
    if spectrum.variations:
        numbers["band"] = {"low": uncertainty.low, "high": uncertainty.high}
    if blind is not None:
        numbers["blind"] = list(blind)
    return numbers


def _caption(points: Points | None, stacked: Sequence[Layer], uncertainty: Band, *, signal: bool) -> str:
    parts = []
    if points is not None:
        hidden = " outside the hidden window" if np.isnan(points.values).any() else ""
        parts.append(
            f"{np.nansum(points.values):.6g} data events{hidden} (points, 68.27 % Garwood intervals)"
        )
    if stacked:
        what = "expected with signal" if signal else "expected"
        parts.append(f"{uncertainty.total.sum():.5g} {what} (stack; hatched: its uncertainty)")
    text = "; ".join(parts) or "no data and no prediction"
    panel = " Lower panel: data divided by the total prediction." if points is not None and stacked else ""
    return text[0].upper() + text[1:] + "." + panel

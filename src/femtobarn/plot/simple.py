"""Figures for any histogram and any cutflow: what an analysis without figures of its own gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from femtobarn.hists import Axis
from femtobarn.normalise import Spectrum
from femtobarn.plot.drawing import Drawing
from femtobarn.plot.panels import FloatArray, draw_band, draw_points, finish, poisson_points
from femtobarn.plot.stacks import band, quantity
from femtobarn.plot.style import BLUE, PALETTE, Label, axis_label, events_label, figure, style

__all__ = ["cutflow", "plane", "spectrum_only"]

#: Datasets a cutflow chart shows on their own; the others are added up.
_MOST_DATASETS: Final = 6
#: Beyond this ratio of largest to smallest content a linear axis hides what matters.
_LOG_RATIO: Final = 500.0


def spectrum_only(
    spectrum: Spectrum, *, name: str, label: Label, log: bool | None = None, note: str = "", title: str = ""
) -> Drawing:
    """One observable without a stack: data as points and the sum of all processes as one area.

    Parameters
    ----------
    spectrum : Spectrum
    log : bool, optional
        Vertical axis; None chooses by the range of the contents.
    """
    edges = np.asarray(spectrum.axis.edges)
    uncertainty = band(spectrum)
    _, variance = spectrum.total()
    points = None if spectrum.data is None else poisson_points(spectrum.data)
    shown = [a for a in (spectrum.data, uncertainty.total if spectrum.processes else None) if a is not None]
    entries: list[tuple[Any, str]] = []
    with style():
        fig, axes = figure()
        if points is not None:
            entries.append((draw_points(axes, edges, points), f"Data ({np.nansum(points.values):.6g})"))
        if spectrum.processes:
            area = axes.stairs(uncertainty.total, edges, fill=True, facecolor=BLUE, alpha=0.6)
            axes.stairs(uncertainty.total, edges, color="black", linewidth=0.8)
            names = ", ".join(spectrum.processes) if len(spectrum.processes) <= 2 else "All processes"
            entries.append((area, f"{names} ({uncertainty.total.sum():.4g})"))
            entries.append((draw_band(axes, edges, uncertainty.low, uncertainty.high), "stat. unc."))
        content = np.concatenate([np.zeros(0), *shown])
        positive = content[content > 0]
        highest = max(
            (float(a.max()) for a in (uncertainty.high, *([] if points is None else [points.high]))),
            default=0,
        )
        finish(
            axes, entries, highest=highest, lowest=float(positive.min()) if len(positive) else None,
            log=_wants_log(positive) if log is None else log, note=note,
        )  # fmt: skip
        axes.set_xlim(edges[0], edges[-1])
        axes.set_xlabel(axis_label(spectrum.axis))
        axes.set_ylabel(events_label(spectrum.axis))
        label.draw(axes)
    numbers = {
        "edges": edges,
        "data": None if points is None else points.to_json(),
        "total": {"values": uncertainty.total, "variances": variance} if spectrum.processes else None,
        "region": spectrum.region,
        "observable": spectrum.axis.name,
        "label": label.text,
    }
    sums = "; ".join(f"{content.sum():.6g} {what}" for what, content in _totals(spectrum))
    return Drawing(name, fig, numbers, title or quantity(spectrum.axis), f"{sums or 'nothing to show'}.")


def _totals(spectrum: Spectrum) -> list[tuple[str, FloatArray]]:
    found = [] if spectrum.data is None else [("data events", spectrum.data)]
    return [*found, ("expected", spectrum.total()[0])] if spectrum.processes else found


def _wants_log(positive: FloatArray) -> bool:
    return len(positive) > 1 and float(positive.max() / positive.min()) > _LOG_RATIO


def plane(
    x: Axis,
    y: Axis,
    values: npt.ArrayLike,
    *,
    name: str,
    label: Label,
    log: bool | None = None,
    note: str = "",
    title: str = "",
) -> Drawing:
    """A heat map of two observables.

    Parameters
    ----------
    x, y : Axis
    values : (x.nbins, y.nbins) array_like
        Contents; bins that are not positive stay white.
    log : bool, optional
        Colour scale; None chooses by the range of the contents.
    """
    content = np.asarray(values, dtype=np.float64)
    if content.shape != (x.nbins, y.nbins):
        raise ValueError(f"{name}: contents of shape {content.shape} for {x.nbins} x {y.nbins} bins")
    positive = content[content > 0]
    use_log = (_wants_log(positive) if log is None else log) and len(positive) > 0
    norm = (
        LogNorm(float(positive.min()), float(max(positive.max(), positive.min() * 1.01))) if use_log else None
    )
    with style():
        fig, axes = figure(6.6, 5.2)
        masked = np.ma.masked_where(content <= 0, content).T
        limits: dict[str, Any] = (
            {} if norm else {"vmin": 0.0, "vmax": float(positive.max()) if len(positive) else 1.0}
        )
        mesh = axes.pcolormesh(
            np.asarray(x.edges), np.asarray(y.edges), masked, cmap="cividis_r", norm=norm, **limits
        )
        mesh.set_rasterized(True)
        bar = fig.colorbar(mesh, ax=axes, pad=0.02)
        bar.set_label("Events / bin", loc="top")
        axes.set_xlabel(axis_label(x))
        axes.set_ylabel(axis_label(y))
        if note or not len(positive):
            axes.text(0.03, 0.965, note or "nothing to show", transform=axes.transAxes, va="top")
        label.draw(axes)
    numbers = {
        "x": {"observable": x.name, "edges": list(x.edges)},
        "y": {"observable": y.name, "edges": list(y.edges)},
        "values": content,
        "label": label.text,
    }
    text = title or f"{quantity(y)} against {quantity(x)}"
    return Drawing(
        name, fig, numbers, text, f"{content.sum():.6g} events; darker means more, white means none."
    )


def cutflow(
    flow: Mapping[str, Sequence[Mapping[str, Any]]], *, name: str, label: Label, title: str = "Cutflow"
) -> Drawing:
    """Events left after each cut, a bar a dataset.

    Parameters
    ----------
    flow : {dataset: [{"cut", "events", ...}]}
        As in ``cutflow.json``: raw numbers of events, cuts in order.
    """
    counts = _fewer({one: {str(r["cut"]): int(r["events"]) for r in rows} for one, rows in flow.items()})
    cuts = list(dict.fromkeys(cut for rows in counts.values() for cut in rows))
    positive = np.array([n for rows in counts.values() for n in rows.values() if n > 0], dtype=np.float64)
    use_log = _wants_log(positive)
    with style():
        fig, axes = figure(6.8, 1.5 + 0.17 * len(cuts) * (len(counts) + 0.9) + 0.1 * len(counts))
        _bars(axes, cuts, counts, log=use_log)
        if len(counts) > 1:
            fig.legend(
                *axes.get_legend_handles_labels(), loc="outside lower center", ncols=min(len(counts), 4)
            )
        axes.set_xlabel("Events (unweighted)")
        label.draw(axes)
    last = "; ".join(
        f"{one}: {list(rows.values())[-1]} of {next(iter(rows.values()))}"
        for one, rows in counts.items()
        if rows
    )
    numbers = {"cutflow": counts, "cuts": cuts, "label": label.text}
    return Drawing(
        name, fig, numbers, title, f"Events left after the last cut: {last}." if last else "No cuts."
    )


def _fewer(counts: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """At most a handful of datasets; those with the fewest events first become one."""
    if len(counts) <= _MOST_DATASETS:
        return counts
    size = {name: max(rows.values(), default=0) for name, rows in counts.items()}
    kept = set(sorted(counts, key=lambda one: -size[one])[: _MOST_DATASETS - 1])
    rest: dict[str, int] = {}
    for name, rows in counts.items():
        if name not in kept:
            for cut, events in rows.items():
                rest[cut] = rest.get(cut, 0) + events
    return {n: counts[n] for n in counts if n in kept} | {f"{len(counts) - len(kept)} other datasets": rest}


def _bars(axes: Axes, cuts: Sequence[str], counts: Mapping[str, Mapping[str, int]], *, log: bool) -> None:
    """Grouped horizontal bars with their numbers written at the end."""
    height = 0.8 / max(len(counts), 1)
    largest = max((n for rows in counts.values() for n in rows.values()), default=0)
    for i, (dataset, rows) in enumerate(counts.items()):
        where = [k + (i - 0.5 * (len(counts) - 1)) * height for k, cut in enumerate(cuts) if cut in rows]
        events = [rows[cut] for cut in cuts if cut in rows]
        axes.barh(where, events, 0.92 * height, color=PALETTE[i % len(PALETTE)], label=dataset)
        for at, number in zip(where, events, strict=True):
            axes.annotate(
                f"{number:d}", (max(number, 0.5 if log else 0), at), xytext=(4, 0),
                textcoords="offset points", va="center", fontsize=9,
            )  # fmt: skip
    axes.set_yticks(range(len(cuts)), labels=list(cuts))
    axes.tick_params(axis="y", which="both", length=0)
    axes.set_ylim(max(len(cuts), 1) - 0.5, -0.5)
    if log:
        axes.set_xlim(0.5, 4.0 * max(largest, 1))
        axes.set_xscale("log")
    else:
        axes.set_xlim(0, 1.15 * max(largest, 1))
        # A factor of 1e6 at the end of the axis would stand in its label.
        axes.ticklabel_format(axis="x", style="plain")

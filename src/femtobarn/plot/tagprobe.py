"""Figures of tag-and-probe measurements: fits of passing and failing probes, efficiencies, maps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from femtobarn.plot.drawing import Drawing
from femtobarn.plot.panels import FloatArray, Points, draw_points, poisson_points
from femtobarn.plot.style import (
    BLUE,
    GREY,
    ORANGE,
    RED,
    Label,
    figure,
    figure_with_panel,
    plain_decades,
    style,
)

__all__ = ["efficiency_figures", "fit_canvas", "variable_label"]

_LABELS: Final = {
    "pt": ("$p_T$", "GeV"),
    "et": ("$E_T$", "GeV"),
    "eta": (r"$\eta$", ""),
    "phi": (r"$\phi$", ""),
}
_STATUS: Final = {"good": "#009e73", "suspect": "#b36b00", "failed": RED}
_MOST_SERIES: Final = 5
_COLOURS: Final = ("black", BLUE, RED, ORANGE, "#832db6")
#: Parameters listed beside a canvas.
_MOST_LINES: Final = 26


def variable_label(name: str) -> str:
    """Axis text of a probe's variable: ``$p_T$ [GeV]`` for el_pt."""
    for key, (text, unit) in _LABELS.items():
        if name == key or name.endswith(f"_{key}") or (key == "eta" and name.endswith("Eta")):
            what = "supercluster " if "sc" in name.lower().split("_")[0:2] or "superc" in name else ""
            return f"Probe {what}{text} [{unit}]" if unit else f"Probe {what}{text}"
    return f"Probe {name}"


def range_text(name: str, ends: Sequence[float]) -> str:
    """A bin for people: ``20 < $p_T$ < 35 GeV``."""
    text, _, unit = variable_label(name).removeprefix("Probe ").rstrip("]").partition(" [")
    return f"{ends[0]:g} < {text} < {ends[1]:g} {unit}".rstrip()


def fit_canvas(
    fit: Mapping[str, Any],
    edges: FloatArray,
    counts: FloatArray,
    variances: FloatArray,
    total: FloatArray,
    background: FloatArray,
    *,
    name: str,
    label: Label,
) -> Drawing:
    """One fit: passing and failing probes with their curves, pulls below, parameters at the side.

    Parameters
    ----------
    fit : an entry of ``fits`` in fit.json
    counts, variances, total, background : (2, n) float arrays
        Passing and failing probes in the bins of ``edges`` (GeV), and what the fit expects.
    """
    where = ", ".join(range_text(k, ends) for k, ends in fit["bin"]["edges"].items())
    numbers: dict[str, Any] = {"edges": edges, "status": fit["status"], "label": label.text}
    with style():
        # Placed by hand: hundreds of these are drawn, and measuring every text takes longest.
        fig = Figure(figsize=(11.5, 5.4), dpi=100)
        for k, verdict in enumerate(("passing", "failing")):
            main = fig.add_axes((0.06 + 0.385 * k, 0.335, 0.33, 0.605))
            panel = fig.add_axes((0.06 + 0.385 * k, 0.105, 0.33, 0.21), sharex=main)
            for axes in (main, panel):
                axes.minorticks_off()
            points = _points(counts[k], variances[k])
            pulls = _spectrum(main, panel, edges, points, (total[k], background[k]), variances[k])
            main.text(0.03, 0.96, f"{verdict} probes", transform=main.transAxes, va="top", fontsize=12)
            main.tick_params(labelbottom=False)
            panel.set_xlabel("Pair mass [GeV]")
            if k == 0:
                main.set_ylabel(f"Probes / {edges[1] - edges[0]:.4g} GeV")
                panel.set_ylabel("Pull", loc="center")
                label.draw(main)
            else:
                main.text(1, 1.012, where, transform=main.transAxes, ha="right", va="bottom", fontsize=10)
            numbers[verdict] = {
                "data": points.to_json(), "total": total[k], "background": background[k], "pulls": pulls
            }  # fmt: skip
        _parameters(fig.add_axes((0.79, 0.03, 0.2, 0.91)), fit)
    model = f"{fit['model']['signal']}_{fit['model']['background']}"
    title = f"{fit['label']}, {fit['bin']['name']}, {fit['variation']} ({model})"
    value = fit["efficiency"]["value"]
    said = "no efficiency" if value is None else f"efficiency {value:.4f}"
    caption = f"Fit of passing and failing probes: {said}; status {fit['status']}."
    if fit["reasons"]:
        caption += f" {'; '.join(fit['reasons'])}."
    return Drawing(name, fig, numbers, title, caption)


def _points(counts: FloatArray, variances: FloatArray) -> Points:
    """Garwood intervals of counts, standard deviations of weighted sums."""
    if np.allclose(counts, variances):
        return poisson_points(counts)
    error = np.sqrt(variances)
    return Points(counts, counts - error, counts + error)


def _spectrum(
    main: Axes,
    panel: Axes,
    edges: FloatArray,
    points: Points,
    curves: tuple[FloatArray, FloatArray],
    variances: FloatArray,
) -> FloatArray:
    """Data, fit and pulls of one category; returns the pulls."""
    total, background = curves
    shade = main.stairs(background, edges, fill=True, color=GREY, alpha=0.45, zorder=1)
    line = main.stairs(total, edges, color=RED, linewidth=1.6, zorder=7, baseline=None)
    data = draw_points(main, edges, points)
    highest = float(np.nanmax(np.concatenate([points.high, total, [1.0]])))
    main.set_ylim(0.0, 1.3 * highest)
    main.set_xlim(edges[0], edges[-1])
    main.legend([data, line, shade], ["Data", "Fit", "Background"], loc="upper right", fontsize=10)
    scale = np.where(points.values > 0.0, variances / np.maximum(points.values, 1e-12), 1.0)
    pulls = (points.values - total) / np.sqrt(np.maximum(total * scale, 1e-9))
    panel.axhline(0.0, color="black", linewidth=0.8)
    for level in (-2.0, 2.0):
        panel.axhline(level, color="0.6", linewidth=0.8, linestyle=":")
    panel.stairs(np.clip(pulls, -5.0, 5.0), edges, fill=True, color=BLUE, alpha=0.8)
    panel.set_ylim(-5.0, 5.0)
    panel.set_yticks((-3, 0, 3))
    return np.asarray(pulls)


def _parameters(axes: Axes, fit: Mapping[str, Any]) -> None:
    """The verdict, the efficiency and the parameters as a column of text."""
    axes.axis("off")
    status = fit["status"]
    axes.text(0.0, 1.0, status.upper(), transform=axes.transAxes, va="top", fontsize=13, fontweight="bold",
              color=_STATUS.get(status, "black"))  # fmt: skip
    eff, gof = fit["efficiency"], fit["gof"]
    lines = []
    if eff["value"] is not None:
        low, high = eff["minos"]
        up = "?" if high is None else f"+{high - eff['value']:.4f}"
        down = "?" if low is None else f"−{eff['value'] - low:.4f}"
        lines.append(f"efficiency {eff['value']:.4f} {up} {down}")
    p = gof["p_value"]
    lines.append(f"χ²/ndof {gof['chi2']:.1f}/{gof['ndof']}" + ("" if p is None else f", p = {p:.2g}"))
    lines.append("")
    for name in fit["covariance"]["names"][1:_MOST_LINES]:
        one = fit["parameters"][name]
        error = "" if one["hesse"] is None else f" ± {one['hesse']:.3g}"
        lines.append(f"{name} {one['value']:.5g}{error}{'  (bound)' if one['at_limit'] else ''}")
    axes.text(
        0.0, 0.945, "\n".join(lines), transform=axes.transAxes, va="top", fontsize=8.5, linespacing=1.45
    )


def efficiency_figures(rows: Sequence[Mapping[str, Any]], label: Label) -> Iterator[Drawing]:
    """Efficiencies with their ratio against each variable, and maps of two variables.

    Parameters
    ----------
    rows : of ``tables/scale_factors.json``
    """
    groups: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["label"], row["filter"], row["region"]), []).append(row)
    for (pair, what, region), members in groups.items():
        variables = list(members[0]["edges"])
        stem = "_".join(filter(None, (_stem(pair), _stem(what), _stem(region))))
        note = ", ".join(filter(None, (what if what != "passing" else "", region)))
        if len(variables) == 1:
            yield _against(members, variables[0], f"efficiency_{stem}", label, note)
        elif len(variables) == 2:
            main = next((v for v in variables if v.endswith(("pt", "et"))), variables[-1])
            yield _against(members, main, f"efficiency_{stem}", label, note)
            yield from _maps(members, variables, stem, label, note)


def _stem(text: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in text).strip("_")


def _against(rows: Sequence[Mapping[str, Any]], variable: str, name: str, label: Label, note: str) -> Drawing:
    """Efficiency in data and simulation against one variable; below, the scale factor with its error."""
    series: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        others = [range_text(k, ends) for k, ends in row["edges"].items() if k != variable]
        series.setdefault(", ".join(others), []).append(row)
    shown = dict(list(series.items())[:_MOST_SERIES])
    with style():
        fig, main, panel = figure_with_panel(height=6.2)
        values: list[float] = []
        for k, (text, members) in enumerate(shown.items()):
            colour = _COLOURS[k] if len(shown) > 1 else "black"
            said = f", {text}" if text else ""
            values += _series(main, members, variable, "data", colour, f"data{said}", filled=True)
            mc_colour = colour if len(shown) > 1 else BLUE
            values += _series(
                main, members, variable, "mc", mc_colour, "simulation" if k == 0 else "", filled=False
            )
            _ratio(panel, members, variable, colour)
        low = min(values, default=0.0)
        floor = 0.0 if low < 0.5 else max(0.0, math.floor(10 * (low - 0.15)) / 10)
        main.set_ylim(floor, 1.0 + 0.32 * (1.0 - floor))
        main.axhline(1.0, color="0.6", linewidth=0.8, linestyle=":")
        main.set_ylabel("Efficiency")
        if main.get_legend_handles_labels()[0]:
            main.legend(loc="upper right", fontsize=10)
        if note:
            main.text(0.03, 0.96, note, transform=main.transAxes, va="top", fontsize=11)
        panel.axhline(1.0, color="0.4", linewidth=0.8)
        panel.set_ylabel("Data / MC", loc="center")
        panel.set_xlabel(variable_label(variable))
        ends = [edge for row in rows for edge in row["edges"][variable]]
        if variable.endswith(("pt", "et")) and min(ends) > 0.0:
            panel.set_xscale("log")
            plain_decades(panel.xaxis)
        panel.set_xlim(min(ends), max(ends))
        label.draw(main)
    numbers = {"rows": [dict(row) for row in rows], "variable": variable, "label": label.text}
    hidden = f" {len(series) - len(shown)} more ranges are in the table." if len(series) > len(shown) else ""
    caption = (
        "Efficiency of passing probes in data (filled) and simulation (open) with 68 % intervals; below, "
        f"their ratio with statistical (bars) and total (boxes) errors; crosses are not good.{hidden}"
    )
    return Drawing(name, fig, numbers, f"Efficiency against {variable}", caption)


def _places(rows: Sequence[Mapping[str, Any]], variable: str) -> tuple[FloatArray, FloatArray]:
    ends = np.array([row["edges"][variable] for row in rows], dtype=np.float64).reshape(-1, 2)
    return ends.mean(axis=1), 0.5 * np.diff(ends, axis=1)[:, 0]


def _series(
    axes: Axes,
    rows: Sequence[Mapping[str, Any]],
    variable: str,
    which: str,
    colour: str,
    text: str,
    *,
    filled: bool,
) -> list[float]:
    """Points of one sample; returns the values drawn."""
    known = [row for row in rows if row[f"eff_{which}"] is not None]
    if not known:
        return []
    x, half = _places(known, variable)
    y = np.array([row[f"eff_{which}"] for row in known], dtype=np.float64)
    bars = np.array(
        [[row[f"eff_{which}_{side}"] or 0.0 for row in known] for side in ("down", "up")], dtype=np.float64
    )
    axes.errorbar(
        x, y, yerr=bars, xerr=half, fmt="o" if filled else "s", color=colour, markersize=5, elinewidth=1.1,
        markerfacecolor=colour if filled else "white", label=text or None, zorder=6 if filled else 5,
    )  # fmt: skip
    return [float(v) for v in y]


def _ratio(axes: Axes, rows: Sequence[Mapping[str, Any]], variable: str, colour: str) -> None:
    known = [row for row in rows if row["sf"] is not None]
    if not known:
        return
    x, half = _places(known, variable)
    y, total, stat = (
        np.array([row[key] or 0.0 for row in known], dtype=np.float64) for key in ("sf", "total", "stat")
    )
    for centre, width, value, error in zip(x, half, y, total, strict=True):
        ends = [centre - width, centre + width]
        axes.fill_between(ends, value - error, value + error, color=colour, alpha=0.2, linewidth=0)
    good = np.array([row["status"] == "good" for row in known])
    for chosen, marker in ((good, "o"), (~good, "x")):
        if chosen.any():
            axes.errorbar(
                x[chosen], y[chosen], yerr=stat[chosen], xerr=half[chosen], fmt=marker, color=colour,
                markersize=4.5, elinewidth=1.1,
            )  # fmt: skip
    reach = max(0.05, 1.25 * float(np.max(np.abs(y - 1.0) + total)))
    low, high = axes.get_ylim() if axes.has_data() and len(axes.lines) > 3 else (1.0, 1.0)
    reach = min(max(reach, 1.0 - low, high - 1.0) if high > low else reach, 1.0)
    axes.set_ylim(1.0 - reach, 1.0 + reach)


def _maps(
    rows: Sequence[Mapping[str, Any]], variables: Sequence[str], stem: str, label: Label, note: str
) -> Iterator[Drawing]:
    """Maps of efficiencies, scale factor and its errors, energies upwards."""
    y_name = next((v for v in variables if v.endswith(("pt", "et"))), variables[1])
    x_name = next(v for v in variables if v != y_name)
    texts = {
        "eff_data": "Efficiency in data", "eff_mc": "Efficiency in simulation", "sf": "Scale factor",
        "stat": "Statistical error of the scale factor", "syst": "Systematic error of the scale factor",
        "total": "Total error of the scale factor",
    }  # fmt: skip
    for key, text in texts.items():
        yield _map(rows, (x_name, y_name), key, text, f"map_{key}_{stem}", label, note)


def _map(
    rows: Sequence[Mapping[str, Any]],
    variables: tuple[str, str],
    key: str,
    text: str,
    name: str,
    label: Label,
    note: str,
) -> Drawing:
    edges = [np.unique([e for row in rows for e in row["edges"][v]]) for v in variables]
    content: npt.NDArray[np.float64] = np.full([e.size - 1 for e in edges], np.nan)
    for row in rows:
        i, j = (int(np.searchsorted(e, row["edges"][v][0])) for e, v in zip(edges, variables, strict=True))
        content[i, j] = np.nan if row[key] is None else row[key]
    known = content[np.isfinite(content)]
    with style():
        fig, axes = figure(7.2, 5.4)
        limits = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
        if limits[0] == limits[1]:
            limits = (limits[0] - 0.01, limits[1] + 0.01)
        mesh = axes.pcolormesh(
            *edges, np.ma.masked_invalid(content).T, cmap="cividis", vmin=limits[0], vmax=limits[1]
        )
        mesh.set_rasterized(True)
        fig.colorbar(mesh, ax=axes, pad=0.02).set_label(text, loc="top")
        if variables[1].endswith(("pt", "et")) and edges[1][0] > 0.0:
            axes.set_yscale("log")
            plain_decades(axes.yaxis)
        if content.size <= 120:
            _cells(axes, edges, content, limits, log=axes.get_yscale() == "log")
        axes.set_xlabel(variable_label(variables[0]))
        axes.set_ylabel(variable_label(variables[1]))
        label.draw(axes)
    numbers = {
        "x": {"variable": variables[0], "edges": edges[0]},
        "y": {"variable": variables[1], "edges": edges[1]},
        "values": content, "label": label.text,
    }  # fmt: skip
    caption = f"{text}{f' ({note})' if note else ''}; white means that there is none."
    return Drawing(name, fig, numbers, text, caption)


def _cells(
    axes: Axes, edges: Sequence[FloatArray], content: FloatArray, limits: tuple[float, float], *, log: bool
) -> None:
    """Numbers in the cells, dark on bright and bright on dark."""
    middle = 0.5 * (limits[0] + limits[1])
    for (i, j), value in np.ndenumerate(content):
        if not np.isfinite(value):
            continue
        x = 0.5 * (edges[0][i] + edges[0][i + 1])
        low, high = edges[1][j], edges[1][j + 1]
        y = math.sqrt(low * high) if log and low > 0.0 else 0.5 * (low + high)
        axes.text(x, y, f"{value:.3f}", ha="center", va="center", fontsize=8 if content.size <= 60 else 6,
                  color="black" if value > middle else "white")  # fmt: skip

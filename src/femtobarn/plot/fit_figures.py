"""All figures of a likelihood fit, from its ``fit.json`` and its tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from femtobarn.plot.contouring import contours
from femtobarn.plot.drawing import Drawing
from femtobarn.plot.fits import correlations, limit, pulls, ranking, scan, toy_pulls
from femtobarn.plot.names import Stems
from femtobarn.plot.prepost import pre_post_fit
from femtobarn.plot.style import Label, ProcessStyle

__all__ = ["fit_set"]

Table = Mapping[str, Sequence[Any]]

#: Channels drawn; the tables have all.
_MOST_CHANNELS: Final = 30


def fit_set(
    fitted: Mapping[str, Any],
    tables: Mapping[str, Table],
    label: Label,
    styles: Mapping[str, ProcessStyle] | None = None,
) -> Iterator[Drawing]:
    """Channels before and after the fit, pulls, ranking, correlations, scans, contours, limit, toys.

    What the fit was not asked for is not drawn; nothing is drawn of a fit that failed.

    Parameters
    ----------
    fitted : the object of ``fit.json``
    tables : {stem: {column: values}}
        Those in ``tables/`` of the fit: ``observed``, ``yields_prefit`` and ``yields_postfit`` are used.
    styles : {sample: style}, optional
        As in the analysis' own figures.
    """
    if fitted.get("kind") != "histfactory" or fitted["mle"]["status"] == "failed":
        return
    name = Stems()
    poi = str(fitted["workspace"]["poi"] or "")
    if {"yields_prefit", "yields_postfit"} <= set(tables):
        yield from _channels(fitted, tables, label, name, styles)
    mle = _with_constraints(fitted["mle"], tables.get("pulls", {}))
    if any(one.get("pull") is not None and not one["fixed"] for one in mle["parameters"].values()):
        yield pulls(mle, name=name("pulls"), label=label)
    if fitted.get("ranking"):
        yield ranking(fitted["ranking"], name=name("ranking"), label=label, poi=poi)
    if sum(not one["fixed"] for one in mle["parameters"].values()) > 1:
        yield correlations(mle, name=name("correlations"), label=label)
    for entry in fitted.get("scans", ()):
        yield scan(entry, name=name(f"scan_{entry['parameter']}"), label=label)
    for entry in fitted.get("scans2d", ()):
        yield contours(entry, name=name("contours_{}_{}".format(*entry["parameters"])), label=label)
    upper = fitted.get("limit")
    tests = fitted.get("cls_curve") or fitted.get("hypotests") or ()
    if len(tests) > 1:
        yield limit(tests, upper, name=name("cls"), label=label, poi=poi)
    if fitted.get("toys", {}).get("pulls"):
        yield toy_pulls(fitted["toys"], name=name("toys"), label=label, poi=poi)


def _channels(
    fitted: Mapping[str, Any],
    tables: Mapping[str, Table],
    label: Label,
    name: Stems,
    styles: Mapping[str, ProcessStyle] | None,
) -> Iterator[Drawing]:
    observed = tables.get("observed", {})
    channels = [str(one) for one in observed.get("channel", ())]
    for channel in list(fitted["workspace"]["channels"])[:_MOST_CHANNELS]:
        rows = [k for k, one in enumerate(channels) if one == channel]
        values = {key: [column[k] for k in rows] for key, column in observed.items()}
        more: dict[str, Any] = {}
        if rows:
            unit = str(values["unit"][0] or "")
            more = {
                "data": [float(n) for n in values["events"]],
                "edges": [*map(float, values["low"]), float(values["high"][-1])],
                "x_label": str(values["quantity"][0]) + (f" [{unit}]" if unit else ""),
            }
        yield pre_post_fit(
            tables["yields_prefit"], tables["yields_postfit"], channel=channel, label=label,
            name=name(f"channel_{channel}"), styles=styles, **more,
        )  # fmt: skip


def _with_constraints(mle: Mapping[str, Any], pulled: Table) -> Mapping[str, Any]:
    """The fit with each parameter's constraint, which only the table of pulls has."""
    known = dict(zip(map(str, pulled.get("parameter", ())), pulled.get("constraint", ()), strict=True))
    parameters = {
        name: {**one, "constraint": float(known[name])} if known.get(name) not in (None, "") else one
        for name, one in mle["parameters"].items()
    }
    return {**mle, "parameters": parameters}

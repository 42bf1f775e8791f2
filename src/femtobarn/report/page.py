"""The report of a run: one HTML page with everything in it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from femtobarn.report import sections
from femtobarn.report.inputs import Plot, ReportInputs, Table, png_size, read_inputs
from femtobarn.report.values import Grid, Group, Node, moment
from femtobarn.run.files import write_text

__all__ = ["fragment", "render", "templates", "write_report"]


@cache
def templates() -> Environment:
    """The page templates; everything put into them is escaped."""
    environment = Environment(
        loader=PackageLoader("femtobarn.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["group"] = lambda item: isinstance(item, Group)
    environment.tests["grid"] = lambda item: isinstance(item, Grid)
    return environment


def render(inputs: ReportInputs) -> str:
    """The page of a run: no request leaves it, what the run does not have is left out.

    Parameters
    ----------
    inputs : ReportInputs
        From :func:`femtobarn.report.read_inputs`.
    """
    manifest, fit = inputs.manifest, inputs.fit
    of_analysis, of_likelihood = sections.fit_parts(fit)
    content: dict[str, Any] = {
        "name": inputs.name,
        "title": manifest.get("title") or manifest.get("analysis") or inputs.name,
        "analysis": manifest.get("analysis") or "",
        "headline": manifest.get("headline") or "",
        "notices": sections.notices(manifest),
        "disclaimer": sections.disclaimer(manifest),
        "account": sections.account(manifest),
        "ledger": sections.ledger(manifest),
        "failures": sections.failures(manifest),
        "plots": [_figure(plot) for plot in inputs.plots],
        "yields": sections.yields(inputs),
        "pulls": sections.pull_rows(fit),
        "fit": of_analysis,
        "likelihood": of_likelihood,
        "fit_status": _fit_status(inputs),
        "cutflows": sections.cutflows(inputs),
        "samples": sections.samples(inputs),
        "tables": [_attached(table) for table in inputs.tables],
        "warnings": list(dict.fromkeys([*(manifest.get("warnings") or ()), *(fit.get("warnings") or ())])),
        "timings": sections.timings(manifest, fit),
        "files": sections.input_files(manifest),
        "versions": sections.versions(manifest),
        "configuration": _pretty(
            {k: manifest[k] for k in ("config", "parameters", "execution") if manifest.get(k)}
        ),
        "command": sections.command(manifest),
        "version": manifest.get("femtobarn") or "",
        "finished": moment(manifest.get("finished") or ""),
    }
    return templates().get_template("run.html").render(content).lstrip()


def fragment(nodes: Iterable[Node]) -> str:
    """Tables alone, as HTML to put into another page (a notebook's cell)."""
    parts = templates().get_template("parts.html").make_module()
    return "".join(str(parts.node(item)) for item in nodes)  # type: ignore[attr-defined]


def write_report(run: Path, *, out: Path | None = None) -> Path:
    """Write ``report.html`` of a run directory (into ``out`` if given) and return its path."""
    path = (out or run) / "report.html"
    write_text(path, render(read_inputs(run)))
    return path


def _figure(plot: Plot) -> dict[str, Any]:
    """An image with its texts and numbers, as the template wants it."""
    width, height = png_size(plot.png) or (None, None)
    title = plot.title or plot.name
    return {
        "name": plot.name,
        "title": title,
        "caption": plot.caption,
        "alt": f"{title}. {plot.caption}".strip(" ."),
        "src": _data_link("image/png", plot.png),
        "width": width,
        "height": height,
        "numbers": _data_link("application/json", plot.numbers.encode()) if plot.numbers else "",
    }


def _attached(table: Table) -> dict[str, Any]:
    """A table and, if it is small, the whole of it as a download."""
    return {
        "name": table.name,
        "length": table.length,
        "grid": sections.table(table),
        "csv": _data_link("text/csv", table.text.encode()) if table.text else "",
    }


def _data_link(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _fit_status(inputs: ReportInputs) -> dict[str, str]:
    """Status of the likelihood fit; empty without one."""
    mle = inputs.fit.get("mle") or {}
    if not mle.get("status"):
        return {}
    return {"status": str(mle["status"]), "message": str(mle.get("message") or "")}


def _pretty(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) if value else ""

"""A picture of every fit of a tag-and-probe run, and the page that lists them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from femtobarn.run.files import SCHEMA_VERSION, strict, write_json, write_text
from femtobarn.run.pool import in_pool
from femtobarn.stats.minimise import FloatArray
from femtobarn.stats.passfail.building import PassFailOptions, build_model
from femtobarn.stats.passfail.input import ProbeSet
from femtobarn.stats.passfail.jobs import Samples, templates_for
from femtobarn.stats.passfail.likelihood import Spectra

__all__ = ["canvases"]

#: With more fits than this only the nominal ones are drawn.
_MOST_PICTURES: Final = 300


def canvases(
    run: Path,
    fitted: Mapping[str, Any],
    samples: Samples,
    label: Any,
    *,
    resonance: str = "Z",
    only: Collection[str] | None = None,
) -> list[Path]:
    """Write ``plots/fits/NAME.png`` with its numbers for each fit, and ``plots/fits/index.html``.

    ``only`` names the bins whose fits are new: pictures of the others stay as they are.  Of several hundred
    fits only the nominal ones are drawn; the page lists all.
    """
    folder = run / "plots" / "fits"
    folder.mkdir(parents=True, exist_ok=True)
    names = {_name(fit): fit for fit in fitted["fits"]}
    for old in folder.glob("*.*"):
        if only is None or old.stem not in names or names[old.stem]["bin"]["name"] in only:
            old.unlink()
    entries: list[tuple[Mapping[str, Any], str]] = []
    items: list[_Canvas] = []
    for name, fit in names.items():
        wanted = len(names) <= _MOST_PICTURES or fit["variation"] == "nominal"
        there = (folder / f"{name}.png").exists()
        drawn = _curves(fit, samples, resonance) if wanted and not there else None
        if drawn is not None:
            items.append(_Canvas(folder, name, fit, *drawn, label))
        entries.append((fit, name if there or drawn is not None else ""))
    paths = [path for pair in in_pool(_draw, items) for path in pair]
    write_text(folder / "index.html", _page(run, entries))
    return [*paths, folder / "index.html"]


@dataclass(frozen=True, slots=True)
class _Canvas:
    """One picture to draw: a fit, the spectra as they were fitted, fitted events and background."""

    folder: Path
    name: str
    fit: Mapping[str, Any]
    spectra: Spectra
    total: FloatArray
    background: FloatArray
    label: Any


def _draw(item: _Canvas) -> tuple[Path, Path]:
    from femtobarn.plot.tagprobe import fit_canvas

    spectra = item.spectra
    drawing = fit_canvas(
        item.fit, spectra.edges, spectra.counts, spectra.variances, item.total, item.background,
        name=item.name, label=item.label,
    )  # fmt: skip
    picture, numbers = (item.folder / f"{item.name}.{kind}" for kind in ("png", "json"))
    write_text(picture, drawing.render("png"))
    write_json(numbers, {"schema_version": SCHEMA_VERSION, **strict(drawing.numbers)})
    return picture, numbers


def _name(fit: Mapping[str, Any]) -> str:
    parts = (fit["sample"], fit["label"], fit["filter"], fit["region"], fit["bin"]["name"], fit["variation"])
    return re.sub(r"[^A-Za-z0-9.-]+", "_", "_".join(filter(None, parts)))


def _find(fit: Mapping[str, Any], groups: Mapping[str, tuple[ProbeSet, ...]], label: str) -> Spectra | None:
    for one in groups.get(label, ()):
        if (one.filter, one.region) == (fit["filter"], fit["region"]):
            return next((s for place, s in one.bins if place.name == fit["bin"]["name"]), None)
    return None


def _curves(
    fit: Mapping[str, Any], samples: Samples, resonance: str
) -> tuple[Spectra, FloatArray, FloatArray] | None:
    """Spectra as they were fitted, with the fitted events; None if nothing was fitted."""
    groups = samples.data if fit["sample"] == "data" else samples.mc
    spectra = _find(fit, groups, fit["label"])
    if spectra is None or fit["efficiency"]["value"] is None:
        return None
    model = f"{fit['model']['signal']}_{fit['model']['background']}"
    options = PassFailOptions(
        model=model, resonance=resonance, window=(fit["window"][0], fit["window"][1]),
        shared_shape=fit["shared_shape"], rebin=fit["rebin"],
    )  # fmt: skip
    templates = None
    if model.startswith("tmpl_"):
        partner = next((pair[1] for pair in samples.pairs.values() if pair[0] == fit["label"]), "")
        source = _find(fit, samples.mc, partner)
        if source is None:
            return None
        templates = templates_for(source)
    inside = spectra.rebinned(options.rebin).within(*options.range)
    built = build_model(inside, options, templates=templates)
    x = np.array([fit["parameters"][name]["value"] for name in built.names])
    found = built.expected(x)
    return inside, found.total, found.background


def _page(run: Path, entries: list[tuple[Mapping[str, Any], str]]) -> str:
    """The list of all fits with their verdicts; the worst first."""
    from femtobarn.report.page import templates

    order = {"failed": 0, "suspect": 1, "good": 2}
    rows = [
        {
            "name": name,
            "sample": fit["label"],
            "filter": "/".join(filter(None, (fit["filter"], fit["region"]))),
            "bin": fit["bin"]["name"],
            "variation": fit["variation"],
            "model": f"{fit['model']['signal']}_{fit['model']['background']}",
            "efficiency": _efficiency(fit),
            "gof": f"{fit['gof']['chi2']:.1f} / {fit['gof']['ndof']}",
            "status": fit["status"],
            "reasons": "; ".join(fit["reasons"]),
        }
        for fit, name in sorted(entries, key=lambda item: order[item[0]["status"]])
    ]
    counts = {
        status: sum(row["status"] == status for row in rows) for status in ("good", "suspect", "failed")
    }
    return (
        templates()
        .get_template("fits.html")
        .render({"rows": rows, "counts": counts, "run": run.resolve().name})
    )


def _efficiency(fit: Mapping[str, Any]) -> str:
    found = fit["efficiency"]
    if found["value"] is None:
        return "none"
    return f"{found['value']:.4f}" + ("" if found["hesse"] is None else f" ± {found['hesse']:.4f}")

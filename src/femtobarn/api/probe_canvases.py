"""A picture of every fit of a tag-and-probe run, and the page that lists them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from femtobarn.run.files import SCHEMA_VERSION, strict, write_json, write_text
from femtobarn.stats.passfail import Spectra
from femtobarn.stats.passfail_fit import PassFailOptions, build_model
from femtobarn.stats.passfail_input import ProbeSet
from femtobarn.stats.passfail_jobs import Samples, templates_for

__all__ = ["canvases"]


def canvases(
    run: Path, fitted: Mapping[str, Any], samples: Samples, label: Any, *, resonance: str = "Z"
) -> list[Path]:
    """Write ``plots/fits/NAME.png`` with its numbers for each fit, and ``plots/fits/index.html``."""
    from femtobarn.plot.tagprobe import fit_canvas

    folder = run / "plots" / "fits"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.*"):
        old.unlink()
    paths, entries = [], []
    for fit in fitted["fits"]:
        name = _name(fit)
        drawn = _curves(fit, samples, resonance)
        if drawn is None:
            entries.append((fit, ""))
            continue
        spectra, total, background = drawn
        drawing = fit_canvas(
            fit, spectra.edges, spectra.counts, spectra.variances, total, background, name=name, label=label
        )
        write_text(folder / f"{name}.png", drawing.render("png"))
        write_json(folder / f"{name}.json", {"schema_version": SCHEMA_VERSION, **strict(drawing.numbers)})
        paths += [folder / f"{name}.png", folder / f"{name}.json"]
        entries.append((fit, name))
    write_text(folder / "index.html", _page(run, entries))
    return [*paths, folder / "index.html"]


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
) -> tuple[Spectra, np.ndarray, np.ndarray] | None:
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

"""``fit --search bump``: the bump search on a survey or on any file of histograms."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import femtobarn
from femtobarn.api.outputs import copied_run
from femtobarn.errors import UsageError
from femtobarn.run.files import SCHEMA_VERSION, write_json, write_text
from femtobarn.run.pool import in_pool
from femtobarn.stats.bumps.search import Injection, SpectrumToSearch, search_all

__all__ = ["parse_injection", "search_bumps"]


def parse_injection(text: str | None) -> Injection | None:
    """``mass,width,events`` in GeV and events."""
    if text is None:
        return None
    try:
        mass, width, events = (float(item) for item in text.split(","))
    except ValueError as error:
        raise UsageError(
            f"--inject: {text!r} is not mass,width,events", action="write it as 500,20,100"
        ) from error
    if not (mass > 0 and width > 0 and events > 0):
        raise UsageError(f"--inject: mass, width and events must be positive, not {text}")
    return Injection(mass, width, events)


def search_bumps(
    what: str | Path, *, out: str | Path | None = None, inject: str | None = None, toys: int = 0,
    seed: int = 1, command: Sequence[str] = (),
) -> tuple[Path, Mapping[str, Any]]:  # fmt: skip
    """Search all spectra of a survey, or all ``ROI`` histograms (else all) of a ROOT file.

    Parameters
    ----------
    what : run directory or ``FILE.root``
    out : directory to write to; a run itself, or ``<stem>_fit``
    inject : ``mass,width,events``, optional
    toys : number of toys a spectrum; 0 for the default of 400

    Returns
    -------
    where it was written, and fit.json
    """
    source, injection = Path(what), parse_injection(inject)
    if toys < 0:
        raise UsageError(f"--toys must not be negative, not {toys}")
    chosen: dict[str, Any] = {"toys": toys or 400, "seed": seed, "injection": injection}
    if source.is_dir():
        from femtobarn.analyses.survey.results import search
        from femtobarn.api.results import load_stored, write_fit

        where = copied_run(source, out)
        fitted = {"search": search(load_stored(where, "survey"), **chosen)}
        write_fit(where, fitted)
        return where, fitted
    if source.suffix != ".root":
        raise UsageError("is neither a run directory nor a ROOT file", where=str(what))
    where = Path(out) if out is not None else Path(f"{source.stem}_fit")
    return where, _search_file(source, where, chosen, command)


def _search_file(
    source: Path, where: Path, chosen: Mapping[str, Any], command: Sequence[str]
) -> Mapping[str, Any]:
    from femtobarn.export.th1 import read_1d
    from femtobarn.plot import Label, save, scatter
    from femtobarn.report import read_inputs, render

    if where.is_dir() and any(where.iterdir()) and not (where / "fit.json").exists():
        raise UsageError(
            "the directory is not empty and holds no fit", where=str(where), action="choose another --out"
        )
    found = [
        item for item in read_1d(source) if item.classname.startswith("TH1") or item.classname == "THStack"
    ]
    regions = [item for item in found if item.name.startswith("ROI")] or found
    if not regions:
        raise UsageError("holds no histogram to search", where=str(source))
    spectra = [SpectrumToSearch(h.name, h.values, h.edges, group=_group(h.name)) for h in regions]
    search = search_all(spectra, **chosen, mapped=partial(in_pool, what="spectra"))
    fitted = {"schema_version": SCHEMA_VERSION, "search": search, "warnings": []}
    write_json(where / "fit.json", fitted)
    seen = [item for item in search["histograms"] if item["z_max"] is not None]
    names = []
    if seen:
        drawing = scatter(
            [item["mass_gev"] for item in seen], [item["z_max"] for item in seen], name="05_search",
            label=Label("Bump search"), x_label="Mass of the largest excess [GeV]",
            y_label="Largest local significance", title="The largest excess of every spectrum", log_x=True,
        )  # fmt: skip
        names.append(drawing.name)
        save(drawing, where / "plots")
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    total = search["global"]
    text = f"{total['n_histograms']} spectra of {source.name} searched."
    if total["p_global"] is not None:
        text += f" Largest excess in {total['best']}: p = {total['p_global']:.2g} after all trials."
    manifest = {
        "schema_version": SCHEMA_VERSION, "femtobarn": femtobarn.__version__, "analysis": "fit",
        "title": f"Bump search in {source.name}", "command": list(command), "config": {"search": "bump"},
        "inputs": [{"path": str(source), "size": source.stat().st_size}], "warnings": [], "figures": names,
        "headline": text, "started": now, "finished": now,
    }  # fmt: skip
    write_json(where / "manifest.json", manifest)
    write_text(where / "report.html", render(read_inputs(where)))
    return fitted


def _group(name: str) -> str:
    """Spectra of one final state share events: the category in BumpNet's names."""
    return name.partition("_cat_")[2].partition("_width_")[0]

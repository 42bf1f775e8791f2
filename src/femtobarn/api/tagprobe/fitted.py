"""Fits of passing and failing probes in a run directory: doing them, keeping them, showing them."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from femtobarn.api.fit_files import FITTER, draw_again
from femtobarn.config.fitter import FitterConfig, stored_fitter_config
from femtobarn.errors import FitError, UsageError
from femtobarn.folders import folder_of
from femtobarn.run.files import SCHEMA_VERSION, read_json, write_csv, write_json
from femtobarn.run.pool import in_pool
from femtobarn.stats.passfail.input import ProbeSet, read_probe_sets
from femtobarn.stats.passfail.jobs import Samples, fit_job, planned, scale_factor_rows
from femtobarn.stats.passfail.scale_factors import how_many_good, table_columns

__all__ = [
    "draw_canvases",
    "draw_probes",
    "finish",
    "fit_all",
    "is_probe_run",
    "keep_fits",
    "probe_samples",
    "refuse_all_failed",
]

#: ``analysis`` in the manifest of a run with events; also the kind of its fit.json.
TAGPROBE: Final = "tagprobe"


def is_probe_run(path: Path) -> bool:
    """Whether a directory holds passing and failing probes to fit."""
    manifest = path / "manifest.json"
    return manifest.exists() and read_json(manifest).get("analysis") in (FITTER, TAGPROBE)


def probe_samples(run: Path, config: FitterConfig | None = None) -> tuple[FitterConfig, Samples]:
    """Configuration and spectra of a run: of its own manifest, or of its data and simulated datasets."""
    manifest = read_json(run / "manifest.json")
    sets = read_probe_sets(run / "hists.zip")
    stored = stored_fitter_config(manifest["fitter"]) if manifest.get("fitter") else FitterConfig()
    asked = config or stored
    if manifest["analysis"] == FITTER:
        # Where its histograms came from stays as it was.
        own = ("data", "mc", "pairs", "bins", "ranges", "hist_names", "numerator", "denominator", "abseta")
        asked = dataclasses.replace(asked, **{name: getattr(stored, name) for name in own})
        kinds = dict.fromkeys(asked.data, "data") | dict.fromkeys(asked.mc, "mc")
    else:
        kinds = {folder_of(name): one["kind"] for name, one in manifest["datasets"].items()}
    grouped: dict[str, dict[str, tuple[ProbeSet, ...]]] = {"data": {}, "mc": {}}
    for one in _preferred(sets):
        if one.dataset in kinds:
            kind = "data" if kinds[one.dataset] == "data" else "mc"
            grouped[kind][one.dataset] = (*grouped[kind].get(one.dataset, ()), one)
    if not grouped["data"] and not grouped["mc"]:
        raise UsageError(
            "the run has no histograms of the pair mass to fit", where=str(run),
            action='fill them with get_nd_tnp_histograms or get_1d_pt_eta_phi_tnp_histograms and '
            '"cut_and_count": false',
        )  # fmt: skip
    return asked, Samples(grouped["data"], grouped["mc"], asked.pairs or _pairs(asked, grouped))


def _preferred(sets: Sequence[ProbeSet]) -> list[ProbeSet]:
    """Histograms in several variables if there are any, else those in one; each filter once."""
    flat = [one for one in sets if not one.region] or list(sets)
    return list({(one.dataset, one.filter, one.region): one for one in reversed(flat)}.values())[::-1]


def _pairs(asked: FitterConfig, grouped: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str, str]]:
    """Every data sample with the one simulated sample that is not for a variation."""
    others = {name for one in asked.variation_inputs.values() for name in one.values()}
    nominal = [name for name in grouped["mc"] if name not in others]
    data = [name for name in grouped["data"] if name not in others]
    if not nominal or not data:
        return {}
    return {"SF" if len(data) == 1 else f"SF_{name}": (name, nominal[0]) for name in data}


def fit_all(where: Path, asked: FitterConfig, samples: Samples, workers: int | None) -> dict[str, Any]:
    """All fits of a configuration; writes fit.json and the tables of scale factors."""
    fits = in_pool(fit_job, planned(asked, samples), workers=workers)
    return keep_fits(where, asked, samples, fits)


def keep_fits(
    where: Path, asked: FitterConfig, samples: Samples, fits: list[dict[str, Any]]
) -> dict[str, Any]:
    """Write fit.json, the scale factors and the table of verdicts."""
    fitted = {"schema_version": SCHEMA_VERSION, "kind": TAGPROBE, "warnings": [], "fits": fits}
    write_json(where / "fit.json", fitted)
    rows = scale_factor_rows(asked, samples, fits)
    tables = where / "tables"
    if rows:
        write_json(tables / "scale_factors.json", {"schema_version": SCHEMA_VERSION, "rows": rows})
        write_csv(tables / "scale_factors.csv", table_columns(rows))
    else:
        for name in ("scale_factors.json", "scale_factors.csv"):
            (tables / name).unlink(missing_ok=True)
    write_csv(tables / "fits.csv", _fit_columns(fits))
    return fitted


def _fit_columns(fits: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The verdicts as a table."""
    keys = ("sample", "label", "filter", "region", "variation")
    out: dict[str, list[Any]] = {key: [f[key] for f in fits] for key in keys}
    out["bin"] = [f["bin"]["name"] for f in fits]
    out["model"] = [f"{f['model']['signal']}_{f['model']['background']}" for f in fits]
    out["efficiency"] = [f["efficiency"]["value"] for f in fits]
    for k, name in enumerate(("low", "high")):
        out[name] = [f["efficiency"]["minos"][k] for f in fits]
    out["chi2"] = [f["gof"]["chi2"] for f in fits]
    out["ndof"] = [f["gof"]["ndof"] for f in fits]
    out["status"] = [f["status"] for f in fits]
    out["reasons"] = ["; ".join(f["reasons"]) for f in fits]
    return out


def finish(where: Path, fitted: Mapping[str, Any], *, only: Collection[str] | None = None) -> None:
    """Headline, figures, report."""
    manifest = read_json(where / "manifest.json")
    manifest["headline"] = probe_headline(where, fitted)
    manifest["finished"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    write_json(where / "manifest.json", manifest)
    draw_probes(where, only=only)


def refuse_all_failed(where: Path, fitted: Mapping[str, Any]) -> None:
    """Raise if there is no fit that did not fail: then nothing was measured, though all of it is written."""
    fits = fitted["fits"]
    if all(one["status"] == "failed" for one in fits):
        reasons = dict.fromkeys(reason for one in fits for reason in one["reasons"])
        raise FitError(f"all {len(fits)} fits failed: {'; '.join(reasons)}", where=str(where / "fit.json"))


def probe_headline(where: Path, fitted: Mapping[str, Any]) -> str:
    """How many fits are good, and the range of scale factors."""
    text = how_many_good(fitted["fits"])
    path = where / "tables" / "scale_factors.json"
    values = [row["sf"] for row in read_json(path)["rows"] if row["sf"] is not None] if path.exists() else []
    if values:
        text += f"; {len(values)} scale factors from {min(values):.3f} to {max(values):.3f}"
    return f"{text}."


def draw_probes(where: Path, *, only: Collection[str] | None = None) -> list[Path]:
    """Draw the figures of a fitter's directory and its report again; of fits only those of some bins."""
    from femtobarn.plot import Label

    label = Label("Tag and probe", extra="")
    return draw_again(where, label, lambda fitted: draw_canvases(where, fitted, label, only=only))


def draw_canvases(
    where: Path, fitted: Mapping[str, Any], label: Any, *, only: Collection[str] | None = None
) -> list[Path]:
    """One picture a fit in ``plots/fits``, and a page that lists them."""
    from femtobarn.api.tagprobe.canvases import canvases

    asked, samples = probe_samples(where)
    return canvases(where, fitted, samples, label, resonance=asked.resonance, only=only)

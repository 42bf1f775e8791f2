"""The tag-and-probe fitter: ``tnp run-fitter``, ``fit RUN`` of a tag-and-probe run, and ``tnp closure``."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import femtobarn
from femtobarn.api.fit_files import FITTER
from femtobarn.api.pool import in_pool
from femtobarn.config.fitter import FitterConfig, read_fitter_config, stored_fitter_config
from femtobarn.errors import FitError, UsageError, nearest
from femtobarn.run.files import SCHEMA_VERSION, read_json, write_csv, write_json, write_text
from femtobarn.stats.passfail.input import (
    ProbeSet,
    chosen_bins,
    read_probe_sets,
    read_root_bins,
    write_probe_sets,
)
from femtobarn.stats.passfail.jobs import (
    FitJob,
    Samples,
    find_jobs,
    fit_job,
    planned,
    scale_factor_rows,
)
from femtobarn.stats.passfail.models import parse_model
from femtobarn.stats.passfail.scale_factors import table_columns

__all__ = [
    "FITTER",
    "fit_probes",
    "is_probe_run",
    "probe_copy",
    "probe_samples",
    "refit_bin",
    "run_fitter",
    "tnp_closure",
]

#: ``analysis`` in the manifest of a run with events; also the kind of its fit.json.
TAGPROBE: Final = "tagprobe"
CLOSURE: Final = "tnp-closure"


def is_probe_run(path: Path) -> bool:
    """Whether a directory holds passing and failing probes to fit."""
    manifest = path / "manifest.json"
    return manifest.exists() and read_json(manifest).get("analysis") in (FITTER, TAGPROBE)


# -- tnp run-fitter -----------------------------------------------------------------------------------


def run_fitter(
    config: str | Path,
    *,
    out: str | Path,
    fresh: bool = False,
    workers: int | None = None,
    command: Sequence[str] = (),
) -> tuple[Path, Mapping[str, Any]]:
    """Fit the histograms that a ``FIT.json`` names; ``out`` becomes a run directory of it.

    Returns
    -------
    the directory, and the content of its fit.json
    """
    asked = read_fitter_config(Path(config))
    parse_model(asked.model)
    where = Path(out)
    if where.is_dir() and any(where.iterdir()) and not is_probe_run(where):
        raise UsageError("the directory is not empty and holds no tag-and-probe fits", where=str(where),
                         action="choose another --out")  # fmt: skip
    if where.is_dir() and not fresh and (where / "manifest.json").exists():
        before = read_json(where / "manifest.json").get("fitter")
        if before is not None and before != asked.to_json():
            raise UsageError("holds fits of another configuration", where=str(where),
                             action="choose another --out, or replace them with --fresh")  # fmt: skip
    samples = _file_samples(asked)
    where.mkdir(parents=True, exist_ok=True)
    sets = [one for group in (samples.data, samples.mc) for some in group.values() for one in some]
    write_probe_sets(where / "hists.zip", sets)
    write_json(where / "manifest.json", _manifest(Path(config), asked, command))
    fitted = _fit(where, asked, samples, workers)
    _finish(where, fitted)
    if asked.results_file:
        write_json(where / asked.results_file, _summary(where, fitted))
    return where, fitted


def _file_samples(asked: FitterConfig) -> Samples:
    def read(label: str, path: Path) -> tuple[ProbeSet, ...]:
        found = read_root_bins(
            path, label, names=asked.hist_names, ranges=asked.ranges, numerator=asked.numerator,
            denominator=asked.denominator, abseta=asked.abseta,
        )  # fmt: skip
        return (chosen_bins(found, asked.bins),)

    return Samples(
        {label: read(label, path) for label, path in asked.data.items()},
        {label: read(label, path) for label, path in asked.mc.items()},
        asked.pairs,
    )


def _manifest(source: Path, asked: FitterConfig, command: Sequence[str]) -> dict[str, Any]:
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    inputs = [source, *asked.data.values(), *asked.mc.values()]
    return {
        "schema_version": SCHEMA_VERSION,
        "femtobarn": femtobarn.__version__,
        "analysis": FITTER,
        "title": "Tag and probe: fits and scale factors",
        "command": list(command),
        "config": {"analysis": FITTER, "file": str(source)},
        "fitter": asked.to_json(),
        "inputs": [{"path": str(p), "size": p.stat().st_size} for p in dict.fromkeys(inputs)],
        "warnings": list(asked.notes),
        "figures": [],
        "headline": "",
        "started": now,
        "finished": now,
    }


def _fit(where: Path, asked: FitterConfig, samples: Samples, workers: int | None) -> dict[str, Any]:
    """All fits of a configuration; writes fit.json and the tables of scale factors."""
    fits = in_pool(fit_job, planned(asked, samples), workers=workers)
    return _keep(where, asked, samples, fits)


def _keep(where: Path, asked: FitterConfig, samples: Samples, fits: list[dict[str, Any]]) -> dict[str, Any]:
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


def _finish(where: Path, fitted: Mapping[str, Any], *, only: Collection[str] | None = None) -> None:
    """Headline, figures, report."""
    manifest = read_json(where / "manifest.json")
    manifest["headline"] = probe_headline(where, fitted)
    manifest["finished"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    write_json(where / "manifest.json", manifest)
    draw_probes(where, only=only)


def probe_headline(where: Path, fitted: Mapping[str, Any]) -> str:
    """How many fits are good, and the range of scale factors."""
    fits = fitted["fits"]
    good = sum(one["status"] == "good" for one in fits)
    text = f"{good} of {len(fits)} fits are good"
    path = where / "tables" / "scale_factors.json"
    values = [row["sf"] for row in read_json(path)["rows"] if row["sf"] is not None] if path.exists() else []
    if values:
        text += f"; {len(values)} scale factors from {min(values):.3f} to {max(values):.3f}"
    return f"{text}."


def _summary(where: Path, fitted: Mapping[str, Any]) -> dict[str, Any]:
    """What the older tool showed on the terminal: efficiencies and scale factors by bin."""
    efficiencies: dict[str, Any] = {}
    for one in fitted["fits"]:
        if one["variation"] == "nominal":
            efficiencies.setdefault(one["label"], {})[one["bin"]["name"]] = {
                "efficiency": one["efficiency"]["value"],
                "error": one["efficiency"]["hesse"],
                "status": one["status"],
            }
    path = where / "tables" / "scale_factors.json"
    rows = read_json(path)["rows"] if path.exists() else []
    factors: dict[str, Any] = {}
    for row in rows:
        factors.setdefault(row["label"], {})[row["bin"]] = {
            key: row[key] for key in ("sf", "stat", "syst", "total", "status")
        }
    return {"schema_version": SCHEMA_VERSION, "efficiencies": efficiencies, "scale_factors": factors}


def draw_probes(where: Path, *, only: Collection[str] | None = None) -> list[Path]:
    """Draw the figures of a fitter's directory and its report again; of fits only those of some bins."""
    from femtobarn.api.fit_files import fit_drawings
    from femtobarn.plot import Label, save
    from femtobarn.report import read_inputs, render

    manifest, fitted = read_json(where / "manifest.json"), read_json(where / "fit.json")
    label = Label("Tag and probe", extra="")
    plots = where / "plots"
    for old in plots.glob("*.*"):
        old.unlink()
    paths, names = [], []
    for drawing in fit_drawings(where, fitted, label):
        names.append(drawing.name)
        paths += save(drawing, plots)
    paths += draw_canvases(where, fitted, label, only=only)
    write_json(where / "manifest.json", {**manifest, "figures": names})
    write_text(where / "report.html", render(read_inputs(where)))
    return paths


def draw_canvases(
    where: Path, fitted: Mapping[str, Any], label: Any, *, only: Collection[str] | None = None
) -> list[Path]:
    """One picture a fit in ``plots/fits``, and a page that lists them."""
    from femtobarn.api.tagprobe.canvases import canvases

    asked, samples = probe_samples(where)
    return canvases(where, fitted, samples, label, resonance=asked.resonance, only=only)


# -- fit RUN ------------------------------------------------------------------------------------------


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
        kinds = {_folder(name): one["kind"] for name, one in manifest["datasets"].items()}
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


def _folder(dataset: str) -> str:
    return dataset.lstrip("/").replace("/", "_")


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


def probe_copy(run: str | Path, out: str | Path | None = None) -> Path:
    """The run itself, or its copy in ``out`` to fit in."""
    from femtobarn.api.fitting import copied_run

    return copied_run(Path(run), out)


def fit_probes(
    run: str | Path,
    *,
    config: str | Path | None = None,
    model: str | None = None,
    workers: int | None = None,
) -> Mapping[str, Any]:
    """Fit all bins of a tag-and-probe run with all variations; rewrites fit.json and the scale factors.

    Parameters
    ----------
    config : path, optional
        A ``FIT.json``; its input section is not needed.
    model : str, optional
        ``SIGNAL_BACKGROUND`` in place of the configuration's.
    """
    where = Path(run)
    given = read_fitter_config(Path(config), needs_input=False) if config is not None else None
    asked, samples = probe_samples(where, given)
    if model is not None:
        parse_model(model)
        asked = dataclasses.replace(asked, model=model)
    fitted = _fit(where, asked, samples, workers)
    return _shown(where, asked, fitted)


def _shown(
    where: Path, asked: FitterConfig, fitted: Mapping[str, Any], *, only: Collection[str] | None = None
) -> Mapping[str, Any]:
    """Note the configuration, draw and report."""
    manifest = read_json(where / "manifest.json")
    write_json(where / "manifest.json", {**manifest, "fitter": asked.to_json()})
    if manifest["analysis"] == FITTER:
        _finish(where, fitted, only=only)
    else:
        from femtobarn.api.results import write_fit

        write_fit(where, fitted)
    return fitted


def refit_bin(
    run: str | Path,
    bin_name: str,
    *,
    variation: str = "nominal",
    model: str | None = None,
    starts: Sequence[str] = (),
) -> Mapping[str, Any]:
    """Fit one bin again; all other fits stay, and what this one was before is in its ``history``.

    Parameters
    ----------
    bin_name : str
        Number or name, with ``FILTER/`` or ``REGION/`` before it where several have it.
    starts : sequence of ``NAME=START[,LOW,HIGH]``

    Raises
    ------
    FitError
        The new fit failed; fit.json says how.
    """
    where = Path(run)
    if not (where / "fit.json").exists():
        raise UsageError(
            "there are no fits yet", where=str(where), action=f"make them: femtobarn fit {where}"
        )
    asked, samples = probe_samples(where)
    before = read_json(where / "fit.json")["fits"]
    chosen = find_jobs(planned(asked, samples), bin_name, variation)
    if starts or model is not None:
        # Other starts and shapes are for the data; simulation keeps its fit unless there is nothing else.
        chosen = [job for job in chosen if job.sample == "data"] or chosen
    changes: dict[str, Any] = {"starts": parse_starts(starts)}
    if model is not None:
        parse_model(model)
        changes["model"] = model
    jobs = [dataclasses.replace(job, options=dataclasses.replace(job.options, **changes)) for job in chosen]
    new = {job.key: fit_job(job) for job in jobs}
    fits = []
    for one in before:
        key = (
            one["sample"],
            one["label"],
            one["filter"],
            one["region"],
            one["bin"]["name"],
            one["variation"],
        )
        if key in new:
            past = {name: one[name] for name in one if name not in ("covariance", "history")}
            fits.append({**new.pop(key), "history": [*one.get("history", ()), past]})
        else:
            fits.append(one)
    redrawn = {job.bin.name for job in jobs}
    fitted = _shown(where, asked, _keep(where, asked, samples, [*fits, *new.values()]), only=redrawn)
    failed = [job.label for job in jobs if _status(fitted, job) == "failed"]
    if failed:
        raise FitError(f"the fit of {', '.join(failed)} failed", where=str(where / "fit.json"))
    return fitted


def _status(fitted: Mapping[str, Any], job: FitJob) -> str:
    return next(
        str(one["status"])
        for one in fitted["fits"]
        if (one["sample"], one["label"], one["bin"]["name"], one["variation"])
        == (job.sample, job.label, job.bin.name, job.variation)
    )


def parse_starts(texts: Sequence[str]) -> dict[str, tuple[float, float | None, float | None]]:
    """``sigma_p=2.1`` or ``sigma_p=2.1,1,4`` -> {name: (start, low, high)}."""
    out: dict[str, tuple[float, float | None, float | None]] = {}
    for text in texts:
        name, equals, numbers = text.partition("=")
        try:
            values = [float(part) for part in numbers.split(",")]
        except ValueError:
            values = []
        if not equals or len(values) not in (1, 3):
            raise UsageError(f"--start: {text!r} is not NAME=START or NAME=START,LOW,HIGH",
                             action="write it as sigma_p=2.1,1,4")  # fmt: skip
        out[name.strip()] = (values[0], values[1], values[2]) if len(values) == 3 else (values[0], None, None)
    return out


# -- tnp closure --------------------------------------------------------------------------------------


def tnp_closure(
    *,
    toys: int = 100,
    seed: int = 1,
    efficiency: float = 0.85,
    model: str = "dcb_cms",
    resonance: str = "Z",
    out: str | Path,
    workers: int | None = None,
) -> tuple[Path, Mapping[str, Any]]:
    """Toys of a known efficiency through the fit; writes ``tables/closure.json``.

    Returns
    -------
    the directory, and the row of the table
    """
    from femtobarn.stats.passfail.models import RESONANCES
    from femtobarn.stats.passfail.toys import closure_summary, truth

    if toys < 1:
        raise UsageError(f"--toys must be at least 1, not {toys}")
    if resonance not in RESONANCES:
        raise UsageError(f"unknown resonance {resonance!r}", near=nearest(resonance, RESONANCES))
    parse_model(model)
    where = Path(out)
    true = truth(model, efficiency, resonance=resonance)
    items = [(model, efficiency, resonance, seed, number) for number in range(toys)]
    results = in_pool(_toy, items, workers=workers)
    row = dict(closure_summary(true, results)) | {"seed": seed}
    write_json(where / "tables" / "closure.json", {"schema_version": SCHEMA_VERSION, **row})
    columns = {f.name: [getattr(one, f.name) for one in results] for f in dataclasses.fields(results[0])}
    write_csv(where / "tables" / "closure_toys.csv", columns)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    said = f"{toys} toys of {model}"
    if row["pull_width"] is not None:
        said += f": pull mean {row['pull_mean']:+.3f}, width {row['pull_width']:.3f}, {row['failed']} failed"
    write_json(where / "manifest.json", {
        "schema_version": SCHEMA_VERSION, "femtobarn": femtobarn.__version__, "analysis": CLOSURE,
        "title": "Tag and probe: closure of the fit", "origin": "toy", "seed": seed, "inputs": [],
        "config": {"analysis": CLOSURE, "model": model, "toys": toys, "efficiency": efficiency},
        "warnings": [], "started": now, "finished": now, "figures": [],
        "headline": f"{said}.",
    })  # fmt: skip
    return where, row


def _toy(item: tuple[str, float, str, int, int]) -> Any:
    from femtobarn.stats.passfail.toys import fit_toy

    model, efficiency, resonance, seed, number = item
    return fit_toy(_truth(model, efficiency, resonance), seed, number)


def _truth(model: str, efficiency: float, resonance: str) -> Any:
    from femtobarn.stats.passfail.toys import truth

    key = (model, efficiency, resonance)
    if key not in _TRUTHS:
        _TRUTHS[key] = truth(model, efficiency, resonance=resonance)
    return _TRUTHS[key]


#: Truths this process has made: the same for all toys of a closure.
_TRUTHS: Final[dict[tuple[str, float, str], Any]] = {}

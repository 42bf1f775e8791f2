"""``tnp run-fitter``: the fitter over histograms of ROOT files, with the older tool's configuration."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import femtobarn
from femtobarn.api.fit_files import FITTER
from femtobarn.api.tagprobe.fitted import finish, fit_all, is_probe_run, refuse_all_failed
from femtobarn.config.fitter import FitterConfig, read_fitter_config
from femtobarn.errors import UsageError
from femtobarn.run.files import SCHEMA_VERSION, read_json, write_json
from femtobarn.stats.passfail.input import ProbeSet, chosen_bins, read_root_bins, write_probe_sets
from femtobarn.stats.passfail.jobs import Samples
from femtobarn.stats.passfail.models import parse_model

__all__ = ["run_fitter"]


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

    Raises
    ------
    FitError
        All fits failed; fit.json says how.
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
    fitted = fit_all(where, asked, samples, workers)
    finish(where, fitted)
    if asked.results_file:
        write_json(where / asked.results_file, _summary(where, fitted))
    refuse_all_failed(where, fitted)
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

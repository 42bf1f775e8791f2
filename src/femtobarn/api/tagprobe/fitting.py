"""``fit RUN`` of a tag-and-probe run: all its bins, or one of them again."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from femtobarn.api.fit_files import FITTER
from femtobarn.api.outputs import copied_run
from femtobarn.api.tagprobe.fitted import finish, fit_all, keep_fits, probe_samples, refuse_all_failed
from femtobarn.config.fitter import FitterConfig, read_fitter_config
from femtobarn.errors import FitError, UsageError
from femtobarn.run.files import read_json, write_json
from femtobarn.stats.passfail.jobs import FitJob, find_jobs, fit_job, planned
from femtobarn.stats.passfail.models import parse_model

__all__ = ["fit_probes", "probe_copy", "refit_bin"]


def probe_copy(run: str | Path, out: str | Path | None = None) -> Path:
    """The run itself, or its copy in ``out`` to fit in."""
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
    fitted = _shown(where, asked, fit_all(where, asked, samples, workers))
    refuse_all_failed(where, fitted)
    return fitted


def _shown(
    where: Path, asked: FitterConfig, fitted: Mapping[str, Any], *, only: Collection[str] | None = None
) -> Mapping[str, Any]:
    """Note the configuration, draw and report."""
    manifest = read_json(where / "manifest.json")
    write_json(where / "manifest.json", {**manifest, "fitter": asked.to_json()})
    if manifest["analysis"] == FITTER:
        finish(where, fitted, only=only)
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
    fitted = _shown(where, asked, keep_fits(where, asked, samples, [*fits, *new.values()]), only=redrawn)
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

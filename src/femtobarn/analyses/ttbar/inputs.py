"""Datasets of the task: their names, what they stand for, and where their files are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from femtobarn.analyses.ttbar.models import model_resources
from femtobarn.analyses.ttbar.parameters import TtbarParameters
from femtobarn.analyses.ttbar.variations import wanted
from femtobarn.catalog.agc import PROCESSES, relocate
from femtobarn.catalog.copies import local_copies
from femtobarn.errors import ConfigError, UsageError, nearest
from femtobarn.records import NOMINAL, Dataset

__all__ = ["prepare"]


def prepare(
    datasets: tuple[Dataset, ...], parameters: TtbarParameters
) -> tuple[tuple[Dataset, ...], Mapping[str, str]]:
    """Complete datasets: ``{process}__{variation}`` (bare names are nominal), cross-section, addresses.

    Raises
    ------
    ConfigError
        A process without a known cross-section, or two datasets that mean the same.
    """
    if parameters.ml != "off":
        if parameters.task == "v0":
            raise UsageError("POET ntuples (task=v0) lack what the jet assignment needs", action="use ml=off")
        model_resources(parameters)
    done: dict[str, Dataset] = {}
    unused: dict[str, str] = {}
    chosen = wanted(parameters.systematics)
    for given in datasets:
        dataset = _named(given, parameters)
        if dataset.name in done:
            raise ConfigError(
                f"dataset {dataset.name!r} is given twice", action="give all its files one name"
            )
        variation = dataset.metadata["variation"]
        if variation != NOMINAL.label and variation not in chosen:
            unused[dataset.name] = f"systematics={parameters.systematics} does not ask for it"
            continue
        done[dataset.name] = _located(dataset, parameters)
    return tuple(done.values()), unused


def _named(dataset: Dataset, parameters: TtbarParameters) -> Dataset:
    """The dataset under its full name with process, variation and cross-section."""
    meta = dict(dataset.metadata)
    if dataset.kind == "data":
        return Dataset(
            dataset.name,
            dataset.files,
            {**meta, "kind": "data", "process": "data", "variation": NOMINAL.label},
        )
    process, _, variation = dataset.name.partition("__")
    process = str(meta.get("process", process))
    variation = str(meta.get("variation", variation or NOMINAL.label))
    known = PROCESSES.get(process, {})
    if process in PROCESSES and variation not in known:
        raise ConfigError(
            f"process {process!r} has no variation {variation!r}", where=dataset.name,
            near=nearest(variation, known),
            action="its datasets: " + ", ".join(f"{process}__{v}" for v in known),
        )  # fmt: skip
    xsec = parameters.xsec.get(process, meta.get("xsec", known.get(variation)))
    if xsec is None:
        names = [f"{p}__{v}" for p, all_v in PROCESSES.items() for v in all_v]
        raise ConfigError(
            f"no cross-section is known of process {process!r}", where=dataset.name,
            near=nearest(dataset.name, [*names, *PROCESSES, "data"]),
            action=f"give one: --set xsec.{process}=PB; known datasets: {', '.join(names)}",
        )  # fmt: skip
    meta |= {"process": process, "variation": variation, "xsec": float(xsec), "kind": "mc"}
    return Dataset(f"{process}__{variation}", dataset.files, meta)


def _located(dataset: Dataset, parameters: TtbarParameters) -> Dataset:
    """The first files, at the addresses that were asked for; nevts is of the files kept."""
    meta: dict[str, Any] = dict(dataset.metadata)
    files = dataset.files
    if parameters.n_files_max >= 0 and len(files) > parameters.n_files_max:
        files = files[: parameters.n_files_max]
        counts = [ref.entries for ref in files]
        if not meta.get("skim"):
            meta.pop("nevts", None)
            if None not in counts:
                meta["nevts"] = sum(count or 0 for count in counts)
    files = relocate(files, source=parameters.source, xcache_prefix=parameters.xcache_prefix)
    if parameters.cache_dir is not None:
        files = local_copies(files, Path(parameters.cache_dir).expanduser())
    return Dataset(dataset.name, files, meta)

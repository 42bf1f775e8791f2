"""From the survey's request to one of the house: what is read, where it is looked up, how it is sized."""

from __future__ import annotations

import datetime as dt
import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from femtobarn.api.inputs import Request
from femtobarn.api.surveys.request import SurveyRequest, stage_files, stage_of
from femtobarn.catalog import resolve_address
from femtobarn.catalog.atlas import ATLAS_RELEASES, release_name
from femtobarn.config.parameters import read_parameters
from femtobarn.config.survey import SurveyConfig
from femtobarn.errors import UsageError
from femtobarn.net import NetSettings, net_settings, use_network

__all__ = ["ANALYSIS", "house_request"]

log: Final = logging.getLogger("femtobarn.api")

ANALYSIS: Final = "survey"
#: What a worker process holds while it fills spectra (measured on 200 000 events a part).
_WORKER_MB: Final = 600


def house_request(request: SurveyRequest, config: SurveyConfig) -> Request:
    """The same as a request of the house."""
    from femtobarn.analyses.survey import SurveyParameters

    values: dict[str, Any] = dict(config.parameters)
    if config.threads is not None and net_settings().per_host == NetSettings().per_host:
        use_network(per_host=config.threads)
    if config.metadata_s is not None:
        use_network(seconds=config.metadata_s)
    stage = stage_of(request)
    if stage in ("parsed", "arrays"):
        files, changes = stage_files(request, stage)
        values |= changes
        request = replace(request, files=files, fileset=None)
    if request.schema is not None:
        values["schemas"] = [request.schema]
    parameters = read_parameters(
        SurveyParameters, values, list(request.settings), where=lambda path: _where(config, path)
    )
    files = list(request.files)
    if not request.files and not request.fileset:
        parse_mc = config.parse_mc if request.parse_mc is None else request.parse_mc
        files = _sources(config, parse_mc=parse_mc)
    if parameters.deduplicate and parameters.duplicates is None:
        found = _duplicates(replace(request, files=files), config, parameters)
        parameters = parameters.model_copy(update={"duplicates": found})
    return Request(
        what=ANALYSIS, files=files, fileset=request.fileset,
        parameters=parameters.model_dump(mode="json"), out=request.run_dir or _default_directory(config),
        executor=request.executor, site=request.site, resources=request.resources,
        workers=_workers(request, config), part_events=request.part_events,
        part_bytes=config.part_bytes, max_files=_least(request.max_files, config.max_files),
        max_events=request.max_events, allow_missing=request.allow_missing, fresh=request.fresh,
        command=request.command,
    )  # fmt: skip


def _duplicates(request: SurveyRequest, config: SurveyConfig, parameters: Any) -> str:
    """Look for repeated events in all files; where the list is kept."""
    from femtobarn.analyses.survey import schemas
    from femtobarn.api.inputs import datasets_of
    from femtobarn.catalog.repeats import find_duplicates, write_duplicates

    datasets = datasets_of(request.files, request.fileset)
    most = _least(request.max_files, config.max_files)
    used = {} if most is None else {dataset.name: most for dataset in datasets}
    return str(write_duplicates(find_duplicates(datasets, schemas(parameters), used)))


def _sources(config: SurveyConfig, *, parse_mc: bool) -> list[str]:
    """Addresses of the configured releases and records; simulation is a dataset of its own, or left out."""
    releases = config.releases
    if not releases and not config.records:
        releases = tuple(name for name in ATLAS_RELEASES if "evgen" not in name)
    files = []
    for release in releases:
        name = release_name(release, config.file)
        if "evgen" in name:
            raise UsageError("evgen releases hold HepMC text, not ROOT files", where=config.file,
                             action="choose a release of reconstructed events")  # fmt: skip
        files.append(f"{name}=atlas://{name}/data")
        if parse_mc:
            files.append(f"{name}_mc=atlas://{name}/mc")
    for record in config.records:
        address = f"cernopendata://{record}"
        if not parse_mc and all(d.metadata.get("kind") == "mc" for d in resolve_address(address)):
            log.warning("%s is simulation and is left out (parse_mc is false)", address)
            continue
        files.append(address)
    if not files:
        raise UsageError("nothing is left to process: all records are simulation", where=config.file,
                         action="set parse_mc: true")  # fmt: skip
    return files


def _where(config: SurveyConfig, path: Sequence[Any]) -> str:
    """``file:line`` of a parameter: the longest known beginning of its path."""
    names = [str(item) for item in path]
    for length in range(len(names), 0, -1):
        found = config.where.get(".".join(names[:length]))
        if found is not None:
            return found
    return config.file


def _workers(request: SurveyRequest, config: SurveyConfig) -> int | None:
    """An upper limit in the configuration counts only where it is one."""
    if request.workers is not None:
        return request.workers
    cores = os.cpu_count() or 1
    limits = [cores, config.processes or cores]
    if config.memory_mb is not None:
        limits.append(max(int(config.memory_mb / _WORKER_MB), 1))
    return min(limits) if min(limits) < cores else None


def _least(*values: int | None) -> int | None:
    given = [value for value in values if value is not None]
    return min(given) if given else None


def _default_directory(config: SurveyConfig) -> str:
    now = dt.datetime.now().astimezone()
    return str(Path(config.base_output_dir) / f"{config.run_name}_{now:%Y%m%d_%H%M%S}")

"""Datasets of tag and probe, checked before anything is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from femtobarn.analyses.tagprobe.parameters import TagProbeParameters
from femtobarn.errors import ConfigError, nearest
from femtobarn.folders import folder_of
from femtobarn.records import Dataset

__all__ = ["prepare"]

_PATHS: Final = ("goldenJSON", "pileupJSON", "pileupData")


def prepare(
    datasets: tuple[Dataset, ...], parameters: TagProbeParameters
) -> tuple[tuple[Dataset, ...], Mapping[str, str]]:
    """Refuse files that are not there and datasets that would be written into the same folder."""
    folders: dict[str, str] = {}
    for dataset in datasets:
        other = folders.setdefault(folder_of(dataset.name), dataset.name)
        if other != dataset.name:
            raise ConfigError(
                f"the datasets {other!r} and {dataset.name!r} would be written into the same folder",
                action="rename one of them",
            )
        for key in _PATHS:
            if dataset.metadata.get(key):
                _must_exist(Path(str(dataset.metadata[key])), f"{key} of {dataset.name}")
        if dataset.metadata.get("pileupData") and not dataset.metadata.get("pileupMC"):
            raise ConfigError(f"{dataset.name}: pileupData needs pileupMC, the simulated distribution")
        if dataset.metadata.get("goldenJSON") and dataset.metadata.get("isMC"):
            raise ConfigError(f"{dataset.name}: a golden JSON is for data, but isMC is true")
    if parameters.extra_filter:
        file, separator, function = parameters.extra_filter.rpartition("::")
        if not separator or not function:
            raise ConfigError(f"extra_filter must be 'file.py::function', not {parameters.extra_filter!r}")
        _must_exist(Path(file), "extra_filter")
    return datasets, {}


def _must_exist(path: Path, what: str) -> None:
    if not path.is_file():
        beside = [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []
        raise ConfigError(f"no such file ({what})", where=str(path), near=nearest(path.name, beside))

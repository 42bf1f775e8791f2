"""Completing datasets from a release's sample table, before anything is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from femtobarn.catalog import Release, Sample, SampleTable
from femtobarn.errors import ConfigError, nearest
from femtobarn.records import Dataset

__all__ = ["complete_datasets", "release_sources"]


def complete_datasets(datasets: Iterable[Dataset], release: Release) -> tuple[Dataset, ...]:
    """Simulated datasets with process, group, cross-section and sum of weights filled in.

    A dataset is collision data (by name or metadata), or in the release's table (by short name, DSID or
    its process), or brings its own cross-section in the fileset's metadata; anything else is an error.
    """
    table = release.samples
    done, problems = [], []
    for dataset in datasets:
        if dataset.kind == "data":
            done.append(dataset)
            continue
        sample = _lookup(table, dataset)
        if sample is None and "xsec" not in dataset.metadata:
            near = nearest(dataset.name, [*table, "data"])
            hint = f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""
            problems.append(f"dataset {dataset.name!r} is not in the sample table of {release.name}{hint}")
            continue
        done.append(Dataset(dataset.name, dataset.files, {**(sample or {}), **dataset.metadata}))
    if problems:
        raise ConfigError(
            "; ".join(problems),
            action=f"call collision data 'data' or 'data_*', a sample as it is in 'femtobarn data list "
            f"{release.name}', or give a fileset with metadata {{process, kind: mc, xsec, sumw}}",
        )
    return tuple(done)


def _lookup(table: SampleTable, dataset: Dataset) -> dict[str, Any] | None:
    """Metadata from the table, None if the dataset is not in it."""
    known = set(table) | {str(sample.dsid) for sample in table.values()}
    names = [dataset.name, str(dataset.metadata.get("dsid", "")), dataset.process]
    name = next((name for name in names if name in known), None)
    if name is None:
        return None
    sample = table[name]
    metadata: dict[str, Any] = {"process": sample.name, "group": sample.group, "dsid": sample.dsid}
    own_norm = "xsec" in dataset.metadata
    if sample.xsec is not None and not own_norm:
        metadata["xsec"] = sample.xsec
        metadata["suspicious"] = sample.suspicious
    if sample.sumw is not None and not own_norm:
        metadata["sumw"] = sample.sumw * sample.red_eff
    return metadata


def release_sources(
    release: Release, skim: str | None, wanted: Callable[[Sample], bool] = lambda _: True
) -> tuple[str, ...]:
    """Addresses of a release of ATLAS Open Data: its data, and the wanted samples of its table.

    Parameters
    ----------
    skim : the selection whose files are taken; None for the whole datasets
    """
    if release.experiment != "ATLAS" or not release.aliases:
        return ()
    base, choice = f"atlas://{release.aliases[0]}", f"?skim={skim}" if skim else ""
    samples = [f"{s.name}={base}/{s.dsid}{choice}" for s in release.samples.values() if wanted(s)]
    return (f"data={base}/data{choice}", *samples)

"""Histograms on disk: a zip of UHI histograms (JSON plus NumPy arrays), byte for byte reproducible."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from femtobarn.errors import StoreError
from femtobarn.hists.accumulate import Histogram, Key
from femtobarn.hists.sparse import Sparse, is_sparse_entry, read_sparse_entry, sparse_entries
from femtobarn.hists.spec import Axis, HistSpec
from femtobarn.hists.spectra import Spectra
from femtobarn.hists.survey_io import read_surveys, survey_entries, survey_names

__all__ = ["read_hists", "read_sparse", "read_spectra", "to_hist", "write_hists"]

#: Zip entries carry a time; a fixed one keeps equal results equal (the zip format starts in 1980).
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


def to_hist(histogram: Histogram, categories: Sequence[Sequence[str]] | None = None) -> Any:
    """As ``hist.Hist`` with the axes observable(s), region, process, variation; Weight storage.

    Parameters
    ----------
    histogram : Histogram
    categories : three sequences of str, optional
        Regions, processes and variations to list even when nothing was filled there, in this order.
    """
    import boost_histogram as bh
    import hist

    given = categories or ((), (), ())
    found: list[list[str]] = [list(dict.fromkeys(names)) for names in given]
    for key in sorted(histogram.blocks):
        for names, name in zip(found, key, strict=True):
            if name not in names:
                names.append(name)
    observables = [
        hist.axis.Regular(axis.nbins, axis.edges[0], axis.edges[-1], name=axis.name, label=_label(axis))
        if axis.uniform
        else hist.axis.Variable(axis.edges, name=axis.name, label=_label(axis))
        for axis in histogram.spec.axes
    ]
    labels = [
        hist.axis.StrCategory(names, name=name, growth=not names, overflow=False)
        for name, names in zip(("region", "process", "variation"), found, strict=True)
    ]
    out: Any = hist.Hist(*observables, *labels, storage=bh.storage.Weight(), name=histogram.spec.name)
    view: Any = out.view(flow=True)
    for key in histogram.blocks:
        at = tuple(names.index(name) for names, name in zip(found, key, strict=True))
        view["value"][(..., *at)] = histogram.values(key, flow=True)
        view["variance"][(..., *at)] = histogram.variances(key, flow=True)
    # An empty category and one that nobody filled look alike in an array, and are not the same.
    out.filled = [list(key) for key in sorted(histogram.blocks)]
    return out


def _label(axis: Axis) -> str:
    return f"{axis.label} [{axis.unit}]" if axis.unit else axis.label


def write_hists(
    path: Path,
    histograms: Iterable[Histogram],
    categories: Mapping[str, Sequence[Sequence[str]]],
    surveys: Mapping[str, Spectra] | None = None,
    sparse: Mapping[str, Sparse] | None = None,
) -> None:
    """Write ``hists.zip``: one UHI entry a histogram, sorted, with fixed times; then those of other kinds."""
    import uhi.io.zip

    scratch = io.BytesIO()
    with zipfile.ZipFile(scratch, "w") as archive:
        for histogram in sorted(histograms, key=lambda item: item.spec.name):
            name = histogram.spec.name
            uhi.io.zip.write(archive, name, to_hist(histogram, categories.get(name)))
    with zipfile.ZipFile(scratch) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name in sorted(source.namelist()):
            target.writestr(_entry(name), source.read(name))
        for name, text in survey_entries(surveys or {}):
            target.writestr(_entry(f"{name}.json"), text)
        for name, plain in sorted((sparse or {}).items()):
            for entry, data in sparse_entries(name, plain):
                target.writestr(_entry(entry), data)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, date_time=_EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def read_spectra(path: Path) -> dict[str, Spectra]:
    """The surveys in ``hists.zip`` by dataset; their sums as they were rounded."""
    try:
        with zipfile.ZipFile(path) as archive:
            return read_surveys(archive)
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise StoreError(
            f"cannot be read as histograms: {error}", where=str(path), action="repeat the run or its merge"
        ) from error


def read_sparse(path: Path) -> dict[str, Sparse]:
    """Histograms of ``hists.zip`` that have no categories, by name."""
    import uhi.io.zip

    found: dict[str, Sparse] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".json") for name in archive.namelist() if name.endswith(".json")]
            for name in (name for name in names if "/" in name):
                one = read_sparse_entry(uhi.io.zip.read(archive, name))
                if one is not None:
                    found[name] = one
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise StoreError(
            f"cannot be read as histograms: {error}", where=str(path), action="repeat the run or its merge"
        ) from error
    return found


def read_hists(path: Path) -> dict[str, Histogram]:
    """Read ``hists.zip`` back into histograms by name."""
    import hist
    import uhi.io.zip

    found: dict[str, Histogram] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".json") for name in archive.namelist() if name.endswith(".json")]
            surveys = survey_names(names)
            for name in (name for name in names if not name.startswith(surveys)):
                content = uhi.io.zip.read(archive, name)
                if not is_sparse_entry(content):
                    found[name] = _from_hist(name, hist.Hist(content))
    except (OSError, zipfile.BadZipFile, KeyError) as error:
        raise StoreError(
            f"cannot be read as histograms: {error}", where=str(path), action="repeat the run or its merge"
        ) from error
    return found


def _from_hist(name: str, source: Any) -> Histogram:
    *observables, region, process, variation = source.axes
    axes = []
    for axis in observables:
        label, _, unit = str(axis.label).removesuffix("]").partition(" [")
        uniform = type(axis).__name__ == "Regular"
        axes.append(
            Axis(axis.name, tuple(float(e) for e in axis.edges), label=label, unit=unit, uniform=uniform)
        )
    histogram = Histogram(HistSpec(name, tuple(axes)))
    view = source.view(flow=True)
    filled = {tuple(key) for key in getattr(source, "filled", ())}
    for i, r in enumerate(region):
        for j, p in enumerate(process):
            for k, v in enumerate(variation):
                key: Key = (str(r), str(p), str(v))
                if key in filled:
                    histogram.fill_binned(key, view["value"][..., i, j, k], view["variance"][..., i, j, k])
    return histogram


def same_content(a: Histogram, b: Histogram) -> bool:
    """Whether two histograms agree bit for bit in every category (absent counts as empty)."""
    keys = set(a.blocks) | set(b.blocks)
    return a.spec.axes == b.spec.axes and all(
        np.array_equal(a.values(key, flow=True), b.values(key, flow=True))
        and np.array_equal(a.variances(key, flow=True), b.variances(key, flow=True))
        for key in keys
    )

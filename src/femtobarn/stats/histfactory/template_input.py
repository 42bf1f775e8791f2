"""Reading the histograms that a model names: addresses, rebinning, files opened once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from femtobarn.errors import ConfigError, DataError, nearest

__all__ = ["Reading", "read_template", "rebin"]

FloatArray = npt.NDArray[np.float64]


@dataclass(slots=True)
class Reading:
    """State of one import: problems, remarks, and histograms already read."""

    where: str
    folder: Path
    problems: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    varied: dict[str, list[tuple[float, str]]] = field(default_factory=dict)
    files: dict[str, Any] = field(default_factory=dict)
    histograms: dict[tuple[str, str], tuple[FloatArray, FloatArray, FloatArray]] = field(default_factory=dict)


def read_template(
    general: Mapping[str, Any],
    region: Mapping[str, Any],
    sample: Mapping[str, Any],
    template: Mapping[str, Any],
    reading: Reading,
) -> tuple[FloatArray, FloatArray] | None:
    """Values and variances of a template, rebinned to its region; None after noting a problem."""
    parts = {
        key: str(_first(key, template, sample, region, general))
        for key in ("RegionPath", "SamplePath", "VariationPath")
    }
    address = str(general["InputPath"])
    for key, value in parts.items():
        address = address.replace("{" + key + "}", value)
    file, colon, key = address.rpartition(":")
    if not colon:
        reading.problems.append(f"InputPath '{address}' names no histogram (FILE.root:KEY)")
        return None
    found = _read(file, key, reading)
    if found is None:
        return None
    values, variances, edges = found
    binning = region.get("Binning")
    if binning is None:
        return values, variances
    wanted = np.asarray(binning, dtype=np.float64)
    try:
        values, variances, lost = rebin(values, variances, edges, wanted)
    except ConfigError as error:
        reading.problems.append(f"Regions '{region['Name']}', {key}: {error.what}")
        return None
    if lost != 0.0 and template:
        reading.varied.setdefault(str(region["Name"]), []).append((abs(lost), key))
    elif lost != 0.0:
        reading.notes.append(f"{key}: {lost:.6g} events outside {wanted[0]:g}-{wanted[-1]:g} were dropped")
    return values, variances


def _first(key: str, *sources: Mapping[str, Any]) -> Any:
    return next((source[key] for source in sources if source.get(key) is not None), "")


def rebin(
    values: FloatArray, variances: FloatArray, edges: FloatArray, wanted: FloatArray
) -> tuple[FloatArray, FloatArray, float]:
    """Merge bins to edges that are a subset of the histogram's.

    Returns
    -------
    values, variances : (n,) float arrays
    lost : float
        Content of the bins outside the wanted range.

    Raises
    ------
    ConfigError
        Naming the edges that are not edges of the histogram.
    """
    if wanted.size < 2 or np.any(np.diff(wanted) <= 0.0):
        raise ConfigError("a binning needs at least two rising edges")
    span = float(edges[-1] - edges[0])
    places = np.array([int(np.argmin(np.abs(edges - edge))) for edge in wanted])
    bad = [f"{e:g}" for e, k in zip(wanted, places, strict=True) if abs(edges[k] - e) > 1e-9 * span]
    if bad:
        raise ConfigError(
            f"{', '.join(bad)} are not bin edges of the histogram ({edges.size - 1} bins, "
            f"{edges[0]:g} to {edges[-1]:g}, first width {edges[1] - edges[0]:g})"
        )
    inside = slice(places[0], places[-1])
    starts = places[:-1] - places[0]
    lost = math.fsum(values) - math.fsum(values[inside])
    return (
        np.add.reduceat(values[inside], starts),
        np.add.reduceat(variances[inside], starts),
        lost if abs(lost) > 1e-12 * abs(math.fsum(values)) else 0.0,
    )


def _read(file: str, key: str, reading: Reading) -> tuple[FloatArray, FloatArray, FloatArray] | None:
    """Values, variances and edges of a one-dimensional histogram in a ROOT file."""
    if (file, key) in reading.histograms:
        return reading.histograms[file, key]
    source = _open(file, reading)
    if source is None:
        return None
    import uproot

    try:
        histogram = source[key]
    except uproot.KeyInFileError:
        known = [name.rpartition(";")[0] for name in source.keys()]  # noqa: SIM118 - a file, not a mapping
        near = nearest(key, known) or tuple(sorted(known)[:3])
        reading.problems.append(f"{file}: there is no histogram '{key}' (near: {', '.join(near)})")
        return None
    if not hasattr(histogram, "to_numpy") or len(getattr(histogram, "axes", ())) != 1:
        reading.problems.append(f"{file}: '{key}' is not a one-dimensional histogram")
        return None
    values = np.asarray(histogram.values(), dtype=np.float64)
    variances = histogram.variances()
    found = (
        values,
        values.copy() if variances is None else np.asarray(variances, dtype=np.float64),
        np.asarray(histogram.axis().edges(), dtype=np.float64),
    )
    reading.histograms[file, key] = found
    return found


def _open(file: str, reading: Reading) -> Any:
    if file in reading.files:
        return reading.files[file]
    import uproot

    candidates: Iterable[Path] = (Path(file), reading.folder / file)
    path = next((p for p in candidates if p.exists()), None)
    if path is None:
        tried = " or ".join(dict.fromkeys(str(p) for p in candidates))
        raise DataError(f"the input of the model does not exist: {tried}", where=reading.where)
    try:
        reading.files[file] = uproot.open(path)
    except (OSError, ValueError) as error:
        raise DataError(f"is not a readable ROOT file: {error}", where=str(path)) from None
    return reading.files[file]

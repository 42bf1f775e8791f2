"""A fit as a HEPData submission: one table a channel, the correlations, the workspace beside them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import yaml

from femtobarn.stats.histfactory.build import ChannelAxis
from femtobarn.stats.histfactory.fitting import FitResult
from femtobarn.stats.histfactory.model import Model
from femtobarn.stats.histfactory.tables import Table, prefit_covariance, yields_table
from femtobarn.stats.histfactory.transform import uncorrelated
from femtobarn.stats.histfactory.workspace import write_workspace

__all__ = ["HepdataExport", "dump", "export_hepdata", "stem"]

_NO_KEYWORDS: Final[Mapping[str, tuple[str, ...]]] = {}


@dataclass(frozen=True, slots=True)
class HepdataExport:
    """Folder written and its files."""

    folder: Path
    files: tuple[Path, ...]


def export_hepdata(
    model: Model,
    directory: str | Path,
    *,
    result: FitResult | None = None,
    axes: Mapping[str, ChannelAxis] | None = None,
    keywords: Mapping[str, tuple[str, ...]] | None = None,
    comment: str = "",
) -> HepdataExport:
    """Write ``submission.yaml``, a table a channel, the correlation matrix and ``workspace.json``.

    Parameters
    ----------
    result : FitResult, optional
        Best fit; without it the tables hold the pre-fit expectation and there is no correlation table.
    axes : mapping, optional
        Channel -> axis; a channel without one is binned in bin numbers.
    keywords : mapping, optional
        HEPData keywords (``cmenergies``, ``observables``, ``reactions``, ``phrases``) -> values.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    write_workspace(uncorrelated(model.workspace)[0], folder / "workspace.json")
    files = [folder / "workspace.json"]
    x = model.init if result is None else result.values
    covariance = prefit_covariance(model) if result is None else result.covariance
    yields = yields_table(model, x, covariance)
    stage = "pre-fit" if result is None else "post-fit"
    documents: list[dict[str, Any]] = [
        {
            "comment": comment or f"Measurement {model.measurement.name}: yields and likelihood.",
            "additional_resources": [
                {"location": "workspace.json", "description": "Likelihood as a pyhf workspace (JSON, 1.0.0)."}
            ],
        }
    ]
    words = [{"name": key, "values": list(v)} for key, v in (keywords or _NO_KEYWORDS).items()]
    for number, channel in enumerate(model.channels, 1):
        axis = (axes or {}).get(channel.name) or ChannelAxis(
            "Bin", "", tuple(float(i) for i in range(channel.bins + 1))
        )
        file = folder / f"{number:02d}_{stem(channel.name)}.yaml"
        dump(file, _channel_table(model, yields, channel.name, axis))
        files.append(file)
        text = f"Observed events and {stage} expectation in {channel.name}, with errors."
        documents.append(_entry(f"Yields in {channel.name}", text, file.name, words))
    if result is not None:
        file = folder / "correlations.yaml"
        dump(file, _correlations(result))
        files.append(file)
        text = "Correlation matrix of the floating parameters at the best fit."
        documents.append(_entry("Correlation matrix", text, file.name, words))
    submission = folder / "submission.yaml"
    with submission.open("w", encoding="utf-8") as stream:
        yaml.safe_dump_all(documents, stream, sort_keys=False, allow_unicode=True, width=10**6)
    return HepdataExport(folder, (submission, *files))


def stem(name: str) -> str:
    """A name as the stem of a file."""
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_").lower() or "channel"


def _entry(name: str, description: str, file: str, keywords: list[dict[str, Any]]) -> dict[str, Any]:
    return {"name": name, "description": description, "keywords": keywords, "data_file": file}


def dump(path: Path, document: Mapping[str, Any]) -> None:
    """Write one YAML document."""
    with path.open("w", encoding="utf-8") as stream:
        yaml.safe_dump(dict(document), stream, sort_keys=False, allow_unicode=True, width=10**6)


def _header(name: str, units: str = "") -> dict[str, str]:
    return {"name": name, "units": units} if units else {"name": name}


def _channel_table(model: Model, yields: Table, channel: str, axis: ChannelAxis) -> dict[str, Any]:
    edges = axis.edges
    bins = [{"low": float(low), "high": float(high)} for low, high in itertools.pairwise(edges)]
    columns: dict[str, list[dict[str, Any]]] = {}
    for row in yields.rows:
        if row[0] == channel:
            entry: dict[str, Any] = {"value": row[3]}
            if row[4] > 0.0:  # the validator refuses an uncertainty of zero
                entry["errors"] = [{"symerror": row[4], "label": "total"}]
            columns.setdefault(str(row[2]), []).append(entry)
    observed = [{"value": float(n)} for n in model.observed[model.bins[channel]]]
    dependent = [{"header": _header("Data"), "values": observed}]
    dependent += [{"header": _header(_shown(name)), "values": values} for name, values in columns.items()]
    return {
        "independent_variables": [{"header": _header(axis.name, axis.unit), "values": bins}],
        "dependent_variables": dependent,
    }


def _shown(sample: str) -> str:
    return "Total expectation" if sample == "total" else sample


def _correlations(result: FitResult) -> dict[str, Any]:
    places = np.flatnonzero(~result.fixed)
    names = [result.names[i] for i in places]
    matrix: npt.NDArray[np.float64] = result.correlation[np.ix_(places, places)]
    pairs = [(a, b, float(matrix[i, j])) for i, a in enumerate(names) for j, b in enumerate(names)]
    return {
        "independent_variables": [
            {"header": _header("Parameter 1"), "values": [{"value": a} for a, _, _ in pairs]},
            {"header": _header("Parameter 2"), "values": [{"value": b} for _, b, _ in pairs]},
        ],
        "dependent_variables": [
            {"header": _header("Correlation"), "values": [{"value": value} for _, _, value in pairs]}
        ],
    }

"""What was generated, in two files: a coffea fileset for the reader and the truth for closure tests."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

__all__ = ["SCHEMA_VERSION", "DatasetTruth", "SampleTruth", "write_fileset", "write_truth"]

SCHEMA_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class DatasetTruth:
    """One dataset of a sample set.

    Attributes
    ----------
    name, process, group : str
        Dataset, physics process and the group plots show it in (signal, ZZ*, DY, ttbar, ...).
    file, tree : str
        File name relative to the fileset, and the tree in it.
    kind : str
        ``mc`` or ``data``.
    generated : int
        Events in the file.
    xsec_pb : float or None
        Effective (toy) cross-section, pb; None for data.
    sumw : float or None
        Sum of generator weights as written; None for data.
    expected_yield : float or None
        Events of this process expected in the luminosity before any selection, at mu = 1.
    pseudo_data : int or None
        Events of this process that were put into the pseudo-data.
    """

    name: str
    process: str
    group: str
    file: str
    tree: str
    kind: str
    generated: int
    xsec_pb: float | None = None
    sumw: float | None = None
    expected_yield: float | None = None
    pseudo_data: int | None = None


@dataclass(frozen=True, slots=True)
class SampleTruth:
    """A whole sample set; ``lumi_fb`` and the yields include ``scale``."""

    job: str
    release: str
    seed: int
    mu: float
    scale: float
    mass_gev: float
    lumi_fb: float
    datasets: tuple[DatasetTruth, ...]


def _dump(path: Path, content: dict[str, Any]) -> Path:
    path.write_text(json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")
    return path


def write_fileset(path: Path, truth: SampleTruth) -> Path:
    """Write the coffea fileset; file names are relative to its folder."""
    fileset: dict[str, Any] = {}
    for item in truth.datasets:
        metadata: dict[str, Any] = {
            "process": item.process,
            "group": item.group,
            "kind": item.kind,
            "nevts": item.generated,
            "lumi": truth.lumi_fb,
            "release": truth.release,
            "origin": "toy",
        }
        if item.kind == "mc":
            metadata |= {"xsec": item.xsec_pb, "sumw": item.sumw}
        fileset[item.name] = {"files": {item.file: item.tree}, "metadata": metadata}
    return _dump(path, fileset)


def write_truth(path: Path, truth: SampleTruth, **more: Any) -> Path:
    """Write truth.json: injected mu and mass, luminosity, per process what was expected and made."""
    processes = {
        item.name: {
            "process": item.process,
            "group": item.group,
            "expected_yield": item.expected_yield,
            "generated": item.generated,
            "xsec_pb": item.xsec_pb,
            "sumw": item.sumw,
            "pseudo_data": item.pseudo_data,
        }
        for item in truth.datasets
        if item.kind == "mc"
    }
    content = {key: value for key, value in asdict(truth).items() if key != "datasets"} | {
        "schema_version": SCHEMA_VERSION,
        "label": "femtobarn toy simulation",
        "processes": processes,
        "pseudo_data": {name: entry["pseudo_data"] for name, entry in processes.items()},
        "pseudo_data_total": sum(item.generated for item in truth.datasets if item.kind == "data"),
        **more,
    }
    return _dump(path, content)

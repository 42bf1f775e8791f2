"""Pileup weights of simulated events, from a correction file or from two distributions."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from femtobarn.errors import ConfigError, DataError

__all__ = ["PileupWeights", "density_ratio", "read_pileup", "read_pileup_histogram"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PileupWeights:
    """Weights by the true number of interactions: nominal, up and down on the same edges.

    Attributes
    ----------
    edges : (n + 1,) float
    nominal, up, down : (n,) float
        Values beyond the edges take the weight of the nearest bin.
    """

    edges: Array
    nominal: Array
    up: Array
    down: Array

    def __call__(self, interactions: NDArray[Any], which: str = "nominal") -> Array:
        """(n,) weights of events; ``which`` is nominal, up or down."""
        at = np.searchsorted(self.edges, np.asarray(interactions, dtype=np.float64), side="right") - 1
        table: Array = getattr(self, which)
        return table[np.clip(at, 0, len(table) - 1)]


def read_pileup(path: Path) -> PileupWeights:
    """Read a correctionlib file (schema 2, plain or gzipped) with one correction.

    Its input is the true number of interactions, or that and one of nominal, up, down.  Only binnings
    and categories are understood: other nodes do not occur in pileup files.
    """
    try:
        data = path.read_bytes()
        content = json.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
        corrections = content["corrections"]
    except FileNotFoundError as error:
        raise DataError("no such pileup file", where=str(path)) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"is not a correctionlib file: {error!r}", where=str(path)) from error
    if len(corrections) != 1:
        names = ", ".join(str(one.get("name")) for one in corrections)
        raise ConfigError(
            f"one correction is expected, there are {len(corrections)}: {names}", where=str(path)
        )
    try:
        return _tables(corrections[0])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ConfigError(f"is no pileup correction that can be read: {error!r}", where=str(path)) from error


def _tables(correction: Mapping[str, Any]) -> PileupWeights:
    inputs = correction["inputs"]
    texts = [item["name"] for item in inputs if item["type"] == "string"]
    if len(inputs) - len(texts) != 1 or len(texts) > 1:
        raise ValueError("inputs are not the number of interactions and at most one variation")
    found = {}
    for which in ("nominal", "up", "down"):
        found[which] = _binning(correction["data"], which if texts else None)
    edges = found["nominal"][0]
    if any(not np.array_equal(edges, other) for other, _ in found.values()):
        raise ValueError("variations have other edges")
    return PileupWeights(edges, found["nominal"][1], found["up"][1], found["down"][1])


def _binning(node: Mapping[str, Any], which: str | None) -> tuple[Array, Array]:
    """Edges and values below a node, following the category of the variation."""
    if node["nodetype"] == "category":
        for item in node["content"]:
            if item["key"] == which:
                return _binning(item["value"], which)
        raise ValueError(f"there is no category {which!r}")
    if node["nodetype"] != "binning":
        raise ValueError(f"a node of type {node['nodetype']!r}")
    edges = node["edges"]
    if isinstance(edges, Mapping):
        edges = np.linspace(edges["low"], edges["high"], int(edges["n"]) + 1)
    content = node["content"]
    if any(isinstance(item, Mapping) for item in content):
        # The variation may be asked below the bins.
        content = [_category(item, which) for item in content]
    return np.asarray(edges, dtype=np.float64), np.asarray(content, dtype=np.float64)


def _category(node: Any, which: str | None) -> float:
    if not isinstance(node, Mapping):
        return float(node)
    for item in node["content"]:
        if item["key"] == which:
            return float(item["value"])
    raise ValueError(f"there is no category {which!r}")


def read_pileup_histogram(path: Path, name: str = "pileup") -> tuple[Array, Array]:
    """Edges and contents of the ROOT histogram of a data-taking period."""
    import uproot

    from femtobarn.read.source import reading

    with reading(str(path)), uproot.open(path) as file:
        if name not in {key.partition(";")[0] for key in file.keys()}:  # noqa: SIM118 - a ROOT file
            raise DataError(f"has no histogram {name!r}", where=str(path),
                            action="it holds: " + ", ".join(file.keys(cycle=False)))  # fmt: skip
        values, edges = file[name].to_numpy()
    return np.asarray(edges, dtype=np.float64), np.asarray(values, dtype=np.float64)


def density_ratio(data: tuple[Array, Array], simulation: Sequence[float]) -> PileupWeights:
    """Weights that turn a simulated distribution into that of data.

    Parameters
    ----------
    data : edges (n + 1,) and contents (n,)
    simulation : (m,)
        Probability of each number of interactions from 0; the shorter of the two ends both.

    Both are scaled to unit sum; empty simulated bins count 1e-10, so that the ratio exists.
    """
    edges, values = data
    length = min(len(values), len(simulation))
    wanted = values[:length] / values.sum()
    made = np.asarray(simulation, dtype=np.float64)
    made = made[:length] / made.sum()
    ratio = wanted / np.where(made > 0, made, 1e-10)
    return PileupWeights(edges[: length + 1], ratio, ratio, ratio)

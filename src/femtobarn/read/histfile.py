"""Published histogram files: one entry a file, whose content is its histograms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from femtobarn.errors import DataError, nearest
from femtobarn.read.columns import Column
from femtobarn.read.schema import RAW, Schema, find_schema, schema_names
from femtobarn.read.source import either, reading
from femtobarn.records import FileRef

__all__ = ["HistogramFile", "PublishedHistogram"]


@dataclass(frozen=True, slots=True, eq=False)
class PublishedHistogram:
    """A one-dimensional histogram as someone published it.

    Attributes
    ----------
    name : str
        Folder and name, without cycle.
    edges : (n + 1,) float64
        In the file's own unit.
    values, variances : (n + 2,) float64
        Underflow first, overflow last.
    entries : float
        Number of fills, as the file states it.
    """

    name: str
    edges: NDArray[np.float64]
    values: NDArray[np.float64]
    variances: NDArray[np.float64]
    entries: float


class HistogramFile:
    """A file of histograms, seen as one entry.

    ``objects`` maps the names of its one-dimensional histograms to :class:`PublishedHistogram`;
    two-dimensional ones are among ``branches`` and counted in ``two_dimensional``, not loaded.
    """

    def __init__(self, ref: FileRef, file: Any, names: Sequence[str], schema: Schema) -> None:
        self.ref = ref
        self.schema = schema
        self.tree = ""
        self.entries = 1
        self.uuid = str(file.file.uuid)
        self.size = int(file.file.fEND)
        self.branches = frozenset(names)
        classes: dict[str, str] = file.classnames(cycle=False)
        one_dimensional = [name for name in names if classes[name].startswith("TH1")]
        self.two_dimensional = len(names) - len(one_dimensional)
        self.objects: Mapping[str, Any] = MappingProxyType(
            {name: _load(ref, file, name) for name in one_dimensional}
        )
        self._file = file

    @classmethod
    def choose(
        cls, ref: FileRef, file: Any, names: Sequence[str], candidates: Sequence[Schema]
    ) -> HistogramFile:
        """Find the schema of a file with these histograms among the candidates (all, if there are none).

        Raises
        ------
        DataError
            The file is of none of the candidates, or a histogram in it is damaged.
        """
        everything = [find_schema(name) for name in schema_names()]
        schema = next((schema for schema in candidates or everything if _is_of(schema, names)), None)
        if schema is not None:
            return cls(ref, file, names, schema)
        if not candidates:
            return cls(ref, file, names, RAW)
        raise _mismatch(ref, names, candidates, everything)

    def clusters(self, branches: Sequence[str] = ()) -> list[int]:  # noqa: ARG002 - part of the protocol
        return [0, 1]

    def read(self, branches: Sequence[str], start: int, stop: int) -> dict[str, Column]:  # noqa: ARG002
        if not branches:
            return {}
        raise DataError(
            f"holds histograms, not events; there is no column {branches[0]!r}",
            where=self.ref.url,
            action="use its histograms (objects), or choose files with events",
        )

    def stored_bytes(self, branches: Sequence[str]) -> int:
        """Compressed bytes of these histograms in the file."""
        return sum(
            int(self._file.key(name).data_compressed_bytes) for name in branches if name in self.branches
        )

    def close(self) -> None:
        self._file.close()


def _is_of(schema: Schema, names: Sequence[str]) -> bool:
    return schema.format == "histograms" and schema.matches(names)


def _mismatch(
    ref: FileRef, names: Sequence[str], candidates: Sequence[Schema], everything: Sequence[Schema]
) -> DataError:
    wanted = next((schema for schema in candidates if schema.format == "histograms"), None)
    if wanted is None:
        other = next((schema for schema in everything if _is_of(schema, names)), None)
        return DataError(
            f"holds histograms, not events; it is not {either(candidates)}"
            + (f": it looks like {other.name}" if other else ""),
            where=ref.url,
        )
    missing = next((name for name in wanted.requires if name not in names), "")
    return DataError(
        f"lacks the histogram {missing!r} of {wanted.name}", where=ref.url, near=nearest(missing, names)
    )


def _load(ref: FileRef, file: Any, name: str) -> PublishedHistogram:
    with reading(ref.url, f" at histogram {name!r}"):
        stored = file[name]
        values = np.asarray(stored.values(flow=True), dtype=np.float64)
        variances = np.asarray(stored.variances(flow=True), dtype=np.float64)
        edges = np.asarray(stored.axis().edges(), dtype=np.float64)
        if not len(values) == len(variances) == len(edges) + 1:
            raise ValueError(f"{len(values)} bins, but {len(edges)} edges")
        return PublishedHistogram(name, edges, values, variances, float(stored.member("fEntries")))

"""What processing a part yields, and how it adds up: histograms, cutflow, sums, tables, facts.

``a + b`` is associative and commutative up to the last bits of float64 (sums are compensated); the
engine always adds in part order, so equal plans give equal bits.  Tables stay one shard a part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from femtobarn.hists import Compensated, Histogram, HistSpec, Sparse
from femtobarn.hists.spectra import Spectra
from femtobarn.kernels.jagged import Jagged
from femtobarn.records import NOMINAL, Count

__all__ = ["CutRow", "Outcome", "Shard"]


class CutflowRows(Protocol):
    """A chain of cuts: names, and the weights of the events left after each."""

    rows: list[tuple[str, NDArray[np.float64]]]


@dataclass(frozen=True, slots=True)
class CutRow:
    """Events, sum of weights and of squared weights that pass a cut; addable."""

    events: int
    sumw: Compensated
    sumw2: Compensated

    def __add__(self, other: CutRow) -> CutRow:
        return CutRow(self.events + other.events, self.sumw + other.sumw, self.sumw2 + other.sumw2)


@dataclass(frozen=True, slots=True)
class Shard:
    """Rows of a table made by one part: equally long columns (of values or of lists), in event order."""

    part: int
    columns: Mapping[str, NDArray[Any] | Jagged]

    def __post_init__(self) -> None:
        if len({len(column) for column in self.columns.values()}) > 1:
            raise ValueError("the columns of a table must be equally long")


@dataclass
class Outcome:
    """Mergeable result of processing events.

    Attributes
    ----------
    dataset : str
        What ``fill``, ``cutflow`` and ``table`` file things under; empty for merged outcomes.
    histograms : {name: Histogram}
    cutflows : {dataset: {cut: CutRow}}, cuts in order
    sums : {dataset: {name: Compensated}}
        Named totals: sums of weights before any cut, numbers of objects.
    tables : {name: shards}
    facts : {dataset: {name: values}}
        Things a file states about itself that must be constant (its cross-section); a merged outcome
        keeps every distinct value so that a contradiction is seen.
    warnings : {sentence: count}
    spectra : {dataset: Spectra}
        Surveys of many sparse spectra with exact sums.
    sparse : {name: Sparse}
        Histograms without categories, most of whose bins are empty.
    """

    dataset: str = ""
    histograms: dict[str, Histogram] = field(default_factory=dict)
    cutflows: dict[str, dict[str, CutRow]] = field(default_factory=dict)
    sums: dict[str, dict[str, Compensated]] = field(default_factory=dict)
    tables: dict[str, list[Shard]] = field(default_factory=dict)
    facts: dict[str, dict[str, tuple[float, ...]]] = field(default_factory=dict)
    warnings: dict[str, int] = field(default_factory=dict)
    spectra: dict[str, Spectra] = field(default_factory=dict)
    sparse: dict[str, Sparse] = field(default_factory=dict)

    @classmethod
    def empty(cls, dataset: str, specs: Sequence[HistSpec] = ()) -> Outcome:
        """Nothing yet, for one dataset."""
        return cls(dataset, {spec.name: Histogram(spec) for spec in specs})

    def fill(
        self,
        name: str,
        *values: NDArray[Any],
        weight: NDArray[Any] | float = 1.0,
        region: str = "all",
        variation: str = NOMINAL.label,
    ) -> None:
        """Fill a declared histogram with one array of values an axis."""
        if name not in self.histograms:
            raise KeyError(f"histogram {name!r} is not declared; declared: {', '.join(self.histograms)}")
        arrays = [np.asarray(array) for array in values]
        self.histograms[name].fill((region, self.dataset, variation), *arrays, weight=weight)

    def add_cutflow(self, selection: CutflowRows) -> None:
        """Keep the rows of a chain of cuts."""
        rows = self.cutflows.setdefault(self.dataset, {})
        for cut, weight in selection.rows:
            row = CutRow(len(weight), *Compensated.with_squares(weight))
            rows[cut] = rows[cut] + row if cut in rows else row

    def add_sum(self, name: str, values: NDArray[Any] | float) -> None:
        """Add to a named total of the dataset."""
        sums = self.sums.setdefault(self.dataset, {})
        sums[name] = sums.get(name, Compensated()) + Compensated.of(values)

    def add_table(self, name: str, columns: Mapping[str, Any], *, part: int = 0) -> None:
        """Add rows to a table."""
        arrays = {
            key: column if isinstance(column, Jagged) else np.asarray(column)
            for key, column in columns.items()
        }
        self.tables.setdefault(name, []).append(Shard(part, arrays))

    def add_fact(self, name: str, values: NDArray[Any]) -> None:
        """Note what the events say about their dataset (distinct values, at most a few)."""
        distinct = np.unique(np.asarray(values, dtype=np.float64))[:4]
        facts = self.facts.setdefault(self.dataset, {})
        facts[name] = tuple(sorted({*facts.get(name, ()), *(float(value) for value in distinct)}))

    def warn(self, sentence: str, count: int = 1) -> None:
        """Count a thing the user should know."""
        self.warnings[sentence] = self.warnings.get(sentence, 0) + count

    def absorb(self, other: Outcome) -> None:
        """Add another outcome to this one, in place."""
        if self.dataset != other.dataset:
            self.dataset = ""
        for name, histogram in other.histograms.items():
            if name in self.histograms:
                self.histograms[name].absorb(histogram)
            else:
                self.histograms[name] = Histogram(histogram.spec, dict(histogram.blocks))
        for dataset, rows in other.cutflows.items():
            _absorb(self.cutflows.setdefault(dataset, {}), rows)
        for dataset, sums in other.sums.items():
            _absorb(self.sums.setdefault(dataset, {}), sums)
        for name, shards in other.tables.items():
            mine = self.tables.setdefault(name, [])
            out_of_order = bool(mine and shards) and mine[-1].part > shards[0].part
            mine.extend(shards)
            if out_of_order:
                mine.sort(key=lambda shard: shard.part)
        for dataset, facts in other.facts.items():
            known = self.facts.setdefault(dataset, {})
            for name, found in facts.items():
                known[name] = tuple(sorted({*known.get(name, ()), *found}))
        _absorb(self.warnings, other.warnings)
        _absorb(self.spectra, other.spectra)
        _absorb(self.sparse, other.sparse)

    def __add__(self, other: Outcome) -> Outcome:
        total = Outcome(self.dataset)
        total.absorb(self)
        total.absorb(other)
        return total

    def cutflow(self, dataset: str) -> tuple[Count, ...]:
        """The cutflow of a dataset, in order of the cuts."""
        return tuple(
            Count(cut, row.events, float(row.sumw), float(row.sumw2))
            for cut, row in self.cutflows.get(dataset, {}).items()
        )

    def sum_of(self, dataset: str, name: str) -> float:
        """A named total; 0 when nothing was added."""
        return float(self.sums.get(dataset, {}).get(name, Compensated()))

    def table(self, name: str) -> dict[str, Any]:
        """All rows of a table, in part order."""
        shards = [shard for shard in self.tables.get(name, []) if shard.columns]
        filled = [shard for shard in shards if len(next(iter(shard.columns.values())))] or shards[:1]
        if not filled:
            return {}
        return {key: _joined([shard.columns[key] for shard in filled]) for key in filled[0].columns}


def _joined(columns: Sequence[NDArray[Any] | Jagged]) -> NDArray[Any] | Jagged:
    """Columns of shards one after the other."""
    lists = [column for column in columns if isinstance(column, Jagged)]
    if not lists:
        return np.concatenate([np.asarray(column) for column in columns])
    ends = np.cumsum([0, *(int(column.offsets[-1]) for column in lists)])
    offsets = [column.offsets[:-1] + end for column, end in zip(lists, ends[:-1], strict=True)]
    return Jagged(np.concatenate([*offsets, ends[-1:]]), np.concatenate([column.values for column in lists]))


def _absorb(mine: dict[str, Any], other: Mapping[str, Any]) -> None:
    """Add the values of ``other`` to those of ``mine``, keeping the order of first appearance."""
    for key, value in other.items():
        mine[key] = mine[key] + value if key in mine else value

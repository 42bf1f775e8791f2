"""Events to check an analysis on, watched while it looks at them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from femtobarn.analysis import Analysis, Columns, Context
from femtobarn.catalog import datasets_from_files, read_fileset
from femtobarn.kernels.jagged import Jagged
from femtobarn.outcome import Outcome
from femtobarn.read import Source, missing_columns, open_source, read_events
from femtobarn.read.columns import Column, Events
from femtobarn.records import Dataset, Part
from femtobarn.testing.compare import require

__all__ = ["Case", "Sample", "Watched", "cases"]

#: A dataset, a path or glob (``NAME=GLOB``, ``F.json``), or a function that makes events.
Sample = Dataset | str | Path | Callable[[], Events]


@dataclass(frozen=True)
class Case:
    """The events of one file with what ``process`` is told about them."""

    label: str
    analysis: Analysis
    columns: Mapping[str, Column]
    length: int
    objects: Mapping[str, Any]
    declared: Columns
    offers: Callable[[str], bool]
    context: Context

    def events(self) -> Watched:
        """A private copy of the events."""
        return Watched(self.length, copy.deepcopy(dict(self.columns)), self.objects)

    def run(self, events: Watched, *, start: int = 0, number: int = 0) -> Outcome:
        """``process`` on these events, with its smaller promises checked on the way."""
        before = image(events)
        part = Part(number, self.context.dataset.name, 0, start, start + len(events))
        try:
            outcome = self.analysis.process(events, replace(self.context, part=part))
        except Exception as error:
            raise AssertionError(self._failure(events, error)) from error
        kind = type(outcome).__name__
        require(isinstance(outcome, Outcome), f"{self.label}: process() returned {kind}, not an Outcome")
        undeclared = sorted(name for name in events.asked - self._names if self.offers(name))
        require(
            not undeclared,
            f"{self.label}: process() asks whether {undeclared[:1]} is there; the file has it, but it is not "
            "declared and so never will be: add it to the optional columns",
        )
        require(
            image(events) == before,
            f"{self.label}: process() changed the events it was given; work on copies: column + 0, not "
            "column += 1",
        )
        self._check_declared(outcome)
        return outcome

    @property
    def _names(self) -> set[str]:
        return {*self.declared.needed, *self.declared.optional}

    def _failure(self, events: Watched, error: Exception) -> str:
        undeclared = sorted(events.touched - self._names)
        if undeclared:
            return (
                f"{self.label}: process() touches the column {undeclared[0]!r}, which is not declared: "
                "add it to the analysis' columns"
            )
        text = str(error).strip().split("\n", 1)[0]
        count = f"{len(events)} events" if len(events) else "an empty chunk"
        return (
            f"{self.label}: process() fails on {count} with the declared columns alone: "
            f"{type(error).__name__}: {text}"
        )

    def _check_declared(self, outcome: Outcome) -> None:
        """Histograms, datasets and variations of an outcome are those that were declared."""
        specs = {spec.name: spec for spec in self.context.histograms}
        labels = {variation.label for variation in self.context.variations}
        for name, histogram in outcome.histograms.items():
            where = f"{self.label}: histogram {name!r}"
            same = specs.get(name) == histogram.spec
            require(same, f"{where} is not declared like this; fill those of ctx.outcome()")
            for _, process, variation in histogram.blocks:
                own = process == self.context.dataset.name
                require(own, f"{where} is filled for {process!r}, not for the dataset")
                declared = ", ".join(sorted(labels))
                known = variation in labels
                require(known, f"{where} is filled for the variation {variation!r}; declared: {declared}")


class Watched(Events):
    """Events that remember which columns were touched and asked for."""

    __slots__ = ("asked", "touched")

    def __init__(
        self,
        length: int,
        columns: Mapping[str, Column],
        objects: Mapping[str, Any] | None = None,
        parent: Watched | None = None,
    ) -> None:
        super().__init__(length, columns, objects)
        self.touched: set[str] = set() if parent is None else parent.touched
        self.asked: set[str] = set() if parent is None else parent.asked

    def __getitem__(self, name: str) -> Any:
        self.touched.add(name)
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        self.asked.add(str(name))
        return super().__contains__(name)

    def rows(self, events: Any) -> Watched:
        picked = super().rows(events)
        return Watched(len(picked), {name: picked[name] for name in picked.names}, self.objects, self)


def cases(
    analysis: Analysis,
    samples: Sample | Sequence[Sample],
    parameters: Any,
    *,
    made: Dataset,
    schema: str,
    most_events: int,
) -> Iterator[Case]:
    """One case for each file, and one for each function (of dataset ``made`` and this schema)."""
    several: list[Any] = list(samples) if isinstance(samples, list | tuple) else [samples]
    datasets: list[Dataset] = []
    for sample in several:
        if isinstance(sample, Dataset):
            datasets.append(sample)
        elif callable(sample):
            yield _made_case(analysis, sample(), parameters, made, schema)
        elif str(sample).endswith((".json", ".json.gz")):
            datasets += read_fileset(Path(sample))
        else:
            datasets += datasets_from_files([str(sample)])
    if datasets and analysis.prepare is not None:
        datasets = list(analysis.prepare(tuple(datasets), parameters)[0])
    for dataset in datasets:
        yield from _file_cases(analysis, dataset, parameters, most_events)


def _made_case(analysis: Analysis, events: Events, parameters: Any, dataset: Dataset, schema: str) -> Case:
    declared = analysis.columns_for(parameters, schema, dataset)
    all_names = set(events.names)
    lacking = [name for name in declared.needed if name not in all_names]
    if lacking:
        raise ValueError(f"the events made lack the declared columns {', '.join(lacking)}")
    names = [name for name in (*declared.needed, *declared.optional) if name in all_names]
    columns = {name: events[name] for name in names}
    return Case(
        f"{analysis.name} on made events", analysis, columns, len(events), events.objects, declared,
        all_names.__contains__, _context(analysis, parameters, schema, dataset),
    )  # fmt: skip


def _file_cases(analysis: Analysis, dataset: Dataset, parameters: Any, most_events: int) -> Iterator[Case]:
    for ref in dataset.files:
        source = open_source(ref, analysis.schemas(parameters))
        try:
            schema = source.schema.name
            declared = analysis.columns_for(parameters, schema, dataset)
            events = read_events(
                source, declared.needed, declared.optional, 0, min(source.entries, most_events), where=ref.url
            )
        finally:
            source.close()
        yield Case(
            f"{analysis.name} on {ref.url} ({dataset.name})", analysis,
            {name: events[name] for name in events.names}, len(events), events.objects, declared,
            partial(_offers, source),
            _context(analysis, parameters, schema, dataset),
        )  # fmt: skip


def _offers(source: Source, name: str) -> bool:
    return not missing_columns(source, [name])


def _context(analysis: Analysis, parameters: Any, schema: str, dataset: Dataset) -> Context:
    resources = analysis.resources(parameters)
    return Context(
        dataset=dataset,
        parameters=parameters,
        schema=schema,
        variations=analysis.variations(parameters, dataset),
        histograms=analysis.histograms_for(parameters),
        resources=MappingProxyType({name: item.load(Path(item.path)) for name, item in resources.items()}),
    )


def image(events: Events) -> dict[str, tuple[bytes, ...]]:
    """The bytes of all columns."""
    image = {}
    for name in events.names:
        column = Events.__getitem__(events, name)
        arrays = (column.offsets, column.values) if isinstance(column, Jagged) else (column,)
        image[name] = tuple(np.asarray(array).tobytes() for array in arrays)
    return image

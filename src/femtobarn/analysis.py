"""What an analysis is: declared columns and histograms, and one pure function over events.

An :class:`Analysis` is data with functions in it, not a base class.  The engine needs ``columns`` and
``process``; everything else has a default.  ``process(events, ctx)`` returns an :class:`Outcome`; it
does no input or output, keeps no state and prints nothing, so the engine may cut the events as it
likes, run parts anywhere, repeat them and merge them.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from femtobarn.errors import DataError, UsageError, nearest
from femtobarn.hists import Axis, HistSpec
from femtobarn.outcome import Outcome
from femtobarn.read.columns import Events
from femtobarn.records import NOMINAL, Dataset, FileRef, Part, Variation
from femtobarn.userfiles import load_file

__all__ = [
    "Analysis",
    "Columns",
    "Context",
    "Normalisation",
    "Parameters",
    "Peek",
    "Resource",
    "Selection",
    "Stored",
    "Template",
    "analysis_names",
    "find_analysis",
]

ENTRY_POINTS: Final = "femtobarn.analyses"


class Parameters(BaseModel):
    """Base of every analysis' parameters: frozen, no unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns that ``process`` reads: needed ones, and those it can do without.

    Optional names may be patterns, ``muon.*``: all columns of the file that fit.
    """

    needed: tuple[str, ...]
    optional: tuple[str, ...] = ()

    def __add__(self, other: Columns) -> Columns:
        return Columns(
            tuple(dict.fromkeys(self.needed + other.needed)),
            tuple(dict.fromkeys(self.optional + other.optional)),
        )


@dataclass(frozen=True, slots=True)
class Resource:
    """A file ``process`` needs (corrections, lumi mask): loaded once a worker, hashed into the key."""

    path: str
    load: Callable[[Path], Any]


@dataclass(frozen=True, slots=True)
class Peek:
    """Columns of the first events of each file that ``process`` wants to see besides its own.

    They are read for the part at the beginning of a file only, whatever that part's size: cheap
    plausibility checks of a file need not read a big column everywhere.  Columns that a file does not
    have are left out.
    """

    columns: tuple[str, ...]
    events: int


@dataclass(frozen=True)
class Context:
    """What ``process`` may know besides the events; read only."""

    dataset: Dataset
    parameters: Any
    schema: str
    part: Part | None = None
    variations: tuple[Variation, ...] = (NOMINAL,)
    histograms: tuple[HistSpec, ...] = ()
    resources: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    #: What :class:`Peek` asked for; None unless the part is the first of its file.
    peek: Events | None = None
    #: {column: what the file says about it}, for the columns in :attr:`Analysis.titles`.
    titles: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    #: The file that the events come from, for messages.
    url: str = ""

    @property
    def is_data(self) -> bool:
        return self.dataset.kind == "data"

    def outcome(self) -> Outcome:
        """An empty outcome of this dataset with the declared histograms."""
        return Outcome.empty(self.dataset.name, self.histograms)

    def select(self, events: Events, weight: NDArray[Any] | float = 1.0) -> Selection:
        """Start a cutflow over these events."""
        return Selection(len(events), weight)


class Selection:
    """A chain of named cuts over the events of a part; every step is a row of the cutflow.

    All masks have the events' full length, whatever was cut before: a shorter mask is refused, because
    applying one silently shifts every weight behind it.
    """

    def __init__(self, length: int, weight: NDArray[Any] | float = 1.0) -> None:
        self.mask: NDArray[np.bool_] = np.ones(length, dtype=np.bool_)
        self.weight: NDArray[np.float64] = np.array(
            np.broadcast_to(np.asarray(weight, dtype=np.float64), (length,))
        )
        self.rows: list[tuple[str, NDArray[np.float64]]] = [("all", self.weight)]

    def record(self, cut: str) -> None:
        """Add a cutflow row for the events that are left."""
        if any(name == cut for name, _ in self.rows):
            raise ValueError(f"cut {cut!r} appears twice in the cutflow")
        self.rows.append((cut, self.weight[self.mask]))

    def require(self, cut: str, passed: NDArray[Any]) -> None:
        """Keep the events with ``passed`` set."""
        passed = np.asarray(passed)
        if passed.dtype != np.bool_ or passed.shape != self.mask.shape:
            raise ValueError(
                f"cut {cut!r}: the mask must hold one boolean for each of {len(self.mask)} events, "
                f"got {passed.shape} of {passed.dtype}"
            )
        self.mask = self.mask & passed
        self.record(cut)

    def require_among(self, cut: str, events: NDArray[Any], passed: NDArray[Any]) -> None:
        """Keep those of the events with these numbers that have ``passed`` set; drop all others."""
        if len(events) != len(passed):
            raise ValueError(f"cut {cut!r}: {len(passed)} decisions for {len(events)} events")
        full = np.zeros(len(self.mask), dtype=np.bool_)
        full[events] = passed
        self.require(cut, full)


@dataclass(frozen=True, slots=True)
class Normalisation:
    """How one dataset's raw sums become expected events.

    ``factor`` multiplies raw sums of weights; ``process`` is the group it is added to; ``note`` says
    what a reader must know ("half of the sample was processed"); ``usable`` is False when no factor
    can be given (the note says why).
    """

    process: str
    factor: float
    note: str = ""
    usable: bool = True


@dataclass(frozen=True)
class Template:
    """A normalised one-dimensional histogram: (nbins + 2,) values and variances, flow bins included."""

    axis: Axis
    values: NDArray[np.float64]
    variances: NDArray[np.float64]


@dataclass(frozen=True)
class Stored:
    """A finished run as later steps see it: the merged outcome and what the manifest says about it."""

    analysis: str
    datasets: tuple[Dataset, ...]
    parameters: Any
    outcome: Outcome
    entries: Mapping[str, tuple[int, int]]
    lost_fraction: float = 0.0
    origin: str = ""
    notes: tuple[str, ...] = ()
    model: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    folder: Path | None = None
    #: What later steps worked out and other later steps can use; never written anywhere.
    memo: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @functools.cached_property
    def by_name(self) -> Mapping[str, Dataset]:
        return MappingProxyType({dataset.name: dataset for dataset in self.datasets})

    @property
    def is_toy(self) -> bool:
        return self.origin == "toy"

    def fraction_processed(self, dataset: str) -> float:
        """Processed part of a dataset's entries (1 for an empty dataset)."""
        processed, total = self.entries[dataset]
        return processed / total if total else 1.0


ColumnsOf = Columns | Sequence[str] | Callable[[Any, str, Dataset], Columns]


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """One question to the data.

    Attributes
    ----------
    name, title : str
    process : callable (events, ctx) -> Outcome
    columns : names, :class:`Columns`, or a function (parameters, schema name, dataset) -> Columns
        Every column ``process`` touches.  Names are a schema's logical names or the file's own.
    histograms : specs, or a function (parameters) -> specs
    parameters : model of the parameters that ``--set`` reaches
    schemas : function (parameters) -> schema names this release may have; empty = whatever matches
    variations : function (parameters, dataset) -> variations to process
    resources : function (parameters) -> files needed
    peek : function (parameters, dataset) -> :class:`Peek` at the beginning of each file, or None
    prepare : function (datasets, parameters) -> (datasets, unused datasets with reason)
        Completes or refuses datasets before anything is read (sample tables).
    deliver : function (prepared datasets, parameters, fresh=) -> datasets to process instead
        Makes skims where that was asked for; ``fresh`` makes them anew.
    sources : function (parameters) -> what is processed when no files are named
        As ``--files`` takes them: addresses in the catalogue of the release.
    normalise : function (stored) -> {dataset: Normalisation}
    yields : function (stored) -> {region: {process: {value, stat, variations}}}
        Content of yields.json; by default the regions of the first histogram.
    templates : function (stored) -> {name: Template}
        Normalised histograms for ``export --to root``, by their names in the file.
    model : function (stored) -> WorkspaceSpec of the statistical model, or None when the inputs allow none
    infer : function (stored) -> keys of fit.json beside those of the model
    tables : function (stored) -> {file stem: columns}
    figures : function (stored, fit.json) -> drawings
    styles : {process, or sample of the model: (colour, legend text)} for the figures of the fit
    headline : function (stored, fit.json) -> one sentence
    files : function (stored) -> (path inside the run directory, content) of further files
    titles : names of columns whose description in the file ``process`` wants (``ctx.titles``)
    shared_files : whether a file may be in several datasets, each a reading of its own
    dataset_resources : function (parameters, dataset) -> files needed for one dataset
    settle : function (merged outcome, parameters) -> warnings
        Called once on the sum of all parts, before it is written: divides by sums that no part knows,
        and says what only the whole run can tell.
    whole_file : function (file, ctx, place) -> (outcome, bytes read, entries)
        For jobs that take a file as a whole and leave one behind: called in place of ``process``.
        ``place`` is where its outcome will be stored; files beside it with the same stem are its own.
    verdict : function (stored) -> why this result is a failure all the same; empty if it is none
        Asked last, when everything is written; the run then exits with 1.
    threads : whether parts get on with each other in one process
        So it is where ``process`` is compiled code that lets other threads run; ``auto`` then starts
        processes for large jobs only.
    """

    name: str
    process: Callable[[Events, Context], Outcome]
    columns: ColumnsOf
    title: str = ""
    histograms: Sequence[HistSpec] | Callable[[Any], Sequence[HistSpec]] = ()
    parameters: type[Parameters] = Parameters
    schemas: Callable[[Any], tuple[str, ...]] = field(default=lambda _: ())
    variations: Callable[[Any, Dataset], tuple[Variation, ...]] = field(default=lambda *_: (NOMINAL,))
    resources: Callable[[Any], Mapping[str, Resource]] = field(default=lambda _: {})
    peek: Callable[[Any, Dataset], Peek | None] = field(default=lambda *_: None)
    prepare: Callable[[tuple[Dataset, ...], Any], tuple[tuple[Dataset, ...], Mapping[str, str]]] | None = None
    deliver: Callable[..., tuple[Dataset, ...]] | None = None
    sources: Callable[[Any], tuple[str, ...]] = field(default=lambda _: ())
    normalise: Callable[[Stored], Mapping[str, Normalisation]] | None = None
    yields: Callable[[Stored], Mapping[str, Any]] | None = None
    templates: Callable[[Stored], Mapping[str, Template]] | None = None
    model: Callable[[Stored], Any] | None = None
    infer: Callable[[Stored], Mapping[str, Any]] | None = None
    tables: Callable[[Stored], Mapping[str, Mapping[str, Any]]] | None = None
    figures: Callable[[Stored, Mapping[str, Any]], Iterable[Any]] | None = None
    styles: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    headline: Callable[[Stored, Mapping[str, Any]], str] | None = None
    files: Callable[[Stored], Iterable[tuple[str, bytes]]] | None = None
    whole_file: Callable[[FileRef, Context, Path], tuple[Outcome, int, int]] | None = None
    verdict: Callable[[Stored], str] | None = None
    titles: tuple[str, ...] = ()
    shared_files: bool = False
    dataset_resources: Callable[[Any, Dataset], Mapping[str, Resource]] = field(default=lambda *_: {})
    settle: Callable[[Outcome, Any], Sequence[str]] | None = None
    threads: bool = False

    def columns_for(self, parameters: Any, schema: str, dataset: Dataset) -> Columns:
        """The declared columns for one dataset read through one schema."""
        if isinstance(self.columns, Columns):
            return self.columns
        if callable(self.columns):
            return self.columns(parameters, schema, dataset)
        return Columns(tuple(self.columns))

    def histograms_for(self, parameters: Any) -> tuple[HistSpec, ...]:
        """The declared histograms under these parameters."""
        specs = self.histograms(parameters) if callable(self.histograms) else self.histograms
        return tuple(specs)


def analysis_names() -> tuple[str, ...]:
    """Installed analyses, ours and those of other packages, by entry point."""
    return tuple(sorted({point.name for point in importlib.metadata.entry_points(group=ENTRY_POINTS)}))


@functools.cache
def _installed(name: str, _places: tuple[str, ...]) -> tuple[importlib.metadata.EntryPoint, ...]:
    """Entry points of a name; looked up once, as long as packages are searched for in the same places."""
    found = importlib.metadata.entry_points(group=ENTRY_POINTS)
    return tuple(point for point in found if point.name == name)


def find_analysis(name: str) -> Analysis:
    """An installed analysis by name, or one in a Python file the user names.

    Three different failures have three different sentences: nobody offers the name, two packages do,
    or its module cannot be imported.
    """
    if name.endswith(".py"):
        return _from_file(Path(name))
    if name.startswith("femtobarn.") and ":" in name:  # a job of the house that is no analysis of its own
        module, _, attribute = name.partition(":")
        found = getattr(importlib.import_module(module), attribute, None)
        if isinstance(found, Analysis):
            return found
    points = _installed(name, tuple(sys.path))
    if not points:
        _installed.cache_clear()  # it may be installed while this process lasts
        raise UsageError(
            f"unknown analysis {name!r}",
            near=nearest(name, analysis_names()),
            action="installed: " + ", ".join(analysis_names()) + "; or name a Python file, ./mine.py",
        )
    targets = {point.value for point in points}
    if len(targets) > 1:
        raise UsageError(f"analysis {name!r} is offered by several packages: " + ", ".join(sorted(targets)),
                         action="uninstall one of them")  # fmt: skip
    try:
        found = points[0].load()
    except ImportError as error:
        raise UsageError(f"analysis {name!r} cannot be imported: {error}", where=points[0].value) from error
    if not isinstance(found, Analysis):
        raise UsageError(f"entry point {points[0].value!r} is not an Analysis")
    return found


def _from_file(path: Path) -> Analysis:
    if not path.is_file():
        raise UsageError("no such analysis file", where=str(path),
                         action="write one with: femtobarn new " + path.stem)  # fmt: skip
    module = load_file(path, "femtobarn_user")
    found = [item for item in vars(module).values() if isinstance(item, Analysis)]
    if len(found) != 1:
        raise DataError(
            f"a file of one analysis is expected, this one defines {len(found)}",
            where=str(path),
            action="end it with: analysis = Analysis(name=..., columns=..., process=process)",
        )
    return found[0]

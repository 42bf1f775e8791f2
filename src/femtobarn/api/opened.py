"""A finished run, opened: its files as objects that are read when they are asked for and show themselves."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from femtobarn.api.outputs import reads_run
from femtobarn.errors import UsageError, nearest
from femtobarn.run.directory import RunDirectory
from femtobarn.run.files import read_json

if TYPE_CHECKING:
    from femtobarn.report.values import Node

__all__ = ["OpenRun", "Picture", "open", "open_run"]

T = TypeVar("T")


class MissingNameError(UsageError, KeyError):
    """A run has nothing of this name; also a :class:`KeyError`, as of any mapping."""


class Named(Mapping[str, T], Generic[T]):
    """Things by name, each made when it is first asked for."""

    def __init__(self, what: str, where: Path, names: Iterable[str], load: Callable[[str], T]) -> None:
        self._what, self._where, self._load = what, where, load
        self._names = tuple(names)
        self._loaded: dict[str, T] = {}

    def __getitem__(self, name: str) -> T:
        if name not in self._names:
            has = ", ".join(self._names) or "none"
            raise MissingNameError(f"the run has no {self._what} {name!r}", where=str(self._where),
                             near=nearest(str(name), self._names), action=f"it has: {has}")  # fmt: skip
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"{len(self)} {self._what}s: {', '.join(self._names)}"

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._names)


class Shown(dict[str, Any]):
    """A dictionary that shows itself in a notebook as the report shows it."""

    def __init__(self, content: Mapping[str, Any], nodes: Callable[[Mapping[str, Any]], list[Node]]) -> None:
        super().__init__(content)
        self._nodes = nodes

    def _repr_html_(self) -> str:
        from femtobarn.report import fragment

        return fragment(self._nodes(self))


@dataclass(frozen=True)
class Picture:
    """A figure of a run: shows itself in a notebook; a path wherever one is asked for."""

    path: Path

    @property
    def numbers(self) -> Mapping[str, Any]:
        """What is drawn."""
        return dict(read_json(self.path.with_suffix(".json")))

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def _repr_png_(self) -> bytes:
        return self.path.read_bytes()


@dataclass(frozen=True)
class OpenRun:
    """A run directory; each of its files is read when it is first asked for."""

    path: Path

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        """Configuration, versions, inputs, warnings, headline."""
        return RunDirectory(self.path).manifest()

    @cached_property
    def ledger(self) -> Shown:
        """What was expected, processed and lost."""
        from femtobarn.report import sections

        def account(_: Mapping[str, Any]) -> list[Node]:
            found = sections.ledger(self.manifest)
            return [] if found is None else [found]

        return Shown(self.manifest["ledger"], account)

    @cached_property
    def cutflow(self) -> Shown:
        """{dataset: [{cut, events, sumw, sumw2}]}, raw."""
        from femtobarn.report import ReportInputs, sections

        def tables(content: Mapping[str, Any]) -> list[Node]:
            rows = {name: found for name, found in content.items() if name != "schema_version"}
            return [table for _, table in sections.cutflows(ReportInputs(self.path.name, cutflow=rows))]

        return Shown(self._read("cutflow.json"), tables)

    @cached_property
    def hists(self) -> Named[Any]:
        """{observable: hist.Hist}, raw sums."""
        from femtobarn.hists import read_hists, to_hist

        found = read_hists(self.path / "hists.zip")
        return Named("histogram", self.path, found, lambda name: to_hist(found[name]))

    @cached_property
    def yields(self) -> Shown:
        """{region: {process: {value, stat, variations}}}, normalised."""
        from femtobarn.report import ReportInputs, sections

        def tables(content: Mapping[str, Any]) -> list[Node]:
            rows = {name: found for name, found in content.items() if name != "schema_version"}
            return list(sections.yields(ReportInputs(self.path.name, yields=rows)))

        return Shown(self._read("yields.json"), tables)

    @cached_property
    def fit(self) -> Shown:
        """Every inference result."""
        from femtobarn.report import sections

        def results(content: Mapping[str, Any]) -> list[Node]:
            of_analysis, of_likelihood = sections.fit_parts(content)
            return [*of_analysis, *of_likelihood]

        return Shown(self._read("fit.json"), results)

    @cached_property
    def tables(self) -> Named[Mapping[str, list[Any]]]:
        """{name: {column: list}} of the run's CSV tables."""
        files = {path.stem: path for path in sorted((self.path / "tables").glob("*.csv"))}
        return Named("table", self.path, files, lambda name: _table(files[name]))

    def _read(self, name: str) -> dict[str, Any]:
        if not (self.path / name).exists():
            there = ", ".join(sorted(path.name for path in self.path.glob("*.json")))
            advice = f"what a job does not produce is absent; it has: {there}"
            raise MissingNameError(f"this run has no {name}", where=str(self.path), action=advice)
        return dict(read_json(self.path / name))

    @property
    def plots(self) -> tuple[str, ...]:
        """Names of the figures."""
        return tuple(sorted(path.stem for path in (self.path / "plots").glob("*.png")))

    def plot(self, name: str) -> Picture:
        """A figure of the run."""
        return Named("plot", self.path, self.plots, self._picture)[name]

    def _picture(self, name: str) -> Picture:
        return Picture(self.path / "plots" / f"{name}.png")

    @property
    def headline(self) -> str:
        """The result in one sentence."""
        return str(self.manifest.get("headline") or "not finished")

    def __repr__(self) -> str:
        return f"{self.manifest['analysis']} in {self.path}: {self.headline}"

    def _repr_html_(self) -> str:
        title = self.manifest.get("title") or self.manifest["analysis"]
        return (
            f"<p><b>{escape(str(title))}</b> ({escape(str(self.path))})<br>{escape(self.headline)}</p>"
            f"{self.ledger._repr_html_()}"
        )


def _table(path: Path) -> Mapping[str, list[Any]]:
    """A CSV table as {column: list}, showing its first rows."""
    import pyarrow.csv

    from femtobarn.report import read_table, sections

    content = pyarrow.csv.read_csv(path).to_pydict()
    return Shown(content, lambda _: [sections.table(read_table(path))])


@reads_run
def open_run(path: str | Path) -> OpenRun:
    """Open a run directory, or the address of one.

    Returns
    -------
    OpenRun
        With ``manifest``, ``ledger``, ``cutflow``, ``hists``, ``yields``, ``fit``, ``tables`` and
        ``plot(name)``, each read when it is first asked for.

    Raises
    ------
    UsageError, StoreError
        The directory is missing or holds no run.
    """
    run = OpenRun(Path(path))
    _ = run.manifest
    return run


open = open_run  # noqa: A001 - as a module's name: femtobarn.api.open("RUN")

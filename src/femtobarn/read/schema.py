"""Schemas: the house's name of a column -> the branch of a release, its unit, its shape.

A schema is a small YAML file in ``read/schemas`` (or the user's own): the trees it may live in, the
branches that tell it from its neighbours, and one line a column, ``lepton.pt: lep_pt [MeV]``.
A star stands for the rest of a name: ``muon.*: Muon_*``.  Names that no line mentions are taken as
branch names of the file itself.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import yaml

from femtobarn.errors import ConfigError, UsageError, nearest
from femtobarn.units import GEV, MEV

__all__ = ["RAW", "Branch", "Schema", "find_schema", "load_schema", "schema_names"]

_UNITS: Final = {"GeV": GEV, "MeV": MEV, "cm": 1.0, "mm": 0.1}
#: What is made of a list of lists: the first value of each inner list, or their number in each event.
_VIEWS: Final = ("first", "count")
_LINE: Final = re.compile(r"^(?P<branch>\S+)(?:\s+\[(?P<unit>\w+)\])?$")


@dataclass(frozen=True, slots=True)
class Branch:
    """A branch, the factor that brings it to house units, and what is taken of lists in lists."""

    name: str
    scale: float = 1.0
    view: str = ""

    @property
    def address(self) -> str:
        """What a source is asked for: the name, with the view where there is one."""
        return f"{self.name}#{self.view}" if self.view else self.name


@dataclass(frozen=True)
class Schema:
    """How one release names its columns.

    Attributes
    ----------
    name : str
    trees : tuple of str
        Trees that may hold it, best first; empty for sources without trees.
    columns : mapping of logical name (may end in ``*``) to :class:`Branch`
    requires, excludes : tuple of str
        Branches that a file of this schema has, and has not.
    unit_check : str or None
        Logical column of transverse momenta whose median tells GeV from MeV.
    format : str
        Kind of source: ``tree``, ``csv``, ``histograms`` or ``edm``.
    """

    name: str
    trees: tuple[str, ...] = ()
    columns: Mapping[str, Branch] = field(default_factory=dict)
    requires: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    unit_check: str | None = None
    format: str = "tree"
    title: str = ""

    def __reduce__(self) -> tuple[object, ...]:
        # Mapping proxies do not cross process boundaries.
        return _rebuild, (
            self.name, self.trees, dict(self.columns), self.requires, self.excludes,
            self.unit_check, self.format, self.title,
        )  # fmt: skip

    def resolve(self, name: str) -> Branch:
        """The branch behind a logical name; a name the schema does not know is a branch name."""
        exact = self.columns.get(name)
        if exact is not None:
            return exact
        for pattern, branch in self.columns.items():
            if pattern.endswith("*") and name.startswith(pattern[:-1]):
                return replace(branch, name=branch.name.replace("*", name[len(pattern) - 1 :]))
        return Branch(name)

    def logical(self, branches: Iterable[str]) -> list[str]:
        """Logical names of these branches, for "did you mean" lists."""
        exact = {branch.name: name for name, branch in self.columns.items() if not name.endswith("*")}
        stars = [(branch.name[:-1], name[:-1]) for name, branch in self.columns.items() if name.endswith("*")]
        names = []
        for branch in branches:
            name = exact.get(branch)
            if name is None:
                name = next((b + branch[len(a) :] for a, b in stars if branch.startswith(a)), branch)
            names.append(name)
        return names

    def matches(self, branches: Collection[str]) -> bool:
        """Whether a tree with these branches is of this schema."""
        return all(name in branches for name in self.requires) and not any(
            name in branches for name in self.excludes
        )


def _rebuild(*fields: Any) -> Schema:
    name, trees, columns, requires, excludes, unit_check, kind, title = fields
    return Schema(name, trees, MappingProxyType(columns), requires, excludes, unit_check, kind, title)


#: No translation at all: logical names are branch names.
RAW: Final = Schema("raw")


def schema_names() -> tuple[str, ...]:
    """Names of the built-in schemas."""
    folder = resources.files("femtobarn.read") / "schemas"
    return tuple(
        sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml"))
    )


@functools.cache
def find_schema(name: str) -> Schema:
    """A built-in schema by name, or the user's own by path of its YAML file."""
    if name == RAW.name:
        return RAW
    if name.endswith((".yaml", ".yml")):
        return load_schema(Path(name).read_text(encoding="utf-8"), where=name)
    if name not in schema_names():
        raise UsageError(f"unknown schema {name!r}", near=nearest(name, schema_names()),
                         action="built-in schemas: " + ", ".join(schema_names()))  # fmt: skip
    text = (resources.files("femtobarn.read") / "schemas" / f"{name}.yaml").read_text(encoding="utf-8")
    return load_schema(text, where=f"{name}.yaml")


def load_schema(text: str, *, where: str) -> Schema:
    """Parse a schema file; every malformed line is named."""
    raw = yaml.safe_load(text)
    if not isinstance(raw, dict) or "name" not in raw or "columns" not in raw:
        raise ConfigError("a schema needs the keys 'name' and 'columns'", where=where)
    known = {"name", "title", "format", "trees", "requires", "excludes", "unit_check", "columns"}
    for key in raw:
        if key not in known:
            raise ConfigError(f"unknown key {key!r}", where=where, near=nearest(str(key), known))
    columns = {}
    for name, line in raw["columns"].items():
        match = _LINE.match(str(line))
        if match is None or (match["unit"] and match["unit"] not in (*_UNITS, *_VIEWS)):
            raise ConfigError(
                f"column {name!r}: {line!r} is not 'branch' or 'branch [unit]'",
                where=where,
                action="units: " + ", ".join(_UNITS) + "; of lists in lists: " + ", ".join(_VIEWS),
            )
        unit = match["unit"] or "GeV"
        view = unit if unit in _VIEWS else ""
        columns[str(name)] = Branch(match["branch"], _UNITS["GeV" if view else unit], view)
    return Schema(
        name=str(raw["name"]),
        title=str(raw.get("title", "")),
        format=str(raw.get("format", "tree")),
        trees=tuple(raw.get("trees", ())),
        columns=MappingProxyType(columns),
        requires=tuple(raw.get("requires", ())),
        excludes=tuple(raw.get("excludes", ())),
        unit_check=raw.get("unit_check"),
    )

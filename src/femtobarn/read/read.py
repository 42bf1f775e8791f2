"""From declared columns to :class:`Events`: checked first, read once, in house units."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

import numpy as np

from femtobarn.errors import DataError, nearest
from femtobarn.kernels.jagged import Jagged
from femtobarn.read.columns import Column, Events, widened
from femtobarn.read.source import Source

__all__ = ["check_unit", "expand_columns", "missing_columns", "read_events", "require_columns"]

#: Branches named in a message.
_SHOWN = 12
#: Medians of the leading transverse momentum outside of these bounds (GeV) are a unit mistake, by what the
#: schema says.  In a file in GeV 1000 and more were MeV.  One in MeV may hold jets of a TeV, but nothing has
#: more than the energy of a beam, and a median below 100 MeV was GeV.
_PT_BOUNDS = {"GeV": (0.5, 1000.0), "MeV": (0.1, 7000.0)}


def expand_columns(source: Source, names: Iterable[str]) -> list[str]:
    """Optional names with patterns (``muon.*``, ``*weight*``) replaced by what the file has."""
    found: list[str] = []
    for name in names:
        if "*" not in name or " " in name:
            found.append(name)
            continue
        branch = source.schema.resolve(name).name
        fits = sorted(item for item in source.branches if fnmatchcase(item, branch))
        if branch != name and name.endswith("*") and branch.endswith("*"):
            fits = [name[:-1] + item[len(branch) - 1 :] for item in fits]
        found += fits
    return list(dict.fromkeys(found))


def missing_columns(source: Source, names: Iterable[str]) -> list[str]:
    """Logical names whose branch the file does not have."""
    return [name for name in names if source.schema.resolve(name).name not in source.branches]


def require_columns(source: Source, names: Iterable[str], *, where: str) -> None:
    """Refuse a file that lacks a declared column, naming the branch and its nearest neighbours."""
    missing = missing_columns(source, names)
    if not missing:
        return
    branches = [source.schema.resolve(name).name for name in missing]
    what = f"tree {source.tree!r} lacks branch" if source.tree else "the table lacks column"
    plural = "" if len(missing) == 1 else "es" if source.tree else "s"
    raise DataError(
        f"{what}{plural} " + ", ".join(repr(branch) for branch in branches),
        where=where,
        near=nearest(branches[0], source.branches),
        action=f"the analysis declares {'it' if len(missing) == 1 else 'them'} as "
        + ", ".join(repr(name) for name in missing)
        + _siblings(branches[0], source.branches),
    )


def _siblings(branch: str, present: Iterable[str]) -> str:
    """Other branches of the same kind, as ``Jet_btagCSVV2`` is one of ``Jet_btag...``."""
    kind = re.match(r"\w*?_[a-z]+", branch)
    alike = sorted(name for name in present if kind is not None and name.startswith(kind[0]))
    return f"; of this kind there are {', '.join(alike[:_SHOWN])}" if alike else ""


def read_events(
    source: Source, needed: Sequence[str], optional: Sequence[str], start: int, stop: int, *, where: str
) -> Events:
    """Read a range of entries.

    Parameters
    ----------
    source : Source
    needed, optional : sequences of logical names
        A needed column that is absent is an error; an absent optional one is left out.
    start, stop : int
        Entry range.
    where : str
        The file, for error messages.
    """
    if source.objects:
        return Events(stop - start, {}, source.objects)
    require_columns(source, needed, where=where)
    optional = expand_columns(source, optional)
    absent = set(missing_columns(source, optional))
    names = [*needed, *(name for name in optional if name not in absent and name not in needed)]
    resolved = {name: source.schema.resolve(name) for name in names}
    # What a source can give in the file's own precision is widened when it is asked for.
    read = getattr(source, "read_stored", source.read)
    raw = read(list(dict.fromkeys(branch.address for branch in resolved.values())), start, stop)
    columns = {name: _scaled(raw[branch.address], branch.scale) for name, branch in resolved.items()}
    return Events(stop - start, columns)


def _scaled(column: Column, scale: float) -> Column:
    if scale == 1.0:
        return column
    column = widened(column)
    if isinstance(column, Jagged):
        return column.like(column.values * scale)
    return column * scale


def check_unit(source: Source, *, where: str, entries: int = 1000) -> None:
    """Refuse a file whose momenta are in another unit than its schema says."""
    name = source.schema.unit_check
    if name is None or not source.entries:
        return
    branch = source.schema.resolve(name)
    if branch.name not in source.branches:
        return
    column = _scaled(source.read([branch.name], 0, min(entries, source.entries))[branch.name], branch.scale)
    if isinstance(column, Jagged):
        # The leading one, which need not be stored first.
        filled = column.offsets[:-1][column.counts > 0]
        values = np.maximum.reduceat(column.values, filled) if len(filled) else column.values
    else:
        values = column
    # What is no number is the selection's business.
    values = values[np.isfinite(values)]
    if not len(values):
        return
    median = float(np.median(values))
    stated = "GeV" if branch.scale == 1.0 else "MeV"
    lowest, highest = _PT_BOUNDS[stated]
    if not lowest <= median <= highest:
        seems = {("GeV", True): "TeV", ("GeV", False): "MeV", ("MeV", True): "GeV", ("MeV", False): "keV"}
        raise DataError(
            f"branch {branch.name!r} has a median of {median:g} GeV when read as {source.schema.name}, "
            f"in {stated}: a unit mistake (the file seems to hold {seems[stated, median < lowest]})",
            where=where,
            action="choose the release that these files belong to",
        )

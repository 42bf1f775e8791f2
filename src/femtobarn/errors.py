"""Exceptions that say what went wrong, where, what was probably meant and what to do next.

Every error a user can cause derives from :class:`FemtobarnError`; the command line shows it as one
screen and exits with its ``exit_code``.  Library code never prints and never exits.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

__all__ = [
    "ConfigError",
    "DataError",
    "FemtobarnError",
    "FitError",
    "LossError",
    "NetworkError",
    "StoreError",
    "UsageError",
    "missing_file",
    "nearest",
]


def nearest(name: str, known: Iterable[str], *, most: int = 3) -> tuple[str, ...]:
    """The valid names most like ``name``, best first; empty when nothing is similar."""
    names = sorted({str(item) for item in known})
    folded = {item.casefold(): item for item in names}
    matches = difflib.get_close_matches(name.casefold(), list(folded), n=most, cutoff=0.5)
    return tuple(folded[match] for match in matches)


class FemtobarnError(Exception):
    """Root of all errors raised on purpose.

    Parameters
    ----------
    what : str
        One sentence: what is wrong.
    where : str, optional
        File, ``file:line``, branch, dataset or URL it is about.
    near : iterable of str
        Valid names close to a misspelt one.
    action : str, optional
        What the user can do next.
    """

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        near: Iterable[str] = (),
        action: str | None = None,
    ) -> None:
        self.what = what
        self.where = where
        self.near = tuple(near)
        self.action = action
        super().__init__(what)

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        if self.near:
            text += f" (did you mean {' or '.join(repr(name) for name in self.near)}?)"
        if self.action:
            text += f"\n  -> {self.action}"
        return text

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross process boundaries; keyword-only arguments need help there.
        return _rebuild, (type(self), self.what, self.where, self.near, self.action)


def _rebuild(
    kind: type[FemtobarnError],
    what: str,
    where: str | None,
    near: tuple[str, ...],
    action: str | None,
) -> FemtobarnError:
    return kind(what, where=where, near=near, action=action)


class UsageError(FemtobarnError):
    """The command or call itself is wrong: unknown name, missing argument."""

    exit_code = 2


class ConfigError(FemtobarnError):
    """A run file, parameter or fileset is wrong; several problems are listed at once."""

    exit_code = 2


class DataError(FemtobarnError):
    """An input file is missing, damaged, of another kind or lacks a column."""


class NetworkError(FemtobarnError):
    """A server could not be reached, answered an error or cut the connection."""


class StoreError(FemtobarnError):
    """The run directory or the cache cannot be read or written."""


class LossError(FemtobarnError):
    """Parts of a run failed or are missing and the loss was not allowed."""


class FitError(FemtobarnError):
    """A fit did not converge or cannot be done on these inputs."""


def missing_file(path: str | Path, kind: type[FemtobarnError] = DataError) -> FemtobarnError:
    """The error of a file that is not there, with similar names beside it, or where its path ends."""
    place = Path(path)
    folder = place.parent
    if not folder.is_dir():
        return kind("no such file", where=str(path), action=f"there is no folder {folder}: check the path")
    near = nearest(place.name, (item.name for item in folder.iterdir()))
    here = "the current folder" if folder == Path() else f"the folder {folder}"
    return kind("no such file", where=str(path), near=near,
                action=None if near else f"nothing in {here} has a similar name: check the path")  # fmt: skip

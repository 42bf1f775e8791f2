"""Frozen value types that every layer shares: what to process, and how much of it there was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal

__all__ = ["NOMINAL", "TOY_TITLE", "Count", "Dataset", "FileRef", "Kind", "Part", "Variation", "both_sides"]

Kind = Literal["data", "mc"]

#: Title of the trees that our own generators write: who uses such a file is told, however it was named.
TOY_TITLE: Final = "femtobarn toy simulation"


@dataclass(frozen=True, slots=True)
class FileRef:
    """One input file: where it is and, where known, what it holds.

    Attributes
    ----------
    url : str
        Path or URL.
    tree : str or None
        Tree inside the file; None leaves the choice to the schema.
    entries, size : int or None
        Number of entries and bytes, as stated by a catalogue or seen by a probe.
    uuid : str or None
        The file's own identifier (ROOT writes one into each file).
    checksum : str or None
        ``"adler32:..."`` or ``"sha256:..."`` as the catalogue states it.
    replicas : tuple of str
        Other addresses of the same bytes, tried in order.
    steps : tuple of (start, stop)
        Entry ranges fixed by a fileset; empty means the whole file.
    """

    url: str
    tree: str | None = None
    entries: int | None = None
    size: int | None = None
    uuid: str | None = None
    checksum: str | None = None
    replicas: tuple[str, ...] = ()
    steps: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Dataset:
    """A named list of files that are processed alike.

    ``metadata`` is read-only.  Keys with a meaning everywhere: ``process``, ``variation``, ``kind``
    (``data`` or ``mc``), ``xsec`` [pb], ``kfactor``, ``filteff``, ``sumw``, ``nevts``,
    ``lumi`` [fb-1], ``release``, ``lumi_mask``, ``origin``; others travel untouched.
    """

    name: str
    files: tuple[FileRef, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "metadata", MappingProxyType(dict(self.metadata)))

    def __reduce__(self) -> tuple[object, ...]:
        # A mapping proxy cannot cross a process boundary; a plain dictionary can.
        return Dataset, (self.name, self.files, dict(self.metadata))

    @property
    def kind(self) -> Kind:
        """``data`` for collision data (by metadata, else by the name ``data`` or ``data_*``)."""
        stated = self.metadata.get("kind")
        if stated in ("data", "mc"):
            return stated  # type: ignore[no-any-return]
        return "data" if self.name == "data" or self.name.startswith("data_") else "mc"

    @property
    def process(self) -> str:
        """The physics process this dataset belongs to."""
        stated = self.metadata.get("process")
        if stated is not None:
            return str(stated)
        return "data" if self.kind == "data" else self.name


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """A range of entries of one file: the unit of work, retry and bookkeeping.

    ``number`` is the position in the plan; every reduction follows it.
    """

    number: int
    dataset: str
    file: int
    start: int
    stop: int

    @property
    def entries(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, slots=True, order=True)
class Variation:
    """The nominal prediction or one side of a systematic uncertainty."""

    name: str
    direction: Literal["", "up", "down"] = ""

    @property
    def label(self) -> str:
        """``nominal``, ``<name>_up``, ``<name>_down`` or the varied sample's name."""
        return f"{self.name}_{self.direction}" if self.direction else self.name

    @property
    def sign(self) -> int:
        """+1 for up, -1 for down, 0 otherwise."""
        return {"up": 1, "down": -1}.get(self.direction, 0)


def both_sides(name: str) -> tuple[Variation, Variation]:
    """The two sides of a source of uncertainty."""
    return Variation(name, "up"), Variation(name, "down")


NOMINAL: Final = Variation("nominal")


@dataclass(frozen=True, slots=True)
class Count:
    """One row of a cutflow: events that pass, their sum of weights and of squared weights."""

    cut: str
    events: int
    sumw: float
    sumw2: float

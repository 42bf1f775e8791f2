"""What a delivery is asked and what it gives: options in, files with an account of every input out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Delivered", "Options", "SampleResult"]


@dataclass(frozen=True, slots=True)
class Options:
    """How to deliver; what is left open comes from the specification.

    Attributes
    ----------
    out : folder of the fileset and the files (beats ``OutputDirectory``)
    workers : processes; None decides by the size of the inputs
    allow_missing : deliver the rest when files fail
    allow_python : run code that a query brings along
    merge, target_size : join the outputs of a sample into one, or into files of about so many bytes
    missing : ``error`` or ``none``: First and ElementAt where there is no such item
    ignore_cache : make everything anew
    """

    out: Path | None = None
    workers: int | None = None
    allow_missing: bool = False
    allow_python: bool = False
    merge: bool = False
    target_size: int | None = None
    missing: str = "error"
    ignore_cache: bool = False


@dataclass(frozen=True, slots=True)
class SampleResult:
    """What became of one sample.

    ``rows`` describe its inputs in order: what each holds, its output, or the reason why there is none;
    ``addresses`` are outputs that stay on a server.
    """

    name: str
    files: tuple[Path, ...]
    rows: tuple[Mapping[str, Any], ...]
    warnings: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()

    def paths(self, *, urls: bool) -> list[str]:
        """Files as paths or ``file://`` addresses, or where a server has them."""
        return [*self.addresses, *(path.as_uri() if urls else str(path) for path in self.files)]

    @property
    def failed(self) -> tuple[Mapping[str, Any], ...]:
        return tuple(row for row in self.rows if row["error"])

    @property
    def lost_fraction(self) -> float:
        return len(self.failed) / max(len(self.rows), 1)

    @property
    def events(self) -> int:
        return sum(int(row["events"]) for row in self.rows)


@dataclass(frozen=True, slots=True)
class Delivered:
    """A finished delivery."""

    samples: tuple[SampleResult, ...]
    fileset: Path | None = None
    urls: bool = False
    summary: Mapping[str, Any] = field(default_factory=dict)

    def answer(self) -> dict[str, list[str]]:
        """{sample: paths}, or ``file://`` addresses where the specification wants URLs."""
        return {one.name: one.paths(urls=self.urls) for one in self.samples}

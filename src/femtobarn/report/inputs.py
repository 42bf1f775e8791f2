"""What a report is made of, read from a run directory; what a run does not have is left out."""

from __future__ import annotations

import csv
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

from femtobarn.errors import StoreError
from femtobarn.run.files import read_json

__all__ = ["Plot", "ReportInputs", "Table", "png_size", "png_texts", "read_inputs", "read_table"]

#: Rows of a table that a page shows; and the size up to which the whole table is put into it.
_ROWS_SHOWN: Final = 25
_EMBED_BYTES: Final = 200_000
#: Samples are few and each matters: their table is shown whole.
_SAMPLES: Final = "samples"


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure as PNG, with its numbers as JSON text (empty if there are none)."""

    name: str
    png: bytes
    numbers: str = ""
    title: str = ""
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """The first rows of a CSV table; ``text`` is the whole file if it is small, else empty."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    length: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class ReportInputs:
    """Plain values of one run; every mapping may be empty.

    ``manifest``, ``yields`` and ``fit`` are the files' contents; ``cutflow`` and ``yields`` are without
    their schema version.  ``samples`` is ``tables/samples.csv``.
    """

    name: str
    manifest: Mapping[str, Any] = field(default_factory=dict)
    cutflow: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    yields: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    fit: Mapping[str, Any] = field(default_factory=dict)
    samples: Table | None = None
    tables: tuple[Table, ...] = ()
    plots: tuple[Plot, ...] = ()


def read_inputs(run: Path) -> ReportInputs:
    """Read a run directory.

    Raises
    ------
    StoreError
        If there is nothing of a run in it, or a file is damaged.
    """
    contents = {name: _json(run / f"{name}.json") for name in ("manifest", "cutflow", "yields", "fit")}
    tables = {path.stem: read_table(path) for path in sorted((run / "tables").glob("*.csv"))}
    plots = tuple(
        _plot(path) for path in sorted((run / "plots").glob("*.png"), key=_order(contents["manifest"]))
    )
    if not (any(contents.values()) or tables or plots):
        raise StoreError("is not a run directory: no manifest, fit, table or plot in it", where=str(run))
    return ReportInputs(
        name=run.resolve().name,
        manifest=contents["manifest"],
        cutflow=_without_version(contents["cutflow"]),
        yields=_without_version(contents["yields"]),
        fit=contents["fit"],
        samples=tables.pop(_SAMPLES, None),
        tables=tuple(tables.values()),
        plots=plots,
    )


def _order(manifest: Mapping[str, Any]) -> Callable[[Path], tuple[int, str]]:
    """Figures in the manifest's own order (``figures``, a list of names) if it has one, then by name."""
    stated = [str(name) for name in manifest.get("figures") or ()]
    return lambda path: (stated.index(path.stem) if path.stem in stated else len(stated), path.stem)


def _json(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    content = read_json(path)
    if not isinstance(content, dict):
        raise StoreError("holds no JSON object", where=str(path))
    return content


def _without_version(content: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key != "schema_version"}


def read_table(path: Path) -> Table:
    """Read the head of a table and count its rows; a long table is not kept in memory."""
    most = None if path.stem == _SAMPLES else _ROWS_SHOWN
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file)
            columns = tuple(next(reader, ()))
            # A damaged line may be short or long: the page keeps its shape.
            rows = [tuple((row + [""] * len(columns))[: len(columns)]) for row in islice(reader, most)]
            length = len(rows) + sum(1 for _ in reader)
        text = path.read_text(encoding="utf-8") if path.stat().st_size <= _EMBED_BYTES else ""
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StoreError(f"cannot be read: {error}", where=str(path)) from error
    return Table(path.stem, columns, tuple(rows), length, text)


def _plot(path: Path) -> Plot:
    png = path.read_bytes()
    texts = png_texts(png)
    numbers = path.with_suffix(".json")
    return Plot(
        path.stem,
        png,
        numbers.read_text(encoding="utf-8") if numbers.exists() else "",
        texts.get("Title", path.stem),
        texts.get("Description", ""),
    )


def png_size(png: bytes) -> tuple[int, int] | None:
    """Width and height in pixels of a PNG image; None for anything else."""
    if len(png) < 24 or not png.startswith(b"\x89PNG\r\n\x1a\n"):
        return None
    width, height = struct.unpack(">II", png[16:24])
    return int(width), int(height)


def png_texts(png: bytes) -> dict[str, str]:
    """Texts stored in a PNG image (chunks tEXt and uncompressed iTXt; W3C PNG, section 11.3.3)."""
    texts: dict[str, str] = {}
    at = 8
    while at + 8 <= len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        body = png[at + 8 : at + 8 + length]
        if kind == b"tEXt":
            key, _, value = body.partition(b"\0")
            texts[key.decode("latin-1")] = value.decode("latin-1")
        elif kind == b"iTXt":
            key, _, rest = body.partition(b"\0")
            if rest[:1] == b"\0":  # not compressed
                *_, value = rest[2:].split(b"\0", 2)
                texts[key.decode("latin-1")] = value.decode("utf-8", "replace")
        at += 12 + length
    return texts

"""A finished figure together with the numbers in it, and how both reach the disk."""

from __future__ import annotations

import gc
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from matplotlib.figure import Figure

from femtobarn.folders import fitting, legal_name
from femtobarn.plot.style import style
from femtobarn.run.files import SCHEMA_VERSION, write_json, write_text

__all__ = ["Drawing", "save", "save_all"]

#: Sharp on a phone and in print; a 6.4 inch figure is 960 pixels wide.
_DPI: Final = 150


@dataclass(frozen=True)
class Drawing:
    """A figure, the numbers it shows and what to say about it.

    Attributes
    ----------
    name : str
        File stem.
    figure : Figure
        Made with the object interface: it belongs to no window and no global list.
    numbers : mapping
        Everything drawn, as plain values and arrays.
    title, caption : str
        What the figure is, and what a reader should see in it; they travel inside PNG and PDF.
    """

    name: str
    figure: Figure
    numbers: Mapping[str, Any]
    title: str = ""
    caption: str = ""

    def render(self, kind: str) -> bytes:
        """The figure as the bytes of a ``png``, ``pdf`` or ``svg`` file, equal for equal content."""
        texts = {"Title": self.title or self.name}
        if kind == "png":
            metadata: dict[str, Any] = {**texts, "Description": self.caption, "Software": "femtobarn"}
        elif kind == "pdf":
            # Without a date the same figure is the same file.
            metadata = {**texts, "Subject": self.caption, "Creator": "femtobarn", "CreationDate": None}
        else:
            metadata = {**texts, "Description": self.caption, "Creator": "femtobarn", "Date": None}
        out = io.BytesIO()
        with style():
            _settle(self.figure)
            self.figure.savefig(out, format=kind, dpi=_DPI, metadata=metadata)
        return out.getvalue()

    def _repr_png_(self) -> bytes:
        return self.render("png")


def _settle(figure: Figure) -> None:
    """Lay the figure out once: text is not measured at every save, and no format moves anything."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        # None, not "none": a placeholder in its place would have every save draw twice.
        figure.set_layout_engine(None)


def save(drawing: Drawing, folder: Path, kinds: Sequence[str] = ("png", "pdf")) -> list[Path]:
    """Write ``NAME.KIND`` for every kind, and ``NAME.json`` (the numbers drawn); return the paths.

    A name that some system refuses is changed, one too long for its folder shortened.
    """
    # The same for all: their extensions have at most four letters.
    stem = fitting(folder / f"{legal_name(drawing.name)}.json").stem
    paths = []
    for kind in kinds:
        path = folder / f"{stem}.{kind}"
        write_text(path, drawing.render(kind))
        paths.append(path)
    path = folder / f"{stem}.json"
    write_json(path, {"schema_version": SCHEMA_VERSION, **drawing.numbers})
    return [*paths, path]


def save_all(drawings: Iterable[Drawing], folder: Path) -> tuple[list[Path], list[str]]:
    """Write the figures of a page in place of those that were in its folder; (paths, stems).

    A figure is full of circular references: each is collected before the next is drawn, so that many
    need no more memory than one.  What was there before is left out of the search, which makes it cheap.
    """
    for old in folder.glob("*.*"):
        old.unlink()
    paths: list[Path] = []
    names: list[str] = []
    gc.freeze()
    try:
        for drawing in drawings:
            saved = save(drawing, folder)
            paths += saved
            names.append(saved[0].stem)
            del drawing
            gc.collect()
    finally:
        gc.unfreeze()
    return paths, names

"""The luminosity overlay as an image for a page."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

from femtobarn.analyses.refrun import label
from femtobarn.api.refrun.records import LoadedRecords

__all__ = ["overlay_svg"]

#: Drawing uses settings of the whole process; requests come in threads.
_drawing: Final = threading.Lock()


def overlay_svg(
    loaded: LoadedRecords, run: int, references: Sequence[int], quantity: str = "luminosity"
) -> bytes:
    """Luminosity or pileup of a run and some references as SVG; says so if nothing is known."""
    from femtobarn.plot.overlay import overlay

    table = loaded.lumisections
    wanted = dict.fromkeys([run, *references])
    profiles = [] if table is None else [p for p in map(table.profile, wanted) if p is not None]
    with _drawing:
        drawing = overlay(profiles, target=run, quantity=quantity,  # type: ignore[arg-type]
                          label=label(toy=loaded.origin == "toy"))  # fmt: skip
        return drawing.render("svg")

"""Progress where there is no terminal: a bar below a notebook's cell."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from femtobarn.errors import UsageError

if TYPE_CHECKING:
    from femtobarn.run.engine import Progress
    from femtobarn.run.plan import Plan

__all__ = ["bar"]


def bar(plan: Plan) -> Progress:
    """A progress bar below the cell: ``api.run("h4l", ..., progress=api.bar)``.

    Needs no widgets and no event loop of its own, so it works beside one that runs already.
    """
    try:
        from IPython.display import display
    except ImportError as error:
        raise UsageError("a bar needs IPython", action="pip install 'femtobarn[notebook]'") from error
    shown = display(_Bar(0, len(plan.parts), 0, 0, 0.0), display_id=True)
    started = time.monotonic()
    parts = events = failed = 0

    def note(entry: Any) -> None:
        nonlocal parts, events, failed
        parts += 1
        events += entry.events
        failed += entry.state == "failed"
        if shown is not None:
            shown.update(_Bar(parts, len(plan.parts), events, failed, time.monotonic() - started))

    return note


class _Bar:
    """How far a run is, as text and as HTML."""

    def __init__(self, parts: int, total: int, events: int, failed: int, seconds: float) -> None:
        self.parts, self.total = parts, total
        rate = f", {events / seconds:,.0f} events/s" if seconds else ""
        self.text = f"{parts}/{total} parts, {events:,} events{rate}" + (
            f", {failed} failed" if failed else ""
        )

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return f'<progress value="{self.parts}" max="{self.total}"></progress> {self.text}'

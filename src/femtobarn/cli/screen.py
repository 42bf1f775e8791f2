"""What a person sees: errors on one screen, progress, small tables, JSON on request."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from femtobarn.errors import FemtobarnError

if TYPE_CHECKING:
    from collections.abc import Callable

    from femtobarn.run.engine import Progress
    from femtobarn.run.plan import Plan

__all__ = ["progress", "say", "show_error", "show_json", "show_near", "show_table"]

_LINE_EVERY: Final = 60.0


def say(text: str = "") -> None:
    """To people: standard error, so that standard output holds the answer alone."""
    print(text, file=sys.stderr)


def answer(text: str) -> None:
    """The answer itself: standard output."""
    print(text)


def show_json(value: Any) -> None:
    """A strict JSON answer."""
    print(json.dumps(value, indent=1, sort_keys=True, allow_nan=False))


def show_error(error: FemtobarnError) -> None:
    """An error as what, where, near names and what to do."""
    say(f"{_bold('Error:')} {error}")


def show_near(what: str, near: Sequence[str], action: str) -> None:
    """A short refusal with suggestions."""
    hint = f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""
    say(f"{_bold('Error:')} {what}{hint}\n  -> {action}")


def _bold(text: str) -> str:
    return f"\033[1;31m{text}\033[0m" if sys.stderr.isatty() else text


def show_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Columns padded to their widest entry; numbers to the right.  Nothing is wrapped or shortened."""
    cells = [[str(item) for item in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(header), *cells]) for i in range(len(header))]
    numeric = [
        all(isinstance(row[i], int | float) for row in rows) and bool(rows) for i in range(len(header))
    ]

    def line(row: Sequence[str]) -> str:
        parts = [
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(row, widths, numeric, strict=True)
        ]
        return "  ".join(parts).rstrip()

    print(line(header))
    for row in cells:
        print(line(row))


@contextmanager
def progress() -> Iterator[Callable[[Plan], Progress]]:
    """A live bar on a terminal, a line a minute elsewhere."""
    if sys.stderr.isatty():
        yield from _live()
    else:
        yield _plain


def _plain(plan: Plan) -> Progress:
    """A line a minute, for batch logs."""
    started = last = time.monotonic()
    counts = {"parts": 0, "events": 0, "failed": 0}

    def note(entry: Any) -> None:
        nonlocal last
        counts["parts"] += 1
        counts["events"] += entry.events
        counts["failed"] += entry.state == "failed"
        now = time.monotonic()
        if now - last > _LINE_EVERY:
            last = now
            rate = counts["events"] / max(now - started, 1e-9)
            say(
                f"{counts['parts']}/{len(plan.parts)} parts, {counts['events']} events, "
                f"{rate:.0f} events/s, {counts['failed']} failed"
            )

    return note


def _live() -> Iterator[Callable[[Plan], Progress]]:
    """Rich's progress bar: parts, events per second, failures, time left."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("parts"),
        TextColumn("{task.fields[rate]}"), TextColumn("[red]{task.fields[failed]}"), TimeRemainingColumn(),
    )  # fmt: skip
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:

        def begin(plan: Plan) -> Progress:
            task = bar.add_task("processing", total=len(plan.parts), rate="", failed="")
            started = time.monotonic()
            counts = {"events": 0, "failed": 0}

            def note(entry: Any) -> None:
                counts["events"] += entry.events
                counts["failed"] += entry.state == "failed"
                rate = counts["events"] / max(time.monotonic() - started, 1e-9)
                bar.update(
                    task, advance=1, rate=f"{rate:,.0f} events/s",
                    failed=f"{counts['failed']} failed" if counts["failed"] else "",
                )  # fmt: skip

            return note

        yield begin

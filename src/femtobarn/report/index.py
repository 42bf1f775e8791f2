"""An index page over several runs, newest first."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import quote

from femtobarn.errors import StoreError
from femtobarn.report.page import templates
from femtobarn.report.sections import counted, notices
from femtobarn.report.values import moment, number, percent
from femtobarn.run.files import read_json

__all__ = ["IndexEntry", "read_index", "render_index"]


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One run in the list: ``href`` is relative to the index page, empty if there is no report yet."""

    name: str
    href: str
    title: str
    analysis: str
    headline: str
    finished: str
    events: str
    problem: str
    toy: bool


def read_index(folder: Path, *, page: str = "report.html") -> list[IndexEntry]:
    """The runs in a folder (and one level below): those with a manifest, newest first.

    A damaged manifest is listed with what is wrong with it, so that one bad run hides no other.
    """
    found = sorted({*folder.glob("*/manifest.json"), *folder.glob("*/*/manifest.json")})
    entries = [(_entry(path.parent, folder, page)) for path in found if "slices" not in path.parts]
    return sorted(entries, key=lambda entry: (entry.finished, entry.name), reverse=True)


def _entry(run: Path, folder: Path, page: str) -> IndexEntry:
    name = PurePath(os.path.relpath(run, folder)).as_posix()
    href = quote(f"{name}/{page}") if (run / page).exists() else ""
    try:
        manifest: dict[str, Any] = dict(read_json(run / "manifest.json"))
    except (StoreError, TypeError, ValueError) as error:
        return IndexEntry(name, href, name, "", "", "", "", str(error), toy=False)
    return IndexEntry(
        name=name,
        href=href,
        title=str(manifest.get("title") or manifest.get("analysis") or name),
        analysis=str(manifest.get("analysis") or ""),
        headline=str(manifest.get("headline") or ""),
        finished=moment(str(manifest.get("finished") or "")),
        events=_events(manifest),
        problem=_problem(manifest),
        toy=manifest.get("origin") == "toy",
    )


def _events(manifest: dict[str, Any]) -> str:
    """How much was processed: ``20 000 events``."""
    count = ((manifest.get("ledger") or {}).get("events") or {}).get("processed")
    return "" if count is None else f"{number(count)} {counted(manifest)}"


def _problem(manifest: dict[str, Any]) -> str:
    """In a few words, what is missing from a run."""
    if not any(notice.kind == "bad" for notice in notices(manifest)):
        return ""
    if manifest.get("finished", "?") is None:
        return "This run has not finished."
    return (
        f"Incomplete: {percent((manifest.get('ledger') or {}).get('lost_fraction'))} of the events are lost."
    )


def render_index(entries: Sequence[IndexEntry], *, title: str = "Runs") -> str:
    """The index page."""
    return templates().get_template("index.html").render({"entries": entries, "title": title})

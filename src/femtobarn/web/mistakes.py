"""What is wrong with a request, as a field and a sentence; flags of the command line are fields here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from femtobarn.errors import FemtobarnError, UsageError

__all__ = ["Mistake", "mistake_of", "mistakes_in"]


@dataclass(frozen=True, slots=True)
class Mistake:
    """``field`` is empty if it is about the records, not about what was asked; then ``status`` is 500."""

    field: str
    message: str
    status: int = 422

    def to_json(self) -> dict[str, str]:
        return {"field": self.field, "message": self.message}


def mistake_of(error: FemtobarnError) -> Mistake:
    """An error of the library in the words of the page."""
    if not isinstance(error, UsageError):
        return Mistake("", str(error), 500)
    near = f" (did you mean {' or '.join(map(repr, error.near))}?)" if error.near else ""
    action = f"; {error.action}" if error.action else ""
    field = "run" if error.where == "RUN" else (error.where or "").removeprefix("--").replace("-", "_")
    return Mistake(field, re.sub(r"--(?=\w)", "", f"{error.what}{near}{action}"))


def mistakes_in(errors: Sequence[Mapping[str, Any]]) -> list[Mistake]:
    """Those that a check of the parameters found."""
    return [Mistake(_field(item["loc"]), _sentence(item)) for item in errors]


def _field(place: Sequence[Any]) -> str:
    """The last name in a place like ``("query", "run", "int")``, where the kind of a value may follow."""
    names = [str(part) for part in place if part not in ("query", "constrained-int", "int")]
    return names[-1] if names else ""


def _sentence(item: Mapping[str, Any]) -> str:
    given = repr(str(item.get("input"))[:40])
    if item["type"].startswith("int_"):
        return f"{given} is no whole number"
    if item["type"] == "missing":
        return "is missing"
    return f"{given} is out of range: {item['msg'].removeprefix('Input ')}"

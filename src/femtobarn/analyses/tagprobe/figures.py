"""Figures of tag and probe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from femtobarn.analysis import Stored

__all__ = ["figures"]


def figures(stored: Stored, fitted: Mapping[str, Any]) -> Iterator[Any]:
    """None yet."""
    yield from ()

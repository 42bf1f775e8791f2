from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def shared() -> Callable[[str], Path]:
    """Path of a shared oracle or data file; the test is skipped where it is not at hand."""

    def find(name: str) -> Path:
        base = Path(os.environ.get("FEMTOBARN_SHARED", ROOT / ".." / "shared"))
        path = base / name
        if not path.exists():
            pytest.skip(f"shared file {name} is not at hand")
        return path

    return find

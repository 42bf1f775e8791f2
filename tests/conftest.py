"""Shared fixtures: where the optional reference material lies, and a private cache for every test."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# A deadline would be a timed assertion: the first call of a kernel compiles it.
settings.register_profile("femtobarn", deadline=None)
settings.load_profile("femtobarn")

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("FEMTOBARN_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """Path of a file of the reference material, or skip: a plain checkout does not have it."""

    def find(name: str) -> Path:
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"needs the reference file {name}, which is not part of the project")
        return path

    return find


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEMTOBARN_CACHE", str(tmp_path_factory.mktemp("cache")))

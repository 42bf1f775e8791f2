"""Small sample sets made once for the whole session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from femtobarn.samples import make


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """Folder of a sample set at a fifth of its size, by job and release."""
    made: dict[tuple[str, str], Path] = {}

    def folder(job: str, release: str) -> Path:
        if (job, release) not in made:
            out = tmp_path_factory.mktemp(f"{job}-{release}")
            make(job, out, release=release, seed=11, scale=0.2 if job == "h4l" else 0.1)
            made[job, release] = out
        return made[job, release]

    return folder

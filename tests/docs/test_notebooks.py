"""The notebooks run from top to bottom on built-in samples and pass their own checks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from femtobarn.api.demos import DEMOS

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.py"))


def cells(text: str) -> list[tuple[str, str]]:
    """(kind, text) of the cells of a percent script."""
    parts = re.split(r"^# %%(.*)$", text, flags=re.MULTILINE)
    return [
        ("markdown" if "[markdown]" in kind else "code", body)
        for kind, body in zip(parts[1::2], parts[2::2], strict=True)
    ]


def test_every_job_has_one() -> None:
    assert [path.name[:2] for path in NOTEBOOKS] == [f"{number:02}" for number in range(1, 9)]
    made = {name for path in NOTEBOOKS for name in re.findall(r'data_make\("(\w+)"', path.read_text("utf-8"))}
    assert made >= set(DEMOS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_a_notebook_that_ends_with_a_check(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    header, _, _ = text.partition("# %%")
    assert re.match(r"# ---\n# jupyter:\n(# .*\n)+# ---\n\n$", header)
    found = cells(text)
    assert found[0][0] == "markdown"
    assert found[0][1].startswith("\n# # ")
    *_, (kind, title), (last, body) = found
    assert kind == "markdown"
    assert title.startswith("\n# ## Check")
    assert last == "code"
    assert "assert " in body
    for number, (kind, body) in enumerate(found):
        if kind == "markdown":
            lines = body.strip("\n").splitlines()
            assert all(line.startswith("#") for line in lines), f"cell {number} is not all comment"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path: Path, tmp_path: Path) -> None:
    # A process of its own, as for a reader; warnings are errors there, too.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(path)], cwd=tmp_path, env=environment, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    # All it writes is in one folder.
    assert [item.name for item in tmp_path.iterdir()] == [f"notebook-{path.name[:2]}"]

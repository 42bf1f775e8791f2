"""The rooms of the house and who imports whom, as text for ``docs/architecture.md``.

    python docs/make_import_picture.py            # print it
    python docs/make_import_picture.py --write    # put it into the page

Rooms and their order come from the import contract in ``pyproject.toml``, which ``lint-imports`` proves;
who imports whom is read from the sources.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- import picture: begin -->", "<!-- import picture: end -->"


def rooms() -> list[str]:
    """Rooms from the top floor to the ground, as the contract has them (those that exist)."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [name for name in (layer.strip("()") for layer in layers) if files(name)]


def files(room: str) -> list[Path]:
    """The modules of a room."""
    folder = ROOT / "src" / "femtobarn" / room
    single = folder.with_suffix(".py")
    return [single] if single.exists() else sorted(folder.rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Rooms that a module imports, also inside of functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "femtobarn" and len(parts) > 1:
                yield parts[1]


def picture() -> str:
    """One line a room: its size and the rooms below that it uses."""
    order = rooms()
    lines = []
    for room in order:
        used = {name for path in files(room) for name in imported(path)} - {room}
        below = [name for name in order if name in used]
        lines.append(f"{room:<10} -> {', '.join(below) or '(nothing of ours)'}")
    return "\n".join(lines)


def page_with_picture(text: str) -> str:
    """The page's text with the picture in its place."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n```text\n{picture()}\n```\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page_with_picture(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        sys.stdout.write(picture() + "\n")

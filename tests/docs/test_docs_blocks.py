"""The pages are true: their code runs, its output is what they show, and their links lead somewhere.

What a page may hold:

- a ``python`` block runs, in one namespace a page;
- a ``console`` or ``bash`` block: lines that begin with ``$ femtobarn`` run; every line shown below such a
  command must be in its output (``...`` stands for anything).  A command that ends with another exit code
  than 0 is followed by ``$ echo $?`` and the number;
- a block behind ``<!-- file: NAME -->`` is written to that file;
- a block behind ``<!-- needs: ... -->`` is not run: it needs what is not at hand.

All blocks of a page run in order, in one folder.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
#: Their blocks are run by tests/cli/test_cli_docs.py, with files of their own.
ELSEWHERE = {"docs/cli.md", "docs/sixth-analysis.md"}
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]

FENCE = re.compile(r"^( *)```(\w*)\s*$")
COMMENT = re.compile(r"^<!-- (needs|file): (.+?) -->$")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


@dataclass
class Block:
    """A fenced block: language, first line, text, and what a comment before it says."""

    language: str
    line: int
    lines: list[str] = field(default_factory=list)
    note: tuple[str, str] = ("", "")

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"


@dataclass
class Command:
    """A command of a console block, the lines shown below it and its exit code."""

    text: str
    shown: list[str] = field(default_factory=list)
    exit_code: int = 0


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    current: Block | None = None
    indent, note = "", ("", "")
    for number, line in enumerate(text.splitlines(), start=1):
        fence = FENCE.match(line)
        if current is not None:
            if fence and not fence[2]:
                yield current
                current, note = None, ("", "")
            else:
                current.lines.append(line.removeprefix(indent))
        elif fence:
            indent, current = fence[1], Block(fence[2], number, note=note)
        elif comment := COMMENT.match(line.strip()):
            note = (comment[1], comment[2])
        elif line.strip():
            note = ("", "")
    assert current is None, f"the block that begins in line {current.line} does not end"


def commands(block: Block) -> Iterator[Command]:
    """The ``$ femtobarn`` lines of a block, with what is shown below each."""
    current: Command | None = None
    lines = iter(block.lines)
    for line in lines:
        if line.startswith("$ echo $?"):
            assert current is not None, "an exit code is shown of nothing"
            current.exit_code = int(next(lines))
        elif line.startswith("$ "):
            if current is not None:
                yield current
            text = line[2:]
            while text.endswith("\\"):
                text = text[:-1] + next(lines).strip()
            current = Command(text) if text.startswith("femtobarn ") else None
        elif current is not None and line.strip() not in ("", "..."):
            current.shown.append(line)
    if current is not None:
        yield current


def run_command(command: Command, folder: Path) -> None:
    """Run a command; its exit code and output must be those shown."""
    words = shlex.split(command.text)[1:]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-m", "femtobarn", *words], cwd=folder, env=environment, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", timeout=300,
    )  # fmt: skip
    assert done.returncode == command.exit_code, f"{command.text}\n{done.stdout}"
    printed = [" ".join(line.split()) for line in done.stdout.splitlines()]
    for line in command.shown:
        pattern = re.compile(".*".join(map(re.escape, " ".join(line.split()).split("..."))))
        assert any(pattern.fullmatch(item) for item in printed), (
            f"{command.text}: the output has no line\n{line}\nbut was\n{done.stdout}"
        )


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ELSEWHERE])
def test_blocks_run_and_show_what_they_print(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = ROOT / name
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    namespace: dict[str, object] = {"__name__": page.stem}
    ran = 0
    for block in blocks(page.read_text(encoding="utf-8")):
        kind, what = block.note
        if kind == "needs":
            continue
        if kind == "file":
            (tmp_path / what).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            padded = "\n" * block.line + block.text  # so that a traceback names the page's line
            exec(compile(padded, str(page), "exec"), namespace)  # noqa: S102 - the page's own code
            ran += 1
        elif block.language in ("console", "bash"):
            for command in commands(block):
                run_command(command, tmp_path)
                ran += 1
    if not ran:
        pytest.skip("the page has nothing to run")


def anchors(text: str) -> set[str]:
    """Anchors that headings get (as GitHub and mkdocs make them)."""
    titles = (re.sub(r"[`*\[\]]", "", title).strip().lower() for title in HEADING.findall(text))
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_and_images_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    missing = []
    for target in LINK.findall(prose):
        if re.match(r"^(https?|mailto):", target):
            continue
        name, _, anchor = target.partition("#")
        place = page.parent / name if name else page
        exists = place.exists()
        if not exists or (anchor and anchor not in anchors(place.read_text(encoding="utf-8"))):
            missing.append(target)
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_no_machine_paths(page: Path) -> None:
    found = re.findall(
        r"(?<![\w.~-])/(?:home|work|tmp|root|afs|eos|Users)/\S+", page.read_text(encoding="utf-8")
    )
    assert not found


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    known = {target.partition("#")[0] for target in LINK.findall(index)}
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")}
    assert pages - known == {"index.md"}


def test_the_runner_notices_what_is_wrong(tmp_path: Path) -> None:
    """A console block with another output or exit code than shown is refused."""
    (good,) = commands(next(blocks("```console\n$ femtobarn --version\n0...\n```\n")))
    run_command(good, tmp_path)
    (other,) = commands(next(blocks("```console\n$ femtobarn --version\nfemtobarn 99\n```\n")))
    with pytest.raises(AssertionError, match="has no line"):
        run_command(other, tmp_path)
    (code,) = commands(next(blocks("```console\n$ femtobarn runn\n```\n")))
    with pytest.raises(AssertionError, match="did you mean"):
        run_command(code, tmp_path)


def test_the_run_file_page_names_every_setting() -> None:
    from femtobarn.analysis import find_analysis
    from femtobarn.config import Execution, RunFile

    text = (ROOT / "docs" / "run-file.md").read_text(encoding="utf-8")
    first_cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    named = set(re.findall(r"`(\w+)`", " ".join(first_cells)))
    models = [RunFile, Execution, *(find_analysis(job).parameters for job in ("h4l", "hyy"))]
    assert {name for model in models for name in model.model_fields} <= named


def test_the_import_picture_shows_the_rooms_there_are() -> None:
    import runpy

    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = runpy.run_path(str(ROOT / "docs" / "make_import_picture.py"))["rooms"]()
    drawn = re.findall(r"^(\w+) +-> ", page, flags=re.MULTILINE)
    assert drawn == rooms, "renew it with: python docs/make_import_picture.py --write"


def test_the_reference_of_the_python_interface_has_every_name() -> None:
    from femtobarn import api

    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    names = re.findall(r"^### (\w+)$", page, flags=re.MULTILINE)
    assert sorted(names) == sorted(api.__all__), "renew it with: python docs/make_api_reference.py --write"
    assert " at 0x" not in page, "an address of this process's memory"


def test_the_extras_are_those_of_the_page() -> None:
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    (everything,) = extras["all"]
    inside = set(everything.removeprefix("femtobarn[").removesuffix("]").split(","))
    assert set(extras) - {"all", "dev", "docs"} == inside
    table = (ROOT / "docs" / "installing.md").read_text("utf-8").split("## Container")[0]
    first = re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(first))) >= inside | {"all", "dev"}

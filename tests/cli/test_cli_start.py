"""Starting: help without heavy imports, verbs and their near names, exit codes of the installed command."""

from __future__ import annotations

import subprocess
import sys

import pytest

from femtobarn.cli import VERBS

HEAVY = ("numpy", "awkward", "uproot", "numba", "scipy", "matplotlib", "hist", "pydantic", "pyarrow")


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_help_imports_nothing_heavy():
    done = python(
        "import sys; sys.argv = ['femtobarn', '--help']\n"
        "from femtobarn.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert end.code == 0, end.code\n"
        f"found = [name for name in {(*HEAVY, 'typer', 'rich')} if name in sys.modules]\n"
        "assert not found, found\n"
    )
    assert done.returncode == 0, done.stderr
    for verb in VERBS:
        assert f"\n  {verb} " in done.stdout


def test_no_verb_needs_anything_heavy_to_say_what_it_takes():
    done = python(
        "import importlib, sys\n"
        "from femtobarn.cli import VERBS, app\n"
        "for module, _ in VERBS.values():\n"
        "    importlib.import_module(f'femtobarn.cli.{module}')\n"
        f"found = [name for name in {HEAVY} if name in sys.modules]\n"
        "assert not found, found\n"
    )
    assert done.returncode == 0, done.stderr


def test_the_module_runs_as_a_program(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "femtobarn", "new", "pairs"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "pairs.py\n")
    assert "femtobarn run pairs.py" in done.stderr


def test_a_real_process_ends_with_the_code_of_its_error(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "femtobarn", "run", "h4l", "--files", "data=no.root"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stdout == ""
    assert "no.root: no such file" in done.stderr
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "femtobarn", "--debug", "run", "h4l", "--files", "data=no.root"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "Traceback" in done.stderr


def test_nothing_said_is_wrong_usage(cli):
    answer = cli()
    assert answer.code == 2
    assert "Verbs:" in answer.out


def test_an_unknown_verb(cli):
    answer = cli("rum")
    assert answer.code == 2
    assert "there is no verb 'rum' (did you mean 'run'" in answer.err


def test_an_unknown_verb_of_a_group(cli):
    answer = cli("data", "mke")
    assert answer.code == 2
    assert "'make'" in answer.err


def test_an_unknown_option(cli):
    answer = cli("run", "h4l", "--relaese", "atlas-2020")
    assert answer.code == 2
    assert "--release" in answer.err


#: Verbs that only lead to others, and those.
GROUPS = {
    "cache": ("list", "prune", "verify"),
    "data": ("make", "probe", "list", "files", "find", "fetch", "fetch-datasets"),
    "refrun": ("suggest", "evaluate", "promote", "fetch"),
    "ttbar": ("fileset", "validate", "bench", "train", "models"),
}


@pytest.mark.parametrize("verb", [*VERBS, *(f"{group} {name}" for group in GROUPS for name in GROUPS[group])])
def test_every_verb_has_help_with_an_example(cli, verb):
    answer = cli(*verb.split(), "--help")
    assert answer.code == 0
    assert "Example: femtobarn " + verb in answer.out


def test_the_version(cli):
    assert cli("--version").out.strip() == "0.1.0"

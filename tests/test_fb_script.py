"""The script `./fb`, on a copy of it and with stand-ins for Python: no network, no real environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="./fb is a POSIX shell script")

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("python3.13", "python3.12", "python3.11", "python3", "python")

# Answers the probe, "makes" environments, logs what pip is asked for, and fails where it is told to.
PYTHON = """#!/bin/sh
case "$1 ${2:-}" in
  "-c "*) printf '%s\\n' "$STUB_VERSION" "$STUB_VENV" ;;
  "-m venv")
    mkdir -p "$3/bin" && cp "$0" "$3/bin/python"
    printf '#!/bin/sh\\nprintf "<%%s>" "$@"\\nexit 5\\n' >"$3/bin/femtobarn" && chmod +x "$3/bin/femtobarn" ;;
  "-m pip")
    shift 2; echo "$*" >>"$STUB_LOG"; sleep "${STUB_SLEEP:-0}"
    [ -z "${STUB_PIP_SAYS:-}" ] || { echo "$STUB_PIP_SAYS"; exit 1; } ;;
  "-m pytest") shift 2; echo "pytest $* in $(pwd -P)"; exit 7 ;;
esac
"""


@dataclass(slots=True)
class Checkout:
    """A folder with the script and what it reads, and the commands it will find on its PATH."""

    root: Path
    bin: Path
    env: dict[str, str] = field(default_factory=dict)

    def python(self, name: str, text: str = PYTHON) -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def start(self, *args: str, script: Path | None = None, cwd: Path | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [script or self.root / "fb", *args],
            env={"PATH": f"{self.bin}:/usr/bin:/bin", "HOME": str(self.bin.parent), **self.env},
            cwd=cwd or self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(
        self, *args: str, script: Path | None = None, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        process = self.start(*args, script=script, cwd=cwd)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(args, process.returncode, out, err)

    def pip_calls(self) -> list[str]:
        log = Path(self.env["STUB_LOG"])
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def bare(tmp_path: Path) -> Checkout:
    """A checkout on a machine where no Python works: each name exists but fails, as a pyenv shim does."""
    root = tmp_path / "a check out"
    (root / "requirements").mkdir(parents=True)
    shutil.copy2(ROOT / "fb", root / "fb")
    for name in (
        "pyproject.toml",
        "requirements/build.txt",
        "requirements/runtime.txt",
        "requirements/dev.txt",
    ):
        (root / name).write_text(f"# {name}\n")
    checkout = Checkout(root.resolve(), tmp_path / "bin")
    checkout.bin.mkdir()
    checkout.env = {"STUB_VERSION": "3.12", "STUB_VENV": "venv", "STUB_LOG": str(tmp_path / "pip.log")}
    for name in NAMES:
        checkout.python(name, "#!/bin/sh\necho 'command not found' >&2\nexit 127\n")
    return checkout


@pytest.fixture
def checkout(bare: Checkout) -> Checkout:
    """A checkout on a machine whose `python3` works."""
    bare.python("python3")
    return bare


def test_no_python_is_said(bare: Checkout) -> None:
    result = bare.run("demo")
    assert result.returncode == 2
    assert result.stdout == ""
    assert "found no working Python >= 3.11\n" in result.stderr
    assert "FEMTOBARN_PYTHON" in result.stderr
    assert not (bare.root / ".venv").exists()
    assert not (bare.root / ".venv.lock").exists()


def test_an_old_python_is_named_with_its_version(checkout: Checkout) -> None:
    checkout.env["STUB_VERSION"] = "3.9"
    result = checkout.run("demo")
    assert result.returncode == 2
    assert "(python3 is 3.9)" in result.stderr


def test_missing_venv_module_is_said(checkout: Checkout) -> None:
    checkout.env["STUB_VENV"] = "bare"
    result = checkout.run("demo")
    assert result.returncode == 2
    assert "python3 (3.12) cannot make virtual environments" in result.stderr
    assert "apt install python3.12-venv" in result.stderr


def test_a_python_without_venv_is_passed_over(checkout: Checkout) -> None:
    checkout.python("python3.13", "#!/bin/sh\nprintf '3.13\\nbare\\n'\n")
    assert checkout.run("demo").returncode == 5
    assert (checkout.root / ".venv/.fb-python").read_text() == "python3\n"


def test_a_wrong_override_is_named_and_nothing_else_tried(checkout: Checkout) -> None:
    checkout.env["FEMTOBARN_PYTHON"] = "/no/such/python"
    result = checkout.run("demo")
    assert result.returncode == 2
    assert "FEMTOBARN_PYTHON=/no/such/python is not a working Python >= 3.11" in result.stderr


def test_status_arguments_and_output_are_those_of_femtobarn(checkout: Checkout) -> None:
    result = checkout.run("demo", "two words", "--json")
    assert result.returncode == 5
    assert result.stdout == "<demo><two words><--json>"
    assert result.stderr == "fb: preparing .venv (once)\n"


def test_the_environment_is_made_once(checkout: Checkout) -> None:
    checkout.run("demo")
    calls = checkout.pip_calls()
    assert [" --require-hashes " in call for call in calls] == [True, False]
    again = checkout.run("demo")
    assert (again.returncode, again.stderr) == (5, "")
    assert checkout.pip_calls() == calls


def test_tests_need_the_development_lock_and_pass_their_status_on(checkout: Checkout, tmp_path: Path) -> None:
    checkout.run("demo")
    result = checkout.run("test", "-k", "a b", cwd=tmp_path)
    assert result.returncode == 7
    assert result.stdout == f"pytest -k a b in {checkout.root}\n"
    assert sum("dev.txt" in call for call in checkout.pip_calls()) == 1
    # Then both verbs are served by the same environment.
    before = len(checkout.pip_calls())
    assert checkout.run("demo").returncode == 5
    everything = checkout.run("test")
    assert everything.returncode == 7
    assert everything.stdout == f"pytest -n logical --dist worksteal in {checkout.root}\n"
    assert len(checkout.pip_calls()) == before


def test_a_changed_pyproject_reinstalls_only_the_package(checkout: Checkout) -> None:
    checkout.run("demo")
    before = len(checkout.pip_calls())
    (checkout.root / "pyproject.toml").write_text("# changed\n")
    assert checkout.run("demo").stderr == "fb: updating .venv\n"
    (call,) = checkout.pip_calls()[before:]
    assert "--no-deps" in call
    assert "--editable" in call


def test_a_changed_lock_rebuilds(checkout: Checkout) -> None:
    checkout.run("demo")
    (checkout.root / ".venv/left-over").touch()
    (checkout.root / "requirements/runtime.txt").write_text("# changed\n")
    assert checkout.run("demo").stderr == "fb: preparing .venv (once)\n"
    assert not (checkout.root / ".venv/left-over").exists()


@pytest.mark.parametrize(
    ("pip_says", "advice"),
    [
        ("WARNING: NewConnectionError: Name or service not known", "network or the package index"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "do not install it"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("ERROR: No matching distribution found for numpy==1", "no wheel for this Python"),
    ],
)
def test_a_failing_step_is_named_and_the_half_built_environment_redone(
    checkout: Checkout, pip_says: str, advice: str
) -> None:
    checkout.env["STUB_PIP_SAYS"] = pip_says
    failed = checkout.run("demo")
    assert failed.returncode == 2
    assert failed.stdout == ""
    assert "failed: installing the locked requirements" in failed.stderr
    assert pip_says in failed.stderr
    assert advice in failed.stderr

    del checkout.env["STUB_PIP_SAYS"]
    redone = checkout.run("demo")
    assert (redone.returncode, redone.stderr) == (5, "fb: preparing .venv (once)\n")


def test_a_wheelhouse_is_used_without_an_index(checkout: Checkout, tmp_path: Path) -> None:
    (tmp_path / "wheel house").mkdir()
    assert checkout.run("--wheelhouse", "wheel house", "demo", cwd=tmp_path).returncode == 5
    expected = f"--no-index --find-links {tmp_path / 'wheel house'}"
    assert all(expected in call for call in checkout.pip_calls())


def test_a_missing_wheelhouse_is_said(checkout: Checkout) -> None:
    result = checkout.run("--wheelhouse", "nowhere", "demo")
    assert result.returncode == 2
    assert "no folder nowhere" in result.stderr


def test_filling_a_wheelhouse_downloads_by_hash_and_builds_the_package(checkout: Checkout) -> None:
    assert checkout.run("wheelhouse", "wheels").returncode == 0
    download, wheel = checkout.pip_calls()[-2:]
    assert download.startswith("download --require-hashes ")
    assert wheel.startswith("wheel --no-deps ")


def test_works_from_elsewhere_through_a_relative_symlink(checkout: Checkout, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "fb"
    link.symlink_to(os.path.relpath(checkout.root / "fb", link.parent))
    assert checkout.run("demo", script=link, cwd=tmp_path).returncode == 5
    assert (checkout.root / ".venv/.fb-package").is_file()


def test_two_at_once_build_one_environment(checkout: Checkout) -> None:
    checkout.env["STUB_SLEEP"] = "1"
    first, second = checkout.start("demo"), checkout.start("demo")
    errors = sorted(process.communicate(timeout=60)[1] for process in (first, second))
    assert (first.returncode, second.returncode) == (5, 5)
    assert errors[0] == "fb: preparing .venv (once)\n"
    assert "waiting for another ./fb" in errors[1]
    assert len(checkout.pip_calls()) == 2


def test_the_lock_of_a_process_that_is_gone_is_taken_over(checkout: Checkout) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    lock = checkout.root / ".venv.lock"
    lock.mkdir()
    (lock / "owner").write_text(f"{ended.pid} {os.uname().nodename}\n")
    assert checkout.run("demo").returncode == 5
    assert not lock.exists()


def test_a_folder_that_cannot_be_written_is_said(checkout: Checkout, tmp_path: Path) -> None:
    # A file where the folder should be refuses even the administrator.
    (tmp_path / "file").touch()
    checkout.env["FEMTOBARN_VENV"] = str(tmp_path / "file" / "venv")
    result = checkout.run("demo")
    assert result.returncode == 2
    assert f"cannot write in {tmp_path / 'file'}" in result.stderr


@pytest.mark.parametrize(("holds", "status"), [("whole", 5), ("other", 2), ("empty", 5)])
def test_an_environment_made_by_hand_is_not_disturbed(checkout: Checkout, holds: str, status: int) -> None:
    venv = checkout.root / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin/python").write_text(f"#!/bin/sh\necho {holds}\n")
    (venv / "bin/femtobarn").write_text("#!/bin/sh\nexit 5\n")
    for name in ("python", "femtobarn"):
        (venv / "bin" / name).chmod(0o755)
    result = checkout.run("demo")
    assert result.returncode == status
    assert (not (venv / ".fb-made").exists()) == (holds != "empty")
    assert "not made by ./fb" in result.stderr or holds == "empty"


def test_paths_of_a_software_stack_do_not_reach_the_environment(checkout: Checkout) -> None:
    checkout.env |= {"PYTHONPATH": "/stack", "PYTHONHOME": "/stack", "PIP_TARGET": "/elsewhere"}
    spy = PYTHON.replace('echo "$*" >>', 'echo "${PYTHONPATH-}${PYTHONHOME-}${PIP_TARGET-}" >>')
    checkout.python("python3", spy)
    checkout.run("demo")
    assert checkout.pip_calls() == ["", ""]

"""Files for the places where users are: container, development container, Binder.

The image itself is built, and its demo run read-only as another user, by the release workflow.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="these are POSIX shell scripts")


def test_the_image_is_built_from_files_that_exist_and_is_not_root():
    text = (ROOT / "docker" / "Dockerfile").read_text("utf-8")
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
    sources = [name for line in copied for name in line.split()]
    assert len(sources) > 5
    assert all((ROOT / name).exists() for name in sources)
    kept = (ROOT / "docker" / "Dockerfile.dockerignore").read_text("utf-8")
    assert all(f"!{name.split('/')[0]}" in kept for name in sources)
    assert re.search(r"^USER (?!root)\w+$", text, re.MULTILINE)
    assert 'ENTRYPOINT ["femtobarn"]' in text
    assert text.count("--require-hashes") == text.count("pip install") - 1  # the last one is our own wheel


def test_the_image_writes_to_its_cache_alone(tmp_path):
    script = (ROOT / "docker" / "femtobarn").read_text("utf-8")
    stub = tmp_path / "femtobarn"
    stub.write_text('#!/bin/sh\nprintf "%s\\n" "$FEMTOBARN_CACHE" "$NUMBA_CACHE_DIR" "$MPLCONFIGDIR" "$@"\n')
    stub.chmod(0o755)
    entry = tmp_path / "entry"
    entry.write_text(script.replace("/opt/femtobarn/bin/femtobarn", str(stub)))
    environment = {"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path / "tmp")}
    done = subprocess.run(
        ["sh", entry, "demo", "h4l"], env=environment, capture_output=True, text=True, check=True
    )
    *folders, first, second = done.stdout.splitlines()
    assert (first, second) == ("demo", "h4l")
    assert all(folder.startswith(str(tmp_path / "tmp")) for folder in folders)


def test_the_development_container_prepares_what_fb_prepares():
    settings = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text("utf-8"))
    assert settings["postCreateCommand"].startswith("./fb --prepare dev")
    assert re.fullmatch(r"python:3\.1[1-3]-\w+", settings["image"])


def test_binder_installs_the_lock_and_converts_the_notebooks():
    script = ROOT / ".binder" / "postBuild"
    assert os.access(script, os.X_OK)
    assert subprocess.run(["sh", "-n", script], check=False).returncode == 0
    text = script.read_text("utf-8")
    named = re.findall(r"-r (\S+)", text)
    assert named == ["requirements/build.txt", "requirements/runtime.txt"]
    assert all((ROOT / name).exists() for name in named)
    assert list(ROOT.glob(re.search(r"--to ipynb (\S+)", text)[1]))
    version = (ROOT / ".binder" / "runtime.txt").read_text("utf-8").strip()
    assert version in ("python-3.11", "python-3.12", "python-3.13")

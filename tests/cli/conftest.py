"""The command line called in this process, and small inputs for it."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from femtobarn.samples import make, make_dimuon


@dataclass(frozen=True)
class Answer:
    """What a call of the command line left behind."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


@pytest.fixture
def cli(monkeypatch, capfd, tmp_path) -> Iterator[Callable[..., Answer]]:
    """``cli("run", "h4l", ...)`` in an empty working directory; never a traceback."""
    monkeypatch.chdir(tmp_path)
    terminate = signal.getsignal(signal.SIGTERM)

    def call(*arguments: object) -> Answer:
        from femtobarn.cli import main

        monkeypatch.setattr(sys, "argv", ["femtobarn", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = capfd.readouterr()
        code = caught.value.code
        assert "Traceback" not in out + err
        return Answer(code if isinstance(code, int) else int(code is not None), out, err)

    yield call
    logging.captureWarnings(capture=False)
    signal.signal(signal.SIGTERM, terminate)


@pytest.fixture(scope="session")
def dimuon_file(tmp_path_factory) -> Path:
    return make_dimuon(tmp_path_factory.mktemp("dimuon") / "dimuon.root", events=400, seed=2)


@pytest.fixture(scope="session")
def h4l_samples(tmp_path_factory) -> Path:
    """Folder of a small four-lepton sample set."""
    folder = tmp_path_factory.mktemp("h4l")
    make("h4l", folder, release="atlas-2020", seed=4, scale=0.05)
    return folder

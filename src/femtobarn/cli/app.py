"""The typer application: verbs loaded when named, errors as one screen, signals as exit codes."""

from __future__ import annotations

import importlib
import logging
import os
import select
import signal
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from femtobarn.cli import VERBS
from femtobarn.cli.screen import show_error, show_near
from femtobarn.errors import FemtobarnError, StoreError, nearest
from femtobarn.folders import disk_advice

__all__ = ["run_app"]


class _Verbs(TyperGroup):
    """Finds a verb's module by its name in the table."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"femtobarn.cli.{VERBS[cmd_name][0]}")
        command = typer.main.get_command(module.app)
        command.name = cmd_name
        return command


app = typer.Typer(name="femtobarn", cls=_Verbs, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.callback()
def _root() -> None:
    """From public LHC data to a physics result, with nothing silently lost on the way."""


class _Stopped(BaseException):
    """Ctrl-C or SIGTERM, as an exception, so that workers are stopped and files closed on the way out."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _stop(number: int, _frame: Any) -> None:
    # Once is enough: a second signal must not cut short what the first one has set going.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise _Stopped(number)


def run_app() -> int:
    """Run the command line; returns the exit code and shows no traceback for a user's mistake."""
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.WARNING, format="%(levelname)s: %(message)s"
    )
    logging.getLogger("femtobarn.notice").setLevel(logging.INFO)
    logging.captureWarnings(capture=True)
    for noisy in ("matplotlib", "fontTools", "numba", "asyncio", "fsspec", "httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    verb = next((item for item in sys.argv[1:] if not item.startswith("-")), "")
    if verb and verb not in VERBS and sys.argv[1] == verb:
        show_near(f"there is no verb {verb!r}", nearest(verb, VERBS), "femtobarn --help lists the verbs")
        return 2
    # Our own exception for Ctrl-C, too: typer answers KeyboardInterrupt without a word.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, _stop)
    try:
        code = app(standalone_mode=True)
    except FemtobarnError as error:
        if debug:
            raise
        show_error(error)
        return error.exit_code
    except _Stopped as stop:
        show_near(f"stopped by {signal.Signals(stop.number).name}", (), _how_to_go_on(stop))
        return 128 + stop.number
    except BrokenPipeError:
        if not _nobody_reads():
            raise  # some other pipe or connection: not the end that anybody wished for
        # The reader of our output went away (``| head``); nothing to say to anybody.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        # The disk, not the program: full, read-only, without permission, a name it does not take.
        if debug or error.filename is None:
            raise
        show_error(StoreError(f"cannot be used: {error.strerror}", where=str(error.filename),
                              action=disk_advice(error)))  # fmt: skip
        return 1
    return int(code or 0)


def _nobody_reads() -> bool:
    """Whether the reader of standard output is gone."""
    if not hasattr(select, "poll"):
        return True  # Windows: no other pipe of ours breaks with this error
    asked = select.poll()
    asked.register(sys.stdout.fileno(), select.POLLOUT)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in asked.poll(0))


def _how_to_go_on(stop: _Stopped) -> str:
    notes: list[str] = getattr(stop, "__notes__", [])
    return notes[0] if notes else "what is done is kept; repeat the command to go on"

"""The command line.  One file a verb: parse, one call of :mod:`femtobarn.api`, show.

Starting is cheap: the list of verbs is here, their modules are imported when they are used.
"""

from __future__ import annotations

import sys
from typing import Final

__all__ = ["VERBS", "main"]

#: verb -> (module in this package, one line of help)
VERBS: Final = {
    "demo": ("demo", "run the built-in jobs on synthetic samples"),
    "run": ("run", "run an analysis: files in, plots, numbers and a report out"),
    "plan": ("plan", "show what would run; only metadata is read"),
    "check": ("check", "explain a run file, or say what is wrong with it"),
    "resume": ("resume", "finish a run that was stopped or lost parts"),
    "status": ("status", "how far a run is"),
    "submit": ("submit", "hand a run to a batch system as an array of jobs"),
    "resubmit": ("resubmit", "submit again what is missing of a run"),
    "merge": ("merge", "add the slices of a run, verifying that none is missing"),
    "fit": ("fit", "fit a workspace or a model, or repeat the inference of a run"),
    "plot": ("plot", "draw the figures of a run again"),
    "report": ("report", "write the report of a run again"),
    "survey": ("survey", "fill every mass spectrum of every final state"),
    "tnp": ("tnp", "efficiencies by tag and probe; the older tool's JSON files and arguments"),
    "export": ("export", "write results in other programs' formats"),
    "ttbar": ("ttbar", "tools of the top-pair job: fileset, validate, bench"),
    "new": ("new", "write a small analysis of your own to start from"),
    "data": ("data", "find, fetch, inspect and make input files"),
    "cache": ("cache", "list, prune and verify what is kept between runs"),
    "deliver": ("deliver", "deliver columns of a ServiceX specification as verified files"),
    "refrun": ("refrun", "suggest reference runs to shifters; evaluate, promote, fetch"),
    "serve": ("serve", "serve the reference-run page, or deliveries as a ServiceX server does"),
}


def _help() -> str:
    width = max(map(len, VERBS)) + 2
    lines = [
        "Usage: femtobarn VERB [ARGUMENTS]   (fb for short)",
        "",
        "From public LHC data to a physics result, with nothing silently lost on the way.",
        "",
        "Verbs:",
        *(f"  {name:<{width}}{text}" for name, (_, text) in VERBS.items()),
        "",
        "  femtobarn VERB --help    what a verb takes, with an example",
        "  femtobarn --version      the version",
        "  femtobarn --install-completion   completion for your shell",
    ]
    return "\n".join(lines)


def main() -> None:
    """Entry point of ``femtobarn`` and ``fb``."""
    arguments = sys.argv[1:]
    if not arguments or arguments in (["--help"], ["-h"], ["help"]):
        print(_help())
        raise SystemExit(0 if arguments else 2)
    if arguments == ["--version"]:
        from femtobarn import __version__

        print(__version__)
        raise SystemExit(0)
    from femtobarn.cli.app import run_app

    raise SystemExit(run_app())

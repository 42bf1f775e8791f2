"""``femtobarn tnp``: tag and probe, with the older tool's verbs and flags."""

from __future__ import annotations

import typer

from femtobarn.cli.tnp_fitter import add_fitter_verbs

_HELP = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(rich_markup_mode=None, context_settings=_HELP, no_args_is_help=True, add_completion=False,
                  help="Tag and probe.")  # fmt: skip
add_fitter_verbs(app)

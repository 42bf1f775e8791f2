"""``femtobarn export``."""

from __future__ import annotations

from typing import Annotated

import typer

from femtobarn.cli import options as o
from femtobarn.cli.screen import answer, say, show_json

app = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})

Text = str | None


@app.command(epilog="Example: femtobarn export workspace.json --to datacard --out card")
def export(
    source: Annotated[str, typer.Argument(metavar="RUN|WORKSPACE.json|MODEL.yml", help="what to write")],
    to: Annotated[
        str,
        typer.Option(
            metavar="FORMAT",
            help="root, bumpnet, pyhf, datacard, hepdata, correctionlib, egamma, json or csv",
        ),
    ],
    out: Annotated[Text, typer.Option(metavar="PATH", help="file or directory to write")] = None,
    measurement: Annotated[Text, typer.Option(help="measurement by name")] = None,
    interp: Annotated[
        Text, typer.Option(metavar="normsys=code4,histosys=code4p", help="interpolation")
    ] = None,
    channels: Annotated[Text, typer.Option(metavar="C,...", help="only these channels")] = None,
    patch: Annotated[Text, typer.Option(metavar="P.json[:NAME]", help="JSON patch or patch set")] = None,
    skip_empty: Annotated[
        bool, typer.Option("--skip-empty", help="leave out histograms without content (root)")
    ] = False,
    allow_suspect: Annotated[
        bool, typer.Option("--allow-suspect", help="scale factors: fits that are not good, too")
    ] = False,
    year: Annotated[str, typer.Option(metavar="YEAR", help="correctionlib: the input year")] = "",
    check: Annotated[bool, typer.Option("--check", help="bumpnet: only judge; takes FILE.root too")] = False,
    skipped_bins: Annotated[
        float | None, typer.Option(metavar="X", help="bumpnet: share of bins its loader skips")
    ] = None,
    json: o.Json = False,
) -> None:
    """Write a run or a likelihood in another program's format; what it cannot hold is said."""
    from femtobarn import api
    from femtobarn.cli.fit_options import model_options

    if check or skipped_bins is not None:
        _bumpnet(source, to, out=out, check=check, skipped_bins=skipped_bins, as_json=json)
        return
    asked = model_options(measurement=measurement, interp=interp, channels=channels, patch=patch)
    done = api.export(
        source, to, out=out, options=asked, skip_empty=skip_empty, allow_suspect=allow_suspect, year=year
    )
    for note in done.notes:
        say(f"note: {note}")
    if json:
        show_json({"paths": [str(path) for path in done.paths], "notes": list(done.notes)})
    else:
        for path in done.paths:
            answer(str(path))


def _bumpnet(
    source: str, to: str, *, out: str | None, check: bool, skipped_bins: float | None, as_json: bool
) -> None:
    from femtobarn import api
    from femtobarn.errors import UsageError

    if to != "bumpnet":
        raise UsageError("--check and --skipped-bins go with --to bumpnet")
    place = out or "bumpnet"
    verdicts = api.check_bumpnet(source, out=place, skipped_bins=skipped_bins, write=not check)
    accepted = sum(item.accepted for item in verdicts)
    if as_json:
        rows = [{"name": v.name, "accepted": v.accepted, "reason": v.reason} for v in verdicts]
        show_json({"accepted": accepted, "rejected": len(verdicts) - accepted, "verdicts": rows})
    else:
        answer(f"{accepted} of {len(verdicts)} spectra accepted; {place}/bumpnet_selfcheck.csv")

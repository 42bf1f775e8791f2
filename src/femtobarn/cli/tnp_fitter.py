"""``femtobarn tnp run-fitter`` and ``femtobarn tnp closure``: fits of passing and failing probes."""

from __future__ import annotations

from typing import Annotated

import typer

from femtobarn.cli import options as o
from femtobarn.cli.screen import answer, say, show_json, show_table

__all__ = ["add_fitter_verbs"]

_HELP = {"help_option_names": ["-h", "--help"]}


def add_fitter_verbs(app: typer.Typer) -> None:
    """Put the two verbs into the group ``tnp``."""
    example = "Example: femtobarn tnp "
    app.command(
        "run-fitter", context_settings=_HELP, epilog=f"{example}run-fitter --config FIT.json --out fits"
    )(run_fitter)
    app.command("closure", context_settings=_HELP, epilog=f"{example}closure --toys 100 --out closure")(
        closure
    )


def run_fitter(
    config: Annotated[str, typer.Option(metavar="FIT.json", help="what to fit, and how")],
    out: Annotated[str, typer.Option(metavar="DIR", help="run directory to write")],
    fresh: Annotated[bool, typer.Option("--fresh", help="replace fits of another configuration")] = False,
    workers: Annotated[int | None, typer.Option(help="number of worker processes")] = None,
    json: o.Json = False,
) -> None:
    """Fit pass and fail histograms of ROOT files; writes fits, scale factors, figures and a report."""
    from femtobarn import api

    where, fitted = api.run_fitter(config, out=out, fresh=fresh, workers=workers, command=o.command_line())
    if json:
        show_json(fitted)
        return
    show_fits(str(where))


def show_fits(where: str) -> None:
    """Warnings, nominal fits and scale factors as tables, and where the rest is."""
    from femtobarn import api

    run = api.open_run(where)
    for warning in run.manifest.get("warnings", ()):
        say(f"note: {warning}")
    fits = run.fit["fits"]
    rows = [
        [f["label"], f["filter"], f["bin"]["name"], _number(f["efficiency"]["value"]),
         _number(f["efficiency"]["hesse"]), f["status"], "; ".join(f["reasons"])]
        for f in fits if f["variation"] == "nominal"
    ]  # fmt: skip
    show_table(("sample", "filter", "bin", "efficiency", "error", "status", "why"), rows)
    factors = run.tables.get("scale_factors")
    if factors:
        keys = ("label", "bin", "sf", "stat", "syst", "total", "status")
        shown = [
            [value if isinstance(value, str) else _number(value) for value in row]
            for row in zip(*(factors[key] for key in keys), strict=True)
        ]
        show_table(("pair", *keys[1:]), shown)
    answer(str(run.manifest["headline"]))
    answer(f"wrote {where}/fit.json   report: {where}/report.html   fits: {where}/plots/fits/index.html")


def closure(
    out: Annotated[str, typer.Option(metavar="DIR", help="directory; the result is tables/closure.json")],
    toys: Annotated[int, typer.Option(help="number of toys")] = 100,
    seed: Annotated[int, typer.Option(help="seed of the toys")] = 1,
    efficiency: Annotated[float, typer.Option(help="true efficiency")] = 0.85,
    model: Annotated[str, typer.Option(metavar="SIGNAL_BACKGROUND", help="shapes")] = "dcb_cms",
    mass: Annotated[str, typer.Option(help="resonance: Z, Z_muon, JPsi, JPsi_muon")] = "Z",
    workers: Annotated[int | None, typer.Option(help="number of worker processes")] = None,
    json: o.Json = False,
) -> None:
    """Fit toys of known efficiency: pulls must have mean 0 and width 1."""
    from femtobarn import api

    where, row = api.tnp_closure(
        toys=toys, seed=seed, efficiency=efficiency, model=model, resonance=mass, out=out, workers=workers
    )
    if json:
        show_json(row)
        return
    answer(
        f"{row['toys']} toys of {row['model']}, efficiency {row['efficiency_true']:g}: "
        f"pull mean {_number(row['pull_mean'])}, width {_number(row['pull_width'])}, "
        f"coverage {_number(row['coverage68'])}, {row['failed']} failed"
    )
    say(f"wrote {where}/tables/closure.json")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"

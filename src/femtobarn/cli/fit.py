"""``femtobarn fit``."""

from __future__ import annotations

from typing import Annotated

import typer

from femtobarn.cli import options as o
from femtobarn.cli.fit_answer import answer_lines
from femtobarn.cli.fit_options import parse_options
from femtobarn.cli.screen import answer, say, show_json

app = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})

Texts = list[str] | None
Text = str | None


@app.command(epilog="Example: femtobarn fit workspace.json --profile mu --ranking --limit --gof saturated")
def fit(
    model: Annotated[
        str, typer.Argument(metavar="RUN|WORKSPACE.json|MODEL.yml|HISTS.root", help="what to fit")
    ],
    out: Annotated[Text, typer.Option(metavar="DIR", help="leave a run alone and write here")] = None,
    measurement: Annotated[Text, typer.Option(help="measurement by name")] = None,
    poi: Annotated[Text, typer.Option(help="another parameter of interest")] = None,
    interp: Annotated[
        Text, typer.Option(metavar="normsys=code4,histosys=code4p", help="interpolation")
    ] = None,
    fix: Annotated[Texts, typer.Option(metavar="PAR=V", help="hold a parameter; repeatable")] = None,
    profile: Annotated[Texts, typer.Option(metavar="PAR|all", help="profile interval; repeatable")] = None,
    ranking: Annotated[bool, typer.Option("--ranking", help="impacts on the parameter of interest")] = False,
    scan: Annotated[Texts, typer.Option(metavar="PAR=LO:HI:N", help="likelihood scan; repeatable")] = None,
    scan2d: Annotated[Texts, typer.Option(metavar="P1,P2", help="contours; repeatable")] = None,
    hypotest: Annotated[
        list[float] | None, typer.Option(metavar="MU", help="CLs of a value; repeatable")
    ] = None,
    limit: Annotated[bool, typer.Option("--limit", help="upper limit by CLs")] = False,
    cl: Annotated[float, typer.Option(help="confidence level of the limit")] = 0.95,
    significance: Annotated[bool, typer.Option("--significance", help="discovery significance")] = False,
    gof: Annotated[Text, typer.Option(metavar="saturated|toys", help="goodness of fit")] = None,
    toys: Annotated[int, typer.Option(help="number of toys")] = 0,
    seed: Annotated[int, typer.Option(help="seed of the toys")] = 1,
    asimov: Annotated[
        Text, typer.Option(metavar="PAR=V,...", help="fit the Asimov data of these values")
    ] = None,
    prune: Annotated[float | None, typer.Option(metavar="T", help="drop effects below T")] = None,
    smooth: Annotated[Text, typer.Option(metavar="353QH", help="smooth variations")] = None,
    correlate: Annotated[Texts, typer.Option(metavar="A:B=R", help="correlate two parameters")] = None,
    decorrelate: Annotated[
        Texts, typer.Option(metavar="NAME:channel|sample", help="split a parameter")
    ] = None,
    postfit: Annotated[bool, typer.Option("--postfit", help="post-fit yields table")] = False,
    channels: Annotated[Text, typer.Option(metavar="C,...", help="only these channels")] = None,
    patch: Annotated[Text, typer.Option(metavar="P.json[:NAME]", help="JSON patch or patch set")] = None,
    search: Annotated[Text, typer.Option(metavar="bump", help="search spectra for bumps instead")] = None,
    inject: Annotated[
        Text,
        typer.Option(metavar="MASS,WIDTH,EVENTS", help="add a bump to all spectra first (with --search)"),
    ] = None,
    bin_name: Annotated[Text, typer.Option("--bin", metavar="N", help="tag and probe: only this bin")] = None,
    variation: Annotated[Text, typer.Option(help="tag and probe: which fit of the bin")] = None,
    start: Annotated[
        Texts, typer.Option(metavar="PAR=V[,LO,HI]", help="tag and probe: start and limits; repeatable")
    ] = None,
    shapes: Annotated[
        Text, typer.Option("--model", metavar="SIGNAL_BKG", help="tag and probe: shapes, like dcb_cms")
    ] = None,
    config: Annotated[Text, typer.Option(metavar="FIT.json", help="tag and probe: how to fit")] = None,
    engine: Annotated[Text, typer.Option(metavar="own|pyhf", help="what finds the best fit")] = None,
    json: o.Json = False,
) -> None:
    """Fit a run, a pyhf workspace or a cabinetry model; writes fit.json, tables, figures and a report."""
    from pathlib import Path

    from femtobarn import api
    from femtobarn.errors import UsageError

    if search is not None:
        _search(model, search, out=out, inject=inject, toys=toys, seed=seed, as_json=json)
        return
    if api.is_probe_run(Path(model)):
        _probes(model, out, bin_name, variation, start, shapes, config, as_json=json)
        return
    asked = {
        "--bin": bin_name,
        "--variation": variation,
        "--start": start,
        "--model": shapes,
        "--config": config,
    }
    if given := [flag for flag, value in asked.items() if value]:
        raise UsageError(f"{given[0]} is for tag-and-probe runs", where=model)
    options = parse_options(
        measurement=measurement, poi=poi, interp=interp, fix=fix, profile=profile, ranking=ranking, scan=scan,
        scan2d=scan2d, hypotest=hypotest, limit=limit, cl=cl, significance=significance, gof=gof, toys=toys,
        seed=seed, asimov=asimov, prune=prune, smooth=smooth, correlate=correlate, decorrelate=decorrelate,
        postfit=postfit, channels=channels, patch=patch, engine=engine,
    )  # fmt: skip
    where = api.fit_directory(model, out)
    fitted = api.fit(model, options, out=out, command=o.command_line())
    for warning in fitted.get("warnings", ()):
        say(f"warning: {warning}")
    if json:
        show_json(fitted)
    else:
        answer(api.open_run(where).manifest["headline"])
        for line in answer_lines(fitted):
            answer(f"  {line}")
        answer(f"wrote {where / 'fit.json'}   report: {where / 'report.html'}")
    if fitted.get("not_done"):
        say(f"not everything could be done: {', '.join(fitted['not_done'])} failed (see the warnings)")
        raise typer.Exit(1)


def _search(
    what: str, kind: str, *, out: str | None, inject: str | None, toys: int, seed: int, as_json: bool
) -> None:
    from femtobarn import api
    from femtobarn.errors import UsageError

    if kind != "bump":
        raise UsageError(f"--search {kind} is unknown", action="use --search bump")
    where, fitted = api.search_bumps(
        what, out=out, inject=inject, toys=toys, seed=seed, command=o.command_line()
    )
    if as_json:
        show_json(fitted)
        return
    answer(api.open_run(where).manifest["headline"])
    answer(f"wrote {where / 'fit.json'}   report: {where / 'report.html'}")


def _probes(
    run: str,
    out: str | None,
    bin_name: str | None,
    variation: str | None,
    start: Texts,
    shapes: str | None,
    config: str | None,
    *,
    as_json: bool,
) -> None:
    """Fits of passing and failing probes: all of a run, or one bin again."""
    from femtobarn import api
    from femtobarn.cli.tnp_fitter import show_fits
    from femtobarn.errors import UsageError

    where = api.probe_copy(run, out)
    if bin_name is not None:
        if config is not None:
            raise UsageError("--config is for all bins; --bin keeps the run's own configuration")
        fitted = api.refit_bin(
            where, bin_name, variation=variation or "nominal", model=shapes, starts=start or ()
        )
    elif variation or start:
        raise UsageError(f"--{'variation' if variation else 'start'} needs --bin", where=run)
    else:
        fitted = api.fit_probes(where, config=config, model=shapes)
    if as_json:
        show_json(fitted)
    else:
        show_fits(str(where))

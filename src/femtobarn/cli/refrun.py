"""``femtobarn refrun``: suggest a reference run, replay the past, promote, fetch records."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from femtobarn.cli import options as o
from femtobarn.cli.screen import answer, say, show_error, show_json, show_table
from femtobarn.errors import DataError, UsageError

#: Excluded runs that are listed on the screen; an open list has thousands.
_MOST_OUT: Final = 20
_HELP = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(rich_markup_mode=None, context_settings=_HELP, no_args_is_help=True, add_completion=False,
                  help="Which reference run should a shifter compare this run with?",
                  epilog="Example: femtobarn refrun suggest 320888 --reco prompt --pairs F.json")  # fmt: skip

Pairs = Annotated[str | None, typer.Option(metavar="FILE|URL", help="certified runs and their references")]
Runs = Annotated[str | None, typer.Option("--runs", metavar="F", help="run records: CSV, Parquet or JSON")]
Lumis = Annotated[str | None, typer.Option(metavar="F", help="lumisection records")]
Store = Annotated[str | None, typer.Option(metavar="S", help="store that `refrun fetch` fills")]
Protocol = Annotated[
    str, typer.Option(help="run-ordered, run-ordered+express, embargo, append, append-embargo")
]
Embargo = Annotated[int | None, typer.Option(metavar="G", help="gap of the embargo protocols (100)")]
Class = Annotated[
    str | None, typer.Option("--class", help="collisions, cosmics or HI; overrides the records")
]
TestFrom = Annotated[int | None, typer.Option(help="first run that is tested")]
TestTo = Annotated[int | None, typer.Option(help="the run before which the test ends")]


@app.command(
    "suggest",
    context_settings=_HELP,
    epilog="Example: femtobarn refrun suggest 320888 --reco express --pairs pairs.json --runs runs.csv",
)
def suggest(
    run: Annotated[list[int], typer.Argument(metavar="RUN...", help="run numbers")],
    reco: Annotated[str, typer.Option(help="express, prompt, rereco or rerecoul")],
    run_class: Class = None,
    pairs: Pairs = None,
    runs: Runs = None,
    store: Store = None,
    lumisections: Lumis = None,
    references: Annotated[str | None, typer.Option(metavar="F", help="the closed list by hand")] = None,
    golden: Annotated[
        str | None, typer.Option(metavar="F", help="only runs in this certification JSON")
    ] = None,
    tracker_good: Annotated[
        str | None, typer.Option(metavar="F", help="the same, tracker flags good")
    ] = None,
    blocklist: Annotated[str | None, typer.Option(metavar="F", help="runs that are out")] = None,
    retired: Annotated[str | None, typer.Option(metavar="F", help="references no longer in use")] = None,
    require_component: Annotated[
        list[str] | None, typer.Option(metavar="X", help="has to have taken part; repeatable")
    ] = None,
    min_ls: Annotated[int | None, typer.Option(metavar="N", help="at least this many lumisections")] = None,
    min_ready: Annotated[
        float | None, typer.Option(help="at least this fraction of lumisections with a ready tracker")
    ] = None,
    match: Annotated[
        list[str] | None, typer.Option(help="conditions that must agree: field, energy, apv; repeatable")
    ] = None,
    earlier_only: Annotated[
        bool | None,
        typer.Option("--earlier-only/--allow-later", help="later references out (express) or only flagged"),
    ] = None,
    any_class: Annotated[bool, typer.Option("--any-class", help="also references of other classes")] = False,
    candidates: Annotated[
        str, typer.Option("--list", help="closed (used before) or open (every run)")
    ] = "closed",
    protocol: Protocol = "run-ordered+express",
    embargo: Embargo = None,
    history: Annotated[str, typer.Option(help="latest or model")] = "latest",
    order: Annotated[str, typer.Option(help="history or physics")] = "history",
    features: Annotated[str | None, typer.Option(help="features of the distance, as duration,pileup")] = None,
    weight: Annotated[list[str] | None, typer.Option(metavar="FEATURE=W", help="repeatable")] = None,
    metric: Annotated[
        str, typer.Option(help="distance: log, or of standardised features euclid, manhattan")
    ] = "log",
    components: Annotated[
        int | None, typer.Option(metavar="N", help="in the first N principal components")
    ] = None,
    top: Annotated[int, typer.Option(help="how many references")] = 10,
    why_not: Annotated[
        list[int] | None, typer.Option(metavar="RUN", help="why is this run not first?")
    ] = None,
    formats: Annotated[str, typer.Option("--format", help="what to write: json,csv,html")] = "json,csv,html",
    out: o.Out = None,
    fresh: o.Fresh = False,
    json: o.Json = False,
) -> None:
    """Rank the references for a run by what colleagues chose and by physics, and explain it."""
    from femtobarn import api

    request = api.SuggestRequest(
        reco=reco,
        run_class=run_class,
        golden=golden,
        tracker_good=tracker_good,
        blocklist=blocklist,
        retired=retired,
        references=references,
        require_components=tuple(require_component or ()),
        min_ls=min_ls,
        min_ready=min_ready,
        match=tuple(match or ()),
        earlier_only=earlier_only,
        any_class=any_class,
        list=candidates,
        protocol=protocol,
        embargo=embargo,
        history=history,
        order=order,
        features=tuple(_words(features)),
        weights=tuple(weight or ()),
        metric=metric,
        components=components,
        top=top,
        why_not=tuple(why_not or ()),
    )
    sources = api.RecordSources(pairs=pairs, runs=runs, lumisections=lumisections, store=store)
    done = api.refrun_suggest(run, request, sources, formats=_words(formats), out=out, fresh=fresh,
                              command=o.command_line())  # fmt: skip
    if json:
        show_json(done.content)
        return
    for one in done.content.get("suggestions", [done.content]):
        _show(one)
    for text in done.warnings:
        say(f"warning: {text}")
    say(f"wrote {done.path}")


def _words(text: str | None) -> list[str]:
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def _cell(value: Any, form: str = "") -> Any:
    return "-" if value is None else format(value, form)


def _show(one: dict[str, Any]) -> None:
    target = one["target"]
    answer(
        f"run {target['run_number']}  {target['reco']}  {target['class']} (from {target['class_source']})   "
        f"{one['closed_list_size']} reference{'s' * (one['closed_list_size'] != 1)} in use, "
        f"{len(one['excluded'])} excluded"
    )
    if one["candidates"]:
        rows = [
            [c["rank"], c["reference"], c["reco"], _cell(c["history"]["rank"]), _cell(c["physics"]["rank"]),
             _cell(c["physics"]["distance"], ".4f"), " ".join(c["flags"]) or "-",
             "; ".join(c["history"]["reasons"])]
            for c in one["candidates"]
        ]  # fmt: skip
        show_table(("rank", "reference", "reco", "history", "physics", "distance", "flags", "because"), rows)
    else:
        answer("no reference is left")
    for item in one["excluded"][:_MOST_OUT]:
        answer(
            f"out: {item['reference']}  " + "; ".join(f"{r['code']} ({r['detail']})" for r in item["reasons"])
        )
    if len(one["excluded"]) > _MOST_OUT:
        answer(f"out: {len(one['excluded']) - _MOST_OUT} more, all of them in tables/suggest.json")
    for alert in one["alerts"]:
        answer(f"alert: {alert['code']}: {alert['detail']}")
    for item in one["why_not"]:
        answer(item["answer"])


@app.command(
    "evaluate",
    context_settings=_HELP,
    epilog="Example: femtobarn refrun evaluate --pairs pairs.csv --test-from 346000 --test-to 375000",
)
def evaluate(
    pairs: Pairs = None,
    runs: Runs = None,
    store: Store = None,
    protocol: Protocol = "run-ordered",
    embargo: Embargo = None,
    test_from: TestFrom = None,
    test_to: TestTo = None,
    rankers: Annotated[str | None, typer.Option(help="all, or names as latest,neighbour,model")] = None,
    allow_worse: Annotated[
        bool, typer.Option("--allow-worse", help="exit 0 even if the model loses to latest")
    ] = False,
    out: o.Out = None,
    fresh: o.Fresh = False,
    json: o.Json = False,
) -> None:
    """Replay the past: where was the chosen reference in each ranking?  Exit 1 if the model loses."""
    from femtobarn import api

    done = api.refrun_evaluate(
        api.RecordSources(pairs=pairs, runs=runs, store=store), protocol=protocol, embargo=embargo,
        test_from=test_from, test_to=test_to, rankers=rankers, allow_worse=allow_worse, out=out, fresh=fresh,
        command=o.command_line(),
    )  # fmt: skip
    if json:
        show_json(done.content)
    else:
        for group, values in done.content["groups"].items():
            if not values["n"]:
                continue
            answer(f"\n{group}: n {values['n']}, cold {values['cold']:.4f}, "
                   f"median {values['median_candidates']:g} candidates; at most "
                   f"{values['ceiling']['known']:.4f} can be right, "
                   f"{values['ceiling']['either_baseline']:.4f} by either baseline")  # fmt: skip
            rows = [
                [name, *(f"{scores[key]:.4f}" for key in ("top1", "top3", "top5", "top10", "mrr")),
                 "[{:.3f}, {:.3f}]".format(*scores["top1_ci95"]),
                 *(_delta(scores.get(f"delta_top1_vs_{rival}")) for rival in ("latest", "latest_any"))]
                for name, scores in values["rankers"].items()
            ]  # fmt: skip
            show_table(("ranker", "top1", "top3", "top5", "top10", "mrr", "top1 95%", "top1 - latest",
                        "top1 - latest_any"), rows)  # fmt: skip
        say(f"dropped: {done.content['dropped']}")
        say(f"wrote {done.path}")
    _finish(done)


def _delta(found: dict[str, Any] | None) -> str:
    """A paired difference with its interval."""
    return "-" if found is None else "{:+.4f} [{:+.3f}, {:+.3f}]".format(found["value"], *found["ci95"])


def _finish(done: Any) -> None:
    for text in done.warnings:
        say(f"warning: {text}")
    if done.refused:
        show_error(DataError(done.refused))
        raise typer.Exit(1)


@app.command(
    "promote",
    context_settings=_HELP,
    epilog="Example: femtobarn refrun promote --pairs pairs.csv --runs runs.csv --class collisions",
)
def promote(
    pairs: Pairs = None,
    runs: Runs = None,
    store: Store = None,
    run_class: Annotated[str, typer.Option("--class", help="collisions, cosmics or HI")] = "collisions",
    low: Annotated[int | None, typer.Option("--from", help="first run (the last 600)")] = None,
    high: Annotated[int | None, typer.Option("--to", help="last run")] = None,
    check: Annotated[bool, typer.Option("--evaluate", help="replay past promotions instead")] = False,
    test_from: TestFrom = None,
    test_to: TestTo = None,
    window: Annotated[int, typer.Option(help="runs before the first use that are candidates")] = 600,
    tracker_good: Annotated[
        str | None, typer.Option(metavar="F", help="gives the share of good sections")
    ] = None,
    top: Annotated[int, typer.Option(help="how many runs")] = 10,
    out: o.Out = None,
    fresh: o.Fresh = False,
    json: o.Json = False,
) -> None:
    """Rank certified runs as the next reference."""
    from femtobarn import api

    done = api.refrun_promote(
        api.RecordSources(pairs=pairs, runs=runs, store=store), run_class=run_class, low=low, high=high,
        check=check, test_from=test_from, test_to=test_to, window=window, tracker_good=tracker_good, top=top,
        out=out, fresh=fresh, command=o.command_line(),
    )  # fmt: skip
    if json:
        show_json(done.content)
        return
    if check:
        answer(
            "promotions {promotions}, earlier than first use {earlier_than_first_use}, "
            "reachable {reachable}, "
            "scored {scored}".format(**done.content)
        )
        rows = [[n, *(f"{s[k]:.4f}" for k in ("top1", "top5", "top10", "mrr"))]
                for n, s in done.content["rankers"].items()]  # fmt: skip
        if rows:
            show_table(("ranker", "top1", "top5", "top10", "mrr"), rows)
    else:
        rows = [[c["rank"], c["run"], f"{c['score']:.3f}", f"{c['n_stable_ls']:.0f}", c["age_runs"],
                 "; ".join(c["reasons"])] for c in done.content["candidates"]]  # fmt: skip
        show_table(("rank", "run", "score", "stable LS", "age", "because"), rows)
    for text in done.warnings:
        say(f"warning: {text}")
    say(f"wrote {done.path}")


@app.command(
    "fetch",
    context_settings=_HELP,
    epilog="Example: femtobarn refrun fetch --store refrun.db --runs 315190-315286 --auth oidc",
)
def fetch(
    store: Annotated[str, typer.Option(metavar="S", help="SQLite file to fill")],
    runs: Annotated[str | None, typer.Option(metavar="A-B|A,B", help="a range, or run numbers")] = None,
    resources: Annotated[
        str, typer.Option(help="of runs,fills,lumisections,pairs")
    ] = "runs,fills,lumisections",
    oms_url: Annotated[str | None, typer.Option(metavar="U", help="address of the OMS API")] = None,
    auth: Annotated[str, typer.Option(help="none, oidc, device or krb")] = "none",
    backend: Annotated[str, typer.Option(help="oms, dials or file")] = "oms",
    pairs: Pairs = None,
    files: Annotated[
        list[str] | None,
        typer.Option("--file", metavar="RESOURCE=F", help="input of --backend file; repeatable"),
    ] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="ask again for what is there")] = False,
    out: o.Out = None,
    fresh: o.Fresh = False,
    json: o.Json = False,
) -> None:
    """Fetch records of runs, fills and lumisections into a store; what is there is not asked for again."""
    from femtobarn import api

    pairs_of = dict(_assignment(text) for text in files or ())
    done = api.refrun_fetch(
        store,
        runs=runs,
        resources=_words(resources),
        oms_url=oms_url,
        auth=auth,
        backend=backend,
        pairs=pairs,
        files=pairs_of,
        refresh=refresh,
        out=out,
        fresh=fresh,
        command=o.command_line(),
        tell=say,
    )
    if json:
        show_json(done.content)
    else:
        answer(done.headline)
        say(f"wrote {store} and {done.path}")
    _finish(done)


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not value:
        raise UsageError(f"{text!r} is not of the form RESOURCE=FILE", where="--file")
    return name, value

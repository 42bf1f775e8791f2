"""``femtobarn ttbar``: input files, references, speed and models of the Grand Challenge."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from femtobarn.cli.screen import answer, say, show_table

_HELP = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(rich_markup_mode=None, context_settings=_HELP, no_args_is_help=True, add_completion=False,
                  help="Tools of the top-pair job.",
                  epilog="Example: femtobarn ttbar fileset --n-files 1 --json agc.json")  # fmt: skip


@app.command(
    "fileset", context_settings=_HELP, epilog="Example: femtobarn ttbar fileset --n-files 1 --json F.json"
)
def fileset(
    n_files: Annotated[
        int, typer.Option("--n-files", help="first N files of every dataset; -1 for all")
    ] = -1,
    source: Annotated[
        Literal["upstream", "xcache", "eos", "ssl-dev"], typer.Option(help="where the files are read from")
    ] = "upstream",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="xcache_prefix, xsec.PROCESS")
    ] = None,
    json: Annotated[
        str | None, typer.Option(metavar="FILE", help="write a fileset for run --fileset")
    ] = None,
) -> None:
    """List the input files of the Analysis Grand Challenge."""
    from femtobarn import api

    made = api.ttbar_fileset(n_files, source=source, settings=settings or (), out=json)
    rows = [
        [d.name, len(d.files), d.metadata.get("nevts", ""), f"{d.metadata['xsec']:.6g}", d.files[0].url]
        for d in made.datasets
    ]
    show_table(("dataset", "files", "events", "xsec pb", "first file"), rows)
    answer(f"{made.files} files, {made.events} events")
    if json is not None:
        say(f"run it:  femtobarn run ttbar --fileset {json}")


@app.command(
    "validate",
    context_settings=_HELP,
    epilog="Example: femtobarn ttbar validate RUN --reference reference_1.json",
)
def validate(
    source: Annotated[str, typer.Argument(metavar="RUN|F.root", help="histograms to compare")],
    reference: Annotated[str | None, typer.Option(metavar="REF.json", help="what they should be")] = None,
    mode: Annotated[
        Literal["rule", "strict"], typer.Option(help="the Grand Challenge's tolerance, or 1e-9 everywhere")
    ] = "rule",
    json: Annotated[str | None, typer.Option(metavar="OUT", help="write the report as JSON")] = None,
    dump_json: Annotated[
        str | None, typer.Option("--dump-json", metavar="FILE", help="write the histograms as a reference")
    ] = None,
) -> None:
    """Compare histograms with a reference, bin by bin.  Exit code 1 if they differ."""
    from femtobarn import api

    result = api.ttbar_validate(source, reference, mode=mode, out=json, dump_to=dump_json)
    if dump_json is not None:
        say(f"wrote {dump_json}")
    if reference is None:
        return
    if result.differences:
        rows = [
            [
                d.name,
                _cell(d.bin),
                _cell(d.got),
                _cell(d.want),
                d.verdict,
                "accepted" if d.accepted else "FAILED",
            ]
            for d in result.differences
        ]
        show_table(("name", "bin", "got", "want", "finding", "verdict"), rows)
    failed = len({d.name for d in result.differences if not d.accepted})
    answer(
        f"{result.compared} histograms compared ({mode}): "
        + ("all agree" if result.passed else f"{failed} differ")
    )
    if not result.passed:
        raise typer.Exit(1)


@app.command(
    "bench",
    context_settings=_HELP,
    epilog="Example: femtobarn ttbar bench --files ttbar=x.root --io-percent 15 --read-only --out R",
)
def bench(
    out: Annotated[str, typer.Option(metavar="DIR", help="directory; metrics go to its tables/metrics.json")],
    files: Annotated[
        list[str] | None, typer.Option(metavar="DATASET=GLOB", help="input files; repeatable")
    ] = None,
    fileset: Annotated[str | None, typer.Option(metavar="F.json", help="input files as a fileset")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="parameters of the job")
    ] = None,
    io_percent: Annotated[
        str | None, typer.Option("--io-percent", metavar="P", help="also read so many percent of the bytes")
    ] = None,
    io_scheme: Annotated[str, typer.Option("--io-scheme", help="nanoaod, legacy or poet")] = "nanoaod",
    io_lists: Annotated[
        str | None, typer.Option("--io-lists", metavar="FILE", help="lists of branches that --survey wrote")
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="read columns, process nothing")] = False,
    survey: Annotated[
        bool, typer.Option("--survey", help="only measure what branches weigh, and list them for each level")
    ] = False,
    executor: Annotated[str | None, typer.Option(help="serial, threads, processes, ...")] = None,
    workers: Annotated[int | None, typer.Option(help="number of workers")] = None,
) -> None:
    """Measure how fast files are processed, or read."""
    from femtobarn import api

    if survey:
        found = api.ttbar_survey(
            files or (), out=out, fileset=fileset, settings=settings or (), io_scheme=io_scheme
        )
        rows = [[level, f"{reached:.3g}", len(names)] for level, (reached, names) in found.levels.items()]
        show_table(("percent asked", "reached", "branches"), rows)
        answer(f"{found.branches} branches of {found.files} files")
        say(f"wrote {found.path}; use it:  --io-lists {found.path}")
        return
    made = api.ttbar_bench(
        files or (), out=out, fileset=fileset, settings=settings or (), io_percent=io_percent,
        io_scheme=io_scheme, io_lists=io_lists, read_only=read_only, executor=executor, workers=workers,
    )  # fmt: skip
    m = made.metrics
    answer(
        f"{m['entries']} entries, {m['bytesread'] / 1e6:.3g} MB in {m['walltime']:.3g} s: "
        f"{m['khz_per_core']:.3g} kHz a core, {m['mb_per_s']:.3g} MB/s"
    )
    say(f"wrote {made.path}")


@app.command(
    "train", context_settings=_HELP, epilog="Example: femtobarn ttbar train --files ttbar=x.root --out MODELS"
)
def train(
    out: Annotated[str, typer.Option(metavar="DIR", help="directory for the pair of models")],
    files: Annotated[
        list[str] | None, typer.Option(metavar="ttbar=GLOB", help="simulated top pairs; repeatable")
    ] = None,
    fileset: Annotated[str | None, typer.Option(metavar="F.json", help="input files as a fileset")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="parameters of the job")
    ] = None,
    trials: Annotated[int, typer.Option(help="settings of the search")] = 8,
    folds: Annotated[int, typer.Option(help="folds that each setting is judged by")] = 3,
    seed: Annotated[int, typer.Option(help="the same seed gives the same files")] = 0,
    events: Annotated[int, typer.Option(help="size of the built-in simulation, without files")] = 60_000,
) -> None:
    """Train the two models that assign jets, on even and on odd event numbers."""
    from femtobarn import api

    made = api.ttbar_train(
        files or (), out=out, fileset=fileset, settings=settings or (), trials=trials, folds=folds, seed=seed,
        events=events,
    )  # fmt: skip
    test = made.report["test"]
    answer(
        f"{test['events']} matched events: AUC {test['auc']:.3f}, four jets right {test['all_right']:.1%}, "
        f"right trijet {test['trijet_right']:.1%} (largest pT: {test['trijet_right_largest_pt']:.1%})"
    )
    say(f"use it:  --set ml=local --set models={made.path}")


@app.command(
    "models", context_settings=_HELP, epilog="Example: femtobarn ttbar models MODELS --to triton --out SERVED"
)
def models(
    source: Annotated[str, typer.Argument(metavar="DIR", help="a pair of models, as ttbar train writes it")],
    to: Annotated[Literal["onnx", "triton"], typer.Option(help="ONNX files, or a Triton model repository")],
    out: Annotated[str, typer.Option(metavar="DIR", help="directory for the new pair")],
) -> None:
    """Write a pair of models for ONNX Runtime or a Triton server."""
    from femtobarn import api

    made = api.ttbar_models(source, to=to, out=out)
    answer(str(made))
    say(f"use it:  --set ml={to} --set models={made}")


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.9g}"

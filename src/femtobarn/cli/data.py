"""``femtobarn data``: make, find, fetch, probe, list and name input files."""

from __future__ import annotations

from json import dumps
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from femtobarn.cli import options as o
from femtobarn.cli.fetch import fetch, fetch_datasets, find
from femtobarn.cli.screen import answer, say, show_json, show_table
from femtobarn.errors import UsageError

if TYPE_CHECKING:
    from femtobarn.api import Probed

_HELP = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(rich_markup_mode=None, context_settings=_HELP, no_args_is_help=True, add_completion=False,
                  help="Find, fetch, inspect and make input files.",
                  epilog="Example: femtobarn data list")  # fmt: skip


@app.command(
    "make",
    context_settings=_HELP,
    epilog="Example: femtobarn data make h4l --release atlas-2020 --seed 7 --set mu=1.5 --out toy",
)
def make(
    job: Annotated[str, typer.Argument(help="h4l, hyy, ttbar, agc-poet, refrun, survey or dimuon")],
    out: Annotated[str, typer.Option(metavar="DIR", help="folder to write to")],
    release: Annotated[str | None, typer.Option(help="format to write; the job's first if not given")] = None,
    seed: Annotated[int, typer.Option(help="equal seeds give equal files")] = 1,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="mu, scale (all but dimuon), mass (h4l, hyy), format (ttbar); events (dimuon)",
        ),
    ] = None,
    json: o.Json = False,
) -> None:
    """Write synthetic samples of a job, with fileset.json and truth.json ("femtobarn toy simulation")."""
    from femtobarn import api

    made = api.data_make(job, out=out, release=release, seed=seed, settings=settings or ())
    if json:
        show_json(made.to_json())
        return
    rows = [[d.name, d.kind, d.process, len(d.files), d.metadata.get("nevts", "")] for d in made.datasets]
    show_table(("dataset", "kind", "process", "files", "events"), rows)
    answer(f"fileset: {made.fileset}   truth: {made.truth}")
    if job == "refrun":
        where = made.fileset.parent
        say(f"use it:  femtobarn refrun suggest RUN --reco prompt --pairs {where}/pairs.json "
            f"--runs {where}/runs.csv")  # fmt: skip
    elif job == "dimuon":
        say(f"run it:  femtobarn new dimuon; femtobarn run dimuon.py --fileset {made.fileset}")
    elif job in ("ttbar", "agc-poet"):
        version = " --set task=v0" if job == "agc-poet" else ""
        say(f"run it:  femtobarn run ttbar{version} --fileset {made.fileset}")
    elif job == "tagprobe":
        where = made.fileset.parent
        say(f"run it:  femtobarn tnp --config {where}/runner.json --fileset {made.fileset} "
            f"--binning {where}/binning.json --output RUN")  # fmt: skip
    elif job == "survey":
        say(f"run it:  femtobarn run survey --fileset {made.fileset}")
    else:
        say(f"run it:  femtobarn run {job} --release {made.release} --fileset {made.fileset}")


@app.command("probe", context_settings=_HELP, epilog="Example: femtobarn data probe 'data_*.root'")
def probe(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE...", help="files, globs, URLs, FILE:TREE, F.json, queries"),
    ] = None,
    branches: Annotated[bool, typer.Option("--branches", help="list the branches, too")] = False,
    fileset: o.Fileset = None,
    out: Annotated[str | None, typer.Option(metavar="G.json", help="write a fileset with steps")] = None,
    step_size: Annotated[int | None, typer.Option(help="at most this many entries a step")] = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="exit code 0 although files cannot be read")
    ] = False,
    snapshot: o.Snapshot = None,
    per_host: o.PerHost = None,
    json: o.Json = False,
) -> None:
    """Say what files hold, reading only metadata.  Exit code 1 if one cannot be read."""
    from femtobarn import api

    sources = [*(files or ()), *([f"fileset:{fileset}"] if fileset else [])]
    if not sources:
        raise UsageError("no files were named", action="name files, or a fileset with --fileset")
    if out is not None:
        _preprocess(sources, out, step_size, allow_missing=allow_missing, as_json=json)
        return
    if step_size is not None:
        raise UsageError("--step-size is for a fileset that is written", action="name it with --out G.json")
    probed = api.data_probe(sources)
    good, bad = [p for p in probed if not p.error], [p for p in probed if p.error]
    if json:
        show_json({"files": [p.to_json() for p in good],
                   "bad": [{"url": p.url, "error": p.error} for p in bad]})  # fmt: skip
    else:
        header = ("schema", "tree", "entries", "clusters", "branches", "bytes", "uuid", "file")
        if good:
            show_table(header, [_probed(p) for p in good])
        for item in good if branches else ():
            answer(f"\n{item.url}:")
            for name in item.branches:
                answer(f"  {name}")
        for item in bad:
            say(f"bad: {item.error}")
    if bad and not allow_missing:
        raise typer.Exit(1)


def _preprocess(
    sources: list[str], out: str, step_size: int | None, *, allow_missing: bool, as_json: bool
) -> None:
    """Write a fileset with steps."""
    from femtobarn import api

    done = api.data_preprocess(sources, out, step_size=step_size)
    if as_json:
        show_json(done.to_json())
    else:
        rows = []
        for d in done.datasets:
            entries, steps = sum(r.entries or 0 for r in d.files), sum(len(r.steps) for r in d.files)
            rows.append([d.name, len(d.files), entries, steps])
        show_table(("dataset", "files", "entries", "steps"), rows)
        answer(f"wrote {done.path}")
    for reasons in done.bad.values():
        for error in reasons.values():
            say(f"bad: {error}")
    if done.bad:
        say(f"left out, with reasons: {done.bad_path}")
        if not allow_missing:
            raise typer.Exit(1)


def _probed(p: Probed) -> list[Any]:
    return [p.schema, p.tree or "-", p.entries, p.clusters, len(p.branches), p.size, p.uuid or "-", p.url]


@app.command("list", context_settings=_HELP, epilog="Example: femtobarn data list atlas-2020")
def list_(
    release: Annotated[
        str | None, typer.Argument(metavar="RELEASE|Q", help="a release, a query; all releases if not given")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="of a query, only the first N")] = None,
    snapshot: o.Snapshot = None,
    refresh: o.Refresh = False,
    max_age: o.MaxAge = None,
    json: o.Json = False,
) -> None:
    """List the public releases, the samples of one with their cross-sections, or the datasets of a query."""
    from femtobarn import api

    if release is not None and ("://" in release or release.startswith("fileset:")):
        _list_query(release, limit, as_json=json)
        return
    rows = api.data_list(release)
    if json:
        show_json(rows)
    elif not rows:
        say(f"no sample table for {release}: simulated datasets of it bring process, kind, xsec and sumw in "
            "a fileset's metadata, or in their events")  # fmt: skip
    else:
        names = [name for name in rows[0] if name != "suspicious"]
        doubted = [row for row in rows if row.get("suspicious")]
        header = [*names, "?"] if release else names
        show_table(header, [[*(_cell(row[name]) for name in names), *_mark(row, release)] for row in rows])
        for row in doubted:
            hint = f"used as published, override with --set xsec.{row['name']}=PB"
            answer(f"? {row['name']}: {row['suspicious']}; {hint}")


def _list_query(query: str, limit: int | None, *, as_json: bool) -> None:
    """The datasets behind a query address."""
    from femtobarn import api

    rows = api.data_query(query, api.Lookup(limit=limit))
    if as_json:
        show_json(rows)
        return
    names = [name for name in rows[0] if name != "keywords"]
    show_table(names, [[_cell(row[name]) for name in names] for row in rows])


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return ",".join(value) or "-"
    if isinstance(value, dict):
        return ",".join(f"{name}:{count}" for name, count in value.items()) or "-"
    return "-" if value is None else value


def _mark(row: dict[str, Any], release: str | None) -> list[str]:
    return ["?" if row["suspicious"] else ""] if release else []


@app.command(
    "files",
    context_settings=_HELP,
    epilog="Example: femtobarn data files 'ZZ=zz_*.root' data.root --format fileset",
)
def files(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILESET|GLOB|Q...", help="F.json, files, folders, DATASET=GLOB, query addresses"
        ),
    ] = None,
    fileset: o.Fileset = None,
    form: Annotated[
        Literal["table", "fileset", "urls"], typer.Option("--format", help="what to print")
    ] = "table",
    out: Annotated[str | None, typer.Option(metavar="F.json", help="write the fileset to a file")] = None,
    limit: Annotated[int | None, typer.Option(help="only the first N files of each dataset")] = None,
    recursive: Annotated[bool, typer.Option("--recursive", help="folders inside folders, too")] = False,
    extension: Annotated[str, typer.Option("--file-extension", help="of files in folders")] = ".root",
    xrootd: Annotated[str | None, typer.Option(metavar="PREFIX", help="redirector of CMS files")] = None,
    allow: Annotated[list[str] | None, typer.Option("--site", help="of Rucio: only these sites")] = None,
    block: Annotated[list[str] | None, typer.Option("--block-site", help="of Rucio: not these sites")] = None,
    prefer: Annotated[list[str] | None, typer.Option("--prefer-site", help="of Rucio: these first")] = None,
    snapshot: o.Snapshot = None,
    refresh: o.Refresh = False,
    max_age: o.MaxAge = None,
    json: o.Json = False,
) -> None:
    """Name the files behind filesets, patterns and queries; nothing is opened."""
    from femtobarn import api

    named = [*(sources or ()), *([f"fileset:{fileset}"] if fileset else [])]
    if not named:
        raise UsageError("nothing was named", action="name files, a query, or a fileset with --fileset")
    lookup = api.Lookup(limit=limit, recursive=recursive, extension=extension, xrootd=xrootd,
                        allow=allow or (), block=block or (), prefer=prefer or ())  # fmt: skip
    datasets = api.data_files(named, lookup)
    if out is not None:
        api.data_fileset(datasets, out=out)
        say(f"wrote {out}")
    elif json or form == "fileset":
        answer(dumps(api.data_fileset(datasets), indent=1))  # datasets keep their order
    elif form == "urls":
        for dataset in datasets:
            for ref in dataset.files:
                answer(ref.url)
    else:
        rows = [
            [d.name, d.kind, d.process, _cell(r.tree), _cell(r.entries), r.url]
            for d in datasets
            for r in d.files
        ]
        show_table(("dataset", "kind", "process", "tree", "entries", "file"), rows)


app.command("find", context_settings=_HELP, epilog="Example: femtobarn data find 'DoubleMuon 2016'")(find)
app.command(
    "fetch",
    context_settings=_HELP,
    epilog="Example: femtobarn data fetch 'cernopendata://30522?files=2' --out d",
)(fetch)
app.command(
    "fetch-datasets", context_settings=_HELP, epilog="Example: femtobarn data fetch-datasets -i samples.txt"
)(fetch_datasets)

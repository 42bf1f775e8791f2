"""``femtobarn data``: make, probe, list and name input files."""

from __future__ import annotations

from json import dumps
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from femtobarn.cli import options as o
from femtobarn.cli.screen import answer, say, show_json, show_table

if TYPE_CHECKING:
    from femtobarn.api import Probed

_HELP = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(rich_markup_mode=None, context_settings=_HELP, no_args_is_help=True, add_completion=False,
                  help="Find, inspect and make input files.")  # fmt: skip


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
        list[str], typer.Argument(metavar="FILE...", help="files, globs, URLs, FILE:TREE, F.json")
    ],
    branches: Annotated[bool, typer.Option("--branches", help="list the branches, too")] = False,
    json: o.Json = False,
) -> None:
    """Say what files hold, reading only metadata.  Exit code 1 if one cannot be read."""
    from femtobarn import api

    probed = api.data_probe(files)
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
    if bad:
        raise typer.Exit(1)


def _probed(p: Probed) -> list[Any]:
    return [p.schema, p.tree or "-", p.entries, p.clusters, len(p.branches), p.size, p.uuid or "-", p.url]


@app.command("list", context_settings=_HELP, epilog="Example: femtobarn data list atlas-2020")
def list_(
    release: Annotated[str | None, typer.Argument(help="a public release; all releases if not given")] = None,
    json: o.Json = False,
) -> None:
    """List the public releases, or the samples of one with their cross-sections."""
    from femtobarn import api

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


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return ",".join(value) or "-"
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
        list[str], typer.Argument(metavar="FILESET|GLOB...", help="F.json, files, DATASET=GLOB")
    ],
    form: Annotated[
        Literal["table", "fileset", "urls"], typer.Option("--format", help="what to print")
    ] = "table",
    out: Annotated[str | None, typer.Option(metavar="F.json", help="write the fileset to a file")] = None,
    json: o.Json = False,
) -> None:
    """Name the files behind filesets and patterns; nothing is opened."""
    from femtobarn import api

    datasets = api.data_files(sources)
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

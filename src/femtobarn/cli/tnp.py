"""``femtobarn tnp``: tag and probe with the older tool's JSON files and arguments."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from femtobarn.cli import options as o
from femtobarn.cli.fetch import fetch_datasets
from femtobarn.cli.run import show_finished
from femtobarn.cli.screen import answer, progress, say, show_json, show_table
from femtobarn.cli.tnp_fitter import add_fitter_verbs
from femtobarn.errors import UsageError

_HELP = {"help_option_names": ["-h", "--help"]}


class _Group(TyperGroup):
    """Takes ``--adaptive True`` and ``--adaptive False``, as people wrote them, and ``run-analysis``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        rest = args[1:] if args[:1] == ["run-analysis"] else args
        found: list[str] = super().parse_args(ctx, _switches(rest))
        return found


def _switches(args: list[str]) -> list[str]:
    out: list[str] = []
    for item in args:
        if out and out[-1] == "--adaptive" and item.lower() in ("true", "false", "1", "0", "yes", "no"):
            if item.lower() in ("false", "0", "no"):
                out[-1] = "--no-adaptive"
            continue
        out.append(item)
    return out


app = typer.Typer(cls=_Group, rich_markup_mode=None, context_settings=_HELP, add_completion=False)


@app.callback(
    invoke_without_command=True,
    epilog="Example: femtobarn tnp --config runner.json --fileset fileset.json --settings settings.json "
    "--output RUN",
)
def tnp(
    ctx: typer.Context,
    config: Annotated[
        str | None, typer.Option(metavar="R.json", help="workflow, its arguments, methods")
    ] = None,
    fileset: Annotated[str | None, typer.Option(metavar="F.json", help="coffea fileset JSON(.gz)")] = None,
    settings: Annotated[
        str | None, typer.Option(metavar="S.json", help="cuts; they beat workflow_args")
    ] = None,
    binning: Annotated[str | None, typer.Option(metavar="B.json", help="<variable>_bins: edges")] = None,
    output: Annotated[
        str | None, typer.Option("--output", "--out", metavar="RUN", help="run directory")
    ] = None,
    values: o.Settings = None,
    executor: Annotated[
        str | None,
        typer.Option(help="threads, processes, sync, dask/lxplus, dask/slurm, tcp://HOST:PORT, ..."),
    ] = None,
    workers: o.Workers = None,
    limit: Annotated[int | None, typer.Option(help="only the first N files of each dataset")] = None,
    preprocess: Annotated[bool, typer.Option("--preprocess", help="only plan: what would be read")] = False,
    skip_report: Annotated[bool, typer.Option("--skip-report", help="no plots and no report page")] = False,
    repartition_n_to_one: Annotated[int | None, typer.Option(help="join N steps of the fileset")] = None,
    cores: Annotated[int | None, typer.Option(help="of a cluster's worker")] = None,
    memory: Annotated[str | None, typer.Option(help="of a cluster's worker, as 2GB")] = None,
    disk: Annotated[str | None, typer.Option(help="of a cluster's worker, as 2GB")] = None,
    scaleout: Annotated[int | None, typer.Option(help="number of workers of a cluster")] = None,
    adaptive: Annotated[
        bool | None, typer.Option("--adaptive/--no-adaptive", help="workers follow the work")
    ] = None,
    voms: Annotated[str | None, typer.Option(metavar="FILE", help="grid proxy")] = None,
    port: Annotated[int | None, typer.Option(help="refused: the scheduler takes a free port")] = None,
    dashboard_address: Annotated[str | None, typer.Option(help="of the cluster's dashboard")] = None,
    jobflavour: Annotated[str | None, typer.Option(help="HTCondor at CERN: espresso, longlunch, ...")] = None,
    queue: Annotated[str | None, typer.Option(help="partition or queue")] = None,
    walltime: Annotated[str | None, typer.Option(help="HH:MM:SS")] = None,
    log_directory: Annotated[str | None, typer.Option(help="where workers write their logs")] = None,
    print_necessary_columns: Annotated[
        bool, typer.Option("--print-necessary-columns", help="show the columns that are read, and stop")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show every value and where it is from")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="exit with 1 if there is a warning")] = False,
    part_events: o.PartEvents = None,
    max_events: o.MaxEvents = None,
    allow_missing: o.AllowMissing = False,
    fresh: o.Fresh = False,
    json: o.Json = False,
) -> None:
    """Efficiencies of electrons, photons and muons from pairs of a tag and a probe."""
    if ctx.invoked_subcommand is not None:
        return
    from femtobarn import api

    if config is None or (fileset is None and not dry_run):
        raise UsageError("tnp needs --config and --fileset", action="femtobarn tnp --help has an example")
    if port is not None and port != 8786:
        raise UsageError(
            "--port is not supported: a cluster's scheduler takes a free port", action="leave it out"
        )
    _proxy(voms)
    request = api.TnpRequest(
        config=config, fileset=fileset or "", settings=settings, binning=binning, output=output,
        values=values or (), executor=executor, workers=workers, limit=limit,
        repartition=repartition_n_to_one,
        resources=api.Resources(
            cores=cores, memory=_size(memory), disk=_size(disk), walltime=walltime, queue=queue or jobflavour,
            scaleout=scaleout, adaptive=adaptive, log_directory=log_directory,
            dashboard_address=dashboard_address,
        ),
        part_events=part_events, max_events=max_events, allow_missing=allow_missing, fresh=fresh,
        command=o.command_line(),
    )  # fmt: skip
    if dry_run:
        _show_values(request, as_json=json)
        return
    if print_necessary_columns or preprocess:
        _show_plan(request, columns=print_necessary_columns, as_json=json)
        return
    with progress() as bar:
        finished, notes = api.tnp(request, pages=not skip_report, progress=bar)
    for note in notes:
        say(f"note: {note}")
    show_finished(finished, as_json=json)
    if strict and (notes or finished.warnings):
        raise typer.Exit(1)


def _size(text: str | None) -> str | None:
    """``2G`` was written for ``2GB``."""
    return f"{text}B" if text and text[-1] in "kKMGT" else text


def _proxy(voms: str | None) -> None:
    """Tell the readers of remote files which proxy to show."""
    if voms is None:
        return
    if not Path(voms).is_file():
        raise UsageError("no such proxy", where=voms, action="make one: voms-proxy-init -voms cms")
    os.environ["X509_USER_PROXY"] = str(Path(voms).absolute())


def _show_values(request: Any, *, as_json: bool) -> None:
    from femtobarn import api

    rows = api.tnp_values(request)
    if as_json:
        show_json({name: {"value": value, "origin": origin} for name, value, origin in rows})
        return
    show_table(("parameter", "from", "value"), [[name, origin, str(value)] for name, value, origin in rows])


def _show_plan(request: Any, *, columns: bool, as_json: bool) -> None:
    from femtobarn import api

    made = api.tnp_plan(request)
    if columns:
        found = {name: {"needed": list(one.needed), "optional": list(one.optional)}
                 for name, one in made.plan.columns.items()}  # fmt: skip
        if as_json:
            show_json(found)
            return
        for name, one in found.items():
            answer(f"{name}:")
            for kind, names in one.items():
                answer(f"  {kind}: " + ", ".join(names))
        return
    plan = made.plan
    if as_json:
        show_json({
            "files": [{"dataset": f.dataset, "path": f.ref.url, "entries": f.entries, "error": f.error}
                      for f in plan.files],
            "events": plan.events, "parts": len(plan.parts), "bytes": plan.needed_bytes,
            "notes": list(made.notes),
        })  # fmt: skip
        return
    show_table(("dataset", "entries", "file"), [[f.dataset, f.entries, f.ref.url] for f in plan.files])
    answer(f"{len(plan.files)} files, {plan.events} events in {len(plan.parts)} parts, "
           f"{plan.needed_bytes / 1e6:.1f} MB to read")  # fmt: skip
    for note in made.notes:
        say(f"note: {note}")
    for bad in plan.bad:
        say(f"bad: {bad.error}")


app.command(
    "fetch-datasets", context_settings=_HELP, epilog="Example: femtobarn tnp fetch-datasets -i samples.txt"
)(fetch_datasets)


@app.command(
    "dataset-query",
    context_settings=_HELP,
    epilog="Example: femtobarn tnp dataset-query data=/EGamma0/Run2023C-PromptNanoAODv12_v4/NANOAOD "
    "--out F.json",
)
def dataset_query(
    names: Annotated[list[str], typer.Argument(metavar="[NAME=]/A/B/C...", help="CMS datasets")],
    out: Annotated[str, typer.Option("--out", "--output", metavar="F.json", help="fileset to write")],
    allow_sites: Annotated[
        list[str] | None, typer.Option(help="beginnings of site names; repeatable")
    ] = None,
    block_sites: Annotated[list[str] | None, typer.Option(help="sites to leave out; repeatable")] = None,
    regex_sites: Annotated[str | None, typer.Option(help="regular expression of site names")] = None,
    replicas: Annotated[
        Literal["round-robin", "choose", "first", "manual"],
        typer.Option(help="sites in turn, the one with most files, the first, or --site"),
    ] = "first",
    site: Annotated[str | None, typer.Option(help="for --replicas manual")] = None,
) -> None:
    """Write the fileset of CMS datasets, replicas at the sites you want (asks Rucio)."""
    from femtobarn import api

    made = api.dataset_query(
        names, out, allow=allow_sites or (), block=block_sites or (), regex=regex_sites, replicas=replicas,
        site=site,
    )  # fmt: skip
    show_table(("dataset", "files"), [[d.name, len(d.files)] for d in made])
    answer(f"wrote {out}")


@app.command(
    "merge-parquet",
    context_settings=_HELP,
    epilog="Example: femtobarn tnp merge-parquet --source RUN/tables/sample --target merged.parquet",
)
def merge_parquet(
    source: Annotated[str, typer.Option(metavar="DIR|GLOB", help="Parquet files, or folders of them")],
    target: Annotated[str, typer.Option(metavar="OUT.parquet", help="what to write")],
) -> None:
    """Join Parquet files into one, row group by row group.  Files of different columns are refused."""
    from femtobarn import api

    made = api.merge_parquet(source, target)
    answer(f"{made.rows} rows of {made.files} files in {target}")


@app.command(
    "prepare-histograms",
    context_settings=_HELP,
    epilog="Example: femtobarn tnp prepare-histograms "
    "--source RUN/tables/sample/get_passing_and_failing_probes_1 "
    "--target hists.zip --binning binning.json --axes el_pt --axes el_eta",
)
def prepare_histograms(
    source: Annotated[
        str, typer.Option(metavar="DIR", help="folder of passing_* and failing_* Parquet files")
    ],
    target: Annotated[str, typer.Option(metavar="OUT.zip|OUT.root", help="what to write")],
    axes: Annotated[list[str], typer.Option(help="variables; repeatable or with commas")],
    binning: Annotated[str | None, typer.Option(metavar="B.json", help="<variable>_bins: edges")] = None,
) -> None:
    """Fill pass and fail histograms of ntuples with the mass as the last axis."""
    from femtobarn import api

    names = [name for item in axes for name in item.replace(",", " ").split()]
    made = api.prepare_histograms(source, target, axes=names, binning=binning)
    answer(f"{made} histograms in {target}")


@app.command(
    "get-unprocessed-partitions",
    context_settings=_HELP,
    epilog="Example: femtobarn tnp get-unprocessed-partitions --input-json fileset.json "
    "--output-location RUN --output-json rest.json",
)
def get_unprocessed_partitions(
    input_json: Annotated[str, typer.Option("--input-json", metavar="F.json", help="fileset of the run")],
    output_location: Annotated[str, typer.Option("--output-location", metavar="RUN", help="run directory")],
    output_json: Annotated[
        str, typer.Option("--output-json", metavar="REST.json", help="what is left to do")
    ],
) -> None:
    """Write the fileset of what a run has not processed (``femtobarn resume RUN`` does it at once)."""
    from femtobarn import api

    left, events = api.unprocessed(input_json, output_location, output_json)
    answer(f"{left} ranges with {events} events are left" if left else "nothing is left")


@app.command(
    "migrate",
    context_settings=_HELP,
    epilog="Example: femtobarn tnp migrate hists.pkl --trust --out hists.zip",
)
def migrate(
    file: Annotated[str, typer.Argument(metavar="FILE.pkl", help="histograms of the older tool")],
    trust: Annotated[
        bool, typer.Option("--trust", help="I made this file: unpickling runs what is in it")
    ] = False,
    out: Annotated[str | None, typer.Option(metavar="OUT.zip", help="default: beside the file")] = None,
) -> None:
    """Turn a pickle of histograms into UHI files, in a process of its own."""
    from femtobarn import api

    path, number = api.migrate_pickle(file, trust=trust, out=out)
    answer(f"{number} histograms in {path}")


add_fitter_verbs(app)

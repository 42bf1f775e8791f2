"""``femtobarn check``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from femtobarn.cli import options as o
from femtobarn.cli.screen import answer, say, show_json, show_table
from femtobarn.errors import UsageError

if TYPE_CHECKING:
    from femtobarn.api.checking import ExplainedInput

app = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})


@app.command(
    epilog="Example: femtobarn check run.yaml   For editors: femtobarn check --schema > run.schema.json"
)
def check(
    run_file: Annotated[str | None, typer.Argument(metavar="RUN.yaml", help="the run file")] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="print the JSON schema (of RUN.yaml's analysis, if it is given)")
    ] = False,
    json: o.Json = False,
) -> None:
    """Explain a run file line by line, or list everything that is wrong with it.

    Nothing is processed.  Exit code 2: something in the file is wrong; 1: its input files are.
    """
    from femtobarn import api

    if schema:
        show_json(api.run_schema(api.analysis_of(run_file) if run_file else None))
        return
    if run_file is None:
        raise UsageError(
            "no run file was named", action="femtobarn check RUN.yaml, or femtobarn check --schema"
        )
    checked = api.check(run_file)
    if json:
        show_json(checked.to_json())
    elif checked.problems:
        for problem in checked.problems:
            say(problem.text)
    else:
        answer(f"{checked.file}: {checked.title}\n")
        show_table(
            ("line", "setting", "value", "meaning"),
            [[line.line or "default", line.setting, line.value, line.meaning] for line in checked.lines],
        )
        if checked.inputs:
            answer("")
            header = ("dataset", "kind", "process", "files", "events", "schema")
            show_table(header, [_cells(item) for item in checked.inputs])
        for line in checked.unused:
            answer(f"unused: {line}")
        answer(f"\nNothing is wrong; go on with: femtobarn run {checked.file}")
    if checked.exit_code:
        raise typer.Exit(checked.exit_code)


def _cells(item: ExplainedInput) -> list[Any]:
    entries = "not opened" if item.entries is None else item.entries
    return [item.dataset, item.kind, item.process, item.files, entries, item.schema or "-"]

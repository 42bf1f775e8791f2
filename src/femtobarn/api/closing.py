"""Closing a run: its account, what readers must know, and the steps that follow the raw results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from femtobarn.analysis import find_analysis
from femtobarn.api.beginning import Begun
from femtobarn.api.inputs import Resolved
from femtobarn.api.results import finish
from femtobarn.errors import LossError
from femtobarn.run.directory import RunDirectory
from femtobarn.run.engine import RunResult, Summary
from femtobarn.run.plan import Plan
from femtobarn.run.remote_output import push

__all__ = ["Finished", "close", "finished", "refuse_loss"]

#: Reasons named in an error message; all of them are in the manifest.
_SHOWN: Final = 5


@dataclass(frozen=True)
class Finished:
    """What a run came to."""

    path: Path
    result: RunResult
    headline: str = ""
    #: What a reader of the results must know, as in the manifest.
    warnings: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        return self.result.summary.complete


def close(
    run: Begun,
    resolved: Resolved,
    result: RunResult,
    warnings: Sequence[str] = (),
    *,
    process_only: bool,
    pages: bool = True,
) -> Finished:
    """Write results; all later steps follow unless only processing was asked for.

    Raises
    ------
    LossError
        Parts failed or are missing, and that was not allowed.
    """
    folder = run.folder
    refuse_loss(folder, result, allowed=resolved.allow_missing)
    told = [f"{url} is not used: {reason}" for url, reason in run.plan.unused.items()]
    told += [*warnings, *_left_out(resolved, run.plan)]
    if not result.summary.complete:
        told.append(f"{result.summary.lost_fraction:.2%} of the input is lost (--allow-missing)")
    if resolved.analysis.settle is not None:
        told += resolved.analysis.settle(result.outcome, resolved.parameters)
    folder.complete(result, told)
    headline = "" if process_only else finish(folder, resolved.analysis, pages=pages)
    push(folder.path)
    return Finished(folder.path, result, headline, tuple(folder.manifest()["warnings"]))


def finished(folder: RunDirectory) -> Finished:
    """A run that is done, as its directory tells it."""
    manifest = folder.manifest()
    stored = folder.stored(find_analysis(manifest["config"]["analysis"]))
    summary = Summary.from_json(manifest["ledger"])
    result = RunResult(stored.outcome, summary, {}, dict(stored.entries))
    return Finished(folder.path, result, manifest["headline"])


def _left_out(resolved: Resolved, planned: Plan) -> list[str]:
    """What was left out on purpose; that is no loss, but readers must know."""
    total = sum(planned.totals.values())
    numbers = f"{planned.events} of {total} events"
    limits = {"files": resolved.sizing.max_files, "events": resolved.sizing.max_events}
    asked = [
        f"only the first {most} {what} of each dataset were asked for (--max-{what}): {numbers}"
        for what, most in limits.items()
        if most is not None
    ]
    if asked or planned.events == total:
        return asked
    return [f"the plan (or the fileset's steps) takes {numbers} of the files"]


def refuse_loss(
    folder: RunDirectory, result: RunResult, *, allowed: bool, part: tuple[int, int] | None = None
) -> None:
    """End a run (or a slice of one) whose parts failed or are missing, unless that is allowed.

    Raises
    ------
    LossError
    """
    summary = result.summary
    if summary.complete or (allowed and summary.done + summary.cached > 0):
        return
    failures = [
        {"dataset": e.dataset, "file": e.file, "start": e.start, "stop": e.stop, "error": e.error}
        for e in result.failures
    ]
    if part is None:
        folder.note(ledger=summary.to_json(), failures=failures)
    reasons = list(dict.fromkeys(failure["error"] for failure in failures))
    shown = "".join(f"\n  - {reason}" for reason in reasons[:_SHOWN])
    more = f"\n  - and {len(reasons) - _SHOWN} more reasons" if len(reasons) > _SHOWN else ""
    numbers = {"failed": summary.failed, "are missing": summary.missing}
    states = ", ".join(f"{number} {what}" for what, number in numbers.items() if number)
    again = "repeat this command" if part is not None else f"go on with: femtobarn resume {folder.path}"
    raise LossError(
        f"of {summary.total} parts {states}: {summary.lost_fraction:.2%} of the input is lost{shown}{more}",
        where=str(folder.path),
        action=f"mend the inputs, then {again} (or accept the loss with --allow-missing)",
    )

"""``export --to bumpnet``: spectra for BumpNet, and what its loader would do with any file."""

from __future__ import annotations

from pathlib import Path

from femtobarn.api.exporting import Exported, Source
from femtobarn.api.results import load_stored
from femtobarn.errors import UsageError
from femtobarn.export.bumpnet import CHECK_FILE, SPECTRA_FILE, LoaderCuts, Verdict, check_file, verdict_table
from femtobarn.run.files import write_text

__all__ = ["check_bumpnet", "to_bumpnet"]


def to_bumpnet(source: Source, out: Path) -> Exported:
    """What the loader accepts of a survey as ROOT histograms, and every verdict as a table."""
    verdicts = _of_run(source.path, out, None, write=True)
    return Exported((out / SPECTRA_FILE, out / CHECK_FILE), _said(verdicts))


def check_bumpnet(
    what: str | Path, *, out: str | Path, skipped_bins: float | None = None, write: bool = False
) -> list[Verdict]:
    """Judge the spectra of a survey, or of any ROOT file, as BumpNet's loader does.

    Parameters
    ----------
    what : run directory or ``FILE.root``
    out : folder for ``bumpnet_selfcheck.csv``
    skipped_bins : share of the bins that the loader skips; default: what the run says, or 0
    write : also write what is accepted of a run
    """
    if skipped_bins is not None and not 0 <= skipped_bins < 1:
        raise UsageError(f"--skipped-bins must be at least 0 and below 1, not {skipped_bins:g}")
    if Path(what).is_dir():
        return _of_run(Path(what), Path(out), skipped_bins, write=write)
    if write:
        raise UsageError("a file can only be judged", where=str(what), action="add --check")
    verdicts = check_file(Path(what), LoaderCuts(skipped_bins=skipped_bins or 0.0))
    write_text(Path(out) / CHECK_FILE, verdict_table(verdicts))
    return verdicts


def _of_run(run: Path, out: Path, skipped_bins: float | None, *, write: bool) -> list[Verdict]:
    from femtobarn.analyses.survey.results import bumpnet

    stored = load_stored(run, "survey")
    share = stored.parameters.skipped_bins if skipped_bins is None else skipped_bins
    return bumpnet(stored, out, LoaderCuts(skipped_bins=share), write=write)


def _said(verdicts: list[Verdict]) -> tuple[str, ...]:
    reasons: dict[str, int] = {}
    for item in verdicts:
        if not item.accepted:
            reasons[item.reason] = reasons.get(item.reason, 0) + 1
    accepted = sum(item.accepted for item in verdicts)
    return (
        f"{accepted} of {len(verdicts)} spectra accepted",
        *(f"{number} rejected: {reason}" for reason, number in sorted(reasons.items())),
    )

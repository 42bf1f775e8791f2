"""The verb ``export``: results in other programs' formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from femtobarn.errors import UsageError, nearest
from femtobarn.run.files import write_text

__all__ = ["FORMATS", "export"]


def export(what: str | Path, *, to: str, out: str | Path, **options: Any) -> Any:
    """Write a run or a file in another program's format.

    Parameters
    ----------
    what : run directory or file
    to : name of a format, one of :data:`FORMATS`
    out : folder
    options : of the format

    Raises
    ------
    UsageError
        Unknown format, or it cannot be made of this input.
    """
    if to not in FORMATS:
        raise UsageError(
            f"there is no export to {to!r}",
            near=nearest(to, FORMATS),
            action="formats: " + ", ".join(FORMATS),
        )
    return FORMATS[to](Path(what), Path(out), **options)


def _bumpnet(what: Path, out: Path, *, check: bool = False, skipped_bins: float | None = None) -> Any:
    """Spectra for BumpNet; a ROOT file can only be judged."""
    from femtobarn.export.bumpnet import CHECK_FILE, LoaderCuts, check_file, verdict_table

    if skipped_bins is not None and not 0 <= skipped_bins < 1:
        raise UsageError(f"--skipped-bins must be at least 0 and below 1, not {skipped_bins:g}")
    if what.is_dir():
        from femtobarn.analyses.survey.results import bumpnet
        from femtobarn.api.results import load_stored

        stored = load_stored(what, "survey")
        cuts = LoaderCuts(
            skipped_bins=stored.parameters.skipped_bins if skipped_bins is None else skipped_bins
        )
        return bumpnet(stored, out, cuts, write=not check)
    if not check:
        raise UsageError("a file can only be judged", where=str(what), action="add --check")
    verdicts = check_file(what, LoaderCuts(skipped_bins=skipped_bins or 0.0))
    write_text(out / CHECK_FILE, verdict_table(verdicts))
    return verdicts


#: Formats by name; one line a format.
FORMATS: Final[Mapping[str, Callable[..., Any]]] = MappingProxyType({"bumpnet": _bumpnet})

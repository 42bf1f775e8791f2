"""Spectra for BumpNet: what its loader accepts, by the loader's own rules, and why it refuses the rest."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from femtobarn.errors import UsageError
from femtobarn.export.th1 import Histogram1D, read_1d, root_file
from femtobarn.run.files import write_text

__all__ = [
    "CHECK_FILE",
    "SPECTRA_FILE",
    "LoaderCuts",
    "Verdict",
    "check_file",
    "export_bumpnet",
    "judge",
    "verdict_table",
]

SPECTRA_FILE: Final = "rebinned.root"
CHECK_FILE: Final = "bumpnet_selfcheck.csv"


@dataclass(frozen=True, slots=True)
class LoaderCuts:
    """Cuts of BumpNet's loader.

    Attributes
    ----------
    min_num_bins : int
        Least number of kept bins.
    min_total_events : float
        Least sum of the kept bins.
    min_num_events : float
        The last bin is the last one with more than this.
    skipped_bins : float
        Share of all bins that is skipped at the start.
    """

    min_num_bins: int = 25
    min_total_events: float = 100.0
    min_num_events: float = 0.35
    skipped_bins: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the loader does with a histogram: bins it has, bins kept, their sum and the first of them."""

    name: str
    accepted: bool
    reason: str
    nbins: int
    kept: int = 0
    total: float = 0.0
    first: float = 0.0


def judge(histogram: Histogram1D, cuts: LoaderCuts | None = None) -> Verdict:
    """Decide as BumpNet's loader does.

    It reads keys that begin with ``ROI``, histograms or stacks, whose name holds ``cat``; keeps the bins
    from the skipped share up to the last filled one; and refuses spectra that are short, empty or begin
    with an empty bin.
    """
    cuts = cuts or LoaderCuts()
    name, values = histogram.name, histogram.values
    nbins = len(values)

    def refuse(reason: str, kept: int = 0, total: float = 0.0, first: float = 0.0) -> Verdict:
        return Verdict(name, False, reason, nbins, kept, total, first)

    if not name.startswith("ROI"):
        return refuse("name does not start with ROI")
    if not (histogram.classname.startswith("TH1") or histogram.classname == "THStack"):
        return refuse(f"is a {histogram.classname}, neither TH1 nor THStack")
    if "cat" not in name:
        return refuse("name without cat")
    filled = np.flatnonzero(values > cuts.min_num_events)
    if not len(filled):
        return refuse("no bin above min_num_events")
    kept = values[int(cuts.skipped_bins * nbins) : filled[-1] + 1]
    total, first = float(kept.sum()), float(kept[0]) if len(kept) else 0.0
    if len(kept) < cuts.min_num_bins:
        return refuse("fewer than min_num_bins", len(kept), total, first)
    if total < cuts.min_total_events:
        return refuse("less than min_total_events", len(kept), total, first)
    if not first > 0:
        return refuse("first kept bin not positive", len(kept), total, first)
    return Verdict(name, True, "accepted", nbins, len(kept), total, first)


def check_file(path: Path, cuts: LoaderCuts | None = None) -> list[Verdict]:
    """Judge every histogram of a ROOT file.

    Raises
    ------
    UsageError
        The file holds no histogram at all.
    """
    found = [judge(histogram, cuts) for histogram in read_1d(path)]
    if not found:
        raise UsageError("holds no histogram to judge", where=str(path))
    return found


def export_bumpnet(
    histograms: Iterable[Histogram1D], out: Path, cuts: LoaderCuts | None = None, *, write: bool = True
) -> list[Verdict]:
    """Write what the loader accepts to ``out/rebinned.root`` (if ``write``), and every verdict beside it."""
    accepted, verdicts = [], []
    for histogram in histograms:
        verdict = judge(histogram, cuts)
        verdicts.append(verdict)
        if verdict.accepted:
            accepted.append(histogram)
    if write:
        write_text(out / SPECTRA_FILE, root_file(accepted))
    write_text(out / CHECK_FILE, verdict_table(verdicts))
    return verdicts


def verdict_table(verdicts: Sequence[Verdict]) -> str:
    """``bumpnet_selfcheck.csv``."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["name", "verdict", "reason", "nbins", "kept", "sum", "first"])
    for item in verdicts:
        word = "accepted" if item.accepted else "rejected"
        writer.writerow([item.name, word, item.reason, item.nbins, item.kept, item.total, item.first])
    return out.getvalue()

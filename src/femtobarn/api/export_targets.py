"""Formats that ``export`` writes: one line each.  Importing this is light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["TARGETS", "Target", "target_names"]


@dataclass(frozen=True, slots=True)
class Target:
    """A format.

    Attributes
    ----------
    name : str
        What ``--to`` says.
    where : str
        ``module:function``; the function takes a :class:`femtobarn.api.exporting.Source` and the path to
        write, and returns a :class:`femtobarn.api.exporting.Exported`.
    suffix : str
        Of the file it writes; "" for a directory.
    about : str
        One line for people.
    analysis : str
        The only analysis whose runs it is for; "" for all.  A line for one analysis wins over one for all.
    """

    name: str
    where: str
    suffix: str
    about: str
    analysis: str = ""


_HERE: Final = "femtobarn.api.exporting"

#: Runs with scale factors: of events, and of histograms (``tnp run-fitter``).
_PROBES: Final = ("tagprobe", "tnp-fitter")
_SCALE_FACTORS: Final = (
    ("correctionlib", ".json", "scale factors as a correctionlib file"),
    ("egamma", ".txt", "scale factors in the twelve columns of the e/gamma text format"),
    ("root", ".root", "scale factors, efficiencies and sources as TH2F of eta and pt"),
    ("hepdata", "", "scale factors as a HEPData submission"),
    ("json", ".json", "scale factors as rows"),
    ("csv", ".csv", "scale factors as a table"),
    ("parquet", ".parquet", "scale factors as a table in Parquet"),
)

TARGETS: Final = (
    Target("pyhf", f"{_HERE}:to_pyhf", ".json", "the likelihood as a pyhf workspace"),
    Target("datacard", f"{_HERE}:to_datacard", "", "the likelihood as a Combine datacard with its shapes"),
    Target("hepdata", f"{_HERE}:to_hepdata", "", "a HEPData submission: yields, correlations, likelihood"),
    Target(
        "bumpnet", "femtobarn.api.surveys.bumpnet:to_bumpnet", "", "spectra for BumpNet", analysis="survey"
    ),
    Target("json", f"{_HERE}:to_json", ".json", "histograms of a run, or yields of a model, as rows"),
    Target("root", f"{_HERE}:to_root", ".root", "histograms of a run as TH1D with variances and flow bins"),
    Target("csv", f"{_HERE}:to_csv", ".csv", "the same as a table"),
    Target("parquet", f"{_HERE}:to_parquet", ".parquet", "the same as a table in Parquet"),
    *(
        Target(name, f"femtobarn.api.tagprobe.exporting:to_{name}", suffix, about, analysis=analysis)
        for name, suffix, about in _SCALE_FACTORS
        for analysis in _PROBES
    ),
)


def target_names() -> list[str]:
    """Names of all formats, each once."""
    return list(dict.fromkeys(target.name for target in TARGETS))

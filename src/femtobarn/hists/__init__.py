"""Histograms: what to fill, exact accumulation, merge, and UHI files."""

from __future__ import annotations

from femtobarn.hists.accumulate import Compensated, Histogram, Key
from femtobarn.hists.io import read_hists, read_spectra, to_hist, write_hists
from femtobarn.hists.spec import Axis, HistSpec, regular, variable
from femtobarn.hists.spectra import Grid, Spectra, Spectrum

__all__ = [
    "Axis",
    "Compensated",
    "Grid",
    "HistSpec",
    "Histogram",
    "Key",
    "Spectra",
    "Spectrum",
    "read_hists",
    "read_spectra",
    "regular",
    "to_hist",
    "variable",
    "write_hists",
]

"""Histograms: what to fill, exact accumulation, merge, and UHI files."""

from __future__ import annotations

from femtobarn.hists.accumulate import Compensated, Histogram, Key
from femtobarn.hists.io import read_hists, read_sparse, read_spectra, to_hist, write_hists
from femtobarn.hists.sparse import Sparse
from femtobarn.hists.spec import Axis, HistSpec, regular, variable
from femtobarn.hists.spectra import Grid, Spectra, Spectrum

__all__ = [
    "Axis",
    "Compensated",
    "Grid",
    "HistSpec",
    "Histogram",
    "Key",
    "Sparse",
    "Spectra",
    "Spectrum",
    "read_hists",
    "read_sparse",
    "read_spectra",
    "regular",
    "to_hist",
    "variable",
    "write_hists",
]

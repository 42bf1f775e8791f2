"""Histograms: what to fill, exact accumulation, merge, and UHI files."""

from __future__ import annotations

from femtobarn.hists.accumulate import Compensated, Histogram, Key
from femtobarn.hists.io import read_hists, to_hist, write_hists
from femtobarn.hists.spec import Axis, HistSpec, regular, variable

__all__ = [
    "Axis",
    "Compensated",
    "HistSpec",
    "Histogram",
    "Key",
    "read_hists",
    "regular",
    "to_hist",
    "variable",
    "write_hists",
]

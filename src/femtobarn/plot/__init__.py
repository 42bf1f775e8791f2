"""Figures: one style, small functions, plain values in, a :class:`Drawing` out."""

from __future__ import annotations

from femtobarn.plot.drawing import Drawing, save
from femtobarn.plot.fits import correlations, limit, pulls, ranking, scan
from femtobarn.plot.mass_fit import mass_fit
from femtobarn.plot.overview import bars, scatter, steps
from femtobarn.plot.prepost import pre_post_fit
from femtobarn.plot.simple import cutflow, plane, spectrum_only
from femtobarn.plot.stack import stack
from femtobarn.plot.style import Label, ProcessStyle

__all__ = [
    "Drawing",
    "Label",
    "ProcessStyle",
    "bars",
    "correlations",
    "cutflow",
    "limit",
    "mass_fit",
    "plane",
    "pre_post_fit",
    "pulls",
    "ranking",
    "save",
    "scan",
    "scatter",
    "spectrum_only",
    "stack",
    "steps",
]

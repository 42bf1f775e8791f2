"""Figures: one style, small functions, plain values in, a :class:`Drawing` out."""

from __future__ import annotations

from femtobarn.plot.contours import contours
from femtobarn.plot.drawing import Drawing, save
from femtobarn.plot.efficiency import Curve, efficiency_curves, efficiency_map, pass_and_fail
from femtobarn.plot.fit_set import fit_set
from femtobarn.plot.fits import correlations, limit, pulls, ranking, scan, toy_pulls
from femtobarn.plot.mass_fit import mass_fit
from femtobarn.plot.overview import bars, scatter, steps
from femtobarn.plot.prepost import pre_post_fit
from femtobarn.plot.simple import cutflow, plane, spectrum_only
from femtobarn.plot.stack import stack
from femtobarn.plot.style import Label, ProcessStyle

__all__ = [
    "Curve",
    "Drawing",
    "Label",
    "ProcessStyle",
    "bars",
    "contours",
    "correlations",
    "cutflow",
    "efficiency_curves",
    "efficiency_map",
    "fit_set",
    "limit",
    "mass_fit",
    "pass_and_fail",
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
    "toy_pulls",
]

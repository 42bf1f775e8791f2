"""Figures: one style, small functions, plain values in, a :class:`Drawing` out.

Importing it is light: a figure's own needs are loaded when it is first drawn.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from femtobarn.plot.contouring import contours
    from femtobarn.plot.drawing import Drawing, save, save_all
    from femtobarn.plot.efficiency import Curve, efficiency_curves, efficiency_map, pass_and_fail
    from femtobarn.plot.fit_figures import fit_set
    from femtobarn.plot.fits import correlations, limit, pulls, ranking, scan, toy_pulls
    from femtobarn.plot.mass_spectra import excess, mass_fit
    from femtobarn.plot.overview import bars, scatter, steps
    from femtobarn.plot.prepost import pre_post_fit
    from femtobarn.plot.simple import cutflow, plane, spectrum_only
    from femtobarn.plot.stacks import stack
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
    "excess",
    "fit_set",
    "limit",
    "mass_fit",
    "pass_and_fail",
    "plane",
    "pre_post_fit",
    "pulls",
    "ranking",
    "save",
    "save_all",
    "scan",
    "scatter",
    "spectrum_only",
    "stack",
    "steps",
    "toy_pulls",
]

#: No module has the name of a function: once imported, it would hide the function.
_MODULES: Final = {
    "contouring": ("contours",),
    "drawing": ("Drawing", "save", "save_all"),
    "efficiency": ("Curve", "efficiency_curves", "efficiency_map", "pass_and_fail"),
    "fit_figures": ("fit_set",),
    "fits": ("correlations", "limit", "pulls", "ranking", "scan", "toy_pulls"),
    "mass_spectra": ("excess", "mass_fit"),
    "overview": ("bars", "scatter", "steps"),
    "prepost": ("pre_post_fit",),
    "simple": ("cutflow", "plane", "spectrum_only"),
    "stacks": ("stack",),
    "style": ("Label", "ProcessStyle"),
}
_WHERE: Final = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"femtobarn.plot.{_WHERE[name]}"), name)

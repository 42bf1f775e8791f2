"""Figures: one style, small functions, plain values in, a :class:`Drawing` out."""

from __future__ import annotations

from femtobarn.plot.drawing import Drawing, save
from femtobarn.plot.stack import stack
from femtobarn.plot.style import Label, ProcessStyle

__all__ = ["Drawing", "Label", "ProcessStyle", "save", "stack"]

"""One look for every figure: frame, fonts and ticks as the field draws them, colours everyone can tell apart.

The frame follows mplhep's styles (ticks inside on all four sides, labels at the ends of the axes, TeX
Gyre Heros); mplhep itself is not imported, because that takes seconds and pulls in pyplot's global
state.  Colours are those of M. Petroff, arXiv:2107.02270, with the green and magenta of the Okabe-Ito
set (M. Okabe and K. Ito, Color Universal Design, 2008).
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.axis import Axis as DrawnAxis
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from femtobarn.hists import Axis

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "HATCH",
    "HATCH_COLOUR",
    "ORANGE",
    "PALETTE",
    "RED",
    "SIGNALS",
    "Label",
    "ProcessStyle",
    "axis_label",
    "events_label",
    "figure",
    "figure_with_panel",
    "plain",
    "plain_decades",
    "style",
]

BLUE: Final = "#3f90da"
ORANGE: Final = "#ffa90e"
RED: Final = "#bd1f01"
GREY: Final = "#94a4a2"
PURPLE: Final = "#832db6"
BROWN: Final = "#a96b59"
GREEN: Final = "#009e73"
#: Order in which colours are given to processes nobody chose one for.
PALETTE: Final = (BLUE, ORANGE, GREY, PURPLE, GREEN, "#92dadd", BROWN, "#e76300", "#b9ac70", "#717581")
#: Lines of signals on top of a stack.
SIGNALS: Final = (RED, "#cc79a7", "#e76300")
#: The hatching of uncertainty bands, and its colour.
HATCH: Final = "/////"
HATCH_COLOUR: Final = "#4d4d4d"

_FAMILY: Final = "TeX Gyre Heros"
#: Words that would make a figure pass for a collaboration's own.
_OFFICIAL: Final = ("preliminary", "internal", "official", "work in progress")
_COLLABORATIONS: Final = ("atlas", "cms", "lhcb", "alice")

_RC: Final[dict[str, Any]] = {
    "axes.formatter.limits": (-4, 6),
    "axes.labelsize": 13,
    "axes.linewidth": 1.1,
    "axes.unicode_minus": True,
    "figure.facecolor": "white",
    "font.size": 12,
    "hatch.linewidth": 0.6,
    "legend.borderpad": 0.2,
    "legend.fontsize": 11,
    "legend.frameon": False,
    "legend.handlelength": 1.5,
    "mathtext.default": "regular",
    "pdf.compression": 6,
    "savefig.transparent": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "femtobarn",
    "xaxis.labellocation": "right",
    "xtick.direction": "in",
    "xtick.labelsize": 12,
    "xtick.major.pad": 5,
    "xtick.major.size": 7,
    "xtick.minor.size": 3.5,
    "xtick.minor.visible": True,
    "xtick.top": True,
    "yaxis.labellocation": "top",
    "ytick.direction": "in",
    "ytick.labelsize": 12,
    "ytick.major.size": 7,
    "ytick.minor.size": 3.5,
    "ytick.minor.visible": True,
    "ytick.right": True,
}


@cache
def _fonts() -> dict[str, Any]:
    """Settings for the field's usual typeface if mplhep's font files are there, else matplotlib's own."""
    spec = importlib.util.find_spec("mplhep_data")
    if spec is None or spec.origin is None:
        return {"font.family": ["DejaVu Sans"], "mathtext.fontset": "dejavusans"}
    files = sorted((Path(spec.origin).parent / "fonts" / "texgyreheros").glob("texgyreheros-*.otf"))
    if not files:
        return {"font.family": ["DejaVu Sans"], "mathtext.fontset": "dejavusans"}
    for file in files:
        font_manager.fontManager.addfont(file)
    return {
        # Glyphs that Heros lacks come from DejaVu Sans, which ships with matplotlib.
        "font.family": [_FAMILY, "DejaVu Sans"],
        "mathtext.fontset": "custom",
        "mathtext.rm": _FAMILY,
        "mathtext.sf": _FAMILY,
        "mathtext.tt": _FAMILY,
        "mathtext.cal": _FAMILY,
        "mathtext.it": f"{_FAMILY}:italic",
        "mathtext.bf": f"{_FAMILY}:bold",
        "mathtext.bfit": f"{_FAMILY}:italic:bold",
        "mathtext.fallback": "stixsans",
    }


@contextmanager
def style() -> Iterator[None]:
    """Draw and save inside this; whatever style was set before is back afterwards."""
    with mpl.rc_context():
        mpl.rcdefaults()
        settings: Any = _RC | _fonts()
        mpl.rcParams.update(settings)
        yield


@dataclass(frozen=True, slots=True)
class ProcessStyle:
    """Colour and legend text of a process; what is empty is chosen for it."""

    color: str = ""
    label: str = ""


@dataclass(frozen=True, slots=True)
class Label:
    """What stands above a figure: whose data, at which energy, how much of it.

    Attributes
    ----------
    experiment : str
        ``ATLAS Open Data``, ``CMS Open Data`` or ``femtobarn toy simulation``; a collaboration's bare
        name is refused, because nothing made here is one of its results.
    sqrt_s : float, str or None
        TeV; text for several (``"7, 8"``).
    lumi_fb : float or None
        fb-1.
    extra : str
        More words, after the experiment.
    """

    experiment: str
    sqrt_s: float | str | None = None
    lumi_fb: float | None = None
    extra: str = ""

    def __post_init__(self) -> None:
        words = f"{self.experiment} {self.extra}".casefold()
        bare = self.experiment.strip().casefold() in _COLLABORATIONS
        if bare or any(word in words for word in _OFFICIAL):
            raise ValueError(f"{self.experiment!r} {self.extra!r} would label a figure as an official result")

    @property
    def conditions(self) -> str:
        """Energy and luminosity, for people."""
        energy = "" if self.sqrt_s is None else f"√s = {_number(self.sqrt_s)} TeV"
        lumi = "" if self.lumi_fb is None else f"{self.lumi_fb:.4g} fb⁻¹"
        return ", ".join(filter(None, (energy, lumi)))

    @property
    def text(self) -> str:
        """The whole label as one line."""
        return ", ".join(
            filter(None, (" ".join(filter(None, (self.experiment, self.extra))), self.conditions))
        )

    def draw(self, axes: Axes, *, last: Axes | None = None) -> None:
        """Write the label above the frame; energy and luminosity above the ``last`` of several."""
        name = axes.text(
            0, 1.012, self.experiment, transform=axes.transAxes, fontweight="bold", fontsize=13, va="bottom"
        )
        if self.extra:
            axes.annotate(
                self.extra, xy=(1, 0), xycoords=name, xytext=(6, 0), textcoords="offset points",
                va="bottom", style="italic", fontsize=11,
            )  # fmt: skip
        shown = self.conditions.replace("√s", r"$\sqrt{s}$").replace("fb⁻¹", "fb$^{-1}$")
        end = last or axes
        end.text(1, 1.012, shown, transform=end.transAxes, ha="right", va="bottom", fontsize=12)


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


#: Mathtext commands that have a letter or sign of their own.
_SIGNS: Final = {
    "ell": "ℓ", "mu": "μ", "tau": "τ", "nu": "ν", "gamma": "γ", "eta": "η", "phi": "φ", "chi": "χ",
    "sigma": "σ", "alpha": "α", "beta": "β", "theta": "θ", "lambda": "λ", "psi": "ψ", "Upsilon": "Υ",
    "Delta": "Δ", "to": "→", "rightarrow": "→", "pm": "±", "times": "×", "sqrt": "√", "geq": "≥", "leq": "≤",
    "cdot": "·", "ln": "ln ", "log": "log ", "min": "min", "max": "max",
}  # fmt: skip


def plain(text: str) -> str:
    """A text with mathtext in it as a screen reader or a page title wants it: ``m4ℓ``, ``tt̄``."""
    text = re.sub(r"\\(?:bar|overline)\{?(\w)\}?", "\\1\u0304", text)
    text = re.sub(r"\\([A-Za-z]+)", lambda found: _SIGNS.get(found.group(1), ""), text)
    return re.sub(r"[${}_^\\]", "", text)


def axis_label(axis: Axis) -> str:
    """``label [unit]``."""
    text = axis.label or axis.name
    return f"{text} [{axis.unit}]" if axis.unit else text


def events_label(axis: Axis) -> str:
    """``Events / 3 GeV``; ``Events / bin`` where the bins differ."""
    widths = np.diff(axis.edges)
    if not np.allclose(widths, widths[0], rtol=1e-6, atol=0):
        return "Events / bin"
    return f"Events / {widths[0]:.4g} {axis.unit}".rstrip()


def figure(width: float = 6.4, height: float = 4.8) -> tuple[Figure, Axes]:
    """A figure with one frame."""
    fig = Figure(figsize=(width, height), layout="constrained")
    return fig, fig.add_subplot()


def figure_with_panel(width: float = 6.4, height: float = 6.0) -> tuple[Figure, Axes, Axes]:
    """A figure with a frame and a lower panel that shares its horizontal axis."""
    fig = Figure(figsize=(width, height), layout="constrained")
    grid = fig.add_gridspec(2, 1, height_ratios=(3, 1))
    engine = fig.get_layout_engine()
    if engine is not None:
        engine.set(h_pad=0.02, hspace=0.0)  # type: ignore[call-arg]
    main = fig.add_subplot(grid[0])
    panel = fig.add_subplot(grid[1], sharex=main)
    main.tick_params(labelbottom=False)
    fig.align_ylabels((main, panel))
    return fig, main, panel


def plain_decades(axis: DrawnAxis) -> None:
    """Numbers such as 20 and 50 on a logarithmic axis, not powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(base=10.0, subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())

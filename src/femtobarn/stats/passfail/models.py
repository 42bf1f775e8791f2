"""Signal and background shapes of tag-and-probe fits by name, with starts, limits and weak constraints.

Signals: ``dcb`` double-sided Crystal Ball, ``dv`` two Voigt functions, ``g`` Gaussian, ``cbg`` Crystal Ball
and Gaussian, ``voigt`` Breit-Wigner of the resonance x Gaussian, ``tmpl`` simulated template x Gaussian,
``genz`` generated lineshape x Gaussian, ``genzcb`` generated lineshape x Gaussian with a low-mass tail.
Backgrounds: ``exp``, ``lin``, ``cms``, ``cheb``, ``bpoly``, ``ps``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from femtobarn.errors import UsageError, nearest
from femtobarn.stats.shapes.basic import (
    Cells,
    DoubleCrystalBall,
    Exponential,
    FloatArray,
    Gaussian,
    Parameter,
    Values,
)
from femtobarn.stats.shapes.binned import (
    BinShape,
    CrystalTail,
    Folded,
    Mixture,
    PhaseSpace,
    Polynomial,
    Smeared,
    Smooth,
    breit_wigner,
)
from femtobarn.stats.shapes.peaks import CmsShape, Voigt

__all__ = [
    "BACKGROUNDS",
    "RESONANCES",
    "SIGNALS",
    "Component",
    "Resonance",
    "Template",
    "background",
    "breit_wigner",
    "parse_model",
    "signal",
]

SIGNALS: Final = ("dcb", "dv", "g", "cbg", "voigt", "tmpl", "genz", "genzcb")
#: How far the tails of failing probes' signal may be from the passing ones' (alpha, n, alpha, n).
_DCB_TIES: Final = ((2, 0.2), (3, 0.5), (4, 0.2), (5, 0.5))
BACKGROUNDS: Final = ("exp", "lin", "cms", "cheb", "bpoly", "ps")


@dataclass(frozen=True, slots=True)
class Resonance:
    """What a fit expects to see (GeV).

    Attributes
    ----------
    mass, width : float
        Of the resonance (R. L. Workman et al. (PDG), PTEP 2022, 083C01).
    resolution : float
        Typical width of the detector's Gaussian.
    window : (float, float)
        Fit range if none is given.
    """

    name: str
    mass: float
    width: float
    resolution: float
    window: tuple[float, float]


RESONANCES: Final[Mapping[str, Resonance]] = {
    "Z": Resonance("Z", 91.1876, 2.4952, 2.2, (60.0, 120.0)),
    "Z_muon": Resonance("Z_muon", 91.1876, 2.4952, 1.5, (60.0, 120.0)),
    "JPsi": Resonance("JPsi", 3.0969, 9.26e-5, 0.06, (2.6, 3.6)),
    "JPsi_muon": Resonance("JPsi_muon", 3.0969, 9.26e-5, 0.03, (2.8, 3.4)),
}


@dataclass(frozen=True, slots=True)
class Template:
    """A simulated spectrum: edges (n + 1,) and contents (n,)."""

    edges: FloatArray
    content: FloatArray


@dataclass(frozen=True)
class Component:
    """A shape in the bins of a fit and its parameters, in the order of the shape's names.

    ``scaled`` is the place of the width that the fit of failing probes gives as a multiple of the passing
    ones'; ``tied`` are places of tail parameters and by how much they may differ between the two.
    """

    shape: BinShape
    parameters: tuple[Parameter, ...]
    scaled: int | None = None
    tied: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class _FixedWidth:
    """A Voigt function whose Breit-Wigner width is known."""

    shape: BinShape
    width: float
    names: tuple[str, ...] = field(default=("mass", "sigma"))

    def bins(self, p: FloatArray) -> Values:
        values, gradient = self.shape.bins(np.concatenate([p, np.full_like(p[:1], self.width)]))
        return values, gradient[:2]


@dataclass(frozen=True, slots=True)
class _LowTail:
    """Crystal Ball: the double-sided one without its high tail."""

    shape: BinShape
    names: tuple[str, ...] = field(default=("mass", "sigma", "alpha", "n"))

    def bins(self, p: FloatArray) -> Values:
        none = np.broadcast_to(np.reshape([30.0, 2.0], (2, *([1] * (p.ndim - 1)))), (2, *p.shape[1:]))
        values, gradient = self.shape.bins(np.concatenate([p, none]))
        return values, gradient[:4]


def parse_model(text: str) -> tuple[str, str]:
    """``dcb_cms`` -> (signal, background)."""
    one, _, two = text.partition("_")
    if one not in SIGNALS:
        raise UsageError(f"unknown signal shape {one!r} in {text!r}", near=nearest(one, SIGNALS),
                         action=f"signals: {', '.join(SIGNALS)}; write SIGNAL_BACKGROUND")  # fmt: skip
    if two not in BACKGROUNDS:
        raise UsageError(f"unknown background shape {two!r} in {text!r}", near=nearest(two, BACKGROUNDS),
                         action=f"backgrounds: {', '.join(BACKGROUNDS)}")  # fmt: skip
    return one, two


def signal(
    name: str, cells: Cells, resonance: Resonance, *, peak: float, template: Template | None = None
) -> Component:
    """A signal shape by name.

    Parameters
    ----------
    peak : float
        Where the data seem to peak (GeV): start of the mass.
    template : Template, optional
        Simulated spectrum of this category (``tmpl``), or a generated lineshape (``genz``, ``genzcb``).
    """
    r, unit = resonance, resonance.resolution
    mass = Parameter("mass", peak, r.mass - 3.0 * unit, r.mass + 2.0 * unit, 2.0 * unit)
    sigma = Parameter("sigma", unit, 0.2 * unit, 3.5 * unit, 3.0 * unit)
    alpha, power = Parameter("alpha", 1.5, 0.3, 6.0, 0.3), Parameter("n", 2.5, 1.01, 50.0, 0.8)
    share = Parameter("fraction", 0.7, 0.0, 1.0, 0.5)
    gauss = Smooth(Gaussian(), cells)
    if name == "g":
        return Component(gauss, (mass, sigma), 1)
    if name == "dcb":
        tails = [_named(p, f"{p.name}_{side}") for side in ("low", "high") for p in (alpha, power)]
        return Component(Smooth(DoubleCrystalBall(), cells), (mass, sigma, *tails), 1, _DCB_TIES)
    if name == "cbg":
        shape = Mixture(
            _LowTail(Smooth(DoubleCrystalBall(), cells)), gauss,
            ("mass", "sigma", "alpha", "n", "sigma2", "fraction"),
        )  # fmt: skip
        wide = Parameter("sigma2", 1.8 * unit, 0.3 * unit, 6.0 * unit, 1.5 * unit)
        return Component(
            shape,
            (mass, sigma, alpha, power, wide, share),
            1,
            ((2, 0.2), (3, 0.5), (4, 0.3 * unit), (5, 0.15)),
        )
    if name == "voigt":
        return Component(_FixedWidth(Smooth(Voigt(), cells), r.width), (mass, sigma), 1)
    if name == "dv":
        names = ("mass", "sigma", "gamma", "sigma2", "gamma2", "fraction")
        shape = Mixture(Smooth(Voigt(), cells), Smooth(Voigt(), cells), names)
        natural = max(r.width, 0.1 * unit)
        gamma = Parameter("gamma", natural, 0.05 * natural, 3.0 * natural, 0.5 * natural)
        wide = Parameter("sigma2", 2.0 * unit, 0.3 * unit, 6.0 * unit, unit)
        ties = ((2, 0.3 * natural), (3, 0.3 * unit), (4, 0.3 * natural), (5, 0.15))
        return Component(shape, (mass, sigma, gamma, wide, _named(gamma, "gamma2"), share), 1, ties)
    return _folded(name, cells, resonance, peak, template)


def _folded(
    name: str, cells: Cells, resonance: Resonance, peak: float, template: Template | None
) -> Component:
    """Shapes made of a histogram and a resolution that moves and smears it."""
    unit = resonance.resolution
    if name == "tmpl":
        if template is None:
            raise UsageError("the signal tmpl needs simulated spectra of passing and failing probes")
        folded = Folded.make(cells, template.edges, template.content, Smeared())
        shift = Parameter("shift", 0.0, -2.0 * unit, 2.0 * unit, unit)
        return Component(
            folded, (shift, Parameter("sigma", 0.25 * unit, 0.01 * unit, 2.0 * unit, 0.4 * unit)), 1
        )
    if template is None:
        width = float(np.diff(cells.edges).min()) if cells.edges is not None else unit
        step = min(0.5 * width, max(0.25 * resonance.width, 0.05 * width))
        edges, content = breit_wigner(
            resonance.mass, resonance.width, cells.low - 12.0 * unit, cells.high + 12.0 * unit, step
        )
        template = Template(edges, content)
    shift = Parameter("shift", peak - resonance.mass, -3.0 * unit, 2.0 * unit, 2.0 * unit)
    sigma = Parameter("sigma", 0.9 * unit, 0.1 * unit, 3.5 * unit, 3.0 * unit)
    if name == "genz":
        return Component(Folded.make(cells, template.edges, template.content, Smeared()), (shift, sigma), 1)
    tail = Parameter("alpha", 1.5, 0.2, 6.0, 1.5)
    kernel = CrystalTail()
    return Component(
        Folded.make(cells, template.edges, template.content, kernel), (shift, sigma, tail), 1, ((2, 0.2),)
    )


def background(name: str, cells: Cells, fall: float) -> Component:
    """A background shape by name; ``fall`` is the slope (1/GeV) that the sidebands suggest."""
    width = cells.high - cells.low
    if name == "exp":
        slope = Parameter("slope", fall, -8.0 / width, 30.0 / width, 6.0 / width)
        return Component(Smooth(Exponential(cells.low), cells), (slope,))
    if name == "cms":
        loc = Parameter("loc", cells.low, cells.low - width, cells.high, 0.4 * width)
        beta = Parameter("beta", 4.0 / width, 0.3 / width, 30.0 / width, 6.0 / width)
        gamma = Parameter("gamma", fall, -8.0 / width, 30.0 / width, 6.0 / width)
        return Component(Smooth(CmsShape(), cells), (loc, beta, gamma))
    if name == "ps":
        a = Parameter("a", 0.2, 0.0, 20.0, 1.0)
        return Component(PhaseSpace(cells), (a, Parameter("b", max(0.5, fall * width), 0.0, 30.0, 3.0)))
    # The same fall as a straight line, or as shares of Bernstein polynomials.
    tilt = -math.tanh(0.5 * fall * width * 0.8)
    made = Polynomial.make(name, cells)
    if name == "lin":
        return Component(made, (Parameter("slope", 0.9 * tilt, -1.0, 1.0, 2.0),))
    if name == "cheb":
        return Component(
            made, (Parameter("c1", 0.7 * tilt, -2.0, 2.0, 1.5), Parameter("c2", 0.0, -1.0, 1.0, 0.7))
        )
    share = min(max(0.33 - 0.4 * tilt, 0.1), 0.8)
    return Component(
        made, (Parameter("first", share, 0.0, 1.0, 1.0), Parameter("middle", 0.6, 0.0, 1.0, 0.7))
    )


def _named(parameter: Parameter, name: str) -> Parameter:
    return Parameter(name, parameter.start, parameter.lower, parameter.upper, parameter.weak)

"""Units and constants.  Inside femtobarn: GeV, cm, radians, pb; luminosity in fb-1.

Masses and widths are those of the Particle Data Group, Review of Particle Physics 2024,
Phys. Rev. D 110, 030001.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "ELECTRON_MASS",
    "GEV",
    "MEV",
    "MUON_MASS",
    "PB_PER_FB",
    "TAU_MASS",
    "Z_MASS",
]

GEV: Final = 1.0
MEV: Final = 1.0e-3

#: 1 fb-1 is 1000 pb-1, so ``yield = xsec[pb] * lumi[fb-1] * PB_PER_FB``.
PB_PER_FB: Final = 1000.0

ELECTRON_MASS: Final = 0.00051099895
MUON_MASS: Final = 0.1056583755
TAU_MASS: Final = 1.77693
Z_MASS: Final = 91.1876

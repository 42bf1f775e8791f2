"""Bins that follow the resolution of a combination's mass.

Half of sqrt(sum sigma_i^2), each object taken with half the mass as its transverse momentum.  Relative
resolutions are typical of a general-purpose detector: electrons and photons 10 %/sqrt(E) + 0.7 %, muons
1 % + 10 %/TeV (CERN-LHCC-97-022), jets 60 %/sqrt(E) + 4 %, taus 10 %.  They set bin widths, nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["combination_edges", "resolution"]


def resolution(kind: int, pt: float) -> float:
    """sigma(pt) in GeV of an object of a type (numbers as in final states)."""
    pt = max(pt, 1.0)
    calorimeter = math.hypot(0.10 * math.sqrt(pt), 0.007 * pt)
    jet = math.hypot(0.60 * math.sqrt(pt), 0.04 * pt)
    muon = math.hypot(0.01 * pt, 1e-4 * pt * pt)
    return (calorimeter, muon, jet, jet, calorimeter, 0.1 * pt, calorimeter)[kind]


def combination_edges(
    picks: Sequence[tuple[int, int, int]], first: int, last: int, grid: float
) -> NDArray[np.float64]:
    """Edges from base bin ``first`` to beyond ``last``, each bin about half the resolution, on the grid."""
    objects = [kind for kind, _, count in picks for _ in range(count)] or [2, 2]
    edges = [first]
    while edges[-1] < last:
        mass = max(edges[-1] * grid, 1.0)
        width = 0.5 * math.sqrt(sum(resolution(kind, mass / 2) ** 2 for kind in objects))
        edges.append(edges[-1] + max(round(width / grid), 1))
    return np.array(edges, dtype=np.float64) * grid

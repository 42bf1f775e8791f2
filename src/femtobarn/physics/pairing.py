"""Four leptons into two Z candidates.

All functions work on dense tables: one row an event, four columns of leptons.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.kernels import FourVectors

__all__ = ["ZPair", "pair_four_leptons"]

Array = NDArray[np.float64]
Index = NDArray[np.int64]

#: The three ways to split four leptons into two pairs, in lexicographic order: ties go to the first.
_SPLITS: Final = np.array([[0, 1, 2, 3], [0, 2, 1, 3], [0, 3, 1, 2]])


@dataclass(frozen=True, slots=True)
class ZPair:
    """The pairing of each event.

    Attributes
    ----------
    exists : (n,) bool
        Whether two same-flavour opposite-charge pairs can be formed.
    first, second : (n, 2) int64
        Columns of the leptons of the pair nearest the Z mass and of the other one.
    m12, m34 : (n,) float, GeV
        Their masses; nan where no pairing exists.
    """

    exists: NDArray[np.bool_]
    first: Index
    second: Index
    m12: Array
    m34: Array


def pair_four_leptons(
    vectors: FourVectors, charge: NDArray[Any], flavour: NDArray[Any], *, z_mass: float
) -> ZPair:
    """Choose, of all ways to form two same-flavour opposite-charge pairs, the best Z.

    The pair whose mass is nearest ``z_mass`` is the first one; of equally near pairs the one with the
    lower lepton columns.

    Parameters
    ----------
    vectors : FourVectors of shape (n, 4), GeV
    charge, flavour : (n, 4)
        Any integers (or floats) that tell sign and kind.
    z_mass : float, GeV
    """
    n = len(charge)
    sign = np.sign(charge).astype(np.int64)
    best = np.full(n, np.inf)
    columns = np.zeros((n, 4), dtype=np.int64)
    m12, m34 = np.full(n, np.nan), np.full(n, np.nan)
    for split in _SPLITS:
        a, b, c, d = split
        allowed = (
            (sign[:, a] + sign[:, b] == 0)
            & (sign[:, c] + sign[:, d] == 0)
            & (flavour[:, a] == flavour[:, b])
            & (flavour[:, c] == flavour[:, d])
        )
        masses = (vectors[:, split[:2]].sum().mass, vectors[:, split[2:]].sum().mass)
        for order, (near, far) in (((0, 1, 2, 3), masses), ((2, 3, 0, 1), masses[::-1])):
            better = allowed & (np.abs(near - z_mass) < best)
            best[better] = np.abs(near - z_mass)[better]
            columns[better] = split[list(order)]
            m12[better], m34[better] = near[better], far[better]
    exists = np.isfinite(best)
    return ZPair(exists, columns[:, :2], columns[:, 2:], m12, m34)

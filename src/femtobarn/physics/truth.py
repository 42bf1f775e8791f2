"""Generator particles of NanoAOD: which decay a reconstructed object comes from."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from femtobarn.kernels.jagged import Jagged

__all__ = ["common_parent"]


@numba.njit(cache=True)
def _parent(pdg: Any, mother: Any, start: Any, at: Any) -> Any:
    """Nearest ancestor with another PDG number, as a place in the flat columns; -1 for none."""
    own = pdg[start + at]
    place = mother[start + at]
    while place >= 0 and pdg[start + place] == own:
        place = mother[start + place]
    return start + place if place >= 0 else -1


@numba.njit(cache=True)
def _common(offsets: Any, pdg: Any, mother: Any, event: Any, first: Any, second: Any, wanted: Any) -> Any:
    out = np.zeros(len(event), dtype=np.bool_)
    for i in range(len(event)):
        start = offsets[event[i]]
        if first[i] < 0 or second[i] < 0:
            continue
        a = _parent(pdg, mother, start, first[i])
        b = _parent(pdg, mother, start, second[i])
        out[i] = a >= 0 and a == b and pdg[a] == wanted
    return out


def common_parent(
    pdg: Jagged,
    mother: Jagged,
    event: NDArray[np.int64],
    first: NDArray[Any],
    second: NDArray[Any],
    *,
    pdg_id: int = 23,
) -> NDArray[np.bool_]:
    """(p,) whether two particles come from one and the same particle of a kind.

    Copies of a particle (before and after radiation) are passed over: the parent is the nearest ancestor
    with another PDG number.

    Parameters
    ----------
    pdg, mother : jagged integers
        PDG numbers of the generator particles, and the position of their mother in the event (-1: none).
    event : (p,) int64
    first, second : (p,) int
        Positions in the event of the particles matched to the two objects; -1 for none.
    pdg_id : int
        Of the parent.
    """
    found: NDArray[np.bool_] = _common(
        pdg.offsets, pdg.values.astype(np.int64), mother.values.astype(np.int64), event,
        np.asarray(first, dtype=np.int64), np.asarray(second, dtype=np.int64), pdg_id,
    )  # fmt: skip
    return found

"""Exclusive final states and the combinations of leading objects in them.

A final state is the number of objects of each type, packed into one integer: eight bits a type, in the
order electrons, muons, jets, b-jets, photons, taus, Z; above them two bits of a charge tag.  A
*combination* takes neighbouring objects of each of its types, counted from the highest transverse
momentum: ``e0e1j0`` are the two leading electrons and the leading jet.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["LETTERS", "TAGS", "TYPES", "Combination", "combinations", "pack", "state_name", "unpack"]

#: Types in the order of all names and codes, and their letters.
TYPES: Final = ("electrons", "muons", "jets", "bjets", "photons", "taus", "zbosons")
LETTERS: Final = ("e", "m", "j", "b", "g", "t", "Z")
#: Charge tags of final states with two leptons.
TAGS: Final = ("", "OS", "SS")
_BITS: Final = 8
_TAG_SHIFT: Final = _BITS * len(TYPES)
#: Objects of a type that a code can hold.
MOST: Final = 2**_BITS - 1


@dataclass(frozen=True, slots=True)
class Combination:
    """Objects whose four-vectors are added.

    Attributes
    ----------
    picks : tuple of (type number, first object, number of objects), in the order of types
        Empty for the combination of all objects.
    transverse : bool
        Whether missing transverse momentum is added, and the mass is the transverse one.
    """

    picks: tuple[tuple[int, int, int], ...]
    transverse: bool = False

    @property
    def name(self) -> str:
        """``e0e1j0``; ``all`` for all objects; ``MET_e0`` with missing transverse momentum."""
        objects = "".join(
            f"{LETTERS[kind]}{start + i}" for kind, start, count in self.picks for i in range(count)
        )
        return ("MET_" if self.transverse else "") + (objects or "all")

    @property
    def leptons_only(self) -> bool:
        """Two electrons, or two muons, and nothing else."""
        return (
            not self.transverse
            and len(self.picks) == 1
            and self.picks[0][0] in (0, 1)
            and self.picks[0][2] == 2
        )


def combinations(
    types: Sequence[int],
    *,
    kinds: tuple[int, int] = (2, 4),
    each: tuple[int, int] = (2, 4),
    total: int | None = None,
    subleading: int | None = None,
) -> tuple[Combination, ...]:
    """All combinations of leading (and neighbouring sub-leading) objects.

    Parameters
    ----------
    types : numbers of the types to combine
    kinds : least and largest number of types
    each : least and largest number of objects of a type
    total : largest number of objects; at least two are always taken
    subleading : int, optional
        Allow k objects of a type to begin at 0 .. max(0, subleading - k + 1) instead of at 0.

    Returns
    -------
    tuple of Combination
        Ordered by the number of types, the types and the counts.
    """
    found = []
    for size in range(max(kinds[0], 1), min(kinds[1], len(types)) + 1):
        for chosen in itertools.combinations(sorted(types), size):
            for counts in itertools.product(range(max(each[0], 1), each[1] + 1), repeat=size):
                if sum(counts) < 2 or (total is not None and sum(counts) > total):
                    continue
                starts = [
                    range(1 if subleading is None else max(0, subleading - count + 1) + 1) for count in counts
                ]
                found += [
                    Combination(tuple(zip(chosen, first, counts, strict=True)))
                    for first in itertools.product(*starts)
                ]
    return tuple(found)


def pack(counts: NDArray[np.int64], tag: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """(n,) codes of events from their numbers of objects (n, 7)."""
    code = np.zeros(len(counts), dtype=np.int64)
    for kind in range(len(TYPES)):
        code |= counts[:, kind].astype(np.int64) << (_BITS * kind)
    return code if tag is None else code | (tag.astype(np.int64) << _TAG_SHIFT)


def unpack(code: int) -> tuple[tuple[int, ...], str]:
    """Numbers of objects of each type, and the charge tag."""
    counts = tuple((code >> (_BITS * kind)) & MOST for kind in range(len(TYPES)))
    return counts, TAGS[(code >> _TAG_SHIFT) & 3]


def state_name(code: int, types: Sequence[int]) -> str:
    """``2e_0m_4j_0g`` of these types, with the charge tag where there is one."""
    counts, tag = unpack(code)
    text = "_".join(f"{counts[kind]}{LETTERS[kind]}" for kind in types)
    return f"{text}_{tag}" if tag else text

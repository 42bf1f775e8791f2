"""Trigger objects of NanoAOD: which bit of ``TrigObj_filterBits`` says what.

The meaning of a bit changes with the version of NanoAOD, so bits are asked for by name where possible
and looked up in the file's own description of the branch; tables stand in where that was stripped.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.errors import ConfigError, nearest

__all__ = ["KINDS", "Bit", "find_bit", "has_bit", "parse_title", "set_bits", "table"]

#: |id| of a trigger object -> what it is called.
KINDS: Final[Mapping[int, str]] = MappingProxyType({11: "Electron", 22: "Photon", 13: "Muon", 15: "Tau"})

#: (bit, where its meaning is from); ``note`` in words for the reader.
Bit = tuple[int, str]

_LATE: Final = (
    "1e1mu", "1e1tau", "3e", "2e1mu", "1e2mu", "32_L1DoubleEG", "CaloIdVT_GsfTrkIdT", "PFJet",
    "Photon175/200",
)  # fmt: skip
_EARLY: Final = ("CaloIdL_TrackIdL_IsoVL", "WPTight", "WPLoose", "OverlapFilterPFTau")
_MUON: Final = ("TrkIsoVVL", "Iso", "OverlapFilterPFTau", "1mu", "2mu")
#: NanoAOD's PhysicsTools/NanoAOD/python/triggerObjects_cff.py, releases 10_2 (v5) to 13_0 (v12).
_V12: Final = {11: (*_EARLY, "2e", *_LATE), 13: _MUON}
#: The same file in release 13_3 (v13) and later.
_V13: Final = {11: (*_EARLY, "Leg1", "Leg2", *_LATE, "MW_seeded", "MW_unseeded"), 13: _MUON}

_ENTRY: Final = re.compile(r"(\d+)\s*(=>|=)\s*(.*?)(?=,\s*\d+\s*(?:=>|=)|$)")
_SECTION: Final = re.compile(r"\s+for\s+([A-Z]\w*)[^;]*$")


def table(version: int | None, kind: int) -> dict[str, int]:
    """Bits by name as NanoAOD of a version numbers them (None: v5-v12)."""
    names = (_V13 if version is not None and version >= 13 else _V12).get(kind, ())
    return {name: bit for bit, name in enumerate(names)}


@functools.cache
def parse_title(title: str) -> Mapping[str, Mapping[str, int]]:
    """Bits by kind of object and name, from a branch title.

    ``"1 = A, 2 = B for Electron"`` lists masks, ``"0 => A, 1 => B for Muon"`` numbers of bits.  A title
    without either gives nothing.
    """
    found: dict[str, Mapping[str, int]] = {}
    for section in title.split(";"):
        kind = _SECTION.search(section)
        if kind is None:
            continue
        text = section[: kind.start()]
        text = text.partition("information:")[2] or text
        bits: dict[str, int] = {}
        for number, sign, name in _ENTRY.findall(text.strip()):
            value = int(number)
            if sign == "=":
                if value <= 0 or value & (value - 1):
                    continue
                value = value.bit_length() - 1
            bits[_clean(name)] = value
        if bits:
            found[kind[1]] = MappingProxyType(bits)
    return MappingProxyType(found)


def _clean(name: str) -> str:
    """``1e (WPTight)`` is WPTight, ``1e-1mu`` is 1e1mu."""
    inside = re.fullmatch(r"\d\w+\s*\((.+)\)", name.strip())
    return re.sub(r"[\s-]", "", inside[1] if inside else name.strip())


def _key(name: str) -> str:
    return re.sub(r"[\s_/()-]", "", name).casefold().removeprefix("hlt")


def find_bit(
    wanted: int | str, kind: int, *, title: str = "", version: int | None = None, wide: bool = False
) -> Bit:
    """The number of a bit, and where its meaning is from.

    Parameters
    ----------
    wanted : int or str
        A number is taken as it is.  ``Leg2`` is ``2e`` where NanoAOD has no bit for it (before v13).
    kind : int
        |id| of the objects: 11, 13 or 22.
    title : str
        The file's description of the branch.
    version : int, optional
        Of NanoAOD, where the title was stripped.
    wide : bool
        Whether the bits are stored in 64 bits, as NanoAOD v15 does.

    Raises
    ------
    ConfigError
        No bit of this name, with the nearest and all that there are.
    """
    if isinstance(wanted, int):
        return wanted, "number"
    known: Mapping[str, int] = parse_title(title).get(KINDS.get(kind, ""), {})
    source = "title"
    if not known:
        source = f"table of NanoAOD v{version}" if version else "table of NanoAOD v13+" if wide else ""
        known = table(version or (13 if wide else None), kind)
        source = source or "table of NanoAOD v5-v12"
    by_key = {_key(name): bit for name, bit in known.items()}
    key = _key(wanted)
    if key == "leg2" and not any(key in name for name in by_key):
        # Before v13 there was one bit for the last filter of a trigger with two electrons.
        key = "2e"
    for fits in (str.__eq__, str.startswith, str.__contains__):
        found = {bit for name, bit in by_key.items() if fits(name, key)}
        if len(found) == 1:
            return found.pop(), source
    raise ConfigError(
        f"there is no filter bit {wanted!r} for {KINDS.get(kind, kind)} objects ({source})",
        near=nearest(wanted, known),
        action="bits: " + (", ".join(f"{bit} {name}" for name, bit in known.items()) or "give a number"),
    )


def has_bit(bits: NDArray[np.integer], bit: int) -> NDArray[np.bool_]:
    """(m,) whether a bit is set; bits that the type cannot hold are not."""
    if bit >= 8 * bits.dtype.itemsize:
        return np.zeros(len(bits), dtype=np.bool_)
    words = (
        bits.astype(np.int64, copy=False).view(np.uint64)
        if bits.dtype.kind == "i"
        else bits.astype(np.uint64)
    )
    return np.asarray((words >> np.uint64(bit)) & np.uint64(1), dtype=np.bool_)


def set_bits(bits: NDArray[np.integer]) -> list[tuple[int, int]]:
    """(bit, how many objects have it) of all bits that occur."""
    counts = [(bit, int(has_bit(bits, bit).sum())) for bit in range(8 * bits.dtype.itemsize)]
    return [(bit, count) for bit, count in counts if count]

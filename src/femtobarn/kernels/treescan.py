"""Finding the branches in the bytes of a ROOT tree's header, without making an object of each.

A tree of NanoAOD has some two thousand branches and a job wants twenty.  Every streamed object begins with
its length, so the scan steps from branch to branch and notes where each is and how much it weighs.  Lengths
of a damaged file lead anywhere: a byte outside of the data counts as 0, which is no length.
"""

from __future__ import annotations

from typing import Any, Final

import numba
import numpy as np

__all__ = ["FIELDS", "after_block", "scan_branches"]

#: Columns of the table of branches; all are positions or numbers of the streamed branch.
FIELDS: Final = ("class_tag", "name", "name_length", "numbers", "baskets", "zip_bytes", "children", "end")
#: Set in a four-byte word that gives a length; and the word that comes before the name of a class.
_LENGTH: Final = 0x40000000
_NEW_CLASS: Final = 0xFFFFFFFF
#: Bit of TObject that makes it two bytes longer.
_REFERENCED: Final = 1 << 4


@numba.njit(cache=True)
def _byte(data: Any, at: int) -> Any:
    return np.int64(data[at]) if 0 <= at < len(data) else np.int64(0)


@numba.njit(cache=True)
def _word(data: Any, at: int) -> Any:
    if at < 0 or at + 4 > len(data):
        return np.int64(0)
    return (
        (np.int64(data[at]) << 24)
        | (np.int64(data[at + 1]) << 16)
        | (np.int64(data[at + 2]) << 8)
        | np.int64(data[at + 3])
    )


@numba.njit(cache=True)
def _long(data: Any, at: int) -> Any:
    return (_word(data, at) << 32) | _word(data, at + 4)


@numba.njit(cache=True)
def after_block(data: Any, at: int) -> Any:
    """Position after a block that begins with its length; -1 if there is no such block."""
    word = _word(data, at)
    if not word & _LENGTH:
        return np.int64(-1)
    return at + 4 + (word & ~_LENGTH)


@numba.njit(cache=True)
def scan_branches(data: Any, at: Any, count: int) -> Any:
    """Table of the branches that are streamed from position ``at`` on.

    Parameters
    ----------
    data : (n,) uint8
        The tree, uncompressed.
    at : int
        Where the first object of the array of branches begins.
    count : int

    Returns
    -------
    (count, len(FIELDS)) int64; empty if something is not as expected (the caller then takes another road).
    ``class_tag`` is where the word is that tells the class, ``numbers`` where the numbers begin that come
    after name and style, with fCompress.
    """
    table = np.zeros((count, 8), np.int64)
    none = np.zeros((0, 8), np.int64)
    size = len(data)
    for i in range(count):
        if at + 64 > size:
            return none
        end = after_block(data, at)
        if end < 0 or end > size:
            return none
        table[i, 0] = at + 4
        table[i, 7] = end
        at += 8
        if _word(data, at - 4) == _NEW_CLASS:
            while at < end and data[at] != 0:
                at += 1
            at += 1
        # TBranch: length, version (12 or 13); TNamed: length, version; TObject: version, id, bits.
        version = (_byte(data, at + 4) << 8) | _byte(data, at + 5)
        if version < 12 or version > 13:
            return none
        at += 6
        after_name = after_block(data, at)
        bits = _word(data, at + 12)
        at += 16 + (2 if bits & _REFERENCED else 0)
        length = _byte(data, at)
        at += 1
        if length == 255:
            length = _word(data, at)
            at += 4
        if after_name < 0 or after_name > end or at + length > end:
            return none
        table[i, 1], table[i, 2] = at, length
        at = after_block(data, after_name)  # over TAttFill
        if at < 0 or at + 80 > end:
            return none
        table[i, 3] = at
        table[i, 4] = _word(data, at + 12)
        at += 24
        if version == 13:
            at = after_block(data, at)  # over fIOFeatures
            if at < 0 or at + 64 > end:
                return none
        at += 12 + 24
        table[i, 5] = _long(data, at)
        at += 8
        # fBranches: length, version, TObject, name, number of objects.
        bits = _word(data, at + 12)
        at += 16 + (2 if bits & _REFERENCED else 0)
        at += 1 + _byte(data, at)
        table[i, 6] = _word(data, at)
        at = end
    return table

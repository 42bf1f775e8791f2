"""Decoders for what EDM files do not keep as plain columns: references, covariances, hits, identities.

Everything here works on arrays or bytes already read and knows nothing about files.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.errors import DataError
from femtobarn.kernels.jagged import Jagged

__all__ = [
    "NULL",
    "REFERENCE",
    "branch_id",
    "count_hits",
    "decode_event_id",
    "decode_lumi_id",
    "follow",
    "impact_errors",
    "impact_parameters",
    "referred_products",
]

#: ``edm::RefCoreWithIndex`` as written: 10 bytes, big-endian.
REFERENCE: Final = np.dtype([("version", ">u2"), ("process", ">u2"), ("product", ">u2"), ("element", ">u4")])
#: Element of a reference to nothing.
NULL: Final = 0xFFFFFFFF

# reco::HitPattern of CMSSW 5: 25 words of 32 bits hold 72 hits of 11 bits.
_HIT_BITS: Final = 11
_HITS: Final = 72

_BYTE_COUNT: Final = 0x40000000
Vectors = NDArray[np.float64]


def branch_id(product: str) -> int:
    """Hash by which references name a product: CRC-32 of its branch name, final dot included."""
    return zlib.crc32(product.encode())


def referred_products(
    references: Jagged, indexes: Jagged, lists: Sequence[NDArray[np.uint32]]
) -> NDArray[np.uint32]:
    """The product (by :func:`branch_id`) each reference points into; 0 for null and unknown ones.

    A product ID is (process, product), both from 1: ``process`` counts in the event's list of
    processes, whose entry names one of the file's lists of products (edm::ProductID, BranchIDLists).

    Parameters
    ----------
    references : Jagged of REFERENCE
    indexes : Jagged of int
        Per event, for each process, the number of its list.
    lists : sequence of (k,) uint32
    """
    values = references.values
    out = np.zeros(len(values), dtype=np.uint32)
    process = values["process"].astype(np.int64)
    events = references.parents
    usable = (
        (values["element"] != NULL)
        & (process > 0)
        & (process <= indexes.counts[events])
        & (values["product"] > 0)
    )
    at = np.flatnonzero(usable)
    if not len(at):
        return out
    number = indexes.values[indexes.offsets[events[at]] + process[at] - 1].astype(np.int64)
    pairs, inverse = np.unique(
        np.stack([number, values["product"][at].astype(np.int64)], axis=1), axis=0, return_inverse=True
    )
    known = [
        int(lists[which][product - 1]) if which < len(lists) and product <= len(lists[which]) else 0
        for which, product in pairs.tolist()
    ]
    out[at] = np.asarray(known, dtype=np.uint32)[inverse.reshape(-1)]
    return out


def follow(
    references: Jagged, products: NDArray[np.uint32], target: str, column: Jagged, *, where: str
) -> NDArray[np.int64]:
    """Positions in the flat columns of ``target`` of what each reference points at.

    Parameters
    ----------
    references : Jagged of REFERENCE
    products : (m,) uint32
        From :func:`referred_products`.
    target : str
        Branch name of the product.
    column : Jagged
        Any column of the target, same events.
    where : str
        File and branch, for the error message.

    Returns
    -------
    (m,) int64
        -1 for a null reference and for one into another product.

    Raises
    ------
    DataError
        A reference points past the end of its product: the file is damaged.
    """
    out = np.full(len(products), -1, dtype=np.int64)
    at = np.flatnonzero(products == branch_id(target))
    events = references.parents[at]
    element = references.values["element"][at].astype(np.int64)
    if np.any(element >= column.counts[events]):
        raise DataError(f"a reference points past the end of {target!r}", where=where)
    out[at] = column.offsets[events] + element
    return out


def impact_parameters(points: Vectors, momenta: Vectors, vertex: Vectors) -> tuple[Vectors, Vectors]:
    """Transverse and longitudinal impact parameter of a straight track (reco::TrackBase::dxy, dz).

    Parameters
    ----------
    points, momenta, vertex : (m, 3) float
        Reference point [cm] and momentum [GeV] of the track, and the vertex [cm].

    Returns
    -------
    dxy, dz : (m,) float, cm
    """
    dx, dy, dz = (points - vertex).T
    px, py, pz = momenta.T
    pt = np.hypot(px, py)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (dy * px - dx * py) / pt, dz - (dx * px + dy * py) / pt * pz / pt


def impact_errors(covariance: Vectors, momenta: Vectors) -> tuple[Vectors, Vectors]:
    """Uncertainties of the impact parameters (reco::TrackBase::dxyError, dzError).

    Parameters
    ----------
    covariance : (m, 15) float
        Lower triangle of the 5 x 5 matrix of (q/p, lambda, phi, dxy, dsz), row by row: elements 9 and
        14 are the variances of dxy and dsz.
    momenta : (m, 3) float, GeV

    Returns
    -------
    dxy, dz : (m,) float, cm; NaN for a negative variance
    """
    px, py, pz = momenta.T
    pt = np.hypot(px, py)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt(covariance[:, 9]), np.sqrt(covariance[:, 14]) * np.hypot(pt, pz) / pt


def count_hits(words: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Number of hits in packed hit patterns (reco::HitPattern::numberOfHits): non-zero 11-bit fields.

    Fields follow each other from the lowest bit of the first word on, across word boundaries.

    Parameters
    ----------
    words : (m, 25) uint32
    """
    octets = np.ascontiguousarray(words.astype("<u4")).view(np.uint8).reshape(len(words), 4 * words.shape[1])
    bits = np.unpackbits(octets, axis=1, bitorder="little")[:, : _HITS * _HIT_BITS]
    hit = bits.reshape(len(words), _HITS, _HIT_BITS).any(axis=2)
    return np.asarray(np.count_nonzero(hit, axis=1), dtype=np.int64)


def _body(entry: bytes, at: int) -> tuple[int, int]:
    """Bounds of what follows the header (byte count, version) of a streamed object at ``at``."""
    (count,) = struct.unpack_from(">I", entry, at)
    if not count & _BYTE_COUNT:
        raise ValueError("no byte count")
    start, stop = at + 6, at + 4 + (count & ~_BYTE_COUNT)
    if not start <= stop <= len(entry):
        raise ValueError("byte count past the end")
    return start, stop


def decode_lumi_id(entry: bytes) -> tuple[int, int] | None:
    """(run, luminosity block) of a streamed ``edm::LuminosityBlockAuxiliary``; None if it is not one."""
    try:
        _, at = _body(entry, 0)  # processHistoryID_
        start, stop = _body(entry, at)
        if stop - start != 8:
            return None
        run, lumi = struct.unpack_from(">II", entry, start)
    except (struct.error, ValueError):
        return None
    return int(run), int(lumi)


def decode_event_id(entry: bytes) -> tuple[int, int, int] | None:
    """(run, luminosity block, event) of a streamed ``edm::EventAuxiliary``; None if it is not one.

    The members are processHistoryID_, id_, processGUID_, time_, luminosityBlock_, ...; the identity
    grew over the years: (run, event) of 32 bits, then (run, lumi, event), then with 64 bits for event.
    """
    try:
        _, at = _body(entry, 0)  # processHistoryID_
        start, stop = _body(entry, at)
        layout = {8: ">II", 12: ">III", 16: ">IIQ"}.get(stop - start)
        if layout is None:
            return None
        numbers: tuple[Any, ...] = struct.unpack_from(layout, entry, start)
        if len(numbers) == 2:
            _, guid = _body(entry, stop)
            _, time = _body(entry, guid)
            (lumi,) = struct.unpack_from(">I", entry, time)
            numbers = (numbers[0], lumi, numbers[1])
    except (struct.error, ValueError):
        return None
    run, lumi, event = (int(number) for number in numbers)
    return run, lumi, event

"""A part's outcome as bytes: one JSON header, then raw arrays, then a checksum.

Neither pickle nor an archive format: the header names every array's type, shape and place, so reading
cannot run code, and a damaged byte anywhere is found by the checksum.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.errors import StoreError
from femtobarn.hists import Axis, Compensated, Histogram, HistSpec
from femtobarn.outcome import CutRow, Outcome, Shard

__all__ = ["decode", "encode"]

_MAGIC: Final = b"FBOUT001"
_DIGEST_BYTES: Final = 32
#: Kinds of arrays that may appear: booleans, integers, floats, text.
_KINDS: Final = "biufU"


class _Arrays:
    """Arrays laid end to end, each referred to by its number."""

    def __init__(self) -> None:
        self.entries: list[list[Any]] = []
        self.chunks: list[bytes] = []
        self.length = 0

    def put(self, array: NDArray[Any]) -> int:
        if array.dtype.kind not in _KINDS:
            raise StoreError(f"an outcome cannot hold values of type {array.dtype}")
        data = np.ascontiguousarray(array).tobytes()
        self.entries.append([array.dtype.str, list(array.shape), self.length])
        self.chunks.append(data)
        self.length += len(data)
        return len(self.entries) - 1


def encode(outcome: Outcome) -> bytes:
    """Bytes of an outcome; equal outcomes give equal bytes."""
    arrays = _Arrays()
    header = {
        "dataset": outcome.dataset,
        "histograms": {name: _pack_histogram(h, arrays) for name, h in outcome.histograms.items()},
        "cutflows": {
            dataset: [[cut, row.events, _pair(row.sumw), _pair(row.sumw2)] for cut, row in rows.items()]
            for dataset, rows in outcome.cutflows.items()
        },
        "sums": {
            dataset: {name: _pair(total) for name, total in sums.items()}
            for dataset, sums in outcome.sums.items()
        },
        "tables": {
            name: [{key: arrays.put(column) for key, column in shard.columns.items()} for shard in shards]
            for name, shards in outcome.tables.items()
        },
        "facts": outcome.facts,
        "warnings": outcome.warnings,
    }
    text = json.dumps({**header, "arrays": arrays.entries}, separators=(",", ":")).encode()
    body = b"".join([_MAGIC, len(text).to_bytes(8, "little"), text, *arrays.chunks])
    return body + hashlib.sha256(body).digest()


def decode(data: bytes, *, part: int) -> Outcome:
    """The outcome behind these bytes, filed under its number in the present plan.

    Raises
    ------
    StoreError
        The bytes are damaged or from an incompatible version.
    """
    body, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if len(data) < len(_MAGIC) + 8 + _DIGEST_BYTES or body[: len(_MAGIC)] != _MAGIC:
        raise StoreError("is not a stored outcome")
    if hashlib.sha256(body).digest() != digest:
        raise StoreError("is damaged: its checksum does not fit")
    start = len(_MAGIC) + 8
    length = int.from_bytes(body[len(_MAGIC) : start], "little")
    header = json.loads(body[start : start + length])
    base = start + length

    def array(number: int) -> NDArray[Any]:
        kind, shape, offset = header["arrays"][number]
        dtype = np.dtype(kind)
        count = int(np.prod(shape))
        return np.frombuffer(body, dtype, count, base + offset).reshape(shape)

    return Outcome(
        header["dataset"],
        {name: _unpack_histogram(name, packed, array) for name, packed in header["histograms"].items()},
        {
            dataset: {cut: CutRow(n, Compensated(*w), Compensated(*w2)) for cut, n, w, w2 in rows}
            for dataset, rows in header["cutflows"].items()
        },
        {
            dataset: {name: Compensated(*pair) for name, pair in sums.items()}
            for dataset, sums in header["sums"].items()
        },
        {
            name: [Shard(part, {key: array(n) for key, n in shard.items()}) for shard in shards]
            for name, shards in header["tables"].items()
        },
        {
            dataset: {name: tuple(values) for name, values in facts.items()}
            for dataset, facts in header["facts"].items()
        },
        dict(header["warnings"]),
    )


def _pair(total: Compensated) -> list[float]:
    return [total.value, total.compensation]


def _pack_histogram(histogram: Histogram, arrays: _Arrays) -> dict[str, Any]:
    axes = [[a.name, list(a.edges), a.label, a.unit, a.uniform] for a in histogram.spec.axes]
    blocks = [[list(key), arrays.put(block)] for key, block in sorted(histogram.blocks.items())]
    return {"title": histogram.spec.title, "axes": axes, "blocks": blocks}


def _unpack_histogram(name: str, packed: dict[str, Any], array: Any) -> Histogram:
    axes = tuple(
        Axis(n, tuple(edges), label, unit, uniform) for n, edges, label, unit, uniform in packed["axes"]
    )
    blocks = {(key[0], key[1], key[2]): array(number) for key, number in packed["blocks"]}
    return Histogram(HistSpec(name, axes, packed["title"]), blocks)

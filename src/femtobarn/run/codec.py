"""A part's outcome as bytes: one JSON header, then raw arrays, then a checksum.

Neither pickle nor an archive format: the header names every array's type, shape and place, so reading
cannot run code, and a damaged byte anywhere is found by the checksum.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.errors import StoreError
from femtobarn.hists import Axis, Compensated, Histogram, HistSpec, Sparse
from femtobarn.hists.spectra import ARRAYS, Grid, Kept, Spectra
from femtobarn.kernels.jagged import Jagged
from femtobarn.outcome import CutRow, Outcome, Shard

__all__ = ["decode", "encode"]

_MAGIC: Final = b"FBOUT005"
_DIGEST_BYTES: Final = 32
#: Arrays begin at multiples of this, so that they can be used where they lie.
_ALIGN: Final = 8
#: Rows of tables of more bytes than this stay in the file they are read from.
_MAPPED: Final = 1 << 18
#: Kinds of arrays that may appear: booleans, integers, floats, text.
_KINDS: Final = "biufU"
#: Gives an array by its number.
_Getter = Callable[[int], NDArray[Any]]


class _Arrays:
    """Arrays laid end to end, each referred to by its number."""

    def __init__(self) -> None:
        self.entries: list[list[Any]] = []
        self.chunks: list[bytes | memoryview] = []
        self.length = 0

    def put(self, array: NDArray[Any]) -> int:
        if array.dtype.kind not in _KINDS:
            raise StoreError(f"an outcome cannot hold values of type {array.dtype}")
        # The array's own memory: a survey has too much of it for a copy.
        plain: Any = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        data = memoryview(plain)
        gap = -len(data) % _ALIGN
        self.entries.append([array.dtype.str, list(array.shape), self.length])
        self.chunks += [data, bytes(gap)]
        self.length += len(data) + gap
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
            name: [
                {key: _pack_column(column, arrays) for key, column in shard.columns.items()}
                for shard in shards
            ]
            for name, shards in outcome.tables.items()
        },
        "facts": outcome.facts,
        "warnings": outcome.warnings,
        "spectra": {dataset: _pack_spectra(item, arrays) for dataset, item in outcome.spectra.items()},
        "sparse": {
            name: [_spec_text(HistSpec(name, item.axes)), arrays.put(item.bins), arrays.put(item.sums)]
            for name, item in outcome.sparse.items()
        },
    }
    text = json.dumps({**header, "arrays": arrays.entries}, separators=(",", ":")).encode()
    text += b" " * (-(len(_MAGIC) + 8 + len(text)) % _ALIGN)
    pieces = [_MAGIC, len(text).to_bytes(8, "little"), text, *arrays.chunks]
    checksum = hashlib.sha256()
    for piece in pieces:
        checksum.update(piece)
    return b"".join([*pieces, checksum.digest()])


def decode(data: bytes, *, part: int, mapped: Callable[[], memoryview] | None = None) -> Outcome:
    """The outcome behind these bytes, filed under its number in the present plan.

    Parameters
    ----------
    mapped : callable, optional
        Gives the same bytes in a file: large tables stay there, so that the ntuples of many parts need no
        memory until they are written, one after the other.

    Raises
    ------
    StoreError
        The bytes are damaged or from an incompatible version.
    """
    view = memoryview(data)
    body, digest = view[:-_DIGEST_BYTES], view[-_DIGEST_BYTES:]
    if len(data) < len(_MAGIC) + 8 + _DIGEST_BYTES or bytes(body[: len(_MAGIC)]) != _MAGIC:
        raise StoreError("is not a stored outcome")
    if hashlib.sha256(body).digest() != bytes(digest):
        raise StoreError("is damaged: its checksum does not fit")
    start = len(_MAGIC) + 8
    length = int.from_bytes(body[len(_MAGIC) : start], "little")
    header = json.loads(bytes(body[start : start + length]))
    base = start + length

    def array(number: int) -> NDArray[Any]:
        kind, shape, offset = header["arrays"][number]
        dtype = np.dtype(kind)
        count = int(np.prod(shape))
        # A copy: a row that is kept must not keep the whole part in memory.
        return np.frombuffer(body, dtype, count, base + offset).reshape(shape).copy()

    def kept(number: int) -> NDArray[Any]:
        kind, shape, offset = header["arrays"][number]
        count = int(np.prod(shape))
        return np.frombuffer(place, np.dtype(kind), count, base + offset).reshape(shape)

    rows = array
    if mapped is not None and _table_bytes(header) > _MAPPED:
        place, rows = mapped(), kept
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
            name: [
                Shard(part, {key: _unpack_column(n, rows) for key, n in shard.items()}) for shard in shards
            ]
            for name, shards in header["tables"].items()
        },
        {
            dataset: {name: tuple(values) for name, values in facts.items()}
            for dataset, facts in header["facts"].items()
        },
        dict(header["warnings"]),
        {dataset: _unpack_spectra(packed, array, part) for dataset, packed in header["spectra"].items()},
        {
            name: Sparse(_spec(name, spec).axes, array(bins), array(sums))
            for name, (spec, bins, sums) in header["sparse"].items()
        },
    )


def _table_bytes(header: dict[str, Any]) -> int:
    """How much the tables of a stored outcome take."""
    columns = (packed for shards in header["tables"].values() for one in shards for packed in one.values())
    numbers = (n for packed in columns for n in (packed if isinstance(packed, list) else [packed]))
    entries = (header["arrays"][n] for n in numbers)
    return sum(np.dtype(kind).itemsize * int(np.prod(shape)) for kind, shape, _ in entries)


def _pack_column(column: NDArray[Any] | Jagged, arrays: _Arrays) -> int | list[int]:
    """The number of a column's array; two numbers for a column of lists."""
    if isinstance(column, Jagged):
        return [arrays.put(column.offsets), arrays.put(column.values)]
    return arrays.put(column)


def _unpack_column(packed: int | list[int], array: _Getter) -> NDArray[Any] | Jagged:
    if isinstance(packed, list):
        return Jagged(array(packed[0]), array(packed[1]))
    return array(packed)


def _pair(total: Compensated) -> list[float]:
    return [total.value, total.compensation]


def _pack_histogram(histogram: Histogram, arrays: _Arrays) -> dict[str, Any]:
    blocks = [[list(key), *_pack_block(block, arrays)] for key, block in sorted(histogram.blocks.items())]
    return {"spec": _spec_text(histogram.spec), "blocks": blocks}


def _pack_block(block: NDArray[np.float64], arrays: _Arrays) -> list[int]:
    """A block of bins as one array, or as filled bins and their content: a part fills few of many."""
    filled = np.flatnonzero(block.any(axis=0))
    if 2 * len(filled) > block.shape[1]:
        return [arrays.put(block)]
    return [arrays.put(filled.astype(np.int32)), arrays.put(block[:, filled]), block.shape[1]]


def _unpack_block(packed: list[int], array: _Getter) -> NDArray[np.float64]:
    if len(packed) == 1:
        return array(packed[0])
    filled, content, bins = packed
    block = np.zeros((len(array(content)), bins))
    block[:, array(filled)] = array(content)
    return block


def _unpack_histogram(name: str, packed: dict[str, Any], array: _Getter) -> Histogram:
    blocks = {(key[0], key[1], key[2]): _unpack_block(rest, array) for key, *rest in packed["blocks"]}
    return Histogram(_spec(name, packed["spec"]), blocks)


@functools.lru_cache(maxsize=4096)
def _spec_text(spec: HistSpec) -> str:
    axes = [[a.name, list(a.edges), a.label, a.unit, a.uniform] for a in spec.axes]
    return json.dumps([spec.title, axes], separators=(",", ":"))


@functools.lru_cache(maxsize=4096)
def _spec(name: str, text: str) -> HistSpec:
    title, axes = json.loads(text)
    return HistSpec(
        name,
        tuple(Axis(n, tuple(edges), label, unit, uniform) for n, edges, label, unit, uniform in axes),
        title,
    )


def _pack_spectra(spectra: Spectra, arrays: _Arrays) -> dict[str, Any]:
    """Digits of sums are mostly zero: only the columns that are not are stored."""
    columns: dict[str, Any] = {}
    for name, (shape, _) in ARRAYS.items():
        column = getattr(spectra, name)
        used = [int(i) for i in np.flatnonzero(column.any(axis=0))] if shape else None
        columns[name] = [arrays.put(column if used is None else column[:, used]), used, len(column)]
    return {
        "grid": [spectra.grid.width, spectra.grid.bins],
        "states_of": spectra.states_of,
        "items": spectra.items,
        "weighted": spectra.weighted,
        "names": {str(state): name for state, name in spectra.names.items()},
        "columns": columns,
        "kept": [
            [arrays.put(getattr(kept, name)) for name in ("of", "item", "offsets", "values")]
            for kept in spectra.kept
        ],
    }


def _unpack_spectra(packed: dict[str, Any], array: _Getter, part: int) -> Spectra:
    columns = {}
    for name, (number, used, length) in packed["columns"].items():
        shape, kind = ARRAYS[name]
        column = array(number)
        if used is not None:
            full = np.zeros((length, *shape), dtype=kind)
            full[:, used] = column
            column = full
        columns[name] = column
    return Spectra(
        Grid(*packed["grid"]), packed["states_of"], tuple(packed["items"]), packed["weighted"],
        names={int(state): name for state, name in packed["names"].items()}, **columns,
        kept=[Kept(part, *(array(number) for number in numbers)) for numbers in packed["kept"]],
    )  # fmt: skip

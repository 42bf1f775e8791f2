"""A local TTree of plain branches, read without the general reader.

What NanoAOD and most ntuples hold are numbers, and lists of numbers whose lengths are another branch.  For
these, all there is to do is to find the baskets, decompress them and swap their bytes.  Whatever else a file
holds (objects, arrays of fixed length, baskets within the tree) is :class:`Unusual` and left to uproot.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from femtobarn.errors import DataError
from femtobarn.kernels.jagged import Jagged
from femtobarn.kernels.treescan import after_block, scan_branches
from femtobarn.read.columns import Column
from femtobarn.read.recycling import recycled
from femtobarn.read.rootbytes import Bytes, Key, RootBytes, Unusual, buffer_of, unpack_blocks

__all__ = ["DirectTree", "Lists", "PlainBranch", "plain_trees"]

_KINDS: Final = {
    "TLeafF": "f4",
    "TLeafD": "f8",
    "TLeafI": "i4",
    "TLeafL": "i8",
    "TLeafS": "i2",
    "TLeafB": "i1",
    "TLeafO": "?",
}
_TREE_VERSIONS: Final = (19, 20)
_COUNTED: Final = re.compile(r"^[^\[\]]+\[(\w+)\]$")
#: The end of a basket's key: version, sizes, number of entries, end of the data, flag.
_BASKET: Final = struct.Struct(">hiiiib")
_KEY_LENGTH: Final = 14
#: No branch takes fewer bytes.
_LEAST: Final = 64


@dataclass(frozen=True, slots=True)
class PlainBranch:
    """A branch of numbers.

    Attributes
    ----------
    name : str
    dtype : big-endian type of a value
    counter : str
        Branch that holds the number of values of each entry; empty if there is one.
    edges : (b + 1,) int64
        First entry of each basket, and the end.
    seeks, sizes : (b,) int64
        Where baskets lie, and their bytes with keys.
    """

    name: str
    dtype: np.dtype[Any]
    counter: str
    edges: NDArray[np.int64]
    seeks: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def baskets(self, start: int, stop: int) -> range:
        """Numbers of the baskets with entries of this range."""
        if stop <= start:
            return range(0)
        first = int(np.searchsorted(self.edges, start, side="right")) - 1
        return range(first, int(np.searchsorted(self.edges, stop, side="left")))


class Lists(NamedTuple):
    """Lengths of the lists of a range of entries, and of the baskets at its ends.

    Attributes
    ----------
    low : int
        First entry of the first basket.
    ends : (k + 1,) int64
        Sum of the lengths before each entry from ``low`` on.
    offsets : (n + 1,) int64
        The same for the range itself.
    """

    low: int
    ends: NDArray[np.int64]
    offsets: NDArray[np.int64]


class DirectTree:
    """The tree behind a key of a file; knows all branches by name and weight, and plain ones in full.

    Raises
    ------
    Unusual
        The tree has objects or sub-branches, or is of another version than we know.
    """

    def __init__(self, file: RootBytes, key: Key) -> None:
        self.title = key.title
        self._file = file
        self._data = file.payload(key)
        self._raw = self._data.tobytes()
        self._shift = key.length
        first, count = self._branches_at()
        if not 0 <= count <= len(self._data) // _LEAST:
            raise Unusual
        table = scan_branches(self._data, first, count)
        if len(table) != count or not self._all_plain(table):
            raise Unusual
        raw = self._raw
        names = [raw[row[1] : row[1] + row[2]].decode("utf-8", "replace") for row in table.tolist()]
        self._rows: dict[str, list[int]] = dict(zip(names, table.tolist(), strict=True))
        if len(self._rows) != count:
            raise Unusual
        self._known: dict[str, PlainBranch] = {}
        self._stored: Bytes | None = None
        self._opened: Bytes | None = None

    # -- what is there -------------------------------------------------------------------------------

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._rows)

    def zip_bytes(self, name: str) -> int:
        """Compressed bytes of a branch."""
        return int(self._rows[name][5])

    def branch_title(self, name: str) -> str:
        """What the file says about a branch; the title lies right behind the name."""
        at = int(self._rows[name][1] + self._rows[name][2])
        length = self._raw[at]
        at += 1
        if length == 255:
            (length,) = struct.unpack_from(">I", self._raw, at)
            at += 4
        return self._raw[at : at + length].decode("utf-8", "replace")

    def edges(self, names: Sequence[str]) -> list[int]:
        """Entry numbers where all of these branches begin a new basket, with both ends of the tree."""
        common: set[int] | None = None
        # Those with few baskets first: often there is nothing left after the first one.
        for name in sorted(names, key=lambda name: int(self._rows[name][4])):
            if not self._rows[name][4]:
                continue
            own = {0, self.entries} if self._rows[name][4] == 1 else set(self._layout(name)[0].tolist())
            common = own if common is None else common & own
            if len(common) <= 2:
                break
        return sorted({0, self.entries} | {edge for edge in common or () if 0 < edge < self.entries})

    def _branches_at(self) -> tuple[int, int]:
        """Position of the first branch and their number."""
        data = self._data
        if len(data) < 128:
            raise Unusual
        (version,) = struct.unpack_from(">h", self._raw, 4)
        if version not in _TREE_VERSIONS:
            raise Unusual
        at = 6
        for _ in range(4):  # TNamed, TAttLine, TAttFill, TAttMarker
            at = _over(data, at)
        (entries,) = struct.unpack_from(">q", self._raw, at)
        self.entries = int(entries)
        at += 5 * 8 + 8 + 4 * 4
        (ranges,) = struct.unpack_from(">i", self._raw, at)
        at += 4 + 6 * 8 + 2 * (1 + 8 * ranges)
        if version >= 20:
            at = _over(data, at)
        return self._array(at)

    def _array(self, at: int) -> tuple[int, int]:
        """First element and length of a TObjArray."""
        data = self._data
        (bits,) = struct.unpack_from(">I", self._raw, at + 12)
        at += 16 + (2 if bits & 16 else 0)
        at += 1 + int(data[at])
        (count,) = struct.unpack_from(">i", self._raw, at)
        return at + 8, int(count)

    def _all_plain(self, table: NDArray[np.int64]) -> bool:
        """No branch has branches of its own, and all are of the class TBranch itself."""
        if table[:, 6].any():
            return False
        words = self._data[table[:, 0][:, None] + np.arange(4)].astype(np.int64)
        tags = (words[:, 0] << 24) | (words[:, 1] << 16) | (words[:, 2] << 8) | words[:, 3]
        # One look at every different tag is enough (a new class has its name behind the tag).
        _, first = np.unique(tags, return_index=True)
        return all(self._class(int(table[i, 0])) == "TBranch" for i in first)

    def _class(self, at: int) -> str:
        """Name of the class whose tag is at a position."""
        (tag,) = struct.unpack_from(">I", self._raw, at)
        if tag != 0xFFFFFFFF:
            at = (tag & 0x7FFFFFFF) - 2 - self._shift
            if not tag & 0x80000000 or not 0 <= at < len(self._data) - 4:
                raise Unusual
            if struct.unpack_from(">I", self._raw, at)[0] != 0xFFFFFFFF:
                raise Unusual
        text = self._data[at + 4 : at + 68].tobytes()
        return text[: text.index(0)].decode() if 0 in text else ""

    # -- one branch ------------------------------------------------------------------------------------

    def branch(self, name: str) -> PlainBranch:
        """All about a branch.  Raises :class:`Unusual` if it is no list of numbers."""
        found = self._known.get(name)
        if found is None:
            edges, seeks, sizes, leaves = self._layout(name)
            dtype, counter = self._leaf(leaves)
            if counter and counter not in self._rows:
                raise Unusual
            found = self._known[name] = PlainBranch(name, dtype, counter, edges, seeks, sizes)
        return found

    def _layout(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], int]:
        """Edges, places and sizes of the baskets; where the array of leaves begins."""
        data, row = self._data, self._rows[name]
        at = row[3] + 24
        # Version 13 has fIOFeatures here, a block with its length; version 12 the small number fOffset.
        features = int(after_block(data, at))
        at = features if features > 0 else at
        most, _, entries, first, _, _ = struct.unpack_from(">iiqqqq", self._raw, at + 4)
        if entries != self.entries or first != 0:
            raise Unusual
        leaves = _over(data, at + 12 + 32)
        baskets = _over(data, leaves)
        begin, held = self._array(baskets)
        at = _over(data, baskets)
        if at - begin != 4 * held or self._data[begin:at].any():
            raise Unusual  # baskets within the tree
        count = row[4]
        columns = []
        for kind, width in ((">i4", 4), (">i8", 8), (">i8", 8)):
            if data[at] != 1:
                raise Unusual
            columns.append(np.frombuffer(data, kind, most, at + 1).astype(np.int64))
            at += 1 + width * most
        if data[at]:
            raise Unusual  # baskets in another file
        sizes, edges, seeks = columns
        edges = np.append(edges[:count], self.entries)
        fits = count <= most and (count == 0 or edges[0] == 0) and (np.diff(edges) > 0).all()
        if not fits or (sizes[:count] <= 0).any():
            raise Unusual
        return edges, seeks[:count], sizes[:count], leaves

    def _leaf(self, at: int) -> tuple[np.dtype[Any], str]:
        """Type of the only leaf and the branch that counts it."""
        data = self._data
        first, count = self._array(at)
        if count != 1 or after_block(data, first) < 0:
            raise Unusual
        name = self._class(first + 4)
        kind = _KINDS.get(name)
        if kind is None:
            raise Unusual
        at = first + 8
        if struct.unpack_from(">I", self._raw, first + 4)[0] == 0xFFFFFFFF:
            at += len(name) + 1
        at += 12  # length and version, of the leaf's own class and of TLeaf
        end = _over(data, at)
        (bits,) = struct.unpack_from(">I", self._raw, at + 12)
        at += 16 + (2 if bits & 16 else 0)
        at += 1 + int(data[at])
        title = data[at + 1 : at + 1 + int(data[at])].tobytes().decode("utf-8", "replace")
        length, width, _, _, unsigned = struct.unpack_from(">iii??", self._raw, end)
        dtype = np.dtype(f">{kind.replace('i', 'u') if unsigned else kind}")
        counted = _COUNTED.match(title)
        if length != 1 or width != dtype.itemsize or ("[" in title and counted is None):
            raise Unusual
        return dtype, counted[1] if counted else ""

    # -- values ----------------------------------------------------------------------------------------

    def lists(self, names: Sequence[str], start: int, stop: int) -> dict[str, Lists]:
        """Where the lists of these branches begin and end, by the branch that counts them."""
        by_counter: dict[str, list[PlainBranch]] = {}
        for name in names:
            branch = self.branch(name)
            if branch.counter:
                by_counter.setdefault(branch.counter, []).append(branch)
        return {counter: self._lists(counter, all_of, start, stop) for counter, all_of in by_counter.items()}

    def column(self, name: str, lists: Mapping[str, Lists], start: int, stop: int) -> Column:
        """A column of a range of entries, in the type of the file (native byte order)."""
        branch = self.branch(name)
        if not branch.counter:
            return self._flat(branch, start, stop)
        frame = lists[branch.counter]
        return Jagged(frame.offsets, self._values(branch, frame.low, frame.ends, start, stop))

    def _lists(self, counter: str, branches: Sequence[PlainBranch], start: int, stop: int) -> Lists:
        low, high = start, stop
        for branch in branches:
            inside = branch.baskets(start, stop)
            if inside:
                low = min(low, int(branch.edges[inside[0]]))
                high = max(high, int(branch.edges[inside[-1] + 1]))
        counts = self._flat(self.branch(counter), low, high)
        ends = recycled(high - low + 1, np.int64)
        ends[0] = 0
        np.cumsum(counts, out=ends[1:])
        offsets = recycled(stop - start + 1, np.int64)
        np.subtract(ends[start - low : stop - low + 1], ends[start - low], out=offsets)
        return Lists(low, ends, offsets)

    def _flat(self, branch: PlainBranch, start: int, stop: int) -> NDArray[Any]:
        if branch.counter:
            raise Unusual
        out = recycled(max(stop - start, 0), branch.dtype.newbyteorder("="))
        for number in branch.baskets(start, stop):
            first, last = int(branch.edges[number]), int(branch.edges[number + 1])
            data = self._basket(branch, number, last - first, last - first)
            a, b = max(start, first), min(stop, last)
            out[a - start : b - start] = data[a - first : b - first]
        return out

    def _values(
        self, branch: PlainBranch, low: int, ends: NDArray[np.int64], start: int, stop: int
    ) -> NDArray[Any]:
        begin = int(ends[start - low])
        out = recycled(int(ends[stop - low]) - begin, branch.dtype.newbyteorder("="))
        for number in branch.baskets(start, stop):
            first, last = int(branch.edges[number]), int(branch.edges[number + 1])
            origin = int(ends[first - low])
            data = self._basket(branch, number, last - first, int(ends[last - low]) - origin)
            a, b = int(ends[max(start, first) - low]), int(ends[min(stop, last) - low])
            out[a - begin : b - begin] = data[a - origin : b - origin]
        return out

    def _basket(self, branch: PlainBranch, number: int, entries: int, values: int) -> NDArray[Any]:
        """The values of a basket, big-endian; valid until the next one is read."""
        total = int(branch.sizes[number])
        self._stored = buffer_of(total, self._stored)
        stored = self._file.read_into(self._stored, int(branch.seeks[number]), total)
        head = stored.data
        length, _, size = struct.unpack_from(">ihi", head)
        (key_length,) = struct.unpack_from(">h", head, _KEY_LENGTH)
        if length != total or not _BASKET.size < key_length < total or size <= 0:
            raise DataError(f"basket {number} of {branch.name!r} has no proper key")
        _, _, _, held, last, _ = _BASKET.unpack_from(head, key_length - _BASKET.size)
        width = branch.dtype.itemsize * values
        if held != entries or last - key_length != width or width > size:
            raise DataError(
                f"basket {number} of {branch.name!r} holds {last - key_length} bytes of {held} entries, "
                f"not {width} of {entries}"
            )
        if size == total - key_length:
            opened = stored[key_length:]
        else:
            self._opened = buffer_of(size, self._opened)
            opened = self._opened[:size]
            unpack_blocks(stored[key_length:], opened)
        return np.asarray(opened[:width]).view(branch.dtype)


def _over(data: Any, at: int) -> int:
    """Position after a block that must begin with its length."""
    end = int(after_block(data, at))
    if end < 0 or end > len(data):
        raise Unusual
    return end


def plain_trees(file: RootBytes) -> Mapping[str, Key]:
    """The trees of the file's own directory, the last cycle of each; Unusual if there may be others."""
    found: dict[str, Key] = {}
    for key in file.directory():
        if key.kind.startswith("TDirectory") or "RNTuple" in key.kind:
            raise Unusual
        if key.kind == "TTree" and (key.name not in found or key.cycle > found[key.name].cycle):
            found[key.name] = key
    return found

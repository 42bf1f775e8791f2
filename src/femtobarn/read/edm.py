"""CMS AOD files (EDM), read without CMSSW and presented under the names of NanoAOD.

The framework of CMS splits most members of its objects into plain columns.  What is not plain
(references from one collection into another, packed covariances and hits, the event's identity) is
decoded in :mod:`femtobarn.read.edm_decode`; :mod:`femtobarn.read.edm_columns` says which members a
column of NanoAOD is made of; this module reads them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.errors import DataError
from femtobarn.kernels.jagged import Jagged
from femtobarn.read.columns import Column, to_column
from femtobarn.read.edm_columns import RECIPES, Member, Range
from femtobarn.read.edm_decode import REFERENCE, decode_event_id, decode_lumi_id
from femtobarn.read.schema import Schema
from femtobarn.read.source import common_edges, reading
from femtobarn.records import FileRef

__all__ = ["EdmEvents"]

_IDENTITY: Final = ("run", "luminosityBlock", "event")


class EdmEvents:
    """A tree ``Events`` of a CMS AOD file under the names of NanoAOD.

    Offered are the columns whose members the file has.  Impact parameters are relative to the first
    primary vertex [cm] and NaN for an object without the track in question (a muon without global
    track).  ``run``, ``luminosityBlock`` and ``event`` are offered if the serialised ``EventAuxiliary``
    decodes to luminosity blocks that the file lists.
    """

    def __init__(self, ref: FileRef, file: Any, tree: str, schema: Schema) -> None:
        self.ref = ref
        self.objects: Mapping[str, Any] = {}
        self.schema = schema
        self.tree = tree
        self._file = file
        self._tree = file[tree]
        self.entries = int(self._tree.num_entries)
        self.uuid = str(file.file.uuid)
        self.size = int(file.file.fEND)
        self._products = frozenset(self._tree.keys(recursive=False))
        self._lists: list[NDArray[np.uint32]] | None = None
        self._branch_cache: dict[Member, Any] = {}
        offered = {name for name, recipe in RECIPES.items() if all(self._exists(*m) for m in recipe.needs)}
        self._lumis = self._listed_lumis()
        if self._identity_is_sound():
            offered.update(_IDENTITY)
        self.branches = frozenset(offered)

    # -- the file's own columns -------------------------------------------------------------------

    def has(self, product: str) -> bool:
        """Whether the file holds this product."""
        return product in self._products

    def _exists(self, product: str, member: str) -> bool:
        if product not in self._products:
            return False
        try:
            self._branch(product, member)
        except KeyError:
            return False
        return True

    def _branch(self, product: str, member: str) -> Any:
        key = (product, member)
        if key not in self._branch_cache:
            # A name with slashes is a path: no search through the thousands of other branches.
            self._branch_cache[key] = self._tree[f"{product}/{product}obj/{product}obj.{member}"]
        return self._branch_cache[key]

    def member(self, product: str, member: str, start: int, stop: int) -> Jagged:
        """One member of all objects of a product, (m,) or (m, k) values, floats as float64."""
        import uproot

        name = f"{product}obj.{member}"
        with reading(self.ref.url, f" at branch {name!r}, entries {start}-{stop}"):
            branch = self._branch(product, member)
            # Left alone, uproot does not know the size of a reference.
            kind = uproot.AsJagged(uproot.AsDtype(REFERENCE)) if member.endswith("product_") else None
            array = branch.array(kind, entry_start=start, entry_stop=stop, library="ak")
            column = _split(array)
        if len(column) != stop - start:
            raise DataError(
                f"branch {name!r} gave {len(column)} of {stop - start} entries", where=self.ref.url
            )
        return column

    def indexes(self, start: int, stop: int) -> Jagged:
        """Per event, the numbers of the processes' lists in :meth:`lists`."""
        with reading(self.ref.url, " at branch 'BranchListIndexes'"):
            array = self._tree["BranchListIndexes"].array(entry_start=start, entry_stop=stop, library="ak")
            column = to_column(array)
        if not isinstance(column, Jagged):
            raise DataError("branch 'BranchListIndexes' is not a list", where=self.ref.url)
        return column

    def lists(self) -> list[NDArray[np.uint32]]:
        """For every process, the hashes of the products it made."""
        if self._lists is None:
            with reading(self.ref.url, " at 'MetaData/BranchIDLists'"):
                array = self._file["MetaData"]["BranchIDLists"].array(library="ak")[0]
                self._lists = [np.asarray(item, dtype=np.uint32) for item in array]
        return self._lists

    # -- run, luminosity block, event -------------------------------------------------------------

    def _serialised(self, tree: Any, branch: str, start: int, stop: int) -> list[bytes]:
        import uproot

        kind = uproot.AsJagged(uproot.AsDtype("u1"))
        array = tree[branch].array(kind, entry_start=start, entry_stop=stop, library="np")
        return [entry.tobytes() for entry in array]

    def _listed_lumis(self) -> frozenset[tuple[int, int]]:
        """(run, luminosity block) pairs of the tree ``LuminosityBlocks``; empty if it tells nothing."""
        try:
            tree = self._file["LuminosityBlocks"]
            with reading(self.ref.url, " at 'LuminosityBlockAuxiliary'"):
                entries = self._serialised(tree, "LuminosityBlockAuxiliary", 0, tree.num_entries)
        except (KeyError, DataError):
            return frozenset()
        found = {decode_lumi_id(entry) for entry in entries}
        return frozenset(pair for pair in found if pair is not None)

    def _identity_is_sound(self) -> bool:
        """Whether the first and the last event decode to a luminosity block that the file lists."""
        if "EventAuxiliary" not in self._products:
            return False
        if not self.entries:
            return True
        with reading(self.ref.url, " at branch 'EventAuxiliary'"):
            ends = [
                entry
                for at in {0, self.entries - 1}
                for entry in self._serialised(self._tree, "EventAuxiliary", at, at + 1)
            ]
        found = [decode_event_id(entry) for entry in ends]
        return all(item is not None and item[:2] in self._lumis for item in found)

    def _identity(self, start: int, stop: int) -> dict[str, Column]:
        with reading(self.ref.url, " at branch 'EventAuxiliary'"):
            entries = self._serialised(self._tree, "EventAuxiliary", start, stop)
        table = np.zeros((len(entries), 3), dtype=np.int64)
        for row, entry in enumerate(entries):
            found = decode_event_id(entry)
            if found is None or found[:2] not in self._lumis:
                raise DataError(
                    f"entry {start + row} of 'EventAuxiliary' does not name a luminosity block of this file",
                    where=self.ref.url,
                )
            table[row] = found
        return {name: table[:, column] for column, name in enumerate(_IDENTITY)}

    # -- the protocol of a source -----------------------------------------------------------------

    def read(self, branches: Sequence[str], start: int, stop: int) -> dict[str, Column]:
        """Columns by their NanoAOD names."""
        for name in branches:
            if name not in self.branches:
                raise DataError(f"has no column {name!r}", where=self.ref.url)
        members = Range(self, start, stop)
        identity = self._identity(start, stop) if any(name in _IDENTITY for name in branches) else {}
        found: dict[str, Column] = {}
        for name in branches:
            with reading(self.ref.url, f" at column {name!r}, entries {start}-{stop}"):
                found[name] = identity[name] if name in _IDENTITY else RECIPES[name].make(members)
        return found

    def _needed(self, branches: Sequence[str]) -> list[Any]:
        names = branches or sorted(self.branches)
        recipes = [RECIPES[name] for name in names if name in RECIPES]
        members = dict.fromkeys(m for recipe in recipes for m in (*recipe.needs, *recipe.also))
        return [self._branch(*member) for member in members if self._exists(*member)]

    def clusters(self, branches: Sequence[str] = ()) -> list[int]:
        with reading(self.ref.url, ": its clusters"):
            return common_edges(self._needed(branches), self.entries)

    def stored_bytes(self, branches: Sequence[str]) -> int:
        plain = int(self._tree["EventAuxiliary"].compressed_bytes) if set(branches) & set(_IDENTITY) else 0
        return plain + sum(int(branch.compressed_bytes) for branch in self._needed(branches) if branches)

    def close(self) -> None:
        self._file.close()


def _split(array: Any) -> Jagged:
    """Flat values and offsets of a list column whose values may be records or fixed-size arrays."""
    import awkward as ak

    layout = ak.to_packed(array).layout.to_ListOffsetArray64(start_at_zero=True)
    values = ak.to_numpy(ak.Array(layout.content))
    if values.dtype.kind == "f":
        values = values.astype(np.float64)
    elif values.dtype.names is None:
        values = values.astype(values.dtype.newbyteorder("="), copy=False)
    return Jagged(np.asarray(layout.offsets.data, dtype=np.int64), np.asarray(values))

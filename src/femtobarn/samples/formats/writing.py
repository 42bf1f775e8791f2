"""Writing branches to a TTree in batches, so that files have real clusters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from femtobarn.records import TOY_TITLE
from femtobarn.samples.events import Ints
from femtobarn.samples.formats.branches import Branches, Jagged

__all__ = ["BATCH", "write_tree"]

#: Events per cluster.
BATCH: Final = 4000


def _slice(branch: Any, offsets: dict[str, Ints], name: str, start: int, stop: int) -> Any:
    import awkward as ak

    if not isinstance(branch, Jagged):
        return branch[start:stop]
    first = offsets[name]
    inner = first[start : stop + 1]
    content = ak.contents.NumpyArray(branch.content[inner[0] : inner[-1]])
    return ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(inner - inner[0]), content))


def write_tree(
    path: Path, branches: Branches, *, tree: str, counter: Callable[[str], str], batch: int = BATCH
) -> None:
    """Write one TTree, ``batch`` events a cluster.

    A tree is made explicitly: assigning a dictionary may write an RNTuple in newer uproot.  The
    counter branches come from the writer as int32 (some releases have uint32); jagged branches are
    C-style arrays where a release has vectors.  Readers see the same content.

    Parameters
    ----------
    path : pathlib.Path
        File to create or replace.
    branches : mapping of name to (n,) array or Jagged
    tree : str
        Name of the tree.
    counter : callable
        Name of a jagged branch -> name of the branch that counts its entries.
    batch : int
        Events per cluster.
    """
    import awkward as ak
    import uproot

    types: dict[str, Any] = {}
    offsets: dict[str, Ints] = {}
    entries = 0
    for name, branch in branches.items():
        if isinstance(branch, Jagged):
            # A type object: the same as text would be parsed, slowly, for every branch.
            types[name] = ak.types.ListType(ak.types.NumpyType(branch.content.dtype.name))
            offsets[name] = np.concatenate([[0], np.cumsum(branch.counts)]).astype(np.int64)
            entries = len(branch.counts)
        else:
            types[name] = branch.dtype
            entries = len(branch)
    with uproot.recreate(path) as file:
        target = file.mktree(tree, types, title=TOY_TITLE, counter_name=counter)
        for start in range(0, entries, batch):
            stop = min(start + batch, entries)
            target.extend({key: _slice(item, offsets, key, start, stop) for key, item in branches.items()})

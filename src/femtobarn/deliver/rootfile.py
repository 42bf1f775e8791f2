"""Input files of a delivery: opened once, identified cheaply, columns read as they are stored."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import awkward as ak

from femtobarn.deliver.columns import Needs
from femtobarn.errors import DataError, missing_file, nearest
from femtobarn.net import RemoteFile
from femtobarn.net.remote import identity
from femtobarn.read.models import restore_models
from femtobarn.read.opening import open_root_file
from femtobarn.read.source import branch_names, bring, reading
from femtobarn.records import FileRef

__all__ = ["RootInput", "events_of", "find_tree", "identify", "open_root", "trees_of"]

_HEAD: Final = 100


def identify(url: str) -> tuple[str, int]:
    """What tells a local file from others, read from its first bytes: (uuid or hash, size).

    Raises
    ------
    DataError
        There is no such file, or it cannot be read.
    """
    path = Path(url)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except FileNotFoundError:
        raise missing_file(path) from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", where=url) from None
    if not size:
        raise DataError("is empty (0 bytes)", where=url, action="fetch it again")
    if head[:4] == b"root" and len(head) == _HEAD:
        return identity(head), size
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}", size


@dataclass(frozen=True, slots=True)
class RootInput:
    """An open input: uproot's file, and the connection if it is remote."""

    file: Any
    remote: RemoteFile | None

    @property
    def bytes_read(self) -> int:
        """Over the network, or from the disk."""
        if self.remote is not None:
            return self.remote.received
        return int(self.file.file.source.num_requested_bytes)

    @property
    def size(self) -> int:
        return int(self.file.file.fEND) if self.remote is None else self.remote.size


@contextmanager
def open_root(ref: FileRef) -> Iterator[RootInput]:
    """An open input; all that goes wrong inside becomes one :class:`DataError`."""
    restore_models()
    with reading(ref.url):
        file, remote = open_root_file(ref)
        try:
            yield RootInput(file, remote)
        finally:
            file.close()
            if remote is not None:
                remote.close()
            restore_models()


def trees_of(file: Any) -> list[str]:
    """Names of the trees and ntuples in a file."""
    classes: dict[str, str] = file.classnames(cycle=False)
    return [name for name, kind in classes.items() if kind in ("TTree", "TNtuple") or "RNTuple" in kind]


def find_tree(file: Any, name: str | None, *, where: str) -> Any:
    """A tree by name; without a name, the only one there is.

    Raises
    ------
    DataError
        There is none of this name, or several to choose from.
    """
    present = trees_of(file)
    if name is None:
        if len(present) != 1:
            raise DataError("holds no tree" if not present else "holds several trees", where=where,
                            action="name one, FromTree('...'): " + ", ".join(present))  # fmt: skip
        name = present[0]
    if name not in present and name.split(";")[0] not in present:
        raise DataError(f"has no tree {name!r}", where=where, near=nearest(name, present),
                        action="trees in this file: " + (", ".join(present) or "none"))  # fmt: skip
    return file[name]


def resolve(tree: Any, needs: Needs, *, where: str) -> dict[tuple[str, ...], str]:
    """The column behind each name of a query: ``e.jets.pt`` is ``jets.pt`` if there is one, else ``jets``."""
    present = branch_names(tree)
    if needs.everything:
        return {(name,): name for name in _whole(tree)}
    found: dict[tuple[str, ...], str] = {}
    for path in sorted(needs.paths, key=len, reverse=True):
        if any(known[: len(path)] == path for known in found):
            continue  # a longer name was found
        name = next((sep.join(path) for sep in (".", ":") if sep.join(path) in present), None)
        if name is not None:
            found[path] = name
        elif not any(other != path and path[: len(other)] == other for other in needs.paths):
            raise DataError(f"tree {tree.name!r} has no column {'.'.join(path)!r}", where=where,
                            near=nearest(".".join(path), present))  # fmt: skip
    return found


def _whole(tree: Any) -> Iterable[str]:
    from femtobarn.deliver.raw import readable

    if not hasattr(tree, "branches"):
        return [name for name in tree.keys() if "." not in name]  # noqa: SIM118 - not a dictionary
    return dict.fromkeys(
        name for name, _ in tree.iteritems(recursive=True, full_paths=False, filter_branch=readable)
    )


def events_of(tree: Any, needs: Needs, *, where: str, remote: RemoteFile | None = None) -> ak.Array:
    """The columns a query names, as one record an event."""
    columns: dict[str, Any] = {}
    names = resolve(tree, needs, where=where)
    if remote is not None:
        bring(remote, tree, list(names.values()), 0, int(tree.num_entries))
    for path, name in names.items():
        with reading(where, f" at branch {name!r}"):
            array = tree[name].array(library="ak")
        inside = columns
        for part in path[:-1]:
            inside = inside.setdefault(part, {})
        inside[path[-1]] = array
    if not columns:  # a query of constants and counts
        return ak.zip({"": ak.Array([0] * int(tree.num_entries))}, depth_limit=1)
    return _records(columns)


def _records(columns: dict[str, Any]) -> ak.Array:
    parts = {name: _records(item) if isinstance(item, dict) else item for name, item in columns.items()}
    return ak.zip(parts, depth_limit=1)

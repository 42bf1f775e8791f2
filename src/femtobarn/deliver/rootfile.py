"""Input files of a delivery: opened once, identified cheaply, columns read as they are stored."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import awkward as ak

from femtobarn.deliver.columns import Needs
from femtobarn.errors import DataError, nearest
from femtobarn.read.models import restore_models
from femtobarn.read.source import reading
from femtobarn.records import FileRef

__all__ = ["columns_of", "events_of", "find_tree", "identify", "open_root", "trees_of"]

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
        beside = [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError("no such file", where=url, near=nearest(path.name, beside)) from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", where=url) from None
    if not size:
        raise DataError("is empty (0 bytes)", where=url, action="fetch it again")
    if head[:4] == b"root" and len(head) == _HEAD:
        # The header's last fields; seeks have 8 bytes, not 4, in files beyond 2 GB.
        at = 59 if int.from_bytes(head[4:8], "big") >= 1_000_000 else 47
        return str(uuid.UUID(bytes=head[at : at + 16])), size
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}", size


@contextmanager
def open_root(ref: FileRef) -> Iterator[Any]:
    """An input as uproot's file object; all that goes wrong inside becomes one :class:`DataError`."""
    import uproot

    restore_models()
    with reading(ref.url):
        local = {} if "://" in ref.url else {"handler": uproot.MultithreadedFileSource, "num_workers": 1}
        # As a dictionary: a colon in a path is then part of its name.
        with uproot.open({ref.url: None}, **local) as file:
            size = int(file.file.fEND)
            present = size if "://" in ref.url else Path(ref.url).stat().st_size
            if present < size:
                raise DataError(f"is truncated: {present} of {size} bytes", where=ref.url,
                                action="fetch it again")  # fmt: skip
            try:
                yield file
            finally:
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


def columns_of(tree: Any) -> frozenset[str]:
    """Names of all columns at any depth."""
    if hasattr(tree, "branches"):
        return frozenset(tree.keys(recursive=True, full_paths=False))
    return frozenset(tree.keys())


def resolve(tree: Any, needs: Needs, *, where: str) -> dict[tuple[str, ...], str]:
    """The column behind each name of a query: ``e.jets.pt`` is ``jets.pt`` if there is one, else ``jets``."""
    present = columns_of(tree)
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


def events_of(tree: Any, needs: Needs, *, where: str) -> ak.Array:
    """The columns a query names, as one record an event."""
    columns: dict[str, Any] = {}
    for path, name in resolve(tree, needs, where=where).items():
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

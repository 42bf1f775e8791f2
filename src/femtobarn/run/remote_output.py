"""Runs kept on a remote disk (``--out root://HOST//path``): made here, copied there, opened again here.

The run itself lives in local scratch (the cache folder), for no remote disk has the locks and appends that
a ledger needs.  Finished files are copied one by one and read back; the manifest comes last, so whoever
sees it sees a whole run.  A copy that fails leaves the local run as it is, and is repeated alone.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from femtobarn.errors import FemtobarnError, StoreError, UsageError
from femtobarn.folders import cache_root
from femtobarn.locks import locked
from femtobarn.run.files import SCHEMA_VERSION, read_json, write_json

__all__ = [
    "REMOTE_NOTE",
    "Place",
    "address_of",
    "is_remote",
    "local_of",
    "mark",
    "open_place",
    "pending",
    "pull",
    "push",
]

notice: Final = logging.getLogger("femtobarn.notice")

_SCHEMES: Final = ("root", "roots", "xroot", "xroots")
#: fsspec's way to say the same; the cache before :: means nothing for writing.
_CACHES: Final = ("simplecache::", "filecache::", "blockcache::")
_MANIFEST: Final = "manifest.json"
#: In the local run: where it is kept, and what has been copied there already.
REMOTE_NOTE: Final = "remote.json"
_NOTE: Final = REMOTE_NOTE
#: Of a run directory, what is of use only where the run is made.
_STAYS: Final = ("run.lock", "run.lock.taking", _NOTE, "cluster.json")
_STAYS_FOLDERS: Final = ("slices", "batch")
_CHUNK: Final = 8 * 2**20
#: How long one request may take, s; a server that has gone is noticed by it.
_SECONDS: Final = 60


class Place(Protocol):
    """A remote folder."""

    def write(self, name: str, path: Path) -> None:
        """Copy a local file to ``name``, making folders on the way."""
        ...

    def read(self, name: str) -> Iterator[bytes]:
        """The bytes of a file, in pieces."""
        ...

    def names(self) -> list[str]:
        """All files in the folder and below, relative to it."""
        ...


def is_remote(out: str | Path | None) -> bool:
    """Whether a run directory is an address.

    Examples
    --------
    >>> is_remote("simplecache::root://host//runs/a"), is_remote("runs/a")
    (True, False)
    """
    return out is not None and "://" in str(out)


def address_of(out: str) -> str:
    """The plain address.

    Raises
    ------
    UsageError
        It is of a kind that runs cannot be written to.
    """
    for cache in _CACHES:
        out = out.removeprefix(cache)
    parts = urlsplit(out)
    if parts.scheme not in _SCHEMES or not parts.hostname or len(parts.path.strip("/")) == 0:
        raise UsageError(f"a run cannot be kept at {out!r}",
                         action="use a folder, or root://HOST//path/of/run")  # fmt: skip
    return out.rstrip("/")


def local_of(out: str) -> Path:
    """Where the run of this address lives on this machine."""
    address = address_of(out)
    key = hashlib.sha256(address.encode()).hexdigest()[:16]
    return cache_root() / "runs" / key / (Path(urlsplit(address).path).name or "run")


def open_place(address: str) -> Place:
    """The folder behind an address."""
    return _Xrootd(address)


def pending(local: Path) -> str:
    """The address that a local run has still to be copied to; empty if it is all there (or goes nowhere)."""
    note = local / _NOTE
    if not note.exists():
        return ""
    about = read_json(note)
    return "" if {n: _identity(p) for n, p in _files(local).items()} == about["copied"] else str(about["url"])


def mark(local: Path, out: str) -> None:
    """Note where a local run is to be kept."""
    note = local / _NOTE
    if not note.exists():
        write_json(note, {"schema_version": SCHEMA_VERSION, "url": address_of(out), "copied": {}})


def _files(local: Path) -> dict[str, Path]:
    """What is copied, the manifest last."""
    found = {
        path.relative_to(local).as_posix(): path
        for path in sorted(local.rglob("*"))
        if path.is_file() and path.name not in _STAYS and not path.name.startswith(".")
        and path.relative_to(local).parts[0] not in _STAYS_FOLDERS
    }  # fmt: skip
    manifest = found.pop(_MANIFEST, None)
    return found | ({_MANIFEST: manifest} if manifest is not None else {})


def _identity(path: Path) -> list[Any]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def push(local: Path) -> int:
    """Copy what has changed since the last copy; the number of files copied (0 if the run goes nowhere).

    Raises
    ------
    StoreError
        A file cannot be written, or comes back different; the local run stays.
    """
    note = local / _NOTE
    if not note.exists():
        return 0
    about = read_json(note)
    files = _files(local)
    changed = [name for name, path in files.items() if about["copied"].get(name) != _identity(path)]
    if not changed:
        return 0
    # A remote manifest says that the run beside it is whole, so it is written again after any change.
    todo = [*(name for name in changed if name != _MANIFEST), *([_MANIFEST] if _MANIFEST in files else [])]
    try:
        place = open_place(about["url"])
        for name in todo:
            _copy(place, name, files[name])
            about["copied"][name] = _identity(files[name])
            write_json(note, about)
    except (FemtobarnError, OSError) as error:
        what = error.what if isinstance(error, FemtobarnError) else str(error)
        raise StoreError(
            f"the run is complete in {local}, but cannot be copied: {what}",
            where=about["url"],
            action=f"when the disk is reachable: femtobarn resume {about['url']} (repeats only the copy)",
        ) from error
    about["copied"] = {name: value for name, value in about["copied"].items() if name in files}
    write_json(note, about)
    notice.info("copied %d files to %s", len(todo), about["url"])
    return len(todo)


def _copy(place: Place, name: str, path: Path) -> None:
    """Copy one file and read it back: size and content must be the same."""
    place.write(name, path)
    size, seen = 0, hashlib.sha256()
    for piece in place.read(name):
        size += len(piece)
        seen.update(piece)
    if size != path.stat().st_size or seen.digest() != hashlib.sha256(path.read_bytes()).digest():
        raise StoreError(f"{name} came back with {size} of {path.stat().st_size} bytes or other content")


def pull(out: str) -> Path:
    """A local copy of a remote run: the one it was made in, or its files fetched now.

    Raises
    ------
    StoreError
        There is no whole run at the address.
    """
    local = local_of(out)
    if (local / _MANIFEST).exists():
        return local
    address = address_of(out)
    place = open_place(address)
    try:
        names = place.names()
    except OSError as error:
        raise StoreError(f"cannot be opened: {error}", where=address) from error
    if _MANIFEST not in names:
        raise StoreError("is not a whole run: it has no manifest", where=address,
                         action="if it was being copied, resume it where it was made")  # fmt: skip
    local.mkdir(parents=True, exist_ok=True)
    with locked(local):
        for name in [*(n for n in names if n != _MANIFEST), _MANIFEST]:
            _fetch(place, name, local)
        write_json(local / _NOTE, {
            "schema_version": SCHEMA_VERSION, "url": address,
            "copied": {name: _identity(path) for name, path in _files(local).items()},
        })  # fmt: skip
    return local


def _fetch(place: Place, name: str, local: Path) -> None:
    target = (local / name).resolve()
    if not target.is_relative_to(local.resolve()):
        raise StoreError(f"the remote name {name!r} leads out of the run")
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f".{target.name}.tmp")
    with scratch.open("wb") as out:
        for piece in place.read(name):
            out.write(piece)
    scratch.replace(target)


class _Xrootd:
    """A folder on an XRootD server."""

    def __init__(self, address: str) -> None:
        try:
            client: Any = importlib.import_module("XRootD.client")
            flags: Any = importlib.import_module("XRootD.client.flags")
        except ImportError as error:
            raise UsageError("root:// addresses need the package xrootd", where=address,
                             action="pip install 'femtobarn[xrootd]'") from error  # fmt: skip
        parts = urlsplit(address)
        self._client, self._flags = client, flags
        self._server = f"{parts.scheme}://{parts.netloc}"
        self._folder = "/" + parts.path.strip("/")

    def _url(self, name: str) -> str:
        return f"{self._server}/{self._folder}/{name}"

    @staticmethod
    def _check(status: Any, what: str) -> None:
        if not status.ok:
            raise OSError(f"{what}: {status.message.strip()}")

    def write(self, name: str, path: Path) -> None:
        how = self._flags.OpenFlags.DELETE | self._flags.OpenFlags.MAKEPATH | self._flags.OpenFlags.UPDATE
        with self._open(name, how) as file:
            offset = 0
            with path.open("rb") as data:
                while piece := data.read(_CHUNK):
                    self._check(file.write(piece, offset, timeout=_SECONDS)[0], f"{name} cannot be written")
                    offset += len(piece)
            self._check(file.sync(timeout=_SECONDS)[0], f"{name} cannot be written")

    def read(self, name: str) -> Iterator[bytes]:
        with self._open(name, self._flags.OpenFlags.READ) as file:
            offset = 0
            while True:
                status, piece = file.read(offset, _CHUNK, timeout=_SECONDS)
                self._check(status, f"{name} cannot be read")
                if not piece:
                    return
                offset += len(piece)
                yield piece

    @contextmanager
    def _open(self, name: str, how: int) -> Iterator[Any]:
        file = self._client.File()
        self._check(file.open(self._url(name), how, timeout=_SECONDS)[0], f"{name} cannot be opened")
        try:
            yield file
        finally:
            file.close(timeout=_SECONDS)

    def names(self) -> list[str]:
        return sorted(self._below(""))

    def _below(self, inside: str) -> Iterator[str]:
        system = self._client.FileSystem(self._server)
        folder = f"{self._folder}/{inside}".rstrip("/")
        status, listing = system.dirlist(folder, self._flags.DirListFlags.STAT, timeout=_SECONDS)
        self._check(status, folder)
        for item in listing:
            name = f"{inside}/{item.name}".lstrip("/")
            if item.statinfo is not None and item.statinfo.flags & self._flags.StatInfoFlags.IS_DIR:
                yield from self._below(name)
            else:
                yield name

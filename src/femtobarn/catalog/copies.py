"""Copies of remote files in a folder of one's own, fetched when they are missing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from femtobarn.errors import UsageError
from femtobarn.net.client import shared_client
from femtobarn.net.fetching import fetch_file
from femtobarn.records import FileRef

__all__ = ["copy_of", "local_copies"]


def copy_of(url: str, folder: Path) -> Path:
    """Where the copy of an address lies: by its path, without what would lead out of the folder."""
    parts = [part for part in urlsplit(url).path.split("/") if part not in ("", ".", "..")]
    return folder.joinpath(*parts)


def local_copies(files: Sequence[FileRef], folder: Path) -> tuple[FileRef, ...]:
    """The files with remote ones replaced by copies in the folder; missing ones are fetched.

    A copy appears under its name only when it is whole.

    Raises
    ------
    UsageError
        The folder cannot be written.
    NetworkError, DataError
        A file cannot be fetched, or is not of the size that is stated.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot be made: {error.strerror}", where=str(folder)) from error
    if not os.access(folder, os.W_OK):
        raise UsageError("cannot be written", where=str(folder), action="choose another cache_dir")
    found = []
    for ref in files:
        if "://" not in ref.url:
            found.append(ref)
            continue
        path = copy_of(ref.url, folder)
        if not path.exists() or (ref.size is not None and path.stat().st_size != ref.size):
            path.parent.mkdir(parents=True, exist_ok=True)
            fetch_file(
                [ref.url, *ref.replicas], path, client=shared_client(), size=ref.size, checksum=ref.checksum
            )
        found.append(replace(ref, url=str(path), replicas=()))
    return tuple(found)

"""Answers of servers, remembered on disk by the request that they answer.

An entry is a folder of two files: ``about.json`` (request, time, ETag, sha256) and the body.  The key is
the request itself, so another request is never answered by a file that happens to be there.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from femtobarn.errors import StoreError
from femtobarn.folders import atomic_write, cache_root

__all__ = ["AnswerCache", "Kept", "age", "safe_name"]

log: Final = logging.getLogger("femtobarn.net")


@dataclass(frozen=True, slots=True)
class Kept:
    """One remembered answer; ``time`` is when the server last confirmed it [s since 1970]."""

    folder: Path
    url: str
    name: str
    time: float
    etag: str
    sha256: str
    size: int

    @property
    def path(self) -> Path:
        return self.folder / self.name

    def body(self) -> bytes | None:
        """The body, or None if it is not the one that was kept (then the entry is removed)."""
        try:
            data = self.path.read_bytes()
        except OSError:
            data = b""
        if hashlib.sha256(data).hexdigest() == self.sha256:
            return data
        log.warning("the remembered answer of %s is damaged; it is asked for again", self.url)
        shutil.rmtree(self.folder, ignore_errors=True)
        return None


def safe_name(text: str, otherwise: str = "file") -> str:
    """A file name that stays in its folder, whatever a server calls its files."""
    name = unquote(urlsplit(text).path).replace("\\", "/").rsplit("/", 1)[-1]
    name = "".join(c for c in name if c.isprintable() and c not in '<>:"|?*').strip(" .")
    return name[-150:] or otherwise


def age(seconds: float) -> str:
    """A time span in words."""
    for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return f"{max(int(seconds), 0)} seconds"


class AnswerCache:
    """Remembered answers below a folder (default: ``http`` in the cache)."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_root() / "http"

    def key(self, method: str, url: str, params: Sequence[tuple[str, str]] = (), body: bytes = b"") -> str:
        """Tells requests apart: method, address, sorted parameters, body."""
        text = json.dumps([method, url, sorted(params), hashlib.sha256(body).hexdigest()])
        return hashlib.sha256(text.encode()).hexdigest()[:40]

    def find(self, key: str) -> Kept | None:
        """The entry of a key, if there is one."""
        return _read(self.folder / key[:2] / key)

    def keep(self, key: str, url: str, body: bytes, *, time: float, etag: str = "") -> Kept:
        """Remember an answer; readers see the old entry or the new one, never half of it.

        Raises
        ------
        StoreError
            The cache cannot be written.
        """
        folder = self.folder / key[:2] / key
        kept = Kept(folder, url, safe_name(url), time, etag, hashlib.sha256(body).hexdigest(), len(body))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            atomic_write(kept.path, body)
            self.confirm(kept, time=time)
        except OSError as error:
            raise StoreError(
                f"cannot be written: {error.strerror or error}",
                where=str(folder),
                action="free some space or set FEMTOBARN_CACHE to another disk",
            ) from error
        return kept

    def confirm(self, kept: Kept, *, time: float) -> None:
        """Note that the server still gives this answer."""
        about = {key: value for key, value in asdict(kept).items() if key != "folder"}
        text = json.dumps({"schema_version": 1, **about, "time": time}, sort_keys=True)
        atomic_write(kept.folder / "about.json", text.encode())

    def entries(self) -> Iterator[Kept]:
        """All entries, damaged ones left out."""
        for about in sorted(self.folder.glob("??/*/about.json")):
            kept = _read(about.parent)
            if kept is not None:
                yield kept


def _read(folder: Path) -> Kept | None:
    try:
        about: Mapping[str, object] = json.loads((folder / "about.json").read_bytes())
        return Kept(folder, str(about["url"]), safe_name(str(about["name"])), float(str(about["time"])),
                    str(about["etag"]), str(about["sha256"]), int(str(about["size"])))  # fmt: skip
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        log.warning("%s is damaged; the server is asked again", folder)
        return None

"""From a sample's dataset to files with an identity."""

from __future__ import annotations

import glob
import hashlib
import json
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final

from femtobarn.deliver.rootfile import identify, open_root
from femtobarn.deliver.spec import Sample
from femtobarn.errors import DataError, FemtobarnError
from femtobarn.folders import cache_root
from femtobarn.records import FileRef
from femtobarn.run.files import write_text

__all__ = ["Input", "find_inputs", "remember"]

log: Final = logging.getLogger("femtobarn.deliver")

_AT_ONCE: Final = 8


class Input:
    """A file of a sample, or why it cannot be used."""

    __slots__ = ("error", "ref")

    def __init__(self, ref: FileRef, error: str = "") -> None:
        self.ref = ref
        self.error = error


def find_inputs(sample: Sample, folder: Path, *, refresh: bool = False) -> list[Input]:
    """The files of a sample, in order, each with what tells it from others.

    A remote file that was seen before is known by what it was then, so that a delivery that is in the cache
    needs no server; ``refresh`` asks again.

    Raises
    ------
    DataError
        The dataset is empty, or a pattern fits nothing.
    """
    refs = _listed(sample, folder)
    if not refs:
        raise DataError(f"sample {sample.name!r}: the dataset {sample.address} has no files")
    refs = refs[: sample.most]
    with ThreadPoolExecutor(min(_AT_ONCE, len(refs))) as pool:
        return list(pool.map(lambda ref: _identified(ref, refresh=refresh), refs))


def _listed(sample: Sample, folder: Path) -> list[FileRef]:
    if sample.address:
        return _looked_up(sample.address)
    found: list[FileRef] = []
    for item in sample.files:
        found += [FileRef(item)] if "://" in item and not item.startswith("file://") else _local(item, folder)
    seen: set[str] = set()
    for ref in found:
        if ref.url in seen:
            raise DataError(f"sample {sample.name!r}: the file is listed twice", where=ref.url,
                            action="list every file once")  # fmt: skip
        seen.add(ref.url)
    return found


def _looked_up(address: str) -> list[FileRef]:
    from femtobarn.catalog import resolve_address

    return [ref for dataset in resolve_address(address) for ref in dataset.files]


def _local(item: str, folder: Path) -> list[FileRef]:
    """A path or pattern: beside the specification, else below the current folder."""
    path = Path(item.removeprefix("file://")).expanduser()
    places = [path] if path.is_absolute() else [folder / path, Path.cwd() / path]
    for place in places:
        if place.exists():
            return [FileRef(str(place.resolve()))]
        if glob.has_magic(str(place)):
            # Not Path.glob: the pattern may start anywhere.
            fitting = sorted(glob.glob(str(place), recursive=True))  # noqa: PTH207
            if fitting:
                return [FileRef(str(Path(each).resolve())) for each in fitting]
    if glob.has_magic(str(path)):
        raise DataError("no file matches this pattern", where=item)
    return [FileRef(str(places[0].absolute()))]


def _identified(ref: FileRef, *, refresh: bool) -> Input:
    if ref.uuid is not None and ref.size is not None:
        return Input(ref)
    if "://" not in ref.url:
        try:
            name, size = identify(ref.url)
        except FemtobarnError as error:
            return Input(ref, str(error))
        return Input(replace(ref, uuid=name, size=size))
    known = None if refresh else _recalled(ref.url)
    if known is not None:
        return Input(replace(ref, uuid=known[0], size=known[1]))
    if ref.checksum is not None and ref.size is not None:
        return Input(replace(ref, uuid=ref.checksum))
    try:
        with open_root(ref) as opened:
            found = replace(ref, uuid=str(opened.file.file.uuid), size=opened.size)
    except FemtobarnError as error:
        return Input(ref, str(error))
    remember(found)
    return Input(found)


def _note(url: str) -> Path:
    return cache_root() / "deliver" / "remote" / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.json"


def _recalled(url: str) -> tuple[str, int] | None:
    try:
        known = json.loads(_note(url).read_text())
        return str(known["uuid"]), int(known["size"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember(ref: FileRef) -> None:
    """Note what a remote file was."""
    write_text(_note(ref.url), json.dumps({"url": ref.url, "uuid": ref.uuid, "size": ref.size}))


def inputs_of(samples: Sequence[Sample], folder: Path) -> dict[str, list[Input]]:
    """The files of all samples."""
    return {sample.name: find_inputs(sample, folder, refresh=sample.ignore_cache) for sample in samples}

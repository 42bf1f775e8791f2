"""The coffea fileset JSON, read and written without loss."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from femtobarn.catalog.local import split_tree
from femtobarn.errors import ConfigError, DataError, nearest
from femtobarn.records import Dataset, FileRef

__all__ = ["fileset_content", "read_fileset", "write_fileset"]

#: Metadata that name files.
_PATHS: Final = ("goldenJSON", "pileupJSON", "pileupData")
_FILE_KEYS: Final = ("object_path", "steps", "num_entries", "uuid", "replicas", "size", "checksum")

_ADVICE: Final = "name a JSON file, or the files themselves with --files DATASET=GLOB"


def read_fileset(path: Path, *, shared: bool = False) -> tuple[Dataset, ...]:
    """Read ``{name: {"files": ..., "metadata": {...}}}``, plain or gzipped, in the file's order.

    ``files`` is a list of URLs, ``{url: tree}`` or ``{url: {"object_path", "steps", "num_entries",
    "uuid", "replicas"}}``.  Relative paths are looked up beside the fileset, then in the working
    directory.  ``isMC`` in the metadata is read as ``kind``.  A file may be in several datasets only if
    that is meant (``shared``): otherwise its events would be counted twice.
    """
    raw = _load(path)
    if not isinstance(raw, dict) or not raw:
        raise ConfigError("a fileset is an object {dataset: {files, metadata}}", where=str(path))
    datasets = tuple(_dataset(str(name), entry, path) for name, entry in raw.items())
    owners: dict[str, str] = {}
    for dataset in datasets:
        for ref in dataset.files:
            other = owners.setdefault(ref.url, dataset.name)
            if other != dataset.name and not shared:
                raise ConfigError(f"{ref.url} is in two datasets: {other!r} and {dataset.name!r}",
                                  where=str(path), action="list every file once")  # fmt: skip
    return datasets


def _load(path: Path) -> Any:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        beside = [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError("no such fileset", where=str(path), near=nearest(path.name, beside),
                        action=_ADVICE) from error  # fmt: skip
    except IsADirectoryError as error:
        found = sorted(path.glob("*.json"))
        raise DataError("is a folder, not a fileset", where=str(path), near=map(str, found[:1]),
                        action=_ADVICE) from error  # fmt: skip
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(path)) from error
    try:
        text = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        return json.loads(text, object_pairs_hook=_no_duplicates)
    except (ValueError, EOFError, OSError) as error:
        line = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise ConfigError(f"is not valid JSON: {error}", where=f"{path}{line}") from error


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise ValueError(f"the key {twice[0]!r} appears twice")
    return dict(pairs)


def _dataset(name: str, entry: Any, path: Path) -> Dataset:
    where = f"{path}: {name}"
    if not isinstance(entry, dict) or "files" not in entry:
        raise ConfigError("a dataset needs the key 'files'", where=where)
    for key in entry:
        if key not in ("files", "metadata", "form"):
            raise ConfigError(f"unknown key {key!r}", where=where, near=nearest(key, ("files", "metadata")))
    files = entry["files"]
    if isinstance(files, list):
        _refuse_twice(files, where)
        files = dict.fromkeys(files)
    if not isinstance(files, dict) or not files:
        raise ConfigError("lists no files", where=where)
    refs = tuple(_ref(str(url), value, path.parent, where) for url, value in files.items())
    metadata = dict(entry.get("metadata") or {})
    if "isMC" in metadata and "kind" not in metadata:
        metadata["kind"] = "mc" if metadata["isMC"] else "data"
    for key in _PATHS:
        if isinstance(metadata.get(key), str):
            metadata[key] = _beside(metadata[key], path.parent)
    return Dataset(name, refs, metadata)


def _refuse_twice(urls: list[Any], where: str) -> None:
    seen: set[str] = set()
    for url in map(str, urls):
        if url in seen:
            raise ConfigError(f"lists {url} twice", where=where, action="list every file once")
        seen.add(url)


def _ref(url: str, value: Any, folder: Path, where: str) -> FileRef:
    tree: str | None
    if isinstance(value, dict):
        for key in value:
            if key not in _FILE_KEYS:
                raise ConfigError(f"unknown key {key!r} of {url}", where=where, near=nearest(key, _FILE_KEYS))
        tree = value.get("object_path")
        detail = value
    else:
        url, tree = (url, value) if value else split_tree(url)
        detail = {}
    return FileRef(
        _located(url, folder),
        tree,
        entries=detail.get("num_entries"),
        size=detail.get("size"),
        uuid=detail.get("uuid"),
        checksum=detail.get("checksum"),
        replicas=tuple(detail.get("replicas") or ()),
        steps=tuple((int(a), int(b)) for a, b in detail.get("steps") or ()),
    )


def _beside(name: str, folder: Path) -> str:
    """A file named in the metadata: in the working directory, else beside the fileset; absolute."""
    if "://" in name:
        return name
    path = Path(name)
    if not path.exists() and (folder / path).exists():
        path = folder / path
    return str(path.absolute())


def _located(url: str, folder: Path) -> str:
    if "://" in url or Path(url).is_absolute():
        return url
    beside = folder / url
    return str(beside) if beside.exists() or not Path(url).exists() else url


def write_fileset(path: Path, datasets: Iterable[Dataset]) -> None:
    """Write a fileset that coffea reads, too."""
    path.write_text(json.dumps(fileset_content(datasets), indent=1) + "\n", encoding="utf-8")


def fileset_content(datasets: Iterable[Dataset]) -> dict[str, Any]:
    """What a fileset JSON says about datasets."""
    return {
        dataset.name: {
            "files": _listed(dataset.files),
            "metadata": dict(dataset.metadata),
        }
        for dataset in datasets
    }


def _listed(files: Iterable[FileRef]) -> Any:
    """``{url: tree or details}``, or a plain list where nothing is known of the files but their addresses."""
    found = {ref.url: _detail(ref) for ref in files}
    return found if any(detail is not None for detail in found.values()) else list(found)


def _detail(ref: FileRef) -> Mapping[str, Any] | str | None:
    detail = {
        "object_path": ref.tree,
        "steps": [list(step) for step in ref.steps],
        "num_entries": ref.entries,
        "uuid": ref.uuid,
        "replicas": list(ref.replicas),
        "size": ref.size,
        "checksum": ref.checksum,
    }
    kept = {key: value for key, value in detail.items() if value not in (None, "", [])}
    return kept if set(kept) - {"object_path"} else ref.tree

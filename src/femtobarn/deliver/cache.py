"""Deliveries that were made before: found by what was asked of what, used only if they are still whole."""

from __future__ import annotations

import functools
import hashlib
import logging
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import femtobarn
from femtobarn.deliver.job import output_of, record_of
from femtobarn.deliver.queries import Query
from femtobarn.folders import cache_root
from femtobarn.records import FileRef
from femtobarn.run.fingerprint import digest
from femtobarn.run.store import Store

__all__ = ["delivery_store", "key_of", "sha256_of", "valid_record"]

log: Final = logging.getLogger("femtobarn.deliver")

_LIBRARIES: Final = ("awkward", "numpy", "pyarrow", "uproot")


def delivery_store() -> Store:
    """Where descriptions of outputs are kept, and the outputs beside them."""
    return Store(cache_root() / "deliver" / "files")


@functools.cache
def engine_version() -> str:
    """Hash of the code that makes deliveries and of the libraries it computes with."""
    here = Path(__file__).parent
    folders = [here, here.parent / "expr"]
    sources = {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() for f in folders for path in f.glob("*.py")
    }
    return digest(
        [femtobarn.__version__, sorted(sources.values()), {name: version(name) for name in _LIBRARIES}]
    )


def key_of(query: Query, kind: str, missing: str, ref: FileRef) -> str:
    """The key of one output: query, format, identity of the file, version of the engine."""
    return digest([query.codegen, query.text, kind, missing, ref.uuid, ref.size, engine_version()])


def sha256_of(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def valid_record(store: Store, key: str, kind: str) -> Mapping[str, Any] | None:
    """What is known of a stored output, if the output is still what was written.

    An output that is gone or altered is forgotten, with a log line, so that it is made again.
    """
    if key not in store:
        return None
    outcome = store.load(key, part=0)
    if outcome is None:
        return None
    record = record_of(outcome)
    path = output_of(store.path(key), kind)
    problem = "" if not record["file"] else is_changed(path, record)
    if not problem:
        return record
    log.warning("the delivered file %s %s; it is made again", path, problem)
    forget(store, key)
    return None


def is_changed(path: Path, record: Mapping[str, Any]) -> str:
    """What is wrong with an output; empty if nothing is."""
    try:
        size = path.stat().st_size
        if size != record["size"]:
            return f"has {size} bytes, not {record['size']}"
        return "" if sha256_of(path) == record["sha256"] else "has another content than was written"
    except FileNotFoundError:
        return "is gone"
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"


def forget(store: Store, key: str) -> None:
    """Make sure that an output is made again."""
    store.path(key).unlink(missing_ok=True)

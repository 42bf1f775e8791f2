"""JSON Patch (RFC 6902) and pyhf patch sets."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

from femtobarn.errors import ConfigError, UsageError, nearest
from femtobarn.stats.histfactory.workspace import read_document

__all__ = ["apply_patch", "apply_patch_file"]


def apply_patch_file(document: Any, address: str | Path) -> Any:
    """Apply a patch file, or one patch of a pyhf patch set given as ``FILE:NAME``.

    Raises
    ------
    UsageError
        If a patch set is given without the name of one of its patches.
    ConfigError
        If the patch does not fit the document, or the document is not the one the set was made for.
    """
    text = str(address)
    path, name = Path(text), ""
    if not path.exists() and ":" in text:
        head, _, name = text.rpartition(":")
        path = Path(head)
    content = read_document(path)
    if isinstance(content, list):
        if name:
            raise UsageError(f"{path} is a single patch, it has none called '{name}'")
        return apply_patch(document, content, where=str(path))
    if not isinstance(content, dict) or not isinstance(content.get("patches"), list):
        raise ConfigError("is neither a JSON patch nor a patch set", where=str(path))
    patches = {str(p.get("metadata", {}).get("name")): p for p in content["patches"] if isinstance(p, dict)}
    if name not in patches:
        near = nearest(name, patches) or tuple(patches)[:3]
        what = f"the patch set has no patch '{name}'" if name else "a patch set needs the name of a patch"
        raise UsageError(what, where=str(path), near=near, action=f"--patch {path}:NAME")
    _check_digest(document, content.get("metadata", {}).get("digests", {}), str(path))
    return apply_patch(document, patches[name].get("patch", []), where=f"{path}:{name}")


def _check_digest(document: Any, digests: Any, where: str) -> None:
    """A patch set states the digest of the workspace it belongs to (of its sorted JSON text)."""
    text = json.dumps(document, sort_keys=True, ensure_ascii=False).encode()
    for algorithm, stated in digests.items() if isinstance(digests, dict) else ():
        if algorithm not in {"sha256", "md5"}:
            continue
        found = hashlib.new(algorithm, text, usedforsecurity=False).hexdigest()
        if found != stated:
            raise ConfigError(
                f"the patch set was made for another workspace ({algorithm} differs)", where=where
            )


def apply_patch(document: Any, operations: Any, *, where: str | None = None) -> Any:
    """Apply the operations of a JSON patch to a copy of a document."""
    out = copy.deepcopy(document)
    if not isinstance(operations, list):
        raise ConfigError("a JSON patch is an array of operations", where=where)
    for i, operation in enumerate(operations):
        try:
            out = _apply(out, operation)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            path = operation.get("path", "?") if isinstance(operation, dict) else "?"
            reason = error.args[0] if error.args else type(error).__name__
            raise ConfigError(f"operation {i} at {path} cannot be applied: {reason}", where=where) from None
    return out


def _steps(pointer: str) -> list[str]:
    if pointer and not pointer.startswith("/"):
        raise ValueError(f"'{pointer}' is not a JSON pointer")
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def _get(document: Any, steps: list[str]) -> Any:
    for step in steps:
        document = document[_position(document, step)]
    return document


def _position(container: Any, step: str) -> Any:
    if isinstance(container, list):
        if not step.isdigit() or int(step) >= len(container):
            raise IndexError(f"there is no element {step}")
        return int(step)
    if not isinstance(container, dict) or step not in container:
        raise KeyError(f"there is no '{step}'")
    return step


def _add(document: Any, steps: list[str], value: Any) -> Any:
    if not steps:
        return value
    parent = _get(document, steps[:-1])
    last = steps[-1]
    if isinstance(parent, list):
        place = len(parent) if last == "-" else int(last)
        if not 0 <= place <= len(parent):
            raise IndexError(f"there is no place {last}")
        parent.insert(place, value)
    elif isinstance(parent, dict):
        parent[last] = value
    else:
        raise TypeError("there is neither an object nor an array")
    return document


def _remove(document: Any, steps: list[str]) -> Any:
    if not steps:
        raise ValueError("the whole document cannot be removed")
    parent = _get(document, steps[:-1])
    place = _position(parent, steps[-1])
    return parent.pop(place)


def _apply(document: Any, operation: Any) -> Any:
    kind, steps = operation["op"], _steps(operation["path"])
    if kind == "add":
        return _add(document, steps, copy.deepcopy(operation["value"]))
    if kind == "remove":
        _remove(document, steps)
        return document
    if kind == "replace":
        if steps:
            _remove(document, steps)
        return _add(document, steps, copy.deepcopy(operation["value"]))
    if kind == "test":
        if _get(document, steps) != operation["value"]:
            raise ValueError("the tested value differs")
        return document
    if kind in {"move", "copy"}:
        source = _steps(operation["from"])
        value = copy.deepcopy(_get(document, source))
        if kind == "move":
            _remove(document, source)
        return _add(document, steps, value)
    raise ValueError(f"unknown operation '{kind}'")

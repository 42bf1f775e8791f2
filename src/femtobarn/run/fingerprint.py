"""What can change a part's outcome, as one hash: the analysis' source and every module it uses."""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

import femtobarn
from femtobarn.analysis import Analysis

__all__ = ["digest", "source_fingerprint", "versions"]

_PACKAGE: Final = "femtobarn"
#: Modules through which every part's columns and sums pass, whatever the analysis imports.
_ALWAYS: Final = ("femtobarn.read.read", "femtobarn.read.source", "femtobarn.outcome")

#: Rooms that only see merged outcomes: an edit there cannot change a part.
_DOWNSTREAM: Final = ("stats", "rank", "run", "export", "plot", "report", "api", "web", "cli")


def digest(value: Any) -> str:
    """SHA-256 of a JSON value in its canonical form."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def versions() -> dict[str, str]:
    """Versions that enter keys and manifests."""
    return {
        "femtobarn": femtobarn.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def source_fingerprint(analysis: Analysis) -> str:
    """Hash of the source of an analysis and of all femtobarn modules that it imports, directly or not."""
    own = Path(inspect.getfile(analysis.process))
    files = {str(own): own}
    seen: set[str] = set()
    queue = [*_ALWAYS, *_imports(own)]
    while queue:
        module = queue.pop()
        if module in seen:
            continue
        seen.add(module)
        path = _file_of(module)
        if path is not None:
            files[module] = path
            queue.extend(_imports(path))
    return digest(
        {name: _hash(path) for name, path in sorted(files.items()) if name != str(own)} | {"own": _hash(own)}
    )


def _file_of(module: str) -> Path | None:
    """Source file of a femtobarn module that can change a part; None for names inside modules."""
    rooms = module.split(".")[1:]
    if not rooms or rooms[0] in _DOWNSTREAM:
        return None
    path = Path(femtobarn.__file__).parent.joinpath(*rooms)
    if path.is_dir():
        return path / "__init__.py"
    path = path.with_suffix(".py")
    return path if path.is_file() else None


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@functools.cache
def _imports_of(path: Path, _stamp: float) -> tuple[str, ...]:
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(name for name in found if name.split(".")[0] == _PACKAGE)


def _imports(path: Path) -> tuple[str, ...]:
    """Names of femtobarn modules (and of things in them) that a file imports anywhere."""
    if path.suffix != ".py":
        return ()
    return _imports_of(path, path.stat().st_mtime)


def resource_digests(resources: Mapping[str, Any]) -> dict[str, str]:
    """Content hash of every declared resource file."""
    return {name: _hash(Path(resource.path)) for name, resource in sorted(resources.items())}

"""What can change a part's outcome, as one hash: the analysis' source and every module it uses."""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import platform
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import femtobarn
from femtobarn.analysis import Analysis
from femtobarn.read import find_schema

__all__ = ["digest", "resource_digests", "schema_digest", "source_fingerprint", "versions"]

_HOUSE: Final = "femtobarn"
#: Modules through which every part's columns and sums pass, whatever the analysis imports.
_ALWAYS: Final = (
    "femtobarn.outcome",
    "femtobarn.read.opening",
    "femtobarn.read.read",
    "femtobarn.read.source",
    "femtobarn.run.codec",
    "femtobarn.run.worker",
)
#: Rooms that only see merged outcomes: an edit there cannot change a part.
_DOWNSTREAM: Final = ("stats", "rank", "run", "export", "plot", "report", "api", "web", "cli")
#: Tables beside modules (corrections, cross-sections) that they may read.
_DATA: Final = (".csv", ".json", ".yaml", ".yml", ".txt", ".toml")
#: Python's own library.
_PYTHON: Final = Path(sysconfig.get_path("stdlib"))
#: Where a statement holds others.
_BLOCKS: Final = ("body", "orelse", "finalbody", "handlers", "cases")
#: Libraries that compute what a part yields.
_LIBRARIES: Final = ("awkward", "numba", "numpy", "scipy", "uproot")


def digest(value: Any) -> str:
    """SHA-256 of a JSON value in its canonical form."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


@functools.cache
def versions() -> Mapping[str, str]:
    """Versions that enter keys and manifests."""
    found = {"femtobarn": femtobarn.__version__, "python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # numba may be patched out; what is absent computes nothing
            continue
    return found


def resource_digests(resources: Mapping[str, Any]) -> dict[str, str]:
    """Content hash of every declared resource file."""
    return {name: _hash(Path(resource.path)) for name, resource in sorted(resources.items())}


def schema_digest(name: str) -> str:
    """Hash of what a schema says: names, branches, unit scales."""
    return digest(find_schema(name).__reduce__()[1]) if name else ""


@dataclass(frozen=True, slots=True)
class _Module:
    """A module by dotted name and source file."""

    name: str
    path: Path

    @property
    def package(self) -> list[str]:
        """Names of the package that relative imports start from."""
        parts = self.name.split(".")
        return parts if self.path.name == "__init__.py" else parts[:-1]


def source_fingerprint(analysis: Analysis) -> str:
    """Hash of the source of an analysis and of all modules that it imports, directly or not.

    Followed are modules of femtobarn, of the package the analysis lives in, files beside it, and whatever
    else is not installed (on ``PYTHONPATH``); other libraries count by their version.  What an edit
    changes on the disk while this process goes on with the code it has loaded does not count here.
    """
    own = tuple(_own_modules(analysis))
    roots = _roots(own)
    # Our own modules are loaded and stay what they are; those of others may be edited and imported anew.
    ours = all(module.name.startswith(f"{_HOUSE}.") for module in own)
    modules = _used_by_ours(own) if ours else _used(own, roots)
    return digest({module.name: _content(module, roots.get("")) for module in modules})


@functools.cache
def _used_by_ours(own: tuple[_Module, ...]) -> tuple[_Module, ...]:
    return _used(own, _roots(own))


def _used(own: Iterable[_Module], roots: Mapping[str, Path]) -> tuple[_Module, ...]:
    """These modules and all that they import, directly or not."""
    # The same few names are imported everywhere; looking on the disk for each costs more than the hash.
    loose = functools.cache(_loose)
    find = functools.cache(lambda name: _find(name, roots, loose))
    queue = [*own, *(find(name) for name in _ALWAYS)]
    found: dict[Path, _Module] = {}
    while queue:
        module = queue.pop()
        if module is None or module.path in found:
            continue
        found[module.path] = module
        queue.extend(find(name) for name in _imported(module))
    return tuple(found.values())


def _own_modules(analysis: Analysis) -> Iterator[_Module]:
    """Modules that hold the functions whose results depend on the events."""
    for item in (
        analysis.process, analysis.columns, analysis.histograms, analysis.variations,
        analysis.resources, analysis.parameters, analysis.schemas, analysis.peek, analysis.whole_file,
        analysis.dataset_resources,
    ):  # fmt: skip
        function = getattr(item, "func", item)  # functools.partial
        module = sys.modules.get(getattr(function, "__module__", None) or "")
        source = getattr(module, "__file__", None)
        if module is not None and source is not None:
            yield _Module(module.__name__, Path(source))


def _roots(own: Iterable[_Module]) -> dict[str, Path]:
    """{top-level name: folder it is in}; the empty name stands for files beside the analysis."""
    roots = {_HOUSE: Path(femtobarn.__file__).parent.parent}
    for module in own:
        top = module.name.split(".")[0]
        package = sys.modules.get(top)
        if top == module.name and not hasattr(package, "__path__"):
            roots[""] = module.path.parent
        elif package is not None and package.__file__ is not None:
            roots.setdefault(top, Path(package.__file__).parent.parent)
    return roots


def _loose(top: str) -> Path | None:
    """Where an imported module lies that is neither installed nor Python's own."""
    file = getattr(sys.modules.get(top), "__file__", None)
    if file is None or not file.endswith(".py"):
        return None
    path = Path(file)
    if {"site-packages", "dist-packages"} & set(path.parts) or path.is_relative_to(_PYTHON):
        return None
    return path.parent.parent if path.name == "__init__.py" else path.parent


def _find(
    name: str, roots: Mapping[str, Path], loose: Callable[[str], Path | None] = _loose
) -> _Module | None:
    """The source file behind a dotted name; None for names inside modules and for other libraries."""
    parts = name.split(".")
    if parts[0] == _HOUSE:
        if len(parts) > 1 and parts[1] in _DOWNSTREAM and name not in _ALWAYS:
            return None
        return _in_folder(name, roots[_HOUSE])
    known = roots.get(parts[0])
    for root in [known] if known is not None else [roots.get(""), loose(parts[0])]:
        found = _look(name, root) if root is not None else None
        if found is not None:
            return found
    return None


def _look(name: str, root: Path) -> _Module | None:
    """A dotted name below a folder."""
    path = root.joinpath(*name.split("."))
    for candidate in (path / "__init__.py", path.with_name(path.name + ".py")):
        if candidate.is_file():
            return _Module(name, candidate)
    return None


#: Of this package itself, whose files do not come and go.
_in_folder: Final = functools.cache(_look)


def _imported(module: _Module) -> Iterator[str]:
    """Dotted names that a module imports anywhere, and those of things in them."""
    for level, base, names in _imports(module.path, module.path.stat().st_mtime_ns):
        prefix = base
        if level:
            package = module.package[: len(module.package) - level + 1]
            prefix = ".".join([*package, base] if base else package)
        if prefix:
            yield prefix
        yield from (f"{prefix}.{name}" if prefix else name for name in names)


@functools.cache
def _imports(path: Path, _stamp: int) -> tuple[tuple[int, str, tuple[str, ...]], ...]:
    """(level, module, names) of every import statement of a file."""
    found: list[tuple[int, str, tuple[str, ...]]] = []
    left: list[ast.AST] = [ast.parse(path.read_bytes())]
    while left:
        node = left.pop()
        if isinstance(node, ast.Import):
            found += [(0, alias.name, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.level, node.module or "", tuple(alias.name for alias in node.names)))
        # Statements stand in statements only; most of a tree are expressions.
        for block in _BLOCKS:
            left += getattr(node, block, ())
    return tuple(found)


def _content(module: _Module, anew: Path | None) -> list[str]:
    """Hashes of a module's source and, in our own packages, of the tables beside it.

    ``anew`` is the folder of an analysis that the user names: what has changed there is imported anew.
    """
    live = anew is not None and module.path.is_relative_to(anew)
    hashes = [_hash(module.path) if live else _loaded_hash(module.path)]
    if module.name.startswith(f"{_HOUSE}.") and module.path.name == "__init__.py":
        tables = (path for path in module.path.parent.rglob("*") if path.suffix in _DATA)
        hashes += [_hash(path) for path in sorted(tables)]
    return hashes


@functools.cache
def _loaded_hash(path: Path) -> str:
    """Hash of a source when this process first asked, which is of the code that it runs."""
    return _hash(path)


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()

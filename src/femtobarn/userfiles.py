"""Python files that a user names: imported as they are on the disk now, with the modules beside them."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, ModuleType
from typing import Final

from femtobarn.errors import UsageError

__all__ = ["load_file"]

#: {module beside a loaded file: its source, and size and time of that when it was imported}.
_imported: Final[dict[str, tuple[Path, tuple[int, int]]]] = {}


class _AsItIs(importlib.machinery.SourceFileLoader):
    """Compiles the text of the file.

    A compiled copy is recognised by size and seconds: an edit within a second would go unnoticed.
    """

    def get_code(self, _fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def load_file(path: Path, prefix: str) -> ModuleType:
    """Import a Python file; its module is called ``<prefix>_<stem>``, so that workers find it again.

    Files beside it can be imported by it, as in a script of its own; one that has changed since is
    imported anew.

    Raises
    ------
    UsageError
        The file cannot be imported; it says the line.
    """
    name, path = f"{prefix}_{path.stem}", path.absolute()
    spec = importlib.util.spec_from_loader(name, _AsItIs(name, str(path)))
    if spec is None or not path.is_file():
        raise UsageError("no such Python file", where=str(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    _forget_changed(path.parent)
    try:
        with _importing_from(path.parent):
            module.__loader__.exec_module(module)  # type: ignore[union-attr]
    except (SyntaxError, ImportError, NameError, AttributeError, TypeError, ValueError) as error:
        line = getattr(error, "lineno", None) or _last_line(error, path)
        raise UsageError(
            f"{type(error).__name__}: {error}", where=f"{path}:{line}" if line else str(path)
        ) from error
    return module


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """The folder is looked in last: a file there must not hide a library."""
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.dont_write_bytecode = before
        for name, source in _beside(folder):
            if name not in _imported:
                _imported[name] = source, _stamp(source)


def _beside(folder: Path) -> list[tuple[str, Path]]:
    """Imported modules and packages that lie in the folder itself: (name, source)."""
    inside = f"{folder}{os.sep}"
    found = []
    for name, module in list(sys.modules.items()):
        source = getattr(module, "__file__", None)
        if source and source.startswith(inside) and name != "__main__":
            first, _, rest = source.removeprefix(inside).partition(os.sep)
            # A folder is a package of that name, not one in which others are installed.
            if first == name.partition(".")[0] or not rest:
                found.append((name, Path(source)))
    return found


def _stamp(source: Path) -> tuple[int, int]:
    try:
        status = source.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _forget_changed(folder: Path) -> None:
    """Have the modules of a folder imported anew if one of them has changed: they may use each other."""
    mine = {name for name, _ in _beside(folder)} & set(_imported)
    if all(_stamp(_imported[name][0]) == _imported[name][1] for name in mine):
        return
    for name in mine:
        del sys.modules[name], _imported[name]
    importlib.invalidate_caches()


def _last_line(error: BaseException, path: Path) -> int | None:
    """Line of the user's file where an exception came from."""
    line = None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line

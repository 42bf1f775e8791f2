"""A small analysis of one's own to start from."""

from __future__ import annotations

import keyword
import re
import sys
import sysconfig
from importlib import resources
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Final

from femtobarn.errors import StoreError, UsageError

__all__ = ["new"]

#: What stands for the name in the template.
_PLACE: Final = "@NAME@"


def new(name: str, *, out: str | Path = ".") -> Path:
    """Write ``NAME.py``, a complete analysis of muon pairs to run at once and to change.

    Parameters
    ----------
    name : str
        Name of the analysis: a Python identifier that hides no installed module.
    out : path
        Folder for the file; made if missing.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    UsageError
        The name cannot be used, or the file exists already.
    """
    folder = Path(out)
    _check_name(name, folder)
    path = folder / f"{name}.py"
    template = resources.files("femtobarn") / "templates" / "analysis.py.txt"
    text = template.read_text(encoding="utf-8").replace(_PLACE, name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        what = "exists already; it is left as it is" if path.exists() else "is a file, not a folder"
        raise UsageError(what, where=str(path if path.exists() else folder),
                         action="choose another name, or another folder with --out") from error  # fmt: skip
    except OSError as error:
        raise StoreError(f"cannot be written: {error.strerror}", where=str(path)) from error
    return path


def _check_name(name: str, folder: Path) -> None:
    if not (name.isidentifier() and name.isascii()) or keyword.iskeyword(name) or name.startswith("_"):
        better = re.sub(r"\W+", "_", name.removesuffix(".py"), flags=re.ASCII).strip("_")
        near = [better] if better.isidentifier() and not keyword.iskeyword(better) else []
        raise UsageError(f"{name!r} cannot be the name of an analysis", near=near,
                         action="use letters, digits and _, beginning with a letter")  # fmt: skip
    if (folder / f"{name}.py").exists():
        return  # refused when it is written; a file here is also found as a module
    installed = [sysconfig.get_path(kind) for kind in ("purelib", "platlib")]
    if name in {*sys.stdlib_module_names, "femtobarn"} or PathFinder.find_spec(name, installed) is not None:
        raise UsageError(
            f"{name!r} is the name of an installed Python module, which {name}.py would hide",
            near=[f"my_{name}"],
            action="choose another name",
        )

"""Getting the code that runs here to where jobs run: shared disk, a wheel, or a whole environment.

``none`` relies on the shared disk (or on the site's ``setup`` and ``image``).  ``wheel`` takes femtobarn
alone along; its dependencies must be there.  ``environment`` takes every installed package; the nodes
need the same Python and system, nothing else.  What was shipped is unpacked once a node.
"""

from __future__ import annotations

import hashlib
import io
import shlex
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import femtobarn
from femtobarn.folders import cache_root
from femtobarn.run.files import replacing, write_text

if TYPE_CHECKING:
    from femtobarn.run.resources import Site

__all__ = ["job_lines", "python_command", "ship", "unpacking"]

#: A wheel is a zip file; with fixed times equal code gives equal bytes, so equal names.
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_SKIP: Final = ("__pycache__",)


def ship(site: Site) -> Path | None:
    """What jobs at this site must unpack, made and kept in the cache; None if nothing is shipped."""
    if site.ship == "none":
        return None
    wheel = _wheel()
    name = hashlib.sha256(wheel).hexdigest()[:16]
    folder = cache_root() / "shipped" / name
    if site.ship == "wheel":
        path = folder / f"femtobarn-{femtobarn.__version__}-py3-none-any.whl"
        if not path.exists():
            write_text(path, wheel)
        return path
    path = folder / "environment.tar"
    if not path.exists():
        with replacing(path) as scratch:
            _environment(scratch, wheel)
    return path


def _wheel() -> bytes:
    """The package as a wheel."""
    root = Path(femtobarn.__file__).parent
    out = io.BytesIO()
    about = f"femtobarn-{femtobarn.__version__}.dist-info"
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(root.rglob("*")):
            if path.is_file() and not set(_SKIP) & set(path.parts):
                inside = f"femtobarn/{path.relative_to(root).as_posix()}"
                archive.writestr(zipfile.ZipInfo(inside, _EPOCH), path.read_bytes())
        for inside, text in _about().items():
            archive.writestr(zipfile.ZipInfo(f"{about}/{inside}", _EPOCH), text)
    return out.getvalue()


def _about() -> dict[str, str]:
    """Metadata of the installed package; its entry points are how analyses are found."""
    from importlib.metadata import distribution

    found = distribution("femtobarn")
    files = {name: found.read_text(name) for name in ("METADATA", "entry_points.txt")}
    wheel = "Wheel-Version: 1.0\nGenerator: femtobarn\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    return {name: text for name, text in files.items() if text} | {"WHEEL": wheel, "RECORD": ""}


def _environment(path: Path, wheel: bytes) -> None:
    """All installed packages, and this one in place of a link to its checkout, as a tar file."""
    with tarfile.open(path, "w", dereference=True) as archive:
        for place in dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib")):
            archive.add(place, ".", filter=_wanted)
        with zipfile.ZipFile(io.BytesIO(wheel)) as inside:
            for item in inside.infolist():
                entry = tarfile.TarInfo(f"./{item.filename}")
                entry.size = item.file_size
                archive.addfile(entry, io.BytesIO(inside.read(item)))


def _wanted(item: tarfile.TarInfo) -> tarfile.TarInfo | None:
    name = Path(item.name).name
    ours = item.name.startswith(("./femtobarn/", "./femtobarn-", "./_femtobarn")) or "femtobarn" in name
    return None if ours or set(_SKIP) & set(Path(item.name).parts) else item


def python_command(site: Site, binds: tuple[str, ...] = ()) -> str:
    """How a job calls Python: in an image if the site has one, with these folders seen inside."""
    moved = site.ship != "none" or site.image is not None
    python = site.python or ("python3" if moved else sys.executable)
    if site.image is None:
        return shlex.quote(python)
    if site.image.startswith("docker:") and not site.image.startswith("docker://"):
        volumes = " ".join(f"-v {shlex.quote(f'{bind}:{bind}')}" for bind in binds)
        keep = "-e PYTHONPATH -e FEMTOBARN_CACHE -e X509_USER_PROXY -e BEARER_TOKEN_FILE -e HOME"
        image = shlex.quote(site.image.removeprefix("docker:"))
        return (
            f'docker run --rm -u "$(id -u):$(id -g)" -w "$PWD" {keep} {volumes} {image} {shlex.quote(python)}'
        )
    bound = f"--bind {shlex.quote(','.join(binds))} " if binds else ""
    return f"apptainer exec {bound}{shlex.quote(site.image)} {shlex.quote(python)}"


def job_lines(site: Site, shipped: Path | None) -> list[str]:
    """Shell lines a job begins with: the site's setup, then the unpacking of what was shipped."""
    return [*site.setup, *unpacking(site, shipped)]


def unpacking(site: Site, shipped: Path | None) -> list[str]:
    """Shell lines that unpack what was shipped and have Python find it."""
    if shipped is None:
        return []
    name = shipped.name
    unpack = (
        f'{site.python or "python3"} -m zipfile -e "$packed" "$code.$$"'
        if name.endswith(".whl")
        else 'tar -xf "$packed" -C "$code.$$"'
    )
    return [
        f'packed={name}; [ -e "$packed" ] || packed={shlex.quote(str(shipped))}',
        f'code="${{TMPDIR:-/tmp}}/femtobarn-$(id -u)-{shipped.parent.name}-{site.ship}"',
        # Unpacked aside and renamed, so that jobs that begin together do not see half of it.
        '[ -d "$code" ] || {',
        f'    mkdir -p "$code.$$"; {unpack}',
        '    mv -T "$code.$$" "$code" || rm -rf "$code.$$"',
        "}",
        'export PYTHONPATH="$code"',
    ]

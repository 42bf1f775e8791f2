"""``ttbar bench --survey``: what branches weigh in given files, and lists of them for each I/O level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from femtobarn.api.inputs import Request, resolve
from femtobarn.api.ttbar.benchmark import io_levels, scheme_of
from femtobarn.errors import DataError
from femtobarn.read import open_source
from femtobarn.run.files import SCHEMA_VERSION, write_json

__all__ = ["TtbarSurvey", "greedy_list", "ttbar_survey"]

_TABLE: Final = Path("tables") / "io_levels.json"


@dataclass(frozen=True)
class TtbarSurvey:
    """Where the lists are, and what they say.

    ``levels``: {percentage asked for: (percentage reached, branches)}.
    """

    path: Path
    files: int
    branches: int
    levels: Mapping[str, tuple[float, tuple[str, ...]]]


def ttbar_survey(
    files: Sequence[str] = (),
    *,
    out: str | Path,
    fileset: str | None = None,
    settings: Sequence[str] = (),
    io_scheme: str = "nanoaod",
) -> TtbarSurvey:
    """Measure the share of each branch in the files' bytes and choose branches for the levels of a scheme.

    The list of the lowest level is kept as far as the files have it; the others add to it, always the
    largest branch that still fits.  ``bench --io-lists`` reads what is written here.

    Parameters
    ----------
    files, fileset, settings : as for ``run ttbar``
    out : path
        Directory; the lists go to its ``tables/io_levels.json``.
    io_scheme : str
        ``nanoaod``, ``legacy`` or ``poet``.
    """
    levels = scheme_of(io_levels(), io_scheme)
    request = Request(what="ttbar", files=tuple(files), fileset=fileset, settings=tuple(settings))
    sizes, count = _sizes([ref for dataset in resolve(request).datasets for ref in dataset.files])
    total = sum(sizes.values())
    if not total:
        raise DataError("the files hold no bytes of branches", where=f"{count} files")
    share = {name: size / total for name, size in sizes.items()}
    lowest, *_ = asked = sorted(levels, key=float)
    base = [name for name in levels[lowest] if name in share]
    lists = {
        level: base if level == lowest else greedy_list(share, base, float(level) / 100) for level in asked
    }
    found = {
        level: (100 * sum(share[name] for name in names), tuple(names)) for level, names in lists.items()
    }
    path = Path(out) / _TABLE
    write_json(path, _document(io_scheme, count, total, share, found))
    return TtbarSurvey(path, count, len(share), found)


def greedy_list(share: Mapping[str, float], base: Sequence[str], target: float) -> list[str]:
    """``base`` and then, by falling size, every branch that does not bring the sum above the target."""
    chosen, reached = list(base), sum(share[name] for name in base)
    for name in sorted(share, key=lambda name: (-share[name], name)):
        if name not in base and reached + share[name] <= target:
            chosen.append(name)
            reached += share[name]
    return chosen


def _sizes(refs: Sequence[Any]) -> tuple[dict[str, int], int]:
    """Compressed bytes of each branch, summed over the files."""
    sizes: dict[str, int] = {}
    for ref in refs:
        source = open_source(ref)
        try:
            for name in source.branches:
                sizes[name] = sizes.get(name, 0) + source.stored_bytes([name])
        finally:
            source.close()
    return sizes, len(refs)


def _document(
    scheme: str,
    files: int,
    total: int,
    share: Mapping[str, float],
    found: Mapping[str, tuple[float, tuple[str, ...]]],
) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION, "files": files, "bytes": total, "ratios": dict(share),
        "percent": {level: reached for level, (reached, _) in found.items()},
        "levels": {scheme: {level: list(names) for level, (_, names) in found.items()}},
    }  # fmt: skip

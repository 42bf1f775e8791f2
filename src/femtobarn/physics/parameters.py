"""Parameter types that several analyses declare."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BeforeValidator

from femtobarn.catalog import RELEASES
from femtobarn.errors import nearest

__all__ = ["ReleaseName", "Window"]


def _known(name: str) -> str:
    for release in RELEASES.values():
        if name == release.name or name in release.aliases:
            return release.name
    names = [*RELEASES, *(alias for release in RELEASES.values() for alias in release.aliases)]
    near = nearest(name, names)
    hint = f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""
    raise ValueError(f"unknown release {name!r}{hint}; releases: {', '.join(RELEASES)}")


def _split(value: Any) -> Any:
    """Accept ``low,high`` as people type it."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def _ascending(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] >= value[1]:
        raise ValueError(f"a window needs low < high, not {value[0]:g},{value[1]:g}")
    return value


#: Name or alias of a public release; becomes the name.
ReleaseName: TypeAlias = Annotated[str, AfterValidator(_known)]
#: An interval in GeV, written ``low,high``.
Window: TypeAlias = Annotated[tuple[float, float], BeforeValidator(_split), AfterValidator(_ascending)]

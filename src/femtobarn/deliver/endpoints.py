"""``servicex.yaml`` or ``.servicex``: where ServiceX servers are, as the official client configures them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from femtobarn.config.located import load_file
from femtobarn.errors import ConfigError, UsageError, nearest

__all__ = ["Endpoint", "Endpoints", "find_endpoints"]

log: Final = logging.getLogger("femtobarn.deliver")

_NAMES: Final = (".servicex", "servicex.yaml")
_KEYS: Final = ("api_endpoints", "default_endpoint", "cache_path", "shortened_downloaded_filename")
_ENDPOINT: Final = ("name", "endpoint", "token", "type")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server; ``type`` is how old files call what it computes."""

    name: str
    url: str
    token: str = ""
    type: str = ""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """A configuration file."""

    file: Path
    known: tuple[Endpoint, ...]
    default: str | None = None

    def choose(self, name: str | None) -> Endpoint:
        """An endpoint by name, in old files by type; the default, or the first, without one.

        Raises
        ------
        UsageError
            There is none of this name.
        """
        wanted = name or self.default or self.known[0].name
        for attribute in ("name", "type"):
            found = next((one for one in self.known if getattr(one, attribute) == wanted), None)
            if found is not None:
                return found
        names = [one.name for one in self.known]
        raise UsageError(
            f"there is no endpoint {wanted!r}", where=str(self.file), near=nearest(wanted, names),
            action="endpoints: " + ", ".join(names),
        )  # fmt: skip


def find_endpoints(path: str | Path | None = None) -> Endpoints:
    """The configuration at a path, or the nearest one: this folder, those above it, home.

    Raises
    ------
    ConfigError
        There is none, or it is wrong.
    """
    if path is not None:
        return _read(Path(path).expanduser())
    here = Path.cwd()
    for folder in (here, *here.parents, Path.home()):
        for name in _NAMES:
            if (folder / name).is_file():
                return _read(folder / name)
    raise ConfigError("no servicex.yaml and no .servicex is here, above or at home",
                      action="write one, or name it with --config")  # fmt: skip


def _read(path: Path) -> Endpoints:
    located = load_file(path)
    if not isinstance(located.value, Mapping):
        raise ConfigError("is no configuration of ServiceX", where=str(path))
    content = {str(key).replace("-", "_"): value for key, value in located.value.items()}
    for key in content:
        if key not in _KEYS:
            near = f" (did you mean {nearest(key, _KEYS)[0]!r}?)" if nearest(key, _KEYS) else ""
            log.warning("%s: the key %r has no effect%s", path, key, near)
    listed = content.get("api_endpoints")
    if not isinstance(listed, list) or not listed:
        raise ConfigError("lists no api_endpoints", where=str(path))
    known = tuple(_endpoint(item, located.where(("api_endpoints", i))) for i, item in enumerate(listed))
    default = content.get("default_endpoint")
    return Endpoints(path, known, None if default is None else str(default))


def _endpoint(item: Any, where: str) -> Endpoint:
    if not isinstance(item, Mapping) or not item.get("endpoint"):
        raise ConfigError("an endpoint needs its address (endpoint)", where=where)
    for key in item:
        if key not in _ENDPOINT:
            log.warning("%s: the key %r has no effect", where, key)
    if item.get("type"):
        log.warning("%s: 'type' is of an older client; the query's tag says what to compute", where)
    name = item.get("name") or item.get("type")
    if not name:
        raise ConfigError("an endpoint needs a name", where=where)
    token, kind = (str(item.get(key) or "") for key in ("token", "type"))
    return Endpoint(str(name), str(item["endpoint"]), token, kind)

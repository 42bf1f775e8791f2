"""Query addresses: which provider is asked, for what, with which options.  Checked before any request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl

from femtobarn.errors import UsageError, nearest

__all__ = ["Address", "is_address", "parse_address", "split_name"]

#: Provider -> options it knows beside ``files``.
_PROVIDERS: Final[Mapping[str, tuple[str, ...]]] = {
    "fileset": (),
    "cernopendata": ("protocol",),
    "atlas": ("skim", "protocol"),
    "das": ("instance",),
    "rucio": (),
}
#: Schemes of single files.
_FILES: Final = ("http", "https", "root", "roots", "xroot", "file")
_SCHEME: Final = re.compile(r"^(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):(?P<slashes>//)?(?P<body>.*)$", re.DOTALL)
_NAMED: Final = re.compile(r"^(?P<name>[A-Za-z0-9_.+-]+)=(?P<rest>.+)$", re.DOTALL)
_PROTOCOLS: Final = ("root", "https", "eos")


@dataclass(frozen=True, slots=True)
class Address:
    """A query, taken apart.

    Attributes
    ----------
    text : str
        As it was written.
    provider : str
        fileset, cernopendata, atlas, das or rucio.
    body : str
        What follows ``provider://``, without options.
    options : mapping
        What follows ``?``, apart from ``files``.
    files : int or None
        Only the first so many files, in the provider's fixed order.
    """

    text: str
    provider: str
    body: str
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    files: int | None = None


def split_name(option: str) -> tuple[str | None, str]:
    """``NAME=ADDRESS`` as (name, address); an ``=`` inside an address is left alone.

    Examples
    --------
    >>> split_name("data=atlas://2020e-13tev/data?skim=4lep")
    ('data', 'atlas://2020e-13tev/data?skim=4lep')
    >>> split_name("atlas://2020e-13tev/data?skim=4lep")
    (None, 'atlas://2020e-13tev/data?skim=4lep')
    """
    match = _NAMED.match(option)
    return (match["name"], match["rest"]) if match else (None, option)


def is_address(text: str) -> bool:
    """Whether a text asks a provider (or tries to), rather than naming a file or pattern.

    Raises
    ------
    UsageError
        The scheme is none that is known.
    """
    match = _SCHEME.match(text)
    if match is None or match["scheme"].lower() in _FILES:
        return False
    if match["scheme"] in _PROVIDERS:
        return match["slashes"] is not None or match["scheme"] in ("fileset", "das")
    if match["slashes"] is None:
        return False  # FILE:TREE
    known = [*_PROVIDERS, *_FILES]
    raise UsageError(f"unknown scheme {match['scheme']!r}", where=text,
                     near=nearest(match["scheme"], known), action="known: " + ", ".join(known))  # fmt: skip


def parse_address(text: str) -> Address:
    """Take a query address apart.

    Raises
    ------
    UsageError
        A doubled prefix, an empty body, an unknown option or a wrong value.
    """
    match = _SCHEME.match(text)
    if match is None or not is_address(text):
        raise UsageError("is no query address", where=text,
                         action="providers: " + ", ".join(_PROVIDERS))  # fmt: skip
    provider = match["scheme"]
    # The path of a fileset may hold a question mark; the name of nothing else may.
    body, _, query = (match["body"], "", "") if provider == "fileset" else match["body"].partition("?")
    inner = _SCHEME.match(body)
    if inner is not None and inner["scheme"] in _PROVIDERS and provider != "fileset":
        raise UsageError(f"the prefix {inner['scheme']}: is doubled", where=text, action=f"write {body}")
    if not body.strip("/ "):
        raise UsageError(f"names nothing behind {provider}:", where=text)
    options = _options(text, provider, query)
    files = options.pop("files", None)
    return Address(text, provider, body, MappingProxyType(options), _count(text, files))


def _options(text: str, provider: str, query: str) -> dict[str, str]:
    known = ("files", *_PROVIDERS[provider])
    options: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in known:
            raise UsageError(f"unknown option {name!r}", where=text, near=nearest(name, known),
                             action="options: " + ", ".join(known))  # fmt: skip
        if name in options:
            raise UsageError(f"gives the option {name!r} twice", where=text)
        options[name] = value
    protocol = options.get("protocol")
    if protocol is not None and protocol not in _PROTOCOLS:
        raise UsageError(f"unknown protocol {protocol!r}", where=text, near=nearest(protocol, _PROTOCOLS),
                         action="protocols: " + ", ".join(_PROTOCOLS))  # fmt: skip
    return options


def _count(text: str, files: str | None) -> int | None:
    if files is None:
        return None
    if not files.isdigit() or int(files) < 1:
        raise UsageError(f"files={files}: must be a number from 1", where=text)
    return int(files)

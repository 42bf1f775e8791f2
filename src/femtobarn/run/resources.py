"""What a batch job or a cluster worker gets, and the sites that know how to give it.

A site is a YAML file in ``run/sites`` (or the user's own): what kind of scheduler it has and the
defaults people use there.  A flag on the command line beats the site file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from importlib import resources
from pathlib import Path
from typing import Any, Final

import yaml

from femtobarn.errors import ConfigError, UsageError, nearest

__all__ = ["KINDS", "Resources", "Site", "find_site", "seconds_of", "site_names"]

#: How long to wait for the first worker, s.
_WAIT: Final = 600
#: Batch systems we speak to.
KINDS: Final = ("slurm", "htcondor", "pbs", "local")


@dataclass(frozen=True, slots=True)
class Resources:
    """Of one worker or one job of an array; None leaves the choice to the site.

    Attributes
    ----------
    cores : int
    memory, disk : str, as ``2GiB``
    walltime : str, ``HH:MM:SS``
    queue : str
        Partition (Slurm), queue (PBS) or job flavour (HTCondor at CERN).
    scaleout : int
        Number of workers or jobs.
    adaptive : bool
        Whether a cluster grows up to ``scaleout`` with the work instead of asking for all at once.
    log_directory : str
    dashboard_address : str, ``[HOST:]PORT``
    """

    cores: int | None = None
    memory: str | None = None
    disk: str | None = None
    walltime: str | None = None
    queue: str | None = None
    scaleout: int | None = None
    adaptive: bool | None = None
    log_directory: str | None = None
    dashboard_address: str | None = None

    def over(self, defaults: Resources) -> Resources:
        """These values, and where they are silent the defaults."""
        mine = {item.name: getattr(self, item.name) for item in fields(self)}
        return replace(defaults, **{name: value for name, value in mine.items() if value is not None})


@dataclass(frozen=True, slots=True)
class Site:
    """A place with a batch system.

    Attributes
    ----------
    name : str
    kind : one of :data:`KINDS`
    resources : Resources
        Defaults there.
    setup : tuple of str
        Shell lines a job begins with: sourcing an LCG view or a virtual environment.
    directives : tuple of str
        More lines for the head of a job script, as the batch system writes them, without its prefix.
    python : str or None
        The interpreter of the jobs; None is the one that runs now.
    wait : int, s
        How long to wait for the first worker.
    """

    name: str
    kind: str
    resources: Resources = Resources()
    setup: tuple[str, ...] = ()
    directives: tuple[str, ...] = ()
    python: str | None = None
    wait: int = _WAIT


def site_names() -> tuple[str, ...]:
    """The sites that come along."""
    folder = resources.files("femtobarn.run") / "sites"
    return tuple(sorted(i.name.removesuffix(".yaml") for i in folder.iterdir() if i.name.endswith(".yaml")))


def find_site(name: str, flags: Resources = Resources()) -> Site:
    """A site by name or by its YAML file, with the resources that flags ask for.

    Raises
    ------
    UsageError
        No such site.
    ConfigError
        The file is not a site's, or a size or time cannot be read.
    """
    if name.endswith((".yaml", ".yml")):
        try:
            text = Path(name).read_text(encoding="utf-8")
        except OSError as error:
            raise UsageError(f"cannot be read: {error.strerror}", where=name) from error
    elif name in site_names():
        text = (resources.files("femtobarn.run") / "sites" / f"{name}.yaml").read_text(encoding="utf-8")
    else:
        raise UsageError(f"unknown site {name!r}", near=nearest(name, site_names()),
                         action=f"choose one of {', '.join(site_names())}, or name a YAML file")  # fmt: skip
    site = _site(text, name)
    site = replace(site, resources=flags.over(site.resources))
    _check(site.resources)
    return site


def _site(text: str, where: str) -> Site:
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"is not valid YAML: {error}", where=where) from error
    known = {item.name for item in fields(Site)}
    _known_keys(raw, known, where)
    if raw.get("kind") not in KINDS:
        raise ConfigError(f"kind must be one of {KINDS}, not {raw.get('kind')!r}", where=where)
    given = raw.get("resources") or {}
    _known_keys(given, {item.name for item in fields(Resources)}, f"{where}: resources")
    return Site(
        name=str(raw.get("name", where)),
        kind=raw["kind"],
        resources=Resources(**given),
        setup=tuple(map(str, raw.get("setup") or ())),
        directives=tuple(map(str, raw.get("directives") or ())),
        python=raw.get("python"),
        wait=int(raw.get("wait", _WAIT)),
    )


def _known_keys(raw: Any, known: set[str], where: str) -> None:
    if not isinstance(raw, Mapping):
        raise ConfigError("a site is a table of name, kind, resources, setup ...", where=where)
    for key in raw:
        if key not in known:
            raise ConfigError(f"unknown key {key!r}", where=where, near=nearest(str(key), known),
                              action="known: " + ", ".join(sorted(known)))  # fmt: skip


_SIZE: Final = re.compile(r"^\d+(\.\d+)?\s*([kMGT]i?)?B$")
_TIME: Final = re.compile(r"^(?:(\d+)-)?(\d+):([0-5]\d)(?::([0-5]\d))?$")


def seconds_of(walltime: str) -> int:
    """``[D-]HH:MM[:SS]`` in seconds."""
    match = _TIME.match(walltime)
    if match is None:
        raise ConfigError(f"--walltime: {walltime!r} is not a time", action="write it as 02:00:00")
    days, hours, minutes, seconds = (int(item or 0) for item in match.groups())
    return ((24 * days + hours) * 60 + minutes) * 60 + seconds


def _check(wanted: Resources) -> None:
    for name in ("memory", "disk"):
        value = getattr(wanted, name)
        if value is not None and not _SIZE.match(value):
            raise ConfigError(f"--{name}: {value!r} is not a size", action="write it as 2GiB")
    for name in ("cores", "scaleout"):
        value = getattr(wanted, name)
        if value is not None and (not isinstance(value, int) or value < 1):
            raise ConfigError(f"--{name} must be a number from 1, not {value!r}")
    if wanted.walltime is not None:
        seconds_of(wanted.walltime)

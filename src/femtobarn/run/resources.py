"""What a batch job or a cluster worker gets, and the sites that know how to give it.

A site is a YAML file in ``run/sites`` (or the user's own): what kind of scheduler it has and the
defaults people use there.  A flag on the command line beats the site file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from importlib import resources
from pathlib import Path
from typing import Any, Final

import yaml

from femtobarn.errors import ConfigError, UsageError, nearest

__all__ = ["ALIASES", "KINDS", "Resources", "Site", "find_site", "peak_memory_mb", "seconds_of", "site_names"]

#: How long to wait for the first worker, s.
_WAIT: Final = 600
#: Batch systems we speak to; this machine; a Dask scheduler or gateway that runs already.
KINDS: Final = ("slurm", "htcondor", "pbs", "local", "scheduler", "gateway")
_CHOICES: Final = {
    "cluster": ("dask_jobqueue", "lpcjobqueue"),
    "ship": ("none", "wheel", "environment"),
    "credentials": ("proxy", "kerberos", "token"),
}
#: What the same places are called in the configurations of older tools.
ALIASES: Final = {
    "coffea_casa": "coffea-casa", "coffea-casa-af": "coffea-casa", "casa": "coffea-casa",
    "EAF": "eaf", "fnal-eaf": "eaf", "cmslpc": "lpc", "condor": "htcondor", "torque": "pbs",
    "AF": "local", "localhost": "local",
}  # fmt: skip


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
        The interpreter of the jobs; None is the one that runs now (``python3`` in an image or where
        code is shipped).
    wait : int, s
        How long to wait for the first worker.
    image : str or None
        Apptainer image (a path, or ``docker://NAME``) or, as ``docker:NAME``, a docker image to run in.
    ship : none, wheel or environment
        What of the code goes along to nodes that do not see this disk.
    credentials : tuple of proxy, kerberos, token
        What jobs there need for data that are not public.
    queues : {queue: longest time}
        For sites whose queues are known.
    cluster : the package that knows how to start Dask workers there
    address : str or None
        Of the scheduler (or gateway) that runs already.
    """

    name: str
    kind: str
    resources: Resources = Resources()
    setup: tuple[str, ...] = ()
    directives: tuple[str, ...] = ()
    python: str | None = None
    wait: int = _WAIT
    image: str | None = None
    ship: str = "none"
    credentials: tuple[str, ...] = ()
    queues: Mapping[str, str] = field(default_factory=dict)
    cluster: str = "dask_jobqueue"
    address: str | None = None

    @property
    def walltime(self) -> str | None:
        """How long a job may take, as stated or as its queue allows."""
        return self.resources.walltime or self.queues.get(self.resources.queue or "")


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
    name = ALIASES.get(name, name)
    if name.endswith((".yaml", ".yml")):
        try:
            text = Path(name).read_text(encoding="utf-8")
        except OSError as error:
            raise UsageError(f"cannot be read: {error.strerror}", where=name) from error
    elif name in site_names():
        text = (resources.files("femtobarn.run") / "sites" / f"{name}.yaml").read_text(encoding="utf-8")
    else:
        raise UsageError(f"unknown site {name!r}", near=nearest(name, [*site_names(), *ALIASES]),
                         action=f"choose one of {', '.join(site_names())}, or name a YAML file")  # fmt: skip
    site = _site(text, name)
    site = replace(site, resources=flags.over(site.resources))
    _check(site)
    return site


def _site(text: str, where: str) -> Site:
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"is not valid YAML: {error}", where=where) from error
    _known_keys(raw, {item.name for item in fields(Site)}, where)
    if raw.get("kind") not in KINDS:
        raise ConfigError(f"kind must be one of {', '.join(KINDS)}, not {raw.get('kind')!r}", where=where)
    given = raw.get("resources") or {}
    _known_keys(given, {item.name for item in fields(Resources)}, f"{where}: resources")
    given = {key: _text(key, value) for key, value in given.items()}
    for key, known in _CHOICES.items():
        stated = raw.get(key)
        for item in stated if isinstance(stated, list) else [stated] if stated is not None else []:
            if item not in known:
                raise ConfigError(f"{key}: {item!r} is not one of {', '.join(known)}", where=where,
                                  near=nearest(str(item), known))  # fmt: skip
    queues = raw.get("queues") or {}
    if not isinstance(queues, Mapping):
        raise ConfigError("queues is a table of queue: longest time", where=where)
    plain = {key: raw[key] for key in ("python", "image", "ship", "cluster", "address") if key in raw}
    for key, value in plain.items():
        if not isinstance(value, str):
            raise ConfigError(f"{key} must be text, not {value!r}", where=where)
    if not isinstance(raw.get("wait", _WAIT), int):
        raise ConfigError(f"wait must be a number of seconds, not {raw['wait']!r}", where=where)
    return Site(
        name=str(raw.get("name", where)),
        kind=raw["kind"],
        resources=Resources(**given),
        setup=_lines(raw, "setup", where),
        directives=_lines(raw, "directives", where),
        credentials=_lines(raw, "credentials", where),
        queues={str(name): str(_text("walltime", longest)) for name, longest in queues.items()},
        wait=raw.get("wait", _WAIT),
        **plain,
    )


def _lines(raw: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    value = raw.get(key) or ()
    if isinstance(value, str):
        return tuple(value.splitlines())
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{key} must be a list of lines, not {value!r}", where=where)
    return tuple(map(str, value))


def _text(key: str, value: Any) -> Any:
    """YAML reads an unquoted 04:00:00 as a number of seconds; a job wants it as a time again."""
    if key == "walltime" and isinstance(value, int) and not isinstance(value, bool):
        return f"{value // 3600:02d}:{value // 60 % 60:02d}:{value % 60:02d}"
    if key in ("log_directory", "dashboard_address", "queue") and value is not None:
        return str(value)
    return value


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
    match = _TIME.match(str(walltime))
    if match is None:
        raise ConfigError(f"--walltime: {walltime!r} is not a time", action="write it as 02:00:00")
    days, hours, minutes, seconds = (int(item or 0) for item in match.groups())
    return ((24 * days + hours) * 60 + minutes) * 60 + seconds


def _check(site: Site) -> None:
    """Refuse sizes, times, numbers and queues that cannot be meant."""
    wanted = site.resources
    for name in ("memory", "disk"):
        value = getattr(wanted, name)
        if value is not None and not (isinstance(value, str) and _SIZE.match(value)):
            raise ConfigError(f"--{name}: {value!r} is not a size", action="write it as 2GiB")
    for name in ("cores", "scaleout"):
        value = getattr(wanted, name)
        if value is not None and (not isinstance(value, int) or value < 1):
            raise ConfigError(f"--{name} must be a number from 1, not {value!r}")
    for time in filter(None, (wanted.walltime, *site.queues.values())):
        seconds_of(time)
    if site.queues and wanted.queue is not None and wanted.queue not in site.queues:
        known = ", ".join(f"{name} ({longest})" for name, longest in site.queues.items())
        raise ConfigError(f"site {site.name} has no queue {wanted.queue!r}",
                          near=nearest(wanted.queue, site.queues), action=f"its queues: {known}")  # fmt: skip
    longest = site.queues.get(wanted.queue or "")
    if wanted.walltime and longest and seconds_of(wanted.walltime) > seconds_of(longest):
        raise ConfigError(f"--walltime {wanted.walltime}: queue {wanted.queue} allows {longest}",
                          action="choose another --queue")  # fmt: skip
    if site.kind == "scheduler" and not site.address:
        raise ConfigError("a scheduler that runs already needs its address", where=site.name,
                          action="add: address: tcp://HOST:PORT")  # fmt: skip


def peak_memory_mb() -> float:
    """Largest resident size of this process so far; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0.0
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 1024

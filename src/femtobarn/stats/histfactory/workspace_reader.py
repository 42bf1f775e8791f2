"""From a JSON document to a :class:`Workspace`, with all problems at once."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from femtobarn.errors import ConfigError, nearest
from femtobarn.stats.histfactory.workspace import (
    MODIFIER_KINDS,
    Channel,
    Measurement,
    Modifier,
    Numbers,
    Observation,
    ParameterConfig,
    Sample,
    Workspace,
    read_document,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["check_workspace", "parse_workspace", "read_workspace_file"]

_EMPTY: Final[Mapping[str, Any]] = {}
#: Kind of a modifier that was reported: it keeps its place and its name, so that the rest can be checked.
_UNKNOWN: Final[Any] = "?"


def _pointer(*parts: object) -> str:
    """JSON pointer of RFC 6901."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


@dataclass(slots=True)
class _Report:
    """Problems met while reading, in document order."""

    problems: list[str] = field(default_factory=list)

    def add(self, pointer: str, what: str, near: Iterable[str] = ()) -> None:
        names = tuple(near)
        hint = f" (did you mean {' or '.join(repr(n) for n in names)}?)" if names else ""
        self.problems.append(f"{pointer or '/'}: {what}{hint}")

    def raise_if_any(self, where: str | None) -> None:
        if not self.problems:
            return
        count = len(self.problems)
        head = "the workspace has a problem" if count == 1 else f"the workspace has {count} problems"
        raise ConfigError(f"{head}:\n" + "\n".join(f"  {problem}" for problem in self.problems), where=where)


def parse_workspace(document: Any, *, where: str | None = None) -> Workspace:
    """Turn a parsed JSON document into a workspace.

    Raises
    ------
    ConfigError
        Listing every violation of the pyhf 1.0.0 schema and every inconsistency by JSON pointer.
    """
    report = _Report()
    top = _object(document, "", report, ("channels", "measurements", "observations", "version"))
    if top.get("version", "1.0.0") != "1.0.0":
        report.add("/version", f"'{top['version']}' is not a version this reads (1.0.0)")
    channels = tuple(
        _channel(item, _pointer("channels", i), report)
        for i, item in enumerate(_list(top.get("channels"), "/channels", report, least=1))
    )
    observations = tuple(
        _observation(item, _pointer("observations", i), report)
        for i, item in enumerate(_list(top.get("observations"), "/observations", report, least=1))
    )
    measurements = tuple(
        _measurement(item, _pointer("measurements", i), report)
        for i, item in enumerate(_list(top.get("measurements"), "/measurements", report, least=1))
    )
    workspace = Workspace(channels, observations, measurements)
    _check(workspace, report)
    report.raise_if_any(where)
    return workspace


def read_workspace_file(path: str | Path) -> Workspace:
    """Read and check a pyhf workspace.

    Raises
    ------
    ConfigError
        With every problem of the document, each by its JSON pointer.
    """
    return parse_workspace(read_document(path), where=str(path))


def _object(
    value: Any, pointer: str, report: _Report, keys: Sequence[str], optional: Sequence[str] = ()
) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        report.add(pointer, f"must be an object, not {_kind(value)}")
        return _EMPTY
    known = (*keys, *optional)
    for key in value:
        if key not in known:
            report.add(pointer + _pointer(key), "unknown key", nearest(str(key), known))
    for key in keys:
        if key not in value:
            report.add(pointer, f"'{key}' is missing")
        elif value[key] is None:
            report.add(pointer + _pointer(key), "must not be null")
    return value


def _kind(value: Any) -> str:
    names = {type(None): "null", bool: "a boolean", str: "a string", list: "an array", dict: "an object"}
    return names.get(type(value), "a number")


def _list(value: Any, pointer: str, report: _Report, *, least: int = 0) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        report.add(pointer, f"must be an array, not {_kind(value)}")
        return []
    if len(value) < least:
        report.add(pointer, "must not be empty")
    return value


def _text(value: Any, pointer: str, report: _Report) -> str:
    if isinstance(value, str):
        return value
    if value is not None:
        report.add(pointer, f"must be a string, not {_kind(value)}")
    return ""


def _number(value: Any, pointer: str, report: _Report) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        report.add(pointer, f"must be a number, not {_kind(value)}")
        return 0.0
    if not math.isfinite(value):
        report.add(pointer, f"must be finite, not {value}")
        return 0.0
    return float(value)


def _numbers(value: Any, pointer: str, report: _Report) -> Numbers:
    items = _list(value, pointer, report, least=1)
    return tuple(_number(item, pointer + _pointer(i), report) for i, item in enumerate(items))


def _channel(value: Any, pointer: str, report: _Report) -> Channel:
    data = _object(value, pointer, report, ("name", "samples"))
    samples = _list(data.get("samples"), pointer + "/samples", report, least=1)
    return Channel(
        _text(data.get("name"), pointer + "/name", report),
        tuple(_sample(item, f"{pointer}/samples/{i}", report) for i, item in enumerate(samples)),
    )


def _sample(value: Any, pointer: str, report: _Report) -> Sample:
    data = _object(value, pointer, report, ("name", "data", "modifiers"))
    contents = _numbers(data.get("data"), pointer + "/data", report)
    found = [
        _modifier(item, f"{pointer}/modifiers/{i}", report, len(contents))
        for i, item in enumerate(_list(data.get("modifiers"), pointer + "/modifiers", report))
    ]
    name = _text(data.get("name"), pointer + "/name", report)
    return Sample(name, contents, tuple(found))


def _modifier(value: Any, pointer: str, report: _Report, bins: int) -> Modifier:
    data = _object(value, pointer, report, ("name", "type"), ("data",))
    name = _text(data.get("name"), pointer + "/name", report)
    kind = data.get("type")
    if kind not in MODIFIER_KINDS:
        if "type" in data:
            report.add(pointer + "/type", f"unknown modifier '{kind}'", nearest(str(kind), MODIFIER_KINDS))
        return Modifier(name, _UNKNOWN)
    content = data.get("data")
    at = pointer + "/data"
    if kind in {"lumi", "normfactor", "shapefactor"}:
        if content is not None:
            report.add(at, f"a {kind} carries no data; must be null")
        if kind == "lumi" and name != "lumi":
            report.add(pointer + "/name", f"the luminosity parameter is called 'lumi', not '{name}'")
        return Modifier(name, kind)
    if kind == "normsys":
        return _normsys(name, content, at, report)
    if kind == "histosys":
        pair = _object(content, at, report, ("hi_data", "lo_data"))
        hi, lo = (
            () if pair.get(key) is None else _fitting(pair[key], f"{at}/{key}", report, bins)
            for key in ("hi_data", "lo_data")
        )
        return Modifier(name, "histosys", hi=hi, lo=lo)
    sizes = _fitting(content, at, report, bins)
    for i, size in enumerate(sizes):
        if size < 0.0:
            report.add(f"{at}/{i}", f"an uncertainty cannot be negative ({size:g})")
    return Modifier(name, kind, sizes=sizes)


def _fitting(value: Any, pointer: str, report: _Report, bins: int) -> Numbers:
    if value is None:
        report.add(pointer, f"must be an array of {bins} numbers, not null")
        return ()
    numbers = _numbers(value, pointer, report)
    if len(numbers) not in (0, bins):
        report.add(pointer, f"has {len(numbers)} bins, its sample has {bins}")
    return numbers


def _normsys(name: str, content: Any, at: str, report: _Report) -> Modifier:
    pair = _object(content, at, report, ("hi", "lo"))
    sides: dict[str, float] = {}
    for side in ("hi", "lo"):
        sides[side] = _number(pair[side], f"{at}/{side}", report) if pair.get(side) is not None else 1.0
        if sides[side] <= 0.0:
            report.add(f"{at}/{side}", f"a normsys factor must be above zero, not {sides[side]:g}")
    return Modifier(name, "normsys", hi=(sides["hi"],), lo=(sides["lo"],))


def _observation(value: Any, pointer: str, report: _Report) -> Observation:
    data = _object(value, pointer, report, ("name", "data"))
    counts = _numbers(data.get("data"), pointer + "/data", report)
    for i, count in enumerate(counts):
        if count < 0.0:
            report.add(f"{pointer}/data/{i}", f"an observed count cannot be negative ({count:g})")
    return Observation(_text(data.get("name"), pointer + "/name", report), counts)


def _measurement(value: Any, pointer: str, report: _Report) -> Measurement:
    data = _object(value, pointer, report, ("name", "config"))
    config = _EMPTY
    if "config" in data:
        config = _object(data["config"], pointer + "/config", report, ("parameters",), ("poi",))
    at = pointer + "/config/parameters"
    parameters = tuple(
        _parameter(item, f"{at}/{i}", report)
        for i, item in enumerate(_list(config.get("parameters"), at, report))
    )
    seen: set[str] = set()
    for i, parameter in enumerate(parameters):
        if parameter.name in seen:
            report.add(f"{at}/{i}/name", f"'{parameter.name}' is configured twice")
        seen.add(parameter.name)
    poi = _text(config.get("poi"), pointer + "/config/poi", report)
    return Measurement(_text(data.get("name"), pointer + "/name", report), poi, parameters)


def _parameter(value: Any, pointer: str, report: _Report) -> ParameterConfig:
    lists = ("inits", "auxdata", "sigmas", "factors")
    data = _object(value, pointer, report, ("name",), (*lists, "bounds", "fixed"))
    fixed = data.get("fixed")
    if fixed is not None and not isinstance(fixed, bool):
        report.add(pointer + "/fixed", f"must be true or false, not {_kind(fixed)}")
        fixed = None
    numbers = {k: _numbers(data[k], f"{pointer}/{k}", report) if k in data else None for k in lists}
    for k, sigma in enumerate(numbers["sigmas"] or ()):
        if sigma <= 0.0:
            report.add(f"{pointer}/sigmas/{k}", f"a width must be above zero, not {sigma:g}")
    bounds = None
    if "bounds" in data:
        items = _list(data["bounds"], pointer + "/bounds", report, least=1)
        bounds = tuple(_bound(item, f"{pointer}/bounds/{i}", report) for i, item in enumerate(items))
    name = _text(data.get("name"), pointer + "/name", report)
    return ParameterConfig(name, bounds=bounds, fixed=fixed, **numbers)


def _bound(value: Any, pointer: str, report: _Report) -> tuple[float, float]:
    pair = _numbers(value, pointer, report)
    if len(pair) != 2:
        report.add(pointer, "must be a pair [low, high]")
        return (0.0, 0.0)
    if pair[0] > pair[1]:
        report.add(pointer, f"the lower bound {pair[0]:g} is above the upper {pair[1]:g}")
    return (pair[0], pair[1])


def check_workspace(workspace: Workspace, *, where: str | None = None) -> None:
    """Check what a schema cannot: names, lengths, shared parameters, observations, POI.

    Raises
    ------
    ConfigError
        With every problem.
    """
    report = _Report()
    _check(workspace, report)
    report.raise_if_any(where)


def _check(workspace: Workspace, report: _Report) -> None:
    """The same on what could be read of a document: what is missing there has been reported already."""
    _check_names(workspace, report)
    _check_observations(workspace, report)
    parameters = _check_sharing(workspace, report)
    for i, measurement in enumerate(workspace.measurements):
        at = _pointer("measurements", i, "config")
        if measurement.poi and measurement.poi not in parameters:
            near = nearest(measurement.poi, parameters)
            report.add(f"{at}/poi", f"no parameter '{measurement.poi}' in the model", near)
        if "lumi" in parameters and parameters["lumi"] == "lumi":
            config = measurement.parameter("lumi")
            if config is None or not config.auxdata or not config.sigmas:
                report.add(at, "a model with 'lumi' needs its auxdata and sigmas here")


def _twice(names: Sequence[str]) -> list[tuple[int, str]]:
    return [(i, name) for i, name in enumerate(names) if name and name in names[:i]]


def _check_names(workspace: Workspace, report: _Report) -> None:
    for i, name in _twice([c.name for c in workspace.channels]):
        report.add(_pointer("channels", i, "name"), f"there are two channels '{name}'")
    for i, name in _twice([m.name for m in workspace.measurements]):
        report.add(_pointer("measurements", i, "name"), f"there are two measurements '{name}'")
    for i, name in _twice([o.name for o in workspace.observations]):
        report.add(_pointer("observations", i, "name"), f"there are two observations of '{name}'")
    for i, channel in enumerate(workspace.channels):
        for j, name in _twice([s.name for s in channel.samples]):
            report.add(_pointer("channels", i, "samples", j, "name"), f"there are two samples '{name}'")
        for j, sample in enumerate(channel.samples):
            if len(sample.data) != channel.bins and sample.data and channel.bins:
                what = f"has {len(sample.data)} bins, the channel's first sample has {channel.bins}"
                report.add(_pointer("channels", i, "samples", j, "data"), what)
            keys = [
                f"{m.kind} '{m.name}'" if m.kind != _UNKNOWN else f"{k}"
                for k, m in enumerate(sample.modifiers)
            ]
            for k, name in _twice(keys):
                report.add(_pointer("channels", i, "samples", j, "modifiers", k), f"{name} is there twice")


def _check_observations(workspace: Workspace, report: _Report) -> None:
    channels = {channel.name: channel.bins for channel in workspace.channels}
    seen = {observation.name: observation for observation in workspace.observations}
    for i, name in enumerate(c.name for c in workspace.channels):
        if name not in seen:
            near = nearest(name, [o for o in seen if o not in channels])
            report.add(_pointer("channels", i), f"channel '{name}' has no observation", near)
    for i, observation in enumerate(workspace.observations):
        bins = channels.get(observation.name)
        if bins is None:
            near = nearest(observation.name, channels)
            report.add(_pointer("observations", i), f"there is no channel '{observation.name}'", near)
        elif len(observation.data) != bins and bins and observation.data:
            what = f"has {len(observation.data)} bins, its channel has {bins}"
            report.add(_pointer("observations", i, "data"), what)


def _check_sharing(workspace: Workspace, report: _Report) -> dict[str, str]:
    """Kinds of each parameter name; normsys and histosys may share one, nothing else may."""
    family = {"histosys": "alpha", "normsys": "alpha"}
    found: dict[str, str] = {}
    kinds: dict[str, str] = {}
    for i, channel in enumerate(workspace.channels):
        stat: dict[str, bool] = {}
        for j, sample in enumerate(channel.samples):
            for k, modifier in enumerate(sample.modifiers):
                at = _pointer("channels", i, "samples", j, "modifiers", k)
                if modifier.kind == _UNKNOWN or found.get(modifier.name) == _UNKNOWN:
                    found[modifier.name] = kinds[modifier.name] = _UNKNOWN
                    continue
                mine = family.get(modifier.kind, modifier.kind)
                other = found.setdefault(modifier.name, mine)
                kinds.setdefault(modifier.name, modifier.kind)
                if other != mine:
                    what = (
                        f"'{modifier.name}' is a {modifier.kind} here and a {kinds[modifier.name]} elsewhere"
                    )
                    report.add(at, what)
                elif modifier.kind == "shapesys" and modifier.name in stat:
                    report.add(at, f"shapesys '{modifier.name}' cannot be shared by samples")
                if modifier.kind == "shapesys":
                    stat[modifier.name] = True
    _check_shapesys_channels(workspace, report)
    return kinds


def _check_shapesys_channels(workspace: Workspace, report: _Report) -> None:
    home: dict[str, int] = {}
    for i, channel in enumerate(workspace.channels):
        for sample in channel.samples:
            for modifier in sample.modifiers:
                if modifier.kind == "shapesys" and home.setdefault(modifier.name, i) != i:
                    report.add(_pointer("channels", i), f"shapesys '{modifier.name}' is in two channels")

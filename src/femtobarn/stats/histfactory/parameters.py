"""Parameters of a HistFactory model: which there are, in pyhf's order, and their constraints."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final, Literal

from femtobarn.errors import ConfigError
from femtobarn.stats.histfactory.workspace import (
    MODIFIER_KINDS,
    Channel,
    Measurement,
    ModifierKind,
    Numbers,
    ParameterConfig,
    Workspace,
)

__all__ = ["Constraint", "ParameterSet", "parameter_sets", "sorted_channels", "sorted_samples"]

Constraint = Literal["none", "gauss", "poisson"]

_ALPHA_BOUNDS: Final = (-5.0, 5.0)
_GAMMA_BOUNDS: Final = (1e-10, 10.0)
_NORM_BOUNDS: Final = (0.0, 10.0)


@dataclass(frozen=True, slots=True)
class ParameterSet:
    """A parameter by its name in the workspace: a number, or one number per bin.

    Attributes
    ----------
    kind : str
        The modifier that made it (``histosys`` also for a name shared with ``normsys``).
    auxdata, widths : tuple of float
        Gaussian constraint: centre and width; Poisson constraint: observed and expected count at 1.
    """

    name: str
    kind: ModifierKind
    constraint: Constraint
    scalar: bool
    inits: Numbers
    bounds: tuple[tuple[float, float], ...]
    fixed: tuple[bool, ...]
    auxdata: Numbers = ()
    widths: Numbers = ()

    @property
    def size(self) -> int:
        return len(self.inits)

    @property
    def labels(self) -> tuple[str, ...]:
        if self.scalar:
            return (self.name,)
        return tuple(f"{self.name}[{i}]" for i in range(self.size))


def sorted_channels(workspace: Workspace) -> tuple[Channel, ...]:
    """Channels in the order of the likelihood (by name, as pyhf)."""
    return tuple(sorted(workspace.channels, key=lambda channel: channel.name))


def sorted_samples(workspace: Workspace) -> tuple[str, ...]:
    """Names of all samples in the order of the likelihood (by name, as pyhf)."""
    return tuple(sorted({sample.name for channel in workspace.channels for sample in channel.samples}))


def parameter_sets(workspace: Workspace, measurement: Measurement) -> tuple[ParameterSet, ...]:
    """All parameters in pyhf's order: by kind, then by first appearance over sorted channels and samples.

    Raises
    ------
    ConfigError
        With every setting of the measurement that does not fit its parameter.
    """
    found: dict[ModifierKind, dict[str, ParameterSet]] = {kind: {} for kind in MODIFIER_KINDS}
    channels = sorted_channels(workspace)
    for channel in channels:
        for sample in sorted(channel.samples, key=lambda s: s.name):
            for modifier in sorted(sample.modifiers, key=lambda m: (m.name, m.kind)):
                known = found[modifier.kind]
                if modifier.kind == "shapesys" and modifier.name not in known:
                    known[modifier.name] = _shapesys(modifier.name, sample.data, modifier.sizes or ())
                elif modifier.kind == "shapefactor":
                    known[modifier.name] = _shapefactor(modifier.name, channel.bins, known.get(modifier.name))
                elif modifier.kind in {"histosys", "normsys", "normfactor", "lumi"}:
                    known.setdefault(modifier.name, _scalar(modifier.name, modifier.kind))
    found["staterror"] = {name: _staterror(name, channels) for name in _staterror_names(channels)}
    merged: dict[str, ParameterSet] = {}
    for kind in MODIFIER_KINDS:
        for name, item in found[kind].items():
            merged.setdefault(name, item)
    problems: list[str] = []
    out = tuple(_configured(item, measurement.parameter(item.name), problems) for item in merged.values())
    if problems:
        head = f"measurement '{measurement.name}' does not fit its model"
        raise ConfigError(head + ":\n" + "\n".join(f"  {problem}" for problem in problems))
    return out


def _scalar(name: str, kind: ModifierKind) -> ParameterSet:
    if kind == "normfactor":
        return ParameterSet(name, kind, "none", True, (1.0,), (_NORM_BOUNDS,), (False,))
    if kind == "lumi":
        # The measurement supplies what matters; these are only placeholders of the right length.
        return ParameterSet(name, kind, "gauss", True, (1.0,), (_NORM_BOUNDS,), (False,), (1.0,), (1.0,))
    return ParameterSet(name, kind, "gauss", True, (0.0,), (_ALPHA_BOUNDS,), (False,), (0.0,), (1.0,))


def _shapefactor(name: str, bins: int, known: ParameterSet | None) -> ParameterSet:
    size = max(bins, known.size if known else 0)
    return ParameterSet(
        name, "shapefactor", "none", False, (1.0,) * size, (_NORM_BOUNDS,) * size, (False,) * size
    )


def _shapesys(name: str, nominal: Numbers, sizes: Numbers) -> ParameterSet:
    """Poisson constraint of ``tau = (nominal / uncertainty)^2``; bins without either are fixed to one."""
    valid = [n > 0.0 and u > 0.0 for n, u in zip(nominal, sizes, strict=True)]
    tau = tuple((n / u) ** 2 if ok else 1.0 for n, u, ok in zip(nominal, sizes, valid, strict=True))
    size = len(tau)
    fixed = tuple(not ok for ok in valid)
    return ParameterSet(
        name, "shapesys", "poisson", False, (1.0,) * size, (_GAMMA_BOUNDS,) * size, fixed, tau, tau
    )


def _staterror_names(channels: tuple[Channel, ...]) -> list[str]:
    return sorted({m.name for c in channels for s in c.samples for m in s.modifiers if m.kind == "staterror"})


def _staterror(name: str, channels: tuple[Channel, ...]) -> ParameterSet:
    """Gaussian constraint of width sqrt(sum u^2) / sum nominal over the samples that carry it."""
    widths: list[float] = []
    for channel in channels:
        carriers = [
            (sample.data, modifier.sizes or ())
            for sample in channel.samples
            for modifier in sample.modifiers
            if modifier.kind == "staterror" and modifier.name == name
        ]
        if not carriers:
            continue
        for b in range(channel.bins):
            total = math.fsum(data[b] for data, _ in carriers)
            square = math.fsum(sizes[b] ** 2 for _, sizes in carriers)
            widths.append(math.sqrt(square) / total if total > 0.0 else 0.0)
    size = len(widths)
    fixed = tuple(width == 0.0 for width in widths)
    used = tuple(width if width > 0.0 else 1.0 for width in widths)
    return ParameterSet(
        name, "staterror", "gauss", False, (1.0,) * size, (_GAMMA_BOUNDS,) * size, fixed, (1.0,) * size, used
    )


def _configured(item: ParameterSet, config: ParameterConfig | None, problems: list[str]) -> ParameterSet:
    """Apply a measurement's settings to a parameter."""
    if config is None:
        return item
    for key in ("inits", "bounds", "auxdata", "sigmas", "factors"):
        values = getattr(config, key)
        if values is None:
            continue
        usable = {"inits": True, "bounds": True, "auxdata": item.constraint != "none"}
        usable |= {"sigmas": item.constraint == "gauss", "factors": item.constraint == "poisson"}
        if not usable[key]:
            problems.append(f"'{item.name}' ({item.kind}) has no {key}")
        elif len(values) != item.size:
            problems.append(f"'{item.name}' has {item.size} values, its {key} has {len(values)}")
    if problems:
        return item
    widths = config.sigmas if item.constraint == "gauss" else config.factors
    out = replace(
        item,
        inits=config.inits or item.inits,
        bounds=config.bounds or item.bounds,
        auxdata=config.auxdata or item.auxdata,
        widths=widths or item.widths,
        fixed=item.fixed if config.fixed is None else (config.fixed,) * item.size,
    )
    if item.kind == "lumi" and config.inits is None:
        out = replace(out, inits=out.auxdata)
    return out

"""Workspaces from workspaces: selection, pruning, smoothing, correlation and decorrelation of parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from femtobarn.errors import ConfigError, UsageError, nearest
from femtobarn.stats.histfactory.smoothing import smooth_variation
from femtobarn.stats.histfactory.workspace import Channel, Modifier, Numbers, Sample, Workspace

__all__ = [
    "PruneRow",
    "correlate",
    "decorrelate",
    "prune",
    "select_channels",
    "smooth",
    "uncorrelated",
]


@dataclass(frozen=True, slots=True)
class PruneRow:
    """A systematic modifier, the size of its effect, and whether it was dropped."""

    channel: str
    sample: str
    parameter: str
    kind: str
    effect: float
    pruned: bool

    def to_json(self) -> dict[str, Any]:
        return {
            "channel": self.channel,
            "sample": self.sample,
            "parameter": self.parameter,
            "kind": self.kind,
            "effect": self.effect,
            "pruned": self.pruned,
        }


def _mapped(workspace: Workspace, change: Callable[[Channel, Sample], Sample]) -> Workspace:
    channels = tuple(
        replace(channel, samples=tuple(change(channel, sample) for sample in channel.samples))
        for channel in workspace.channels
    )
    return replace(workspace, channels=channels)


def _used(workspace: Workspace) -> set[str]:
    return {m.name for c in workspace.channels for s in c.samples for m in s.modifiers}


def _settled(workspace: Workspace) -> Workspace:
    """Forget settings, correlations and POIs of parameters that are gone."""
    used = _used(workspace)
    measurements = tuple(
        replace(
            m,
            poi=m.poi if m.poi in used else "",
            parameters=tuple(p for p in m.parameters if p.name in used),
        )
        for m in workspace.measurements
    )
    pairs = tuple(c for c in workspace.correlations if c[0] in used and c[1] in used)
    return replace(workspace, measurements=measurements, correlations=pairs)


def select_channels(workspace: Workspace, names: Sequence[str]) -> Workspace:
    """Keep some channels; settings of parameters that vanish with the others are dropped."""
    known = [channel.name for channel in workspace.channels]
    for name in names:
        if name not in known:
            raise UsageError(f"there is no channel '{name}'", near=nearest(name, known) or known[:3])
    if not names:
        raise UsageError("no channel is selected")
    kept = replace(
        workspace,
        channels=tuple(c for c in workspace.channels if c.name in names),
        observations=tuple(o for o in workspace.observations if o.name in names),
    )
    return _settled(kept)


def _effect(modifier: Modifier, nominal: Numbers) -> float:
    """Largest relative change a normsys or histosys makes."""
    if modifier.hi is None or modifier.lo is None:
        return math.inf
    if modifier.kind == "normsys":
        return max(abs(modifier.hi[0] - 1.0), abs(modifier.lo[0] - 1.0))
    sizes = [0.0]
    for n, hi, lo in zip(nominal, modifier.hi, modifier.lo, strict=True):
        shift = max(abs(hi - n), abs(lo - n))
        if shift > 0.0:
            sizes.append(shift / abs(n) if n != 0.0 else math.inf)
    return max(sizes)


def prune(workspace: Workspace, threshold: float) -> tuple[Workspace, tuple[PruneRow, ...]]:
    """Drop systematics that change nothing noticeable.

    A normsys goes if both its sides are within ``threshold`` of one, a histosys if each bin's relative shift
    is below it.  The table lists every systematic modifier, pruned or kept.
    """
    if not threshold >= 0.0:
        raise UsageError(f"a pruning threshold is a number >= 0, not {threshold}")
    rows: list[PruneRow] = []

    def change(channel: Channel, sample: Sample) -> Sample:
        kept: list[Modifier] = []
        for modifier in sample.modifiers:
            if modifier.kind not in {"normsys", "histosys"}:
                kept.append(modifier)
                continue
            effect = _effect(modifier, sample.data)
            gone = effect <= threshold if modifier.kind == "normsys" else effect < threshold
            shown = effect if math.isfinite(effect) else -1.0
            rows.append(PruneRow(channel.name, sample.name, modifier.name, modifier.kind, shown, gone))
            if not gone:
                kept.append(modifier)
        return replace(sample, modifiers=tuple(kept))

    return _settled(_mapped(workspace, change)), tuple(rows)


def smooth(workspace: Workspace, *, parameters: Sequence[str] | None = None) -> Workspace:
    """Smooth the shapes of systematics (353QH, twice); all unless names are given."""
    shapes = {
        m.name for c in workspace.channels for s in c.samples for m in s.modifiers if m.kind == "histosys"
    }
    for name in parameters or ():
        if name not in shapes:
            raise UsageError(f"'{name}' has no shape to smooth", near=nearest(name, shapes))

    def side(values: Numbers | None, nominal: Numbers) -> Numbers:
        return tuple(smooth_variation(np.array(values or ()), np.array(nominal)).tolist())

    def change(_: Channel, sample: Sample) -> Sample:
        modifiers = tuple(
            replace(m, hi=side(m.hi, sample.data), lo=side(m.lo, sample.data))
            if m.kind == "histosys" and (parameters is None or m.name in parameters)
            else m
            for m in sample.modifiers
        )
        return replace(sample, modifiers=modifiers)

    return _mapped(workspace, change)


def correlate(workspace: Workspace, first: str, second: str, correlation: float) -> Workspace:
    """Give the constraints of two Gaussian parameters a correlation (checked when a model is made)."""
    kinds = {m.name: m.kind for c in workspace.channels for s in c.samples for m in s.modifiers}
    for name in (first, second):
        if name not in kinds:
            raise UsageError(f"there is no parameter '{name}'", near=nearest(name, kinds))
        if kinds[name] not in {"normsys", "histosys", "lumi"}:
            raise UsageError(
                f"'{name}' is a {kinds[name]}: only single Gaussian constraints can be correlated"
            )
    if first == second or not -1.0 < correlation < 1.0:
        raise UsageError(f"a correlation of {first} and {second} lies between -1 and 1, not {correlation:g}")
    pairs = tuple(c for c in workspace.correlations if {c[0], c[1]} != {first, second})
    return replace(workspace, correlations=(*pairs, (first, second, float(correlation))))


def decorrelate(workspace: Workspace, name: str, by: Literal["channel", "sample"]) -> Workspace:
    """Split a parameter into one per channel or sample, called ``NAME_<channel or sample>``."""
    used = _used(workspace)
    if name not in used:
        raise UsageError(f"there is no parameter '{name}'", near=nearest(name, used))
    if by not in ("channel", "sample"):
        raise UsageError(f"a parameter is split by channel or sample, not by '{by}'")
    if any(name in pair[:2] for pair in workspace.correlations):
        raise UsageError(f"'{name}' is correlated with another parameter and cannot be split")
    made: list[str] = []

    def change(channel: Channel, sample: Sample) -> Sample:
        label = f"{name}_{channel.name if by == 'channel' else sample.name}"
        modifiers = []
        for modifier in sample.modifiers:
            if modifier.name != name:
                modifiers.append(modifier)
                continue
            if modifier.kind == "lumi":
                raise UsageError("the luminosity cannot be split: its parameter must be called 'lumi'")
            if label not in made:
                made.append(label)
            modifiers.append(replace(modifier, name=label))
        return replace(sample, modifiers=tuple(modifiers))

    split = _mapped(workspace, change)
    clash = [label for label in made if label in used]
    if clash:
        raise UsageError(f"splitting '{name}' would make '{clash[0]}', which exists already")
    measurements = []
    for m in workspace.measurements:
        own = m.parameter(name)
        if m.poi == name and len(made) > 1:
            raise UsageError(f"'{name}' is the parameter of interest of '{m.name}' and cannot be split")
        others = tuple(p for p in m.parameters if p.name != name)
        copies = tuple(replace(own, name=label) for label in made) if own else ()
        measurements.append(replace(m, parameters=others + copies, poi=made[0] if m.poi == name else m.poi))
    return replace(split, measurements=tuple(measurements))


def uncorrelated(workspace: Workspace) -> tuple[Workspace, tuple[str, ...]]:
    """Express correlated constraints by independent parameters, which formats without them can hold.

    With the Cholesky factor ``C = L L^T`` a parameter is ``alpha_i = sum_j L_ij beta_j``: the modifiers of
    ``alpha_i`` become modifiers of every ``beta_j`` scaled by ``L_ij`` (norm effects to that power, shifts
    times it, sides exchanged for a negative one).  The result is exact to first order; asymmetric effects
    interpolate differently off the axes, which the notes say.
    """
    pairs = workspace.correlations
    if not pairs:
        return workspace, ()
    names = sorted({name for a, b, _ in pairs for name in (a, b)})
    matrix = np.eye(len(names))
    for a, b, rho in pairs:
        i, j = names.index(a), names.index(b)
        matrix[i, j] = matrix[j, i] = rho
    try:
        factor = np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        raise ConfigError("the correlations are not a positive definite matrix") from None
    rows = {name: {names[j]: float(factor[i, j]) for j in range(i + 1)} for i, name in enumerate(names)}
    kinds = {m.name: m.kind for c in workspace.channels for s in c.samples for m in s.modifiers}
    if "lumi" in (kinds[name] for name in names):
        raise ConfigError("a correlated luminosity cannot be rotated: declare it as a normsys")
    rotated = _mapped(workspace, lambda _, sample: _rotated(sample, rows))
    notes = (
        (
            f"correlated constraints of {', '.join(names)} were rotated to independent parameters; "
            "each now stands for its part that is independent of the ones before it"
        ),
        "norm and shape effects were scaled linearly: asymmetric ones differ at second order",
    )
    return replace(rotated, correlations=()), notes


def _rotated(sample: Sample, rows: Mapping[str, Mapping[str, float]]) -> Sample:
    kept: list[Modifier] = []
    norms: dict[str, list[float]] = {}
    shapes: dict[str, list[np.ndarray]] = {}
    nominal = np.array(sample.data)
    for modifier in sample.modifiers:
        if modifier.name not in rows or modifier.hi is None or modifier.lo is None:
            kept.append(modifier)
            continue
        for name, scale in rows[modifier.name].items():
            hi, lo = (modifier.hi, modifier.lo) if scale >= 0.0 else (modifier.lo, modifier.hi)
            size = abs(scale)
            if size == 0.0:
                continue
            if modifier.kind == "normsys":
                pair = norms.setdefault(name, [1.0, 1.0])
                pair[0] *= hi[0] ** size
                pair[1] *= lo[0] ** size
            else:
                arrays = shapes.setdefault(name, [nominal.copy(), nominal.copy()])
                arrays[0] += size * (np.array(hi) - nominal)
                arrays[1] += size * (np.array(lo) - nominal)
    kept += [Modifier(name, "normsys", hi=(hi,), lo=(lo,)) for name, (hi, lo) in norms.items()]
    kept += [
        Modifier(name, "histosys", hi=tuple(hi.tolist()), lo=tuple(lo.tolist()))
        for name, (hi, lo) in shapes.items()
    ]
    return replace(sample, modifiers=tuple(kept))

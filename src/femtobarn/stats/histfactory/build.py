"""From histograms to a workspace: nominal templates, variations and their treatment, in memory.

:class:`WorkspaceSpec` says what there is; :func:`build_workspace` turns it into modifiers and reports
everything that deserves a look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from femtobarn.errors import ConfigError
from femtobarn.stats.histfactory.smoothing import smooth_variation
from femtobarn.stats.histfactory.workspace import (
    Channel,
    Measurement,
    Modifier,
    Observation,
    ParameterConfig,
    Sample,
    Workspace,
)
from femtobarn.stats.histfactory.workspace_reader import check_workspace

__all__ = [
    "BuildResult",
    "ChannelAxis",
    "ChannelSpec",
    "NormFactorSpec",
    "SampleSpec",
    "SystematicSpec",
    "WorkspaceSpec",
    "build_workspace",
]

FloatArray = npt.NDArray[np.float64]
NegativePolicy = Literal["error", "zero"]
Symmetrize = Literal["none", "mirror", "average", "max"]
#: Normalisation effects beyond this are worth a look.
_LARGE_NORM = 0.5


@dataclass(frozen=True, slots=True)
class SystematicSpec:
    """One source of uncertainty of one sample in one channel.

    Attributes
    ----------
    name : str
        Name of the nuisance parameter; the same name anywhere is the same parameter.
    up, down : float or sequence of float, optional
        A number is a relative change of the yield (0.03 is 3 %); a sequence is the varied histogram.
    symmetrize : str
        ``mirror`` (down is missing): up is normalised to the nominal yield and mirrored, ``2 nominal - up``,
        and its norm effect is ``2 - hi``.  ``average``: +- (up - down) / 2.  ``max``: the larger side in each
        bin, mirrored.
    smooth : bool
        Smooth the variation with 353QH, twice, before anything else.
    shape : bool
        False keeps the effect on the yield alone.
    """

    name: str
    up: float | Sequence[float]
    down: float | Sequence[float] | None = None
    symmetrize: Symmetrize = "none"
    smooth: bool = False
    shape: bool = True


@dataclass(frozen=True, slots=True)
class NormFactorSpec:
    """A free norm and its settings."""

    name: str
    nominal: float = 1.0
    bounds: tuple[float, float] = (0.0, 10.0)


@dataclass(frozen=True, slots=True)
class SampleSpec:
    """A process in a channel: events and variances per bin (normalised), and what acts on it.

    ``variances`` None leaves the MC statistical uncertainty out.
    """

    name: str
    nominal: Sequence[float]
    variances: Sequence[float] | None = None
    systematics: tuple[SystematicSpec, ...] = ()
    normfactors: tuple[str, ...] = ()
    lumi: bool = False


@dataclass(frozen=True, slots=True)
class ChannelAxis:
    """What a channel's bins mean: quantity, unit ("" for none) and edges (bins + 1)."""

    name: str
    unit: str
    edges: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ChannelSpec:
    """A region: its observed counts, its samples and, for figures and tables, what its bins mean."""

    name: str
    data: Sequence[float]
    samples: tuple[SampleSpec, ...]
    axis: ChannelAxis | None = None


@dataclass(frozen=True, slots=True)
class WorkspaceSpec:
    """Everything a likelihood needs.

    Attributes
    ----------
    poi : str
        Parameter of interest, "" for none.
    normfactors : tuple of NormFactorSpec
        Settings of free norms that differ from 1 in 0..10.
    fixed : tuple of (name, value)
        Parameters held in this measurement.
    lumi_error : float or None
        Relative error of the luminosity, needed where a sample has ``lumi``.
    negative : str
        A negative nominal bin is an ``error`` or set to ``zero``.
    """

    channels: tuple[ChannelSpec, ...]
    measurement: str = "measurement"
    poi: str = ""
    normfactors: tuple[NormFactorSpec, ...] = ()
    fixed: tuple[tuple[str, float], ...] = ()
    lumi_error: float | None = None
    negative: NegativePolicy = "error"


@dataclass(frozen=True, slots=True)
class BuildResult:
    """The workspace, what was noticed on the way (one sentence each), and the axes of its channels."""

    workspace: Workspace
    notes: tuple[str, ...] = ()
    axes: Mapping[str, ChannelAxis] = field(default_factory=dict)


@dataclass(slots=True)
class _Notes:
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    negative: bool = False


def build_workspace(spec: WorkspaceSpec) -> BuildResult:
    """Build a workspace.

    Per sample: ``staterror`` (from the square root of the variances), norm factors, then the systematics in
    their order, each as ``normsys`` (yield ratio) and ``histosys`` (variation at the nominal yield; not for a
    single bin).

    Raises
    ------
    ConfigError
        Naming all histograms that do not fit or have negative bins, or what makes the workspace inconsistent.
    """
    log = _Notes()
    channels = tuple(
        Channel(c.name, tuple(_sample(c, sample, spec, log) for sample in c.samples)) for c in spec.channels
    )
    axes = {c.name: c.axis for c in spec.channels if c.axis is not None}
    log.problems += [
        f"{c.name}: {len(axes[c.name].edges)} bin edges for {len(c.data)} bins"
        for c in spec.channels
        if c.name in axes and len(axes[c.name].edges) != len(c.data) + 1
    ]
    if log.problems:
        raise ConfigError(
            "the histograms do not make a model:\n" + "\n".join(f"  {problem}" for problem in log.problems),
            action="set negative nominal bins to zero with the policy 'negative: zero'"
            if log.negative
            else None,
        )
    workspace = Workspace(
        channels=channels,
        observations=tuple(Observation(c.name, tuple(float(n) for n in c.data)) for c in spec.channels),
        measurements=(_measurement(spec),),
    )
    check_workspace(workspace)
    return BuildResult(workspace, tuple(log.notes), axes)


def _measurement(spec: WorkspaceSpec) -> Measurement:
    configs: dict[str, dict[str, object]] = {}
    used = {name for c in spec.channels for s in c.samples for name in s.normfactors}
    for factor in spec.normfactors:
        if factor.name in used:
            configs[factor.name] = {"inits": (factor.nominal,), "bounds": (factor.bounds,)}
    for name, value in spec.fixed:
        configs.setdefault(name, {})
        configs[name] |= {"fixed": True, "inits": (value,)}
    if spec.lumi_error is not None:
        width = spec.lumi_error
        configs["lumi"] = {
            "auxdata": (1.0,),
            "sigmas": (width,),
            "inits": (1.0,),
            "bounds": ((max(1e-3, 1.0 - 5.0 * width), 1.0 + 5.0 * width),),
        }
    parameters = tuple(ParameterConfig(name, **settings) for name, settings in configs.items())  # type: ignore[arg-type]
    return Measurement(spec.measurement, spec.poi, parameters)


def _sample(channel: ChannelSpec, sample: SampleSpec, spec: WorkspaceSpec, log: _Notes) -> Sample:
    where = f"{channel.name} / {sample.name}"
    nominal = np.asarray(sample.nominal, dtype=np.float64)
    if nominal.shape != (len(channel.data),):
        log.problems.append(f"{where}: {nominal.size} bins, the data have {len(channel.data)}")
        return Sample(sample.name, tuple(nominal.tolist()))
    if not np.all(np.isfinite(nominal)):
        log.problems.append(f"{where}: a bin is not finite")
    negative = np.flatnonzero(nominal < 0.0)
    if negative.size and spec.negative == "error":
        log.negative = True
        log.problems.append(f"{where}: bins {negative.tolist()} are negative")
    elif negative.size:
        log.notes.append(f"{where}: negative bins {negative.tolist()} were set to zero")
        nominal = np.maximum(nominal, 0.0)
    empty = np.flatnonzero(nominal == 0.0)
    if empty.size:
        log.notes.append(f"{where}: nominal bins {empty.tolist()} are empty")
    modifiers: list[Modifier] = []
    if sample.variances is not None:
        variances = np.asarray(sample.variances, dtype=np.float64)
        if variances.shape != nominal.shape or np.any(variances < 0.0):
            log.problems.append(f"{where}: the variances do not fit the bins or are negative")
            return Sample(sample.name, tuple(nominal.tolist()))
        name = "staterror_" + channel.name.replace(" ", "-")
        modifiers.append(Modifier(name, "staterror", sizes=tuple(np.sqrt(variances).tolist())))
    modifiers += [Modifier(name, "normfactor") for name in sample.normfactors]
    if sample.lumi:
        modifiers.append(Modifier("lumi", "lumi"))
    for systematic in sample.systematics:
        modifiers += _systematic(f"{where} / {systematic.name}", systematic, nominal, log)
    return Sample(sample.name, tuple(nominal.tolist()), tuple(modifiers))


def _systematic(where: str, spec: SystematicSpec, nominal: FloatArray, log: _Notes) -> list[Modifier]:
    if isinstance(spec.up, (int, float)):
        up = 1.0 + float(spec.up)
        down = 1.0 + float(spec.down) if isinstance(spec.down, (int, float)) else 2.0 - up
        return _normsys(where, spec.name, up, down, log)
    if spec.down is None and spec.symmetrize in {"none", "average"}:
        log.problems.append(f"{where}: there is no down variation; symmetrize is '{spec.symmetrize}'")
        return []
    up_histogram = _variation(where, spec, spec.up, nominal, log)
    down_histogram = None
    if spec.down is not None and not isinstance(spec.down, (int, float)):
        down_histogram = _variation(where, spec, spec.down, nominal, log)
    if up_histogram is None or (down_histogram is None and spec.down is not None):
        return []
    total = float(nominal.sum())
    if total <= 0.0:
        log.notes.append(f"{where}: left out, the nominal is empty")
        return []
    (hi, up_shape), (lo, down_shape) = _sides(spec, up_histogram, down_histogram, nominal)
    for side, shape in (("up", up_shape), ("down", down_shape)):
        bad = np.flatnonzero(shape < 0.0)
        if bad.size:
            log.notes.append(f"{where}: {side} bins {bad.tolist()} are negative")
    modifiers = _normsys(where, spec.name, hi, lo, log)
    if spec.shape and nominal.size > 1:
        histosys = Modifier(spec.name, "histosys", hi=tuple(up_shape.tolist()), lo=tuple(down_shape.tolist()))
        modifiers.append(histosys)
    return modifiers


def _variation(
    where: str, spec: SystematicSpec, values: Sequence[float], nominal: FloatArray, log: _Notes
) -> FloatArray | None:
    array = np.asarray(values, dtype=np.float64)
    if array.shape != nominal.shape:
        log.problems.append(f"{where}: the variation has {array.size} bins, the nominal {nominal.size}")
        return None
    if not np.all(np.isfinite(array)):
        log.problems.append(f"{where}: a bin of the variation is not finite")
        return None
    return smooth_variation(array, nominal) if spec.smooth else array


def _scaled(variation: FloatArray, nominal: FloatArray) -> tuple[float, FloatArray]:
    """Effect on the yield, and the variation at the nominal yield."""
    effect = float(variation.sum()) / float(nominal.sum())
    return effect, variation / effect if effect > 0.0 else nominal.copy()


def _sides(
    spec: SystematicSpec, up: FloatArray, down: FloatArray | None, nominal: FloatArray
) -> tuple[tuple[float, FloatArray], tuple[float, FloatArray]]:
    """Norm effect and shape of both sides after symmetrisation."""
    if down is None:
        # First the norm, then the shape: mirrored separately, so that neither leaks into the other.
        hi, shape = _scaled(up, nominal)
        return (hi, shape), (2.0 - hi, 2.0 * nominal - shape)
    if spec.symmetrize == "average":
        half = 0.5 * (up - down)
        return _scaled(nominal + half, nominal), _scaled(nominal - half, nominal)
    if spec.symmetrize == "max":
        up_shift, down_shift = up - nominal, nominal - down
        larger = np.where(np.abs(up_shift) >= np.abs(down_shift), up_shift, down_shift)
        return _scaled(nominal + larger, nominal), _scaled(nominal - larger, nominal)
    return _scaled(up, nominal), _scaled(down, nominal)


def _normsys(where: str, name: str, hi: float, lo: float, log: _Notes) -> list[Modifier]:
    if hi <= 0.0 or lo <= 0.0:
        log.problems.append(
            f"{where}: the yield is scaled to {min(hi, lo):.3g} of the nominal, which must be > 0"
        )
        return []
    if (hi - 1.0) * (lo - 1.0) > 0.0:
        log.notes.append(f"{where}: both sides change the yield in the same direction ({hi:.4g}, {lo:.4g})")
    if max(abs(hi - 1.0), abs(lo - 1.0)) > _LARGE_NORM:
        log.notes.append(f"{where}: changes the yield by more than half ({hi:.4g}, {lo:.4g})")
    return [Modifier(name, "normsys", hi=(hi,), lo=(lo,))]

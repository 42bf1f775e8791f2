"""From a workspace to the arrays of a likelihood."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from femtobarn.errors import ConfigError
from femtobarn.stats.histfactory.interpolation import HistosysCode, NormsysCode, normsys_coefficients
from femtobarn.stats.histfactory.likelihood import Constraints, Templates
from femtobarn.stats.histfactory.parameters import ParameterSet
from femtobarn.stats.histfactory.workspace import Channel, Modifier, Numbers

__all__ = ["Layout", "compile_constraints", "compile_templates", "flat"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Layout:
    """Parameters and their offsets, channels, samples and bins, all in the order of the likelihood."""

    sets: tuple[ParameterSet, ...]
    offsets: Mapping[str, int]
    channels: tuple[Channel, ...]
    samples: tuple[str, ...]
    bins: Mapping[str, slice]
    correlations: tuple[tuple[str, str, float], ...]
    normsys_code: NormsysCode
    histosys_code: HistosysCode

    @property
    def parameters(self) -> int:
        return sum(item.size for item in self.sets)


def flat(parts: Sequence[Numbers]) -> FloatArray:
    """One array of all numbers, in order."""
    return np.array([value for part in parts for value in part], dtype=np.float64)


def compile_constraints(layout: Layout) -> Constraints:
    """Constraint terms in the order of the auxiliary data."""
    gauss: list[tuple[int, int, float]] = []
    poisson: list[tuple[int, int, float]] = []
    aux = 0
    for item in layout.sets:
        if item.constraint == "none":
            continue
        target = gauss if item.constraint == "gauss" else poisson
        for i, width in enumerate(item.widths):
            target.append((layout.offsets[item.name] + i, aux, width))
            aux += 1
    g_index, g_aux, g_width = _columns(gauss)
    p_index, p_aux, tau = _columns(poisson)
    precision = _precision(layout, g_index, g_width)
    return Constraints(g_index, g_aux, g_width, precision, p_index, p_aux, tau)


def _columns(rows: list[tuple[int, int, float]]) -> tuple[IntArray, IntArray, FloatArray]:
    return (
        np.array([row[0] for row in rows], dtype=np.intp),
        np.array([row[1] for row in rows], dtype=np.intp),
        np.array([row[2] for row in rows], dtype=np.float64),
    )


def _precision(layout: Layout, gauss: IntArray, width: FloatArray) -> FloatArray | None:
    """Inverse covariance of the Gaussian constraints where some are declared correlated."""
    pairs = layout.correlations
    if not pairs:
        return None
    correlation = np.eye(gauss.size)
    for a, b, rho in pairs:
        places = []
        for name in (a, b):
            found = np.flatnonzero(gauss == layout.offsets.get(name, -1))
            if not found.size:
                raise ConfigError(f"'{name}' has no Gaussian constraint, so it cannot be correlated")
            places.append(int(found[0]))
        if places[0] == places[1]:
            raise ConfigError(f"'{a}' cannot be correlated with itself")
        correlation[places[0], places[1]] = correlation[places[1], places[0]] = rho
    smallest = float(np.linalg.eigvalsh(correlation)[0])
    if smallest <= 1e-12:
        text = ", ".join(f"{a}:{b}={rho:g}" for a, b, rho in pairs)
        raise ConfigError(
            f"the correlations {text} are not a positive definite matrix (smallest eigenvalue {smallest:.3g})"
        )
    return np.asarray(np.linalg.inv(correlation * np.outer(width, width)))


def compile_templates(layout: Layout) -> tuple[Templates, IntArray]:
    """Flatten the workspace into the arrays of :class:`Templates`; also each cell's sample."""
    build = _Builder(layout)
    for channel in layout.channels:
        for name in sorted(sample.name for sample in channel.samples):
            sample = next(s for s in channel.samples if s.name == name)
            row, cells = build.add_row(channel.name, name, sample.data)
            for modifier in sample.modifiers:
                build.add_modifier(modifier, channel.name, row, cells, sample.data)
    return build.finish()


class _Builder:
    """Collects cells and entries in the order of the workspace, then sorts the cells by bin."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.nominal: list[float] = []
        self.row: list[int] = []
        self.bin: list[int] = []
        self.sample: list[int] = []
        self.rows = 0
        self.entries: dict[str, list[tuple[Any, ...]]] = {"shift": [], "scale": [], "norm": [], "gamma": []}

    def add_row(self, channel: str, sample: str, data: tuple[float, ...]) -> tuple[int, list[int]]:
        first = len(self.nominal)
        where = self.layout.bins[channel]
        self.nominal.extend(data)
        self.row.extend([self.rows] * len(data))
        self.bin.extend(range(where.start, where.stop))
        self.sample.extend([self.layout.samples.index(sample)] * len(data))
        self.rows += 1
        return self.rows - 1, list(range(first, first + len(data)))

    def add_modifier(
        self, modifier: Modifier, channel: str, row: int, cells: list[int], data: tuple[float, ...]
    ) -> None:
        at = self.layout.offsets[modifier.name]
        if modifier.kind == "histosys" and modifier.hi is not None and modifier.lo is not None:
            for cell, nominal, hi, lo in zip(cells, data, modifier.hi, modifier.lo, strict=True):
                self.entries["shift"].append((cell, at, hi - nominal, nominal - lo))
        elif modifier.kind == "normsys" and modifier.hi is not None and modifier.lo is not None:
            self.entries["scale"].append((row, at, modifier.hi[0], modifier.lo[0]))
        elif modifier.kind in {"normfactor", "lumi"}:
            self.entries["norm"].append((row, at))
        else:
            # A staterror shared by channels is one vector over their bins in order.
            first = self._stat_offset(modifier.name, channel) if modifier.kind == "staterror" else 0
            self.entries["gamma"] += [(cell, at + first + i) for i, cell in enumerate(cells)]

    def _stat_offset(self, name: str, channel: str) -> int:
        offset = 0
        for other in self.layout.channels:
            if other.name == channel:
                break
            if any(m.name == name and m.kind == "staterror" for s in other.samples for m in s.modifiers):
                offset += other.bins
        return offset

    def finish(self) -> tuple[Templates, IntArray]:
        order = np.argsort(np.array(self.bin, dtype=np.intp), kind="stable")
        place = np.empty(order.size, dtype=np.intp)
        place[order] = np.arange(order.size)
        bins = np.array(self.bin, dtype=np.intp)[order]

        def column(kind: str, k: int, *, cell: bool = False) -> IntArray:
            values = np.array([entry[k] for entry in self.entries[kind]], dtype=np.intp)
            return place[values] if cell else values

        def numbers(kind: str, k: int) -> FloatArray:
            return np.array([entry[k] for entry in self.entries[kind]], dtype=np.float64)

        hi, lo = numbers("scale", 2), numbers("scale", 3)
        templates = Templates(
            parameters=self.layout.parameters,
            rows=self.rows,
            nominal=np.array(self.nominal, dtype=np.float64)[order],
            row=np.array(self.row, dtype=np.intp)[order],
            bin=bins,
            starts=np.flatnonzero(np.r_[True, np.diff(bins) > 0]),
            shift_cell=column("shift", 0, cell=True),
            shift_parameter=column("shift", 1),
            shift_up=numbers("shift", 2),
            shift_down=numbers("shift", 3),
            shift_code=self.layout.histosys_code,
            scale_row=column("scale", 0),
            scale_parameter=column("scale", 1),
            scale_log_hi=np.log(hi),
            scale_log_lo=np.log(lo),
            scale_coefficients=normsys_coefficients(hi, lo) if self.layout.normsys_code == "code4" else None,
            norm_row=column("norm", 0),
            norm_parameter=column("norm", 1),
            gamma_cell=column("gamma", 0, cell=True),
            gamma_parameter=column("gamma", 1),
        )
        return templates, np.array(self.sample, dtype=np.intp)[order]

"""A compiled HistFactory model: parameters, expectation, -2 log L and its derivatives."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, cast, get_args

import numpy as np
import numpy.typing as npt

from femtobarn.errors import ConfigError, UsageError, nearest
from femtobarn.stats.interpolation import HistosysCode, NormsysCode, normsys_coefficients
from femtobarn.stats.likelihood import Constraints, Data, Likelihood, Templates, split
from femtobarn.stats.parameters import ParameterSet, parameter_sets, sorted_channels, sorted_samples
from femtobarn.stats.workspace import Measurement, Modifier, Workspace, read_workspace_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["DEFAULT_INTERPOLATION", "Model", "read_workspace"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]
DEFAULT_INTERPOLATION: Final[Mapping[str, str]] = {"normsys": "code4", "histosys": "code4p"}
_log = logging.getLogger("femtobarn.stats")


def read_workspace(
    path: str | Path, *, measurement: str | None = None, interp: Mapping[str, str] | None = None
) -> Model:
    """Read a pyhf workspace and compile one of its measurements.

    Parameters
    ----------
    path : path
        JSON file, pyhf 1.0.0.
    measurement : str, optional
        By name; the first of the file unless told.
    interp : mapping, optional
        ``{"normsys": "code1" | "code4", "histosys": "code0" | "code2" | "code4p"}``; the defaults are
        code4 and code4p.
    """
    return Model(read_workspace_file(path), measurement=measurement, interp=interp)


def _interpolation(interp: Mapping[str, str] | None) -> tuple[NormsysCode, HistosysCode]:
    chosen = {**DEFAULT_INTERPOLATION, **(interp or {})}
    codes = {"normsys": get_args(NormsysCode), "histosys": get_args(HistosysCode)}
    for key, value in chosen.items():
        if key not in codes:
            raise UsageError(f"'{key}' is not interpolated", near=nearest(key, codes) or codes)
        if value not in codes[key]:
            raise UsageError(
                f"{key} has no interpolation '{value}'", near=nearest(value, codes[key]) or codes[key]
            )
    return cast("NormsysCode", chosen["normsys"]), cast("HistosysCode", chosen["histosys"])


class Model:
    """The likelihood of a workspace.

    Parameters are ordered as ``names`` (pyhf's labels) everywhere.  Nothing changes after construction, so a
    model can be shared, and repeated fits compile and read nothing.

    Attributes
    ----------
    names : tuple of str
        Labels: ``name`` for a number, ``name[i]`` for one per bin.
    init, lower, upper : (p,) float arrays
    fixed, constrained : (p,) bool arrays
    centre, prefit : (p,) float arrays
        Constrained parameters: value and width that the auxiliary measurement alone would give; nan and 0
        otherwise.
    observed : (bins,) float array
    auxdata : (a,) float array
        In pyhf's order.
    """

    def __init__(
        self,
        workspace: Workspace,
        *,
        measurement: str | None = None,
        interp: Mapping[str, str] | None = None,
    ) -> None:
        self.workspace = workspace
        self.measurement: Measurement = workspace.measurement(measurement)
        self.normsys_code, self.histosys_code = _interpolation(interp)
        self.sets: tuple[ParameterSet, ...] = parameter_sets(workspace, self.measurement)
        self.names: tuple[str, ...] = tuple(label for item in self.sets for label in item.labels)
        self.offsets: dict[str, int] = {}
        for item in self.sets:
            self.offsets[item.name] = sum(self.sets[i].size for i in range(len(self.offsets)))
        self._index = {label: i for i, label in enumerate(self.names)}
        self.init = _flat([item.inits for item in self.sets])
        self.lower = _flat([tuple(low for low, _ in item.bounds) for item in self.sets])
        self.upper = _flat([tuple(high for _, high in item.bounds) for item in self.sets])
        self.fixed = np.array([f for item in self.sets for f in item.fixed], dtype=bool)
        self.constrained = np.array(
            [item.constraint != "none" for item in self.sets for _ in range(item.size)], dtype=bool
        )
        self.channels = sorted_channels(workspace)
        self.samples = sorted_samples(workspace)
        self.bins: dict[str, slice] = {}
        first = 0
        for channel in self.channels:
            self.bins[channel.name] = slice(first, first + channel.bins)
            first += channel.bins
        observations = {o.name: o.data for o in workspace.observations}
        self.observed = _flat([observations[channel.name] for channel in self.channels])
        self.auxdata = _flat([item.auxdata for item in self.sets if item.constraint != "none"])
        self.constraints = _constraints(self)
        self.templates, self.cell_sample = _templates(self)
        self.blocks = split(self.templates, list(self.bins.values()))
        self.centre, self.prefit = self._prefit()
        self._observed_likelihood = self.likelihood(None)

    @property
    def poi(self) -> str | None:
        """Name of the parameter of interest; None if the measurement has none."""
        return self.measurement.poi or None

    @property
    def bounds(self) -> list[tuple[float, float]]:
        return [(float(low), float(high)) for low, high in zip(self.lower, self.upper, strict=True)]

    @property
    def interpolation(self) -> dict[str, str]:
        return {"normsys": self.normsys_code, "histosys": self.histosys_code}

    def index(self, label: str) -> int:
        """Position of a parameter; a name without index is accepted for a vector of one."""
        if label in self._index:
            return self._index[label]
        if f"{label}[0]" in self._index and f"{label}[1]" not in self._index:
            return self._index[f"{label}[0]"]
        raise UsageError(f"there is no parameter '{label}'", near=nearest(label, self.names))

    def indices(self, name: str) -> list[int]:
        """Positions of all numbers of a parameter: a label, or a name for its whole vector."""
        if name in self.offsets:
            size = next(item.size for item in self.sets if item.name == name)
            return list(range(self.offsets[name], self.offsets[name] + size))
        return [self.index(name)]

    def poi_index(self) -> int:
        """Position of the parameter of interest.

        Raises
        ------
        UsageError
            If the measurement has none.
        """
        if self.poi is None:
            raise UsageError(
                f"measurement '{self.measurement.name}' has no parameter of interest",
                action="name one (--poi), or ask for fits and profiles only",
            )
        return self.index(self.poi)

    def with_poi(self, poi: str) -> Model:
        """The same model with another parameter of interest."""
        from dataclasses import replace

        measurements = tuple(
            replace(m, poi=poi) if m.name == self.measurement.name else m for m in self.workspace.measurements
        )
        self.index(poi)
        workspace = replace(self.workspace, measurements=measurements)
        return Model(workspace, measurement=self.measurement.name, interp=self.interpolation)

    def point(self, x: npt.ArrayLike) -> FloatArray:
        """A parameter point as an array, checked for length."""
        array = np.asarray(x, dtype=np.float64)
        if array.shape != (len(self.names),):
            raise UsageError(f"a point of this model has {len(self.names)} numbers, not {array.shape}")
        return array

    def data(self, values: npt.ArrayLike | Data | None) -> Data:
        """Data of this model: None is the observation; main counts alone keep the auxiliary data.

        An array may hold the main counts, or those followed by the auxiliary data (pyhf's layout).
        """
        if values is None:
            return Data(self.observed, self.auxdata)
        if isinstance(values, Data):
            return values
        array = np.asarray(values, dtype=np.float64)
        bins, aux = self.observed.size, self.auxdata.size
        if array.shape == (bins,):
            return Data(array, self.auxdata)
        if array.shape == (bins + aux,):
            return Data(array[:bins], array[bins:])
        raise UsageError(f"data of this model has {bins} bins (and {aux} auxiliary), not {array.shape}")

    def likelihood(self, data: npt.ArrayLike | Data | None) -> Likelihood:
        """The function to minimise for some data."""
        return Likelihood.of(self.templates, self.blocks, self.constraints, self.data(data))

    def _likelihood(self, data: npt.ArrayLike | Data | None) -> Likelihood:
        return self._observed_likelihood if data is None else self.likelihood(data)

    def expected(self, x: npt.ArrayLike) -> FloatArray:
        """Expected events per bin, channels in sorted order."""
        return np.asarray(np.add.reduceat(self.templates.expectation(self.point(x)), self.templates.starts))

    def expected_samples(self, x: npt.ArrayLike) -> FloatArray:
        """Expected events per sample and bin, (samples, bins); zero where a channel lacks a sample."""
        out = np.zeros((len(self.samples), self.observed.size))
        out[self.cell_sample, self.templates.bin] = self.templates.expectation(self.point(x))
        return out

    def expected_auxdata(self, x: npt.ArrayLike) -> FloatArray:
        """Auxiliary data expected at a point."""
        point, c = self.point(x), self.constraints
        out = np.zeros(self.auxdata.size)
        out[c.gauss_aux] = point[c.gauss]
        out[c.poisson_aux] = c.tau * point[c.poisson]
        return out

    def asimov(self, x: npt.ArrayLike) -> Data:
        """The data set that is expected at a point, auxiliary data included."""
        return Data(self.expected(x), self.expected_auxdata(x))

    def twice_nll(self, x: npt.ArrayLike, data: npt.ArrayLike | Data | None = None) -> float:
        """-2 log L with factorials and constants of the constraints (pyhf's -2 logpdf).

        An expectation <= 0 where events were seen costs a large finite penalty and is logged.
        """
        point = self.point(x)
        likelihood = self._likelihood(data)
        bad = self.impossible_bins(point, likelihood.data)
        if bad.size:
            _log.warning("expectation <= 0 in bins with data: %s", ", ".join(map(str, bad.tolist())))
        return likelihood.value(point)

    def impossible_bins(self, x: FloatArray, data: Data) -> IntArray:
        """Bins that hold data where nothing is expected."""
        return np.flatnonzero((self.expected(x) <= 0.0) & (data.main > 0.0))

    def gradient(self, x: npt.ArrayLike, data: npt.ArrayLike | Data | None = None) -> FloatArray:
        """Exact gradient of -2 log L, (p,)."""
        return self._likelihood(data)(self.point(x))[1]

    def hessian(self, x: npt.ArrayLike, data: npt.ArrayLike | Data | None = None) -> FloatArray:
        """Exact second derivatives of -2 log L, (p, p)."""
        return self._likelihood(data)(self.point(x))[2]

    def inert(self) -> tuple[str, ...]:
        """Parameters that change no bin: their effect is one, or what they act on is empty."""
        t = self.templates
        live = np.zeros(len(self.names), dtype=bool)
        filled = t.nominal != 0.0
        moved = (t.shift_up != 0.0) | (t.shift_down != 0.0)
        live[t.shift_parameter[moved]] = True
        filled[t.shift_cell[moved]] = True
        rows = np.zeros(t.rows, dtype=bool)
        rows[t.row[filled]] = True
        live[t.norm_parameter[rows[t.norm_row]]] = True
        acts = (t.scale_log_hi != 0.0) | (t.scale_log_lo != 0.0)
        live[t.scale_parameter[rows[t.scale_row] & acts]] = True
        live[t.gamma_parameter[filled[t.gamma_cell]]] = True
        return tuple(
            name
            for name, alive, fixed in zip(self.names, live, self.fixed, strict=True)
            if not alive and not fixed
        )

    def _prefit(self) -> tuple[FloatArray, FloatArray]:
        c = self.constraints
        centre, width = np.full(len(self.names), np.nan), np.zeros(len(self.names))
        centre[c.gauss], width[c.gauss] = self.auxdata[c.gauss_aux], c.width
        centre[c.poisson] = self.auxdata[c.poisson_aux] / c.tau
        width[c.poisson] = 1.0 / np.sqrt(c.tau)
        return centre, width


def _flat(parts: list[tuple[float, ...]]) -> FloatArray:
    return np.array([value for part in parts for value in part], dtype=np.float64)


def _constraints(model: Model) -> Constraints:
    gauss: list[tuple[int, int, float]] = []
    poisson: list[tuple[int, int, float]] = []
    aux = 0
    for item in model.sets:
        if item.constraint == "none":
            continue
        target = gauss if item.constraint == "gauss" else poisson
        for i, width in enumerate(item.widths):
            target.append((model.offsets[item.name] + i, aux, width))
            aux += 1
    g_index, g_aux, g_width = _columns(gauss)
    p_index, p_aux, tau = _columns(poisson)
    precision = _precision(model, g_index, g_width)
    return Constraints(g_index, g_aux, g_width, precision, p_index, p_aux, tau)


def _columns(rows: list[tuple[int, int, float]]) -> tuple[IntArray, IntArray, FloatArray]:
    return (
        np.array([row[0] for row in rows], dtype=np.intp),
        np.array([row[1] for row in rows], dtype=np.intp),
        np.array([row[2] for row in rows], dtype=np.float64),
    )


def _precision(model: Model, gauss: IntArray, width: FloatArray) -> FloatArray | None:
    """Inverse covariance of the Gaussian constraints where some are declared correlated."""
    pairs = model.workspace.correlations
    if not pairs:
        return None
    correlation = np.eye(gauss.size)
    for a, b, rho in pairs:
        places = []
        for name in (a, b):
            found = np.flatnonzero(gauss == model.index(name))
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


def _templates(model: Model) -> tuple[Templates, IntArray]:
    """Flatten the workspace into the arrays of :class:`Templates`; also each cell's sample."""
    build = _Builder(model)
    for channel in model.channels:
        for name in sorted(sample.name for sample in channel.samples):
            sample = next(s for s in channel.samples if s.name == name)
            row, cells = build.add_row(channel.name, name, sample.data)
            for modifier in sample.modifiers:
                build.add_modifier(modifier, channel.name, row, cells, sample.data)
    return build.finish()


class _Builder:
    """Collects cells and entries in the order of the workspace, then sorts the cells by bin."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.nominal: list[float] = []
        self.row: list[int] = []
        self.bin: list[int] = []
        self.sample: list[int] = []
        self.rows = 0
        self.entries: dict[str, list[tuple[Any, ...]]] = {"shift": [], "scale": [], "norm": [], "gamma": []}

    def add_row(self, channel: str, sample: str, data: tuple[float, ...]) -> tuple[int, list[int]]:
        first = len(self.nominal)
        where = self.model.bins[channel]
        self.nominal.extend(data)
        self.row.extend([self.rows] * len(data))
        self.bin.extend(range(where.start, where.stop))
        self.sample.extend([self.model.samples.index(sample)] * len(data))
        self.rows += 1
        return self.rows - 1, list(range(first, first + len(data)))

    def add_modifier(
        self, modifier: Modifier, channel: str, row: int, cells: list[int], data: tuple[float, ...]
    ) -> None:
        at = self.model.offsets[modifier.name]
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
        for other in self.model.channels:
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
            parameters=len(self.model.names),
            rows=self.rows,
            nominal=np.array(self.nominal, dtype=np.float64)[order],
            row=np.array(self.row, dtype=np.intp)[order],
            bin=bins,
            starts=np.flatnonzero(np.r_[True, np.diff(bins) > 0]),
            shift_cell=column("shift", 0, cell=True),
            shift_parameter=column("shift", 1),
            shift_up=numbers("shift", 2),
            shift_down=numbers("shift", 3),
            shift_code=self.model.histosys_code,
            scale_row=column("scale", 0),
            scale_parameter=column("scale", 1),
            scale_log_hi=np.log(hi),
            scale_log_lo=np.log(lo),
            scale_coefficients=normsys_coefficients(hi, lo) if self.model.normsys_code == "code4" else None,
            norm_row=column("norm", 0),
            norm_parameter=column("norm", 1),
            gamma_cell=column("gamma", 0, cell=True),
            gamma_parameter=column("gamma", 1),
        )
        return templates, np.array(self.sample, dtype=np.intp)[order]

"""A compiled HistFactory model: parameters, expectation, -2 log L and its derivatives."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, cast, get_args

import numpy as np
import numpy.typing as npt

from femtobarn.errors import UsageError, nearest
from femtobarn.stats.histfactory.compile import Layout, compile_constraints, compile_templates, flat
from femtobarn.stats.histfactory.interpolation import HistosysCode, NormsysCode
from femtobarn.stats.histfactory.likelihood import Data, Likelihood, split
from femtobarn.stats.histfactory.parameters import (
    ParameterSet,
    parameter_sets,
    sorted_channels,
    sorted_samples,
)
from femtobarn.stats.histfactory.workspace import Measurement, Workspace
from femtobarn.stats.histfactory.workspace_reader import read_workspace_file

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
        self.init = flat([item.inits for item in self.sets])
        self.lower = flat([tuple(low for low, _ in item.bounds) for item in self.sets])
        self.upper = flat([tuple(high for _, high in item.bounds) for item in self.sets])
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
        self.observed = flat([observations[channel.name] for channel in self.channels])
        self.auxdata = flat([item.auxdata for item in self.sets if item.constraint != "none"])
        layout = Layout(
            self.sets,
            self.offsets,
            self.channels,
            self.samples,
            self.bins,
            workspace.correlations,
            self.normsys_code,
            self.histosys_code,
        )
        self.constraints = compile_constraints(layout)
        self.templates, self.cell_sample = compile_templates(layout)
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
        near = nearest(label, self.names)
        known = ", ".join(list(self.offsets)[:12]) + (", ..." if len(self.offsets) > 12 else "")
        raise UsageError(
            f"there is no parameter '{label}'", near=near, action=None if near else f"the parameters: {known}"
        )

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
